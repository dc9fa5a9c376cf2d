//! The ports of a device, from its descriptors: which interfaces, which endpoints, which channel. It sends nothing.

use std::fmt;

use outboard_core::usb::descriptor::{AlternateSetting, DeviceDescriptors};
use outboard_core::usb::{Direction, TransferType};

use super::chip::Chip;
use super::quirks::Quirks;
use super::request::Channel;

/// wMaxPacketSize is believed up to here: what a high-speed bulk endpoint may have (USB 2.0, 5.8.3).
const LARGEST_PACKET: u16 = 512;

/// A serial port of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// bInterfaceNumber.
    pub interface: u8,
    /// For requests.
    pub channel: Channel,
    /// bEndpointAddress of the bulk endpoint from the chip.
    pub bulk_in: u8,
    /// wMaxPacketSize of that: a status is at the head of each so many bytes.
    pub packet_size: u16,
    /// bEndpointAddress of the bulk endpoint to the chip.
    pub bulk_out: u8,
}

/// An interface that was looked at, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// bConfigurationValue.
    pub configuration: u8,
    /// bInterfaceNumber.
    pub interface: u8,
    /// It is a port, or why not.
    pub verdict: Result<Port, Refusal>,
}

/// Why an interface is no port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The board uses it for something else.
    #[error("left to other programs: {0}")]
    NotSerial(&'static str),
    /// There is no such endpoint.
    #[error("it has no bulk {0} endpoint")]
    NoEndpoint(Direction),
    /// A packet would have no room for data behind the status.
    #[error("wMaxPacketSize of its bulk {0} endpoint is {1}, which no chip has")]
    PacketSize(Direction, u16),
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration {}, interface {}: ", self.configuration, self.interface)?;
        match &self.verdict {
            Ok(_) => f.write_str("an FTDI serial port"),
            Err(refusal) => refusal.fmt(f),
        }
    }
}

/// The chip that a device says it is.
pub fn chip(descriptors: &DeviceDescriptors) -> Chip {
    Chip::of(descriptors.device.device_version)
}

/// All interfaces of the configuration `active`, or of the first one if none is active.
pub fn find(descriptors: &DeviceDescriptors, quirks: &Quirks, active: Option<u8>) -> Vec<Candidate> {
    let configuration = match active.and_then(|value| descriptors.configuration(value)) {
        Some(configuration) => configuration,
        None => match descriptors.configurations.first() {
            Some(first) => first,
            None => return Vec::new(),
        },
    };
    let chip = chip(descriptors);
    // A chip with two ports of which the EEPROM hides one counts its channels all the same.
    let has_channels = chip.has_channels() || configuration.interfaces.len() > 1;
    let settings = configuration.interfaces.iter().filter_map(|interface| interface.initial());
    settings
        .map(|setting| Candidate {
            configuration: configuration.value,
            interface: setting.interface,
            verdict: port(setting, quirks, has_channels),
        })
        .collect()
}

fn port(setting: &AlternateSetting, quirks: &Quirks, has_channels: bool) -> Result<Port, Refusal> {
    if !quirks.is_port(setting.interface) {
        return Err(Refusal::NotSerial(quirks.reason));
    }
    let endpoint = |direction: Direction, least: u16| {
        let found = setting.endpoints.iter().find(|endpoint| {
            endpoint.transfer_type == TransferType::Bulk && endpoint.direction() == direction
        });
        let found = found.ok_or(Refusal::NoEndpoint(direction))?;
        match found.max_packet_size {
            size if (least..=LARGEST_PACKET).contains(&size) => Ok((found.address, size)),
            size => Err(Refusal::PacketSize(direction, size)),
        }
    };
    let (bulk_in, packet_size) = endpoint(Direction::In, 3)?;
    let (bulk_out, _) = endpoint(Direction::Out, 2)?;
    let channel = if has_channels { setting.interface.wrapping_add(1) } else { 0 };
    Ok(Port { interface: setting.interface, channel: Channel(channel), bulk_in, packet_size, bulk_out })
}

/// A name for the port that is the same after every replug: the serial number or, without one, the place, and the interface of a chip that
/// has several. What a file's name should not have in it becomes `_`.
pub fn port_name(serial: Option<&str>, place: &str, interface: Option<u8>) -> String {
    let serial = serial.map(str::trim).filter(|serial| !serial.is_empty());
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') { c } else { '_' };
    let mut name: String = "ttyFTDI-".chars().chain(serial.unwrap_or(place).chars().map(plain)).collect();
    // Characters are ASCII by now.
    name.truncate(72);
    if let Some(interface) = interface {
        name.push_str(&format!("-if{interface:02}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use outboard_core::usb::Speed;
    use outboard_core::usb::descriptor::{Configuration, DeviceDescriptor, Endpoint};

    use super::*;

    fn device(version: u16, interfaces: u8, packet_size: u16) -> DeviceDescriptors {
        let mut device = DeviceDescriptor::new(0x0403, 0x6001);
        device.device_version = version;
        let mut configuration = Configuration::new(1);
        for number in 0..interfaces {
            let mut setting = AlternateSetting::new(number, 0, 0xff, 0xff, 0xff);
            setting.endpoints = vec![
                Endpoint::bulk(0x81 + 2 * number, packet_size),
                Endpoint::bulk(0x02 + 2 * number, packet_size),
            ];
            configuration.push(setting);
        }
        let device = DeviceDescriptors::new(device, vec![configuration]);
        DeviceDescriptors::parse_at(&device.to_bytes(Speed::High), Speed::High).unwrap()
    }

    fn channels(device: &DeviceDescriptors, quirks: &Quirks) -> Vec<Option<u8>> {
        let found = find(device, quirks, Some(1));
        found.iter().map(|candidate| candidate.verdict.ok().map(|port| port.channel.0)).collect()
    }

    #[test]
    fn ports_and_their_channels() {
        let none = Quirks::default();
        assert_eq!(channels(&device(0x0600, 1, 64), &none), [Some(0)]);
        assert_eq!(channels(&device(0x0900, 1, 512), &none), [Some(1)]);
        assert_eq!(channels(&device(0x0700, 2, 512), &none), [Some(1), Some(2)]);
        let jtag = Quirks { only: Some(&[1]), reason: "channel A is JTAG", ..none };
        assert_eq!(channels(&device(0x0700, 2, 512), &jtag), [None, Some(2)]);
        let found = find(&device(0x0700, 2, 512), &jtag, None);
        assert_eq!(
            found[0].to_string(),
            "configuration 1, interface 0: left to other programs: channel A is JTAG"
        );
    }

    #[test]
    fn odd_interfaces_are_no_ports() {
        let none = Quirks::default();
        let mut odd = device(0x0600, 1, 64);
        odd.configurations[0].interfaces[0].alternates[0].endpoints[0].max_packet_size = 2;
        assert_eq!(find(&odd, &none, None)[0].verdict, Err(Refusal::PacketSize(Direction::In, 2)));
        odd.configurations[0].interfaces[0].alternates[0].endpoints.clear();
        assert_eq!(find(&odd, &none, None)[0].verdict, Err(Refusal::NoEndpoint(Direction::In)));
        odd.configurations.clear();
        assert!(find(&odd, &none, Some(1)).is_empty());
    }

    #[test]
    fn names_are_stable_and_safe() {
        assert_eq!(port_name(Some("A50285BI"), "1-2", None), "ttyFTDI-A50285BI");
        assert_eq!(port_name(Some("A/../B c"), "1-2", Some(1)), "ttyFTDI-A_.._B_c-if01");
        assert_eq!(port_name(Some(" "), "1-2.3", None), "ttyFTDI-1-2.3");
        assert!(port_name(Some(&"x".repeat(500)), "1-2", Some(255)).len() < 80);
    }
}
