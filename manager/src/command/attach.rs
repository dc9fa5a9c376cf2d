//! `outboard attach`: takes one device from the kernel's driver, runs its driver in the foreground, prints what it vends, and gives the
//! device back. It must not know the protocol that the driver speaks.

use std::fs;
use std::path::PathBuf;

use outboard_core::family::ethernet::tap::{Tap, TapOptions};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::Device;
use outboard_core::usb::discovery::{self, Found, SelectError, Selector};
use outboard_core::usb::transport::usbfs::UsbFs;
use outboard_core::{Error, ErrorKind};
use outboard_usb_ecm::driver::{EcmDriver, Provider, Vended};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Cause, Failure};
use crate::matching;
use crate::output::product_name;
use crate::serial;
use crate::statistics;

/// Drive a device in the foreground; Ctrl-C gives it back to the kernel's driver.
///
/// Prints one line whenever what it vends changes: the network interface, its address, the link's speed and state; or the serial port, whether it
/// is open, and its settings.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which device: where it is plugged in, as `outboard list` shows it (1-2.3), or vendor and product (0525:a4a2).
    #[arg(value_name = "BUS-PORT | VID:PID")]
    device: String,
    /// Name of the network interface; a %d in it becomes the lowest free number.
    #[arg(long, default_value = "ecm%d")]
    name: String,
    /// Write counters to this file, as JSON, on SIGUSR1 and at the end.
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    #[command(flatten)]
    serial: serial::Options,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let selector = Selector::parse(&arguments.device)
        .map_err(|error| Failure::new(Cause::NoSuchDevice, error.to_string()))?;
    let devices = discovery::list()?;
    let found = select(&devices, &selector)?;
    let verdict = matching::look_at(found);
    if verdict.serial || arguments.serial.ftdi {
        return DispatchQueue::run("Default", Clock::Real, |_| drive_serial(arguments, found))
            .map_err(|error| Error::os("start the queue", error))?;
    }
    let Some(function) = verdict.function else {
        let text = format!("{}: no driver fits {}", found.name, product_name(found));
        return Err(Failure::new(Cause::NoDriver, text).with_hint(verdict.reasons.join("\n  ")));
    };
    check_tun()?;
    check_in_use(found, function.configuration)?;
    DispatchQueue::run("Default", Clock::Real, |_| drive(arguments, found))
        .map_err(|error| Error::os("start the queue", error))?
}

fn select<'a>(devices: &'a [Found], selector: &Selector) -> Result<&'a Found, Failure> {
    discovery::select(devices, selector).map_err(|error| match &error {
        SelectError::NotFound { .. } => Failure::new(Cause::NoSuchDevice, error.to_string())
            .with_hint("`outboard list` shows what is attached."),
        SelectError::Ambiguous { .. } => Failure::new(Cause::Ambiguous, error.to_string())
            .with_hint("Name the one you mean by its place, such as 1-2.3."),
    })
}

/// Better said before anything is taken from the kernel's driver.
fn check_tun() -> Result<(), Failure> {
    let error = match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let text = format!("open /dev/net/tun: {error}");
    let failure = Failure::new(Cause::Right, text);
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => failure.with_hint(
            "The network interface is made there. `modprobe tun` as root provides it; in a container: --device /dev/net/tun.",
        ),
        std::io::ErrorKind::PermissionDenied => failure.with_hint("Run it as root, for example with sudo."),
        _ => failure,
    })
}

/// Taking a network interface's driver away is what was asked for; taking away anything else of the device is not.
fn check_in_use(found: &Found, needed: u8) -> Result<(), Failure> {
    if found.configuration == Some(needed) {
        return Ok(());
    }
    let other = found.drivers.iter().find(|bound| {
        bound.driver.is_some() && bound.networks.is_empty() && !is_companion(found, bound.interface)
    });
    let Some(other) = other else { return Ok(()) };
    let text = format!(
        "{}: its Ethernet function is in configuration {needed}, and switching to it would take interface {} from {}",
        found.name,
        other.interface,
        other.driver.as_deref().unwrap_or("its driver"),
    );
    Err(Failure::new(Cause::Busy, text).with_hint(format!(
        "If it is not needed, release it first: echo {}:{}.{} | sudo tee /sys/bus/usb/drivers/{}/unbind",
        found.name,
        found.configuration.unwrap_or(0),
        other.interface,
        other.driver.as_deref().unwrap_or("DRIVER"),
    )))
}

/// The second interface of a network function has the same driver as the first, but no network interface of its own.
fn is_companion(found: &Found, interface: u8) -> bool {
    let driver = found
        .drivers
        .iter()
        .find(|bound| bound.interface == interface)
        .and_then(|bound| bound.driver.as_deref());
    found.drivers.iter().any(|bound| !bound.networks.is_empty() && bound.driver.as_deref() == driver)
}

async fn drive(arguments: &Arguments, found: &Found) -> Result<(), Failure> {
    // Before the device is taken, so that an early Ctrl-C gives it back as well.
    let mut signals = Signals::new()?;
    let transport = UsbFs::open(&found.node, &found.name, found.configuration)?;
    let device = Device::open(transport).await?;
    let options = TapOptions { name: arguments.name.clone(), ..TapOptions::default() };
    let provider = Provider::new(device, move |vended: &Vended| {
        Tap::create(&TapOptions { mac: Some(vended.mac), mtu: Some(vended.mtu), ..options })
    })
    .watched(|name, status| println!("{}", status.line(name)));
    let started = tokio::select! {
        biased;
        started = Service::<EcmDriver<Tap>>::start(provider) => started?,
        () = signals.stop() => return Ok(()),
    };
    let ending = loop {
        tokio::select! {
            biased;
            asked = signals.next() => match asked {
                Asked::Stop => break Ending::Stopped,
                Asked::Statistics => write_statistics(arguments, &started),
            },
            ending = started.ended() => break ending,
        }
    };
    write_statistics(arguments, &started);
    started.stop().await;
    ended(found, ending)
}

async fn drive_serial(arguments: &Arguments, found: &Found) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let transport = UsbFs::open(&found.node, &found.name, found.configuration)?;
    let device = Device::open(transport).await?;
    let asked = async || signals.next().await == Asked::Stop;
    ended(found, serial::serve(device, &arguments.serial, arguments.stats.as_deref(), asked).await?)
}

fn ended(found: &Found, ending: Ending) -> Result<(), Failure> {
    match ending {
        Ending::Stopped => Ok(()),
        Ending::Failed(error) if error.kind() == ErrorKind::Unplugged => {
            Err(Failure::new(Cause::Unplugged, format!("{} was unplugged", found.name)))
        }
        Ending::Failed(error) => Err(error.into()),
    }
}

fn write_statistics(arguments: &Arguments, service: &Service<EcmDriver<Tap>>) {
    let Some(path) = &arguments.stats else { return };
    let Some(counters) = service.with(|driver| statistics::json(driver)) else { return };
    if let Err(error) = statistics::replace(path, &counters) {
        eprintln!("outboard: write {}: {error}", path.display());
    }
}

/// The signals that the foreground listens to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    user: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Statistics,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Error::os("listen for signals", error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Stop,
            _ = self.user.recv() => Asked::Statistics,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
