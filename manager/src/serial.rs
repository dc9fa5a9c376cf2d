//! Serial ports in the foreground: how those of an FTDI chip are served behind pseudo-terminals. It must not know where the device comes from.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;

use outboard_core::family::serial::pty::{Pty, PtyOptions};
use outboard_core::family::serial::{DataBits, Parity};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::Device;
use outboard_core::usb::transport::Transport;
use outboard_usb_serial_ftdi::driver::{Adapter, Vended};
use outboard_usb_serial_ftdi::machine::Overlay;
use outboard_usb_serial_ftdi::proto::function::Port;
use outboard_usb_serial_ftdi::{FtdiDriver, Provider};
use serde_json::{Value, json};

use crate::command::attach::signals::Asked;
use crate::exit::Failure;
use crate::output::say;
use crate::statistics;

/// The name of the driver, for people and scripts.
const DRIVER: &str = "usb-serial-ftdi";

/// What a person may choose.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Options {
    /// Where the names of serial ports are made.
    #[arg(long, value_name = "DIRECTORY", default_value = "/dev/outboard")]
    ports: PathBuf,
    /// Data bits (7 or 8) and parity (N, O, E, M, S) of serial ports, such as 7E: a pseudo-terminal does not carry them from the
    /// application.
    #[arg(long, value_name = "FORMAT", value_parser = Shape::parse)]
    line: Option<Shape>,
    /// Take the device for an FTDI chip, although its ids are not known as one's.
    #[arg(long)]
    pub(crate) ftdi: bool,
}

/// Data bits and parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape(DataBits, Parity);

impl Shape {
    fn parse(text: &str) -> Result<Self, String> {
        let (bits, parity) = match text.as_bytes() {
            [bits, parity] => (bits, parity.to_ascii_uppercase()),
            _ => return Err("two characters are wanted, such as 8N or 7E".into()),
        };
        let bits = match bits {
            b'7' => DataBits::Seven,
            b'8' => DataBits::Eight,
            _ => return Err("the chips have 7 or 8 data bits".into()),
        };
        let parity = match parity {
            b'N' => Parity::None,
            b'O' => Parity::Odd,
            b'E' => Parity::Even,
            b'M' => Parity::Mark,
            b'S' => Parity::Space,
            _ => return Err("parity is N(one), O(dd), E(ven), M(ark) or S(pace)".into()),
        };
        Ok(Self(bits, parity))
    }
}

/// Serves all ports of the device until one of them fails or `asked` says so; counters are written to `stats`.
pub(crate) async fn serve(
    transport: Box<dyn Transport>,
    options: &Options,
    stats: Option<&std::path::Path>,
    mut asked: impl AsyncFnMut() -> Asked,
) -> Result<Ending, Failure> {
    let started = async {
        let adapter = Adapter::open(Device::open(transport).await?).await?;
        let mut services = Vec::new();
        for port in &adapter.ports {
            services.push(Service::start(provider(&adapter, *port, options)).await?);
        }
        Ok::<_, outboard_core::Error>(services)
    };
    let mut started = std::pin::pin!(started);
    let services: Vec<Service<FtdiDriver<Pty>>> = loop {
        tokio::select! {
            biased;
            services = &mut started => break services?,
            asked = asked() => if asked == Asked::Stop { return Ok(Ending::Stopped) },
        }
    };
    let ending = loop {
        tokio::select! {
            biased;
            asked = asked() => match asked {
                Asked::Stop => break Ending::Stopped,
                Asked::Statistics => write(stats, &services),
            },
            ending = first_ended(&services) => break ending,
        }
    };
    write(stats, &services);
    for service in services {
        service.stop().await;
    }
    Ok(ending)
}

fn provider(adapter: &Adapter, port: Port, options: &Options) -> Provider<Pty> {
    let directory = options.ports.clone();
    let overlay = match options.line {
        Some(Shape(bits, parity)) => {
            Overlay { data_bits: Some(bits), parity: Some(parity), ..Overlay::default() }
        }
        None => Overlay::default(),
    };
    Provider::new(adapter, port, move |vended: &Vended| {
        let link = Some(directory.join(&vended.name));
        Pty::create(&PtyOptions { link, group: dialout(), ..PtyOptions::default() })
    })
    .with(overlay)
    .watched(|name, status| say!("{}", status.line(name)))
}

/// The group that may use serial ports, as far as there is one and we may give them to it.
fn dialout() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let line = groups.lines().find_map(|line| line.strip_prefix("dialout:"))?;
    line.split(':').nth(1)?.parse().ok()
}

async fn first_ended(services: &[Service<FtdiDriver<Pty>>]) -> Ending {
    let mut ended: Vec<Pin<Box<dyn Future<Output = Ending> + '_>>> =
        services.iter().map(|service| Box::pin(service.ended()) as _).collect();
    poll_fn(move |context| {
        for one in &mut ended {
            if let Poll::Ready(ending) = one.as_mut().poll(context) {
                return Poll::Ready(ending);
            }
        }
        Poll::Pending
    })
    .await
}

fn write(stats: Option<&std::path::Path>, services: &[Service<FtdiDriver<Pty>>]) {
    let Some(path) = stats else { return };
    let ports: Vec<Value> =
        services.iter().filter_map(|service| service.with(|driver| describe(driver))).collect();
    if let Err(error) = statistics::replace(path, &json!({ "driver": DRIVER, "ports": ports })) {
        eprintln!("outboard: write {}: {error}", path.display());
    }
}

fn describe(driver: &FtdiDriver<Pty>) -> Value {
    use outboard_core::family::serial::SerialPort;
    let status = driver.status();
    let (traffic, line) = (&status.traffic, &status.line);
    json!({
        "port": driver.port().name(),
        "node": driver.port().node().display().to_string(),
        "chip": status.chip.name(),
        "open": status.open,
        "settings": status.settings.to_string(),
        "baud": status.applied.map(|applied| applied.baud),
        "baud_clamped": status.applied.is_some_and(|applied| applied.clamped),
        "settings_refused": status.applied.is_some_and(|applied| applied.refused),
        "dtr": status.outputs.dtr,
        "rts": status.outputs.rts,
        "cts": status.inputs.map(|inputs| inputs.cts),
        "dsr": status.inputs.map(|inputs| inputs.dsr),
        "ri": status.inputs.map(|inputs| inputs.ri),
        "dcd": status.inputs.map(|inputs| inputs.dcd),
        "opens": traffic.opens,
        "received_bytes": traffic.received_bytes,
        "received_overruns": traffic.received_overruns,
        "received_unread": traffic.received_unread,
        "transmitted_bytes": traffic.transmitted_bytes,
        "overrun_errors": line.errors.overrun,
        "parity_errors": line.errors.parity,
        "framing_errors": line.errors.framing,
        "breaks": line.errors.breaks,
        "cts_edges": line.cts,
        "dsr_edges": line.dsr,
        "ri_edges": line.ri,
        "dcd_edges": line.dcd,
        "faults": status.faults,
        "recoveries": status.recoveries,
        "refused_requests": status.refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_people_write_them() {
        assert_eq!(Shape::parse("7e"), Ok(Shape(DataBits::Seven, Parity::Even)));
        assert_eq!(Shape::parse("8N"), Ok(Shape(DataBits::Eight, Parity::None)));
        for bad in ["", "8", "6N", "8X", "8N1", "ä"] {
            assert!(Shape::parse(bad).is_err(), "{bad}");
        }
    }
}
