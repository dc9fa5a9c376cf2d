//! `outboard attach`: takes one device, runs its driver in the foreground, prints what it vends, and gives the device back. It must not know
//! the protocol that the driver speaks, nor how a device is reached.

mod keeper;
mod local;
mod remote;
pub(crate) mod signals;
mod source;

use std::path::PathBuf;
use std::rc::Rc;

use outboard_core::family::ethernet::tap::{Tap, TapOptions};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::Device;
use outboard_core::usb::transport::usbip::{Fate, Loss};
use outboard_core::{Error, ErrorKind};
use outboard_usb_ecm::driver::{EcmDriver, Provider, Vended};

use self::keeper::Keeper;
pub(crate) use self::local::select;
use self::signals::{Asked, Signals};
use self::source::{Opened, Source};
use crate::exit::{Cause, Failure};
use crate::matching::Which;
use crate::output::say;
use crate::serial;
use crate::statistics;
use crate::trace::{Trace, TraceArguments};
use crate::tun;

/// Drive a device in the foreground; Ctrl-C gives it back.
///
/// Prints one line whenever what it vends changes: the network interface, its address, the link's speed and state; or the serial port, whether it
/// is open, and its settings.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which device: where it is plugged in, as `outboard list` shows it (1-2.3), vendor and product (0525:a4a2), or one that another machine
    /// exports (usbip://host/1-2.3).
    #[arg(value_name = "BUS-PORT | VID:PID | usbip://HOST[:PORT]/BUS-ID")]
    device: String,
    /// Name of the network interface; a %d in it becomes the lowest free number.
    #[arg(long, default_value = "ecm%d")]
    name: String,
    /// End when the connection to a USB/IP server is lost, instead of keeping the network interface and connecting again. Serial ports always end
    /// then, with exit code 3.
    #[arg(long)]
    no_reconnect: bool,
    /// Exchange single frames with the kernel, with their checksums, instead of large TCP segments: for measuring and debugging, since it
    /// costs speed.
    #[arg(long)]
    no_offloads: bool,
    /// Write counters to this file, as JSON, on SIGUSR1 and at the end.
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    #[command(flatten)]
    serial: serial::Options,
    #[command(flatten)]
    trace: TraceArguments,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let source = Source::find(&arguments.device, arguments.serial.ftdi.then_some(Which::Ftdi))?;
    // What a server exports tells only later.
    if source.driver() == Some(Which::Ecm) {
        tun::check()?;
    }
    DispatchQueue::run("Default", Clock::Real, |_| attach(arguments, source))
        .map_err(|error| Error::os("start the queue", error))?
}

/// Drives the device, again and again if it is one that comes back.
async fn attach(arguments: &Arguments, mut source: Source) -> Result<(), Failure> {
    // Before the device is taken, so that an early Ctrl-C gives it back as well.
    let mut signals = Signals::new()?;
    let options = TapOptions {
        name: arguments.name.clone(),
        offloads: !arguments.no_offloads,
        ..TapOptions::default()
    };
    let keeper = Rc::new(Keeper::new(options, source.comes_back() && !arguments.no_reconnect));
    let mut opened = tokio::select! {
        biased;
        opened = source.open() => opened?,
        () = signals.stop() => return Ok(()),
    };
    let serves_network = opened.driver == Which::Ecm;
    if serves_network {
        tun::check()?;
    }
    // Not before there is something to trace: nothing is overwritten, so a file that was made in vain would be in the way.
    let trace = arguments.trace.make()?;
    loop {
        let served = match serves_network {
            true => drive(arguments, opened, trace.as_ref(), &keeper, &mut signals).await?,
            false => drive_serial(arguments, opened, trace.as_ref(), &mut signals).await?,
        };
        let lost = match served {
            Served::Stopped => return Ok(()),
            Served::Lost(lost) => lost,
        };
        let Some(interface) = keeper.keep()? else { return Err(unplugged(&source, lost.as_ref())) };
        let reason = lost.map_or_else(|| "the device is gone".to_owned(), |loss| loss.to_string());
        say!("{interface}, connection lost ({reason}), reconnecting");
        opened = tokio::select! {
            biased;
            opened = source.reopen() => opened?,
            () = signals.stop() => return Ok(()),
        };
    }
}

fn unplugged(source: &Source, lost: Option<&Loss>) -> Failure {
    Failure::new(
        Cause::Unplugged,
        match lost {
            Some(loss) => format!("{}: the connection was lost: {loss}", source.name()),
            None => format!("{} was unplugged", source.name()),
        },
    )
}

/// Why a service ended, if by no failure of its own.
enum Served {
    /// As we were asked to.
    Stopped,
    /// With its device, or, for the reason given, with the connection to it.
    Lost(Option<Loss>),
}

/// Runs the driver until it ends.
async fn drive(
    arguments: &Arguments,
    Opened { transport, place, fate, .. }: Opened,
    trace: Option<&Trace>,
    keeper: &Rc<Keeper>,
    signals: &mut Signals,
) -> Result<Served, Failure> {
    let lost = || fate.as_ref().and_then(|fate| fate.loss());
    // Only a service that has run before is worth another try.
    let began_anew = keeper.has_interface();
    let transport = match trace {
        Some(trace) => trace.wrap(transport, place)?,
        None => transport,
    };
    let device = Device::open(transport).await?;
    let vending = keeper.clone();
    let provider = Provider::new(device, move |vended: &Vended| vending.vend(vended))
        .watched(|name, status| say!("{}", status.line(name)));
    let started = tokio::select! {
        biased;
        started = Service::<EcmDriver<Tap>>::start(provider) => started,
        () = signals.stop() => return Ok(Served::Stopped),
    };
    let started = match started {
        Ok(started) => started,
        Err(_) if began_anew && lost().is_some() => return Ok(Served::Lost(lost())),
        Err(error) => return Err(error.into()),
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
    served(ending, lost())
}

/// Runs the driver for the ports of a serial adapter until one of them ends.
async fn drive_serial(
    arguments: &Arguments,
    Opened { transport, place, fate, .. }: Opened,
    trace: Option<&Trace>,
    signals: &mut Signals,
) -> Result<Served, Failure> {
    let transport = match trace {
        Some(trace) => trace.wrap(transport, place)?,
        None => transport,
    };
    let asked = async || signals.next().await;
    let ending = serial::serve(transport, &arguments.serial, arguments.stats.as_deref(), asked).await?;
    served(ending, fate.as_ref().and_then(Fate::loss))
}

/// Whatever a driver noticed first of a lost connection, that is why it ended.
fn served(ending: Ending, lost: Option<Loss>) -> Result<Served, Failure> {
    match ending {
        Ending::Stopped => Ok(Served::Stopped),
        Ending::Failed(_) if lost.is_some() => Ok(Served::Lost(lost)),
        Ending::Failed(error) if error.kind() == ErrorKind::Unplugged => Ok(Served::Lost(None)),
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
