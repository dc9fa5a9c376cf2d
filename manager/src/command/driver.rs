//! `outboard driver`: the process of one driver, started by the manager. It gets all that it will ever have in one message, gives up everything else,
//! and only then reads the first byte of its device. It must not know who the manager is.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use outboard_core::family::ethernet::tap::{Tap, TapFds};
use outboard_core::host::{
    BEAT, DriverEnd, Ethernet, EthernetStatus, Failure as Report, Received, ToDriver, ToManager,
    TransportKind,
};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::registry::Sandbox;
use outboard_core::sandbox::{self, Family, Inherited, Landlock, Profile, inherit, lock_down};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::Device;
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::usbfs::UsbFs;
use outboard_core::usb::transport::usbip::{Prepared, UsbIp};
use outboard_core::{Error, ErrorKind, Result};
use outboard_usb_ecm::driver::{EcmDriver, EcmStatus, Provider, Vended};
use outboard_usb_ecm::machine::LinkSpeed;

use crate::exit::{Cause, Failure};
use crate::trace::Trace;

/// How long the manager may take to say what is to be driven. A process that is kept for later waits for as long as its manager lives.
const PATIENCE: Duration = Duration::from_secs(u32::MAX as u64);

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
    let Name::UsbEcm = arguments.driver;
    let inherited = inherit().map_err(|error| {
        Failure::new(Cause::Other, error.to_string()).with_hint(
            "`outboard attach` drives a device; this is its driver's half, which `outboard run` starts.",
        )
    })?;
    let Inherited { fds, debuggable } = inherited;
    let [socket] = exactly(fds)?;
    let manager = Rc::new(DriverEnd::new(socket, arguments.generation));
    let started = manager.receive_within(PATIENCE)?;
    let drive = DispatchQueue::run("Default", Clock::Real, |_| async {
        let result = drive(&manager, started, debuggable).await;
        result.map_err(|error| match manager.send(&ToManager::Ended(Report::from(&error)), &[]) {
            Ok(()) => Failure::from(error).told(),
            Err(_) => Failure::from(error),
        })
    });
    drive.map_err(|error| Error::os("start the queue", error))?
}

async fn drive(manager: &Rc<DriverEnd>, started: Received<ToDriver>, debuggable: bool) -> Result<()> {
    let ToDriver::Start { device: name, transport, interface, resumes, trace } = started.message else {
        return Err(unexpected("Start"));
    };
    let (fds, trace) = match trace {
        None => (exactly(started.fds)?, None),
        Some(wish) => {
            let [fd, tun, a, b, c, file] = exactly(started.fds)?;
            ([fd, tun, a, b, c], Some(Trace::from_message(File::from(file), &wish)))
        }
    };
    let [fd, tun, a, b, c] = fds;
    // Socket options are set now: nothing that sets any is left after this.
    let (kind, way) = match transport {
        TransportKind::UsbFs { configuration, reset } => {
            (sandbox::Transport::UsbFs { reset }, Way::UsbFs { fd, configuration })
        }
        TransportKind::UsbIp { bus_id } => {
            (sandbox::Transport::UsbIp, Way::UsbIp { socket: Prepared::new(fd)?, bus_id })
        }
    };
    let sandbox = give_up(&name, kind, debuggable)?;
    manager.without_descriptors();
    manager.send(&ToManager::LockedDown(sandbox), &[])?;

    let transport: Box<dyn Transport> = match way {
        Way::UsbFs { fd, configuration } => Box::new(UsbFs::from_fd(fd, &name, configuration)?),
        Way::UsbIp { socket, bus_id } => Box::new(UsbIp::import_over(socket, &bus_id, &name).await?),
    };
    let device = Device::open(match trace {
        // Where it is plugged in, only the manager knows.
        Some(trace) => trace.wrap(transport, (0, 0))?,
        None => transport,
    })
    .await?;
    let tap = TapFds { tun, link: [a, b, c] };
    let (asked, told) = (manager.clone(), manager.clone());
    let provider = Provider::new_waiting(device, move |vended| vend(asked, vended, tap))
        .of_interface(interface)
        .resuming(resumes.filter(|status| status.link_up).map(link))
        .watched(move |_, status| tell(&told, &ToManager::Status(plain(status))));
    let service = Service::<EcmDriver<Tap>>::start(provider).await?;
    let ending = tokio::select! {
        biased;
        ending = service.ended() => ending,
        ending = told_to_stop(manager) => ending,
        () = beat(manager) => Ending::Stopped,
    };
    service.stop().await;
    match ending {
        Ending::Stopped => Ok(()),
        Ending::Failed(error) => Err(error),
    }
}

/// How the device is reached.
enum Way {
    UsbFs { fd: OwnedFd, configuration: Option<u8> },
    UsbIp { socket: Prepared, bus_id: String },
}

/// Keeps what this device and a network interface take, and nothing else.
fn give_up(device: &str, transport: sandbox::Transport, debuggable: bool) -> Result<Sandbox> {
    let profile = Profile { transport, family: Family::Ethernet, name: format!("ecm {device}"), debuggable };
    let locked = lock_down(&profile)
        .map_err(|error| Error::new(ErrorKind::System, "lock the driver down", error.to_string()))?;
    Ok(Sandbox {
        system_calls: locked.calls as u32,
        ioctls: locked.ioctls as u32,
        landlock: match locked.landlock {
            Landlock::Enforced(version) => Some(version),
            Landlock::Missing => None,
        },
    })
}

/// Has the manager make the interface as the device wants it: this process has no right to.
async fn vend(manager: Rc<DriverEnd>, vended: Vended, fds: TapFds) -> Result<Tap> {
    manager.send(&ToManager::Vend(Ethernet { mac: vended.mac, mtu: vended.mtu }), &[])?;
    match manager.receive().await?.message {
        ToDriver::Family => Tap::from_fds(fds),
        ToDriver::Refused(failure) => Err(failure.error("get a network interface")),
        ToDriver::Stop => {
            Err(Error::new(ErrorKind::Cancelled, "get a network interface", "the manager ends it"))
        }
        ToDriver::Start { .. } => Err(unexpected("Family")),
    }
}

/// A full queue means a manager that does not listen: what it missed is said again with the next change, and it will find us silent.
fn tell(manager: &DriverEnd, message: &ToManager) {
    if let Err(error) = manager.send(message, &[]) {
        tracing::debug!(%error, "the manager was not told");
    }
}

async fn beat(manager: &DriverEnd) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        tell(manager, &ToManager::Alive);
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

fn link(status: EthernetStatus) -> LinkSpeed {
    LinkSpeed { down_mbit: status.down_mbit.max(1), up_mbit: status.up_mbit.max(1), reported: true }
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
