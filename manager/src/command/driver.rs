//! `outboard driver`: the process of one driver, started by the manager. It gets the device and the family's end over its standard input,
//! and never opens anything itself. It must not know who the manager is.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use outboard_core::family::ethernet::tap::{Tap, TapFds};
use outboard_core::host::{
    DriverEnd, Ethernet, EthernetStatus, Failure as Report, ToDriver, ToManager, TransportKind,
};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::Device;
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::usbfs::UsbFs;
use outboard_core::usb::transport::usbip::UsbIp;
use outboard_core::{Error, ErrorKind, Result};
use outboard_usb_ecm::driver::{EcmDriver, EcmStatus, Provider, Vended};

use crate::exit::{Cause, Failure};
use crate::trace::Trace;

/// How long the manager may take to say what is to be driven, or to make the family's end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The process of one driver; the manager starts it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which driver.
    #[arg(value_enum)]
    driver: Name,
    /// Tags the messages of this process.
    #[arg(long)]
    generation: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Name {
    UsbEcm,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let input = std::io::stdin();
    let is_socket = rustix::net::sockopt::socket_type(&input)
        .is_ok_and(|kind| kind == rustix::net::SocketType::SEQPACKET);
    if input.is_terminal() || !is_socket {
        let text = "standard input is not the manager's socket";
        return Err(Failure::new(Cause::Other, text)
            .with_hint("`outboard attach` drives a device; this is its driver's half."));
    }
    let socket = input
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Error::os("take over the manager's socket", error))?;
    let manager = Rc::new(DriverEnd::new(socket, arguments.generation));
    let Name::UsbEcm = arguments.driver;
    let drive = DispatchQueue::run("Default", Clock::Real, |_| async {
        let result = drive(&manager).await;
        result.map_err(|error| match manager.send(&ToManager::Ended(Report::from(&error)), &[]) {
            Ok(()) => Failure::from(error).told(),
            Err(_) => Failure::from(error),
        })
    });
    drive.map_err(|error| Error::os("start the queue", error))?
}

async fn drive(manager: &Rc<DriverEnd>) -> Result<()> {
    let started = manager.receive_within(PATIENCE)?;
    let ToDriver::Start { device: name, transport, trace } = started.message else {
        return Err(unexpected("Start"));
    };
    let (fd, trace) = match trace {
        None => {
            let [fd] = exactly(started.fds)?;
            (fd, None)
        }
        Some(wish) => {
            let [fd, file] = exactly(started.fds)?;
            (fd, Some(Trace::from_message(File::from(file), &wish)))
        }
    };
    let transport: Box<dyn Transport> = match transport {
        TransportKind::UsbFs { configuration } => Box::new(UsbFs::from_fd(fd, &name, configuration)?),
        TransportKind::UsbIp { bus_id } => Box::new(UsbIp::import(fd, &bus_id, &name).await?),
    };
    let device = Device::open(match trace {
        // Where it is plugged in, only the manager knows.
        Some(trace) => trace.wrap(transport, (0, 0))?,
        None => transport,
    })
    .await?;
    let asked = manager.clone();
    let told = manager.clone();
    let provider =
        Provider::new(device, move |vended: &Vended| vend(&asked, vended)).watched(move |_, status| {
            if let Err(error) = told.send(&ToManager::Status(plain(status)), &[]) {
                tracing::warn!(%error, "the manager did not take the status");
            }
        });
    let service = Service::<EcmDriver<Tap>>::start(provider).await?;
    let ending = tokio::select! {
        biased;
        ending = service.ended() => ending,
        ending = told_to_stop(manager) => ending,
    };
    service.stop().await;
    match ending {
        Ending::Stopped => Ok(()),
        Ending::Failed(error) => Err(error),
    }
}

/// The interface that the manager makes: this process has no right to.
fn vend(manager: &DriverEnd, vended: &Vended) -> Result<Tap> {
    manager.send(&ToManager::Vend(Ethernet { mac: vended.mac, mtu: vended.mtu }), &[])?;
    let answer = manager.receive_within(PATIENCE)?;
    match answer.message {
        ToDriver::Family => {
            let [tun, a, b, c] = exactly(answer.fds)?;
            Tap::from_fds(TapFds { tun, link: [a, b, c] })
        }
        ToDriver::Refused(failure) => Err(failure.error("get a network interface")),
        ToDriver::Stop => {
            Err(Error::new(ErrorKind::Cancelled, "get a network interface", "the manager ends it"))
        }
        ToDriver::Start { .. } => Err(unexpected("Family")),
    }
}

async fn told_to_stop(manager: &DriverEnd) -> Ending {
    match manager.receive().await {
        Ok(received) if received.message == ToDriver::Stop => Ending::Stopped,
        Ok(_) => Ending::Failed(unexpected("Stop")),
        // Without its manager nobody would ever stop it.
        Err(error) if error.kind() == ErrorKind::Unplugged => Ending::Stopped,
        Err(error) => Ending::Failed(error),
    }
}

fn plain(status: &EcmStatus) -> EthernetStatus {
    EthernetStatus {
        link_up: status.link_up,
        mac: status.mac,
        mtu: status.mtu,
        down_mbit: status.speed.down_mbit,
        up_mbit: status.speed.up_mbit,
    }
}

fn exactly<const N: usize>(fds: Vec<OwnedFd>) -> Result<[OwnedFd; N]> {
    let count = fds.len();
    <[OwnedFd; N]>::try_from(fds).map_err(|_| {
        let reason = format!("came with {count} descriptors; {N} belong to it");
        Error::new(ErrorKind::Bug, "read a message", reason).field("message")
    })
}

fn unexpected(wanted: &str) -> Error {
    Error::new(ErrorKind::Bug, "read a message", format!("the manager sent something else than {wanted}"))
}
