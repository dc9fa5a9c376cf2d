//! The ECM driver as it is shipped, between a dongle in its own process and a TAP that it was given, locked down. The dongle has a computer
//! behind it that answers TCP. It must not know who talks to that computer.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use outboard_core::family::ethernet::tap::{Tap, TapFds};
use outboard_core::queue::{self, Clock, DispatchQueue};
use outboard_core::sandbox::{Profile, Transport, inherit, lock_down};
use outboard_core::service::{Ending, Service};
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
    // A stream of tokio's, but read as a driver reads: by `read`, of which the filter knows.
    let control = std::os::unix::net::UnixStream::from(control);
    control.set_nonblocking(true)?;
    DispatchQueue::run("Default", Clock::Real, |_| async move {
        lock_down(&profile)?;
        let interface = Tap::from_fds(TapFds { tun, link: [a, b, c] })?;
        let dongle = EcmDongle::new(EcmOptions::default(), Host::new(&HostOptions::default(), queue::now()));
        let (transport, _plug) = InProcess::new("1-2", dongle);
        let device = Device::open(transport).await?;
        let provider = Provider::new(device, |_| Ok(interface))
            .watched(|name, status| eprintln!("{}", status.line(name)));
        let service = Service::<EcmDriver<Tap>>::start(provider).await?;
        let control = tokio::net::UnixStream::from_std(control)?;
        rustix::io::write(&control, b"started")?;

        tokio::select! {
            closed = closed(&control) => closed?,
            ending = service.ended() => bail!("the driver ended: {ending:?}"),
        }
        let ending = service.stop().await;
        match ending {
            Ending::Stopped => Ok(()),
            Ending::Failed(error) => Err(error.into()),
        }
    })?
}

/// Waits until the other end is closed.
async fn closed(control: &tokio::net::UnixStream) -> Result<()> {
    loop {
        control.readable().await?;
        match rustix::io::read(control, &mut [0; 64][..]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let _ = control.try_io(tokio::io::Interest::READABLE, || {
                    Err::<(), _>(std::io::ErrorKind::WouldBlock.into())
                });
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}
