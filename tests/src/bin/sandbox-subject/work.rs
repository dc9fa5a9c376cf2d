//! The ECM driver as it is shipped, between a dongle in its own process and a TAP that it was given, locked down. The dongle has a computer
//! behind it that answers TCP. It must not know who talks to that computer.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use outboard_core::family::ethernet::tap::{Tap, TapFds};
use outboard_core::queue::{self, Clock, DispatchQueue};
use outboard_core::sandbox::{Profile, Transport, inherit, lock_down};
use outboard_core::service::{Ending, Service};
use outboard_core::source::{Drained, InterruptSource};
use outboard_core::usb::Device;
use outboard_core::usb::transport::in_process::InProcess;
use outboard_usb_ecm::{EcmDriver, Provider};
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions};
use outboard_virtual_devices::host::{Host, HostOptions};

pub(super) fn run() -> Result<()> {
    let inherited = inherit()?;
    let profile = Profile { transport: Transport::InProcess, ..super::profile(&inherited) };
    let fds: [OwnedFd; 5] = inherited.fds.try_into().ok().context("five descriptors are passed")?;
    let [tun, a, b, c, control] = fds;
    let host_options = HostOptions::default();
    DispatchQueue::run("Default", Clock::Real, |_| async move {
        lock_down(&profile)?;
        let interface = Tap::from_fds(TapFds { tun, link: [a, b, c] })?;
        let dongle = EcmDongle::new(EcmOptions::default(), Host::new(&host_options, queue::now()));
        let (transport, _plug) = InProcess::new("1-2", dongle);
        let device = Device::open(transport).await?;
        let provider = Provider::new(device, |_| Ok(interface))
            .watched(|name, status| eprintln!("{}", status.line(name)));
        let service = Service::<EcmDriver<Tap>>::start(provider).await?;
        rustix::io::write(&control, b"started")?;

        let closed = std::rc::Rc::new(tokio::sync::Notify::new());
        let source = InterruptSource::new(std::os::fd::AsFd::as_fd(&control), {
            let closed = closed.clone();
            move || {
                closed.notify_one();
                Drained::Yes
            }
        })?;
        tokio::select! {
            () = closed.notified() => {}
            ending = service.ended() => bail!("the driver ended: {ending:?}"),
        }
        source.cancel().await;
        let ending = service.stop().await;
        match ending {
            Ending::Stopped => Ok(()),
            Ending::Failed(error) => Err(error.into()),
        }
    })?
}
