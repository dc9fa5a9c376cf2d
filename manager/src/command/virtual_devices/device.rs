//! Which virtual devices a command line asks for. It must not know how they are served.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use outboard_core::MacAddr;
use outboard_core::usb::Speed;
use outboard_virtual_devices::ecm::{EcmOptions, MacString, Variant};
use outboard_virtual_devices::host::HostOptions;

/// What `--help` says about devices.
pub(super) const HELP: &str = "\
Devices:
  ecm  an Ethernet dongle (CDC-ECM), with speed=full|high|super and variant=
         sound                 nothing is odd; the default
         second-configuration  ECM in the second configuration, behind the vendor's own (RTL8152)
         rndis-first           ECM in the second configuration, behind RNDIS (QEMU's usb-net)
         broken-mac            a MAC string that is no MAC address
         no-union              no Union descriptor
         tiny-packets          packets of 8 bytes, at full speed
         slow-link             a link of 2 Mbit/s down and 1 Mbit/s up

Examples:
  outboard virtual ecm
  outboard virtual ecm ecm:variant=no-union,speed=full ecm:speed=super
  outboard virtual ecm --variant slow-link --listen 0.0.0.0:3240";

/// Devices that one command serves: each has a network of its own.
pub(super) const MOST: usize = 32;

/// A device as it was asked for: `ecm`, `ecm:variant=no-union,speed=full`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device {
    speed: Option<Speed>,
    variant: Option<Variant>,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, options) = text.split_once(':').unwrap_or((text, ""));
        if kind != "ecm" {
            return Err(format!("there is no virtual device {kind:?}; there is ecm"));
        }
        let mut device = Self { speed: None, variant: None };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (key, value) =
                option.split_once('=').ok_or_else(|| format!("{option:?} is not KEY=VALUE"))?;
            match key {
                "speed" if device.speed.is_none() => device.speed = Some(speed(value)?),
                "variant" if device.variant.is_none() => {
                    device.variant = Some(value.parse().map_err(|error| format!("{error}"))?);
                }
                "speed" | "variant" => return Err(format!("{key} is there twice")),
                _ => return Err(format!("ecm has no {key:?}; it has speed and variant")),
            }
        }
        Ok(device)
    }
}

/// Reads a speed.
pub(super) fn speed(text: &str) -> Result<Speed, String> {
    match text {
        "full" => Ok(Speed::Full),
        "high" => Ok(Speed::High),
        "super" => Ok(Speed::Super),
        _ => Err(format!("{text:?} is not a speed; there are full, high and super")),
    }
}

impl Device {
    pub(super) fn variant(&self, default: Option<Variant>) -> Variant {
        self.variant.or(default).unwrap_or_default()
    }

    /// The dongle and the computer behind it, different for every number so that one machine can have them all.
    pub(super) fn plan(
        &self,
        number: u8,
        speed: Option<Speed>,
        variant: Option<Variant>,
    ) -> (EcmOptions, HostOptions) {
        let variant = self.variant(variant);
        let speed = self.speed.or(speed).unwrap_or(variant.speed());
        let mut options = variant.options(speed);
        options.station = MacAddr::new([0x52, 0x54, 0x00, 0xe0, 0xcc, number + 1]);
        options.serial = Some((number + 1).to_string());
        if matches!(variant.options(speed).mac, MacString::Text(text) if text.len() == 12) {
            let octets = options.station.octets().map(|octet| format!("{octet:02X}"));
            options.mac = MacString::Text(octets.concat());
        }
        let network = 2 + number;
        let host = HostOptions {
            mac: MacAddr::new([0x52, 0x54, 0x00, 0xe0, 0xcc, 0xfe - number]),
            ipv4: (Ipv4Addr::new(10, 0, network, 1), 24),
            ipv6: (Ipv6Addr::new(0xfd00, 0, 0, network.into(), 0, 0, 0, 1), 64),
            ..HostOptions::default()
        };
        (options, host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_or_refused_with_what_there_is() {
        let read = |text: &str| text.parse::<Device>();
        assert_eq!(read("ecm"), Ok(Device { speed: None, variant: None }));
        let both = Device { speed: Some(Speed::Full), variant: Some(Variant::NoUnion) };
        assert_eq!(read("ecm:variant=no-union,speed=full"), Ok(both));
        for (text, error) in [
            ("ncm", "there is no virtual device \"ncm\"; there is ecm"),
            ("ecm:fast", "\"fast\" is not KEY=VALUE"),
            ("ecm:speed=warp", "\"warp\" is not a speed; there are full, high and super"),
            ("ecm:speed=full,speed=full", "speed is there twice"),
            ("ecm:colour=red", "ecm has no \"colour\"; it has speed and variant"),
        ] {
            assert_eq!(read(text), Err(error.into()));
        }
    }

    #[test]
    fn what_a_device_says_itself_counts_and_no_two_are_alike() {
        let own: Device = "ecm:speed=super".parse().unwrap();
        let (options, _) = own.plan(0, Some(Speed::Full), Some(Variant::NoUnion));
        assert_eq!(options.speed, Speed::Super);
        assert_eq!(own.variant(Some(Variant::NoUnion)), Variant::NoUnion);
        let tiny: Device = "ecm:variant=tiny-packets".parse().unwrap();
        assert_eq!(tiny.plan(0, None, None).0.speed, Speed::Full);
        assert_eq!(own.plan(0, None, None).0.mac, MacString::Text("525400E0CC01".into()));
        let plans: Vec<_> = (0..MOST as u8).map(|number| own.plan(number, None, None)).collect();
        for (at, (options, host)) in plans.iter().enumerate() {
            for (other, other_host) in &plans[..at] {
                assert!(options.station != other.station && options.serial != other.serial);
                assert!(host.ipv4 != other_host.ipv4 && host.ipv6 != other_host.ipv6);
            }
            assert!(plans.iter().all(|(other, _)| other.station != host.mac));
        }
    }

    #[test]
    fn the_help_has_every_variant() {
        for variant in Variant::ALL {
            assert!(HELP.contains(&format!("{:<21} {}", variant.name(), variant.about())), "{variant}");
        }
    }
}
