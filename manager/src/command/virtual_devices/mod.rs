//! `outboard virtual`: serves virtual devices over USB/IP, tells how to attach to them and who does. It must not know the protocol, nor
//! how a driver works.

mod device;
mod words;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use outboard_core::queue::{self, Clock, DispatchQueue};
use outboard_core::usb::usbip::PORT;
use outboard_core::{Error, ErrorKind};
use outboard_virtual_devices::ecm::EcmDongle;
use outboard_virtual_devices::host::Host;
use outboard_virtual_devices::usbip::{Event, Exports, News, serve_listener};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Cause, Failure};
use device::Device;
use words::{Served, Words};

/// Serve virtual USB devices, for a driver on this machine or another one to attach to.
///
/// They are served over USB/IP, and are real devices to whoever attaches: `outboard attach`, or the kernel by the command `usbip`. Behind an
/// ECM dongle is a computer that leases addresses by DHCP, answers pings, shows a page about the dongle over HTTP, and has the TCP services
/// echo, discard and source (ports 7, 9 and 19).
#[derive(Debug, clap::Args)]
#[command(after_help = device::HELP)]
pub(crate) struct Arguments {
    /// Which devices, such as `ecm` or `ecm:speed=super,variant=no-union`; one plug each.
    #[arg(value_name = "DEVICE[:KEY=VALUE,...]", required = true, num_args = 1..=device::MOST)]
    devices: Vec<Device>,
    /// Speed of the devices that do not say theirs: full, high or super.
    #[arg(long, value_name = "SPEED", value_parser = device::speed)]
    speed: Option<outboard_core::usb::Speed>,
    /// Variant of the devices that do not say theirs.
    #[arg(long, value_name = "VARIANT")]
    variant: Option<outboard_virtual_devices::ecm::Variant>,
    /// Address and port to listen at; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], PORT)))]
    listen: SocketAddr,
    /// Print one JSON object a line, for scripts.
    #[arg(long)]
    json: bool,
}

/// A dongle that is served, to read its counters.
type Dongle = Rc<RefCell<EcmDongle<Host>>>;

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    DispatchQueue::run("Default", Clock::Real, |_| serve(arguments))
        .map_err(|error| Error::os("start the queue", error))?
}

async fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let stop = stopped()?;
    let listener =
        TcpListener::bind(arguments.listen).await.map_err(|error| refused(arguments.listen, error))?;
    let address = listener.local_addr().map_err(|error| Error::os("listen", error))?;
    let exports = Exports::new();
    let now = queue::now();
    let served: Vec<(Served, Dongle)> = arguments
        .devices
        .iter()
        .enumerate()
        .map(|(number, device)| {
            let (options, host) = device.plan(number as u8, arguments.speed, arguments.variant);
            let variant = device.variant(arguments.variant);
            let mut served = Served::new(&options, &host, variant);
            let mut dongle = EcmDongle::new(options, Host::new(&host, now));
            dongle.set_variant(variant.about());
            let dongle = Rc::new(RefCell::new(dongle));
            served.bus_id = exports.add(dongle.clone());
            (served, dongle)
        })
        .collect();
    let words = if arguments.json { Words::Json } else { Words::Text };
    words.serving(address, served.iter().map(|(served, _)| served));
    let tell = move |from, event: Event| match event {
        Event::News(News::Imported(bus_id)) => words.attached(&bus_id, from),
        Event::News(News::Refused(bus_id, status)) => words.refused(&bus_id, from, status),
        Event::News(News::Listed) => tracing::info!("{from} asked for the list of devices"),
        Event::Ended(Some(bus_id), ended) => {
            let dongle = served.iter().find(|(served, _)| served.bus_id == bus_id);
            let counters = dongle.map(|(_, dongle)| *dongle.borrow().statistics());
            words.detached(&bus_id, from, &ended, &counters.unwrap_or_default());
        }
        Event::Ended(None, Ok(())) => {}
        Event::Ended(None, Err(error)) => words.failed(from, &error),
    };
    tokio::select! {
        biased;
        () = stop => Ok(()),
        ended = serve_listener(listener, &exports, tell) => {
            Err(ended.map_or_else(|error| Error::os("accept a connection", error), |()| {
                Error::new(ErrorKind::Bug, "serve", "the server ended by itself")
            }).into())
        }
    }
}

/// Resolves at the first signal that asks for an end.
fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Error::os("listen for signals", error));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn refused(address: SocketAddr, error: std::io::Error) -> Failure {
    let text = format!("listen at {address}: {error}");
    match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::new(Cause::Busy, text).with_hint(format!(
            "Another server is there, perhaps usbipd. Another port: --listen {}",
            SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024))
        )),
        std::io::ErrorKind::PermissionDenied => {
            Failure::new(Cause::Right, text).with_hint("Ports below 1024 are root's; the usual one is 3240.")
        }
        _ => Failure::new(Cause::Other, text),
    }
}
