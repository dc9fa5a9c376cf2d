//! What `outboard virtual` prints, for people or as JSON. It must not know where the facts come from.

use std::net::{IpAddr, SocketAddr};

use outboard_core::usb::usbip::PORT;
use outboard_core::usb::usbip::operation::Status;
use outboard_virtual_devices::ecm::{EcmOptions, Statistics, Variant};
use outboard_virtual_devices::host::HostOptions;
use outboard_virtual_devices::usbip::Ended;
use serde_json::{Value, json};

use crate::output::printable;

/// A device that is served.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) bus_id: String,
    id: (u16, u16),
    speed: outboard_core::usb::Speed,
    variant: Variant,
    host: (IpAddr, IpAddr),
}

impl Served {
    /// A dongle that has no bus id yet.
    pub(super) fn new(options: &EcmOptions, host: &HostOptions, variant: Variant) -> Self {
        Self {
            bus_id: String::new(),
            id: options.id,
            speed: options.speed,
            variant,
            host: (host.ipv4.0.into(), host.ipv6.0.into()),
        }
    }
}

/// The two ways to attach to a device.
struct Commands {
    outboard: String,
    usbip: String,
}

impl Commands {
    fn new(bus_id: &str, address: SocketAddr) -> Self {
        // Whoever listens everywhere is reached by a name that only the client knows.
        let host = match address.ip() {
            ip if ip.is_unspecified() => "HOST".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let bare = host.trim_matches(['[', ']']);
        match address.port() {
            PORT => Self {
                outboard: format!("outboard attach usbip://{host}/{bus_id}"),
                usbip: format!("sudo usbip attach -r {bare} -b {bus_id}"),
            },
            port => Self {
                outboard: format!("outboard attach usbip://{host}:{port}/{bus_id}"),
                usbip: format!("sudo usbip --tcp-port {port} attach -r {bare} -b {bus_id}"),
            },
        }
    }
}

/// In which form things are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Text,
    Json,
}

impl Words {
    pub(super) fn serving<'a>(self, address: SocketAddr, served: impl Iterator<Item = &'a Served>) {
        let served = served.map(|device| (device, Commands::new(&device.bus_id, address)));
        if self == Self::Json {
            let devices: Vec<Value> = served.map(|(device, commands)| as_json(device, &commands)).collect();
            say(&json!({"event": "serving", "listen": address.to_string(), "devices": devices}).to_string());
            return;
        }
        for (device, commands) in served {
            let Served { bus_id, id: (vendor, product), speed, variant, host: (v4, v6) } = device;
            let odd =
                if *variant == Variant::Sound { String::new() } else { format!("; {}", variant.about()) };
            say(&format!("{bus_id:<8} {vendor:04x}:{product:04x}  ECM dongle, {speed}{odd}"));
            say(&format!("         behind it: {v4}, {v6}"));
            say(&format!("         {}", commands.outboard));
            say(&format!(
                "         {}    (the kernel's driver; first: sudo modprobe vhci-hcd)",
                commands.usbip
            ));
        }
        if !address.ip().is_loopback() {
            say("Whoever reaches this machine may attach: USB/IP has neither passwords nor encryption.");
        }
        say(&format!("Listening at {address}. Ctrl-C ends it."));
    }

    pub(super) fn attached(self, bus_id: &str, from: SocketAddr) {
        match self {
            Self::Text => say(&format!("{bus_id}: attached by {from}")),
            Self::Json => {
                say(&json!({"event": "attached", "bus_id": bus_id, "client": from.to_string()}).to_string());
            }
        }
    }

    pub(super) fn refused(self, bus_id: &str, from: SocketAddr, status: Status) {
        let reason = if status == Status::Busy { "another client has it" } else { "there is no such device" };
        let bus_id = printable(bus_id);
        match self {
            Self::Text => say(&format!("{bus_id}: refused to {from}: {reason}")),
            Self::Json => {
                let client = from.to_string();
                say(&json!({"event": "refused", "bus_id": bus_id, "client": client, "reason": reason})
                    .to_string());
            }
        }
    }

    pub(super) fn detached(
        self,
        bus_id: &str,
        from: SocketAddr,
        ended: &Result<(), Ended>,
        all: &Statistics,
    ) {
        let (to_host, from_host) = (all.received.frames(), all.transmitted.frames());
        match self {
            Self::Text => {
                let why = ended.as_ref().err().map(|error| format!(": {error}")).unwrap_or_default();
                say(&format!(
                    "{bus_id}: detached by {from}{why}; so far {to_host} frames to the host, {from_host} from it"
                ));
            }
            Self::Json => {
                let error = ended.as_ref().err().map(ToString::to_string);
                let event = json!({
                    "event": "detached",
                    "bus_id": bus_id,
                    "client": from.to_string(),
                    "error": error,
                    "frames_to_host": to_host,
                    "frames_from_host": from_host,
                });
                say(&event.to_string());
            }
        }
    }

    /// A connection that never had a device.
    pub(super) fn failed(self, from: SocketAddr, error: &Ended) {
        match self {
            Self::Text => say(&format!("{from}: {error}")),
            Self::Json => {
                let event =
                    json!({"event": "failed", "client": from.to_string(), "error": error.to_string()});
                say(&event.to_string());
            }
        }
    }
}

/// Prints a line; nobody who listens any more is no reason to stop serving.
fn say(line: &str) {
    use std::io::Write;
    let _gone = writeln!(std::io::stdout().lock(), "{line}");
}

fn as_json(device: &Served, commands: &Commands) -> Value {
    let Served { bus_id, id: (vendor, product), speed, variant, host: (v4, v6) } = device;
    json!({
        "bus_id": bus_id,
        "device": "ecm",
        "vendor_id": vendor,
        "product_id": product,
        "speed_bits_per_second": speed.bits_per_second(),
        "variant": variant.name(),
        "host": [v4.to_string(), v6.to_string()],
        "attach": {"outboard": commands.outboard, "usbip": commands.usbip},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_what_is_needed() {
        let commands = |address: &str| {
            let Commands { outboard, usbip } = Commands::new("1-2", address.parse().unwrap());
            [outboard, usbip]
        };
        let usual = ["outboard attach usbip://127.0.0.1/1-2", "sudo usbip attach -r 127.0.0.1 -b 1-2"];
        assert_eq!(commands("127.0.0.1:3240"), usual);
        assert_eq!(
            commands("[::1]:7"),
            ["outboard attach usbip://[::1]:7/1-2", "sudo usbip --tcp-port 7 attach -r ::1 -b 1-2"]
        );
        assert_eq!(
            commands("0.0.0.0:3240"),
            ["outboard attach usbip://HOST/1-2", "sudo usbip attach -r HOST -b 1-2"]
        );
    }
}
