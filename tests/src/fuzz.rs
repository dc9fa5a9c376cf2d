//! The fuzz targets' bodies: each takes any bytes and checks what the parser promises about them. `tests/fuzz` runs them
//! under libFuzzer, `tests/tests/parsers.rs` on a few thousand mutations in every test run; both begin with the same seeds.

use crate::seeds;
use outboard_core::usb::descriptor::{
    Configuration, DeviceDescriptors, Endpoint, Languages, StringDescriptor, limit,
};
use outboard_core::usb::{Direction, Speed, TransferType};
use outboard_usb_ecm::proto::function::{self, EcmFunction, LONGEST_SEGMENT, Refusal, SHORTEST_SEGMENT};
use outboard_usb_ecm::proto::notification::{HEADER, LONGEST, Notification, Reader};
use outboard_usb_ecm::proto::quirks::Quirks;
use outboard_usb_ecm::proto::{mac, statistics};
use outboard_usb_serial_ftdi::proto::chip::Chip;
use outboard_usb_serial_ftdi::proto::{baud, status};
use std::collections::HashMap;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its file in `tests/fuzz/fuzz_targets`.
    pub name: &'static str,
    /// What is done with each input.
    pub body: fn(&[u8]),
    /// Inputs worth starting from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "descriptors", body: descriptors, seeds: seeds::devices },
    Target { name: "ecm_function", body: ecm_function, seeds: seeds::devices },
    Target { name: "ecm_mac", body: ecm_mac, seeds: seeds::mac_strings },
    Target { name: "ecm_machine", body: ecm_machine, seeds: seeds::events },
    Target { name: "ecm_notification", body: ecm_notification, seeds: seeds::notifications },
    Target { name: "ftdi_ports", body: ftdi_ports, seeds: seeds::chips },
    Target { name: "ftdi_status", body: ftdi_status, seeds: seeds::transfers },
    Target { name: "ftdi_baud", body: ftdi_baud, seeds: seeds::rates },
    Target { name: "ftdi_machine", body: ftdi_machine, seeds: seeds::events },
];

const SPEEDS: [Speed; 5] = [Speed::Low, Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus];

/// A device's descriptors, as sysfs's `descriptors` contains them, at every speed; and the bytes as a string.
pub fn descriptors(data: &[u8]) {
    for speed in SPEEDS.map(Some).into_iter().chain([None]) {
        let parsed = match speed {
            Some(speed) => DeviceDescriptors::parse_at(data, speed),
            None => DeviceDescriptors::parse(data),
        };
        let Ok(device) = parsed else { continue };
        check_device(&device);
        // What was understood can be said again and is understood again.
        let speed = speed.unwrap_or(Speed::High);
        let again = DeviceDescriptors::new(device.device, device.configurations);
        let reparsed = DeviceDescriptors::parse_at(&again.to_bytes(speed), speed).expect("what we wrote");
        assert!(reparsed.malformed.is_empty(), "{reparsed:?}");
        assert_eq!(reparsed.configurations.len(), again.configurations.len());
    }
    if let Ok(string) = StringDescriptor::parse(data) {
        assert!(string.text.chars().count() <= 126 && !string.text.chars().any(char::is_control));
    }
    if let Ok(languages) = Languages::parse(data) {
        assert!(languages.ids.len() <= 126);
    }
}

fn check_device(device: &DeviceDescriptors) {
    assert!(device.configurations.len() + device.malformed.len() <= limit::CONFIGURATIONS);
    assert!(device.findings.len() <= limit::FINDINGS + 1);
    assert!(device.findings.iter().all(|finding| !finding.to_string().is_empty()));
    for configuration in &device.configurations {
        assert_eq!(device.configuration(configuration.value), Some(configuration), "values are unique");
        check_configuration(configuration);
    }
}

fn check_configuration(configuration: &Configuration) {
    assert!(configuration.interfaces.len() <= limit::INTERFACES);
    assert!(configuration.associations.len() <= limit::ASSOCIATIONS);
    let mut owners = HashMap::new();
    for interface in &configuration.interfaces {
        assert!((1..=limit::ALTERNATES).contains(&interface.alternates.len()));
        for setting in &interface.alternates {
            let found = configuration.alternate(interface.number, setting.alternate);
            assert!(found.is_some_and(|found| std::ptr::eq(found, setting)), "numbers are unique");
            assert!(setting.endpoints.len() <= limit::ENDPOINTS);
            for endpoint in &setting.endpoints {
                assert!((1..16).contains(&(endpoint.address & 0x7f)));
                assert!(endpoint.max_packet_size <= 1024 && (1..=3).contains(&endpoint.transactions));
                assert!(endpoint.companion.is_none_or(|companion| companion.max_burst <= 15));
                let owner = *owners.entry(endpoint.address).or_insert(interface.number);
                assert_eq!(owner, interface.number, "an endpoint belongs to one interface");
            }
        }
    }
}

/// A device's descriptors, and in them the ECM function.
pub fn ecm_function(data: &[u8]) {
    let Ok(device) = DeviceDescriptors::parse(data) else { return };
    let known = Quirks::of(device.device.vendor_id, device.device.product_id);
    let active = device.configurations.last().map(|configuration| configuration.value);
    for (quirks, active) in [(known, None), (Quirks::default(), active)] {
        let candidates = function::find(&device, &quirks, active);
        assert!(candidates.len() <= limit::CONFIGURATIONS * limit::INTERFACES);
        for configuration in &device.configurations {
            assert!(candidates.iter().any(|candidate| candidate.configuration == configuration.value));
        }
        for candidate in &candidates {
            assert!(!candidate.to_string().is_empty());
            match &candidate.verdict {
                Ok(found) => check_function(found, &device),
                Err(Refusal::Malformed(malformed)) => assert!(malformed.interface.is_some(), "{malformed}"),
                Err(_) => {}
            }
        }
    }
}

fn check_function(found: &EcmFunction, device: &DeviceDescriptors) {
    let configuration = device.configuration(found.configuration).expect("its configuration exists");
    let control = configuration.interface(found.control_interface).expect("its control interface exists");
    let data =
        configuration.alternate(found.data_interface, found.data_alternate).expect("its data setting exists");
    let is = |endpoint: &Endpoint, direction, transfer_type, least| {
        endpoint.direction() == direction
            && endpoint.transfer_type == transfer_type
            && endpoint.max_packet_size >= least
    };
    let bulk = |address, direction| {
        data.endpoint(address).is_some_and(|endpoint| is(endpoint, direction, TransferType::Bulk, 1))
    };
    assert!(bulk(found.bulk_in.address, Direction::In) && bulk(found.bulk_out.address, Direction::Out));
    if let Some(notification) = found.notification {
        let mut settings = control.alternates.iter().chain([data]);
        assert!(settings.any(|setting| setting.endpoint(notification.address).is_some_and(|endpoint| {
            is(endpoint, Direction::In, TransferType::Interrupt, HEADER as u16) && endpoint.interval > 0
        })));
    }
    assert!((SHORTEST_SEGMENT..=LONGEST_SEGMENT).contains(&found.max_segment_size));
    assert!(found.multicast.count <= 0x7fff);
    assert!(statistics::offered(found.statistics).count() <= 29);
    assert!(found.findings.iter().all(|finding| !finding.to_string().is_empty()));
    let rules = found.frame_rules();
    assert!(rules.receive_buffer() <= usize::from(LONGEST_SEGMENT) + 2048);
    assert!(rules.receive_buffer().is_multiple_of(found.bulk_in.max_packet_size.into()));
}

/// Transfers from the interrupt endpoint: a byte that says how long the next one is (0 to 63), and its bytes.
pub fn ecm_notification(data: &[u8]) {
    let mut reader = Reader::new();
    let mut rest = data;
    while let Some((&length, behind)) = rest.split_first() {
        let (transfer, behind) = behind.split_at(usize::from(length & 63).min(behind.len()));
        rest = behind;
        let mut count = 0;
        for notification in reader.read(transfer) {
            count += 1;
            // Whatever was understood can be said again.
            if let Ok(notification @ (Notification::Connection { .. } | Notification::Speed { .. })) =
                notification
            {
                let (bytes, length) = notification.to_bytes(0);
                assert!(length <= LONGEST);
                assert_eq!(Reader::new().read(&bytes[..length]).next(), Some(Ok(notification)));
            }
        }
        assert!(count <= transfer.len() / HEADER + 2, "{count} of {} bytes", transfer.len());
    }
    // Whatever came before, after a reset the next notification is understood.
    reader.reset();
    let up = Notification::Connection { connected: true };
    let (bytes, length) = up.to_bytes(0);
    assert_eq!(reader.read(&bytes[..length]).next(), Some(Ok(up)));
}

/// A MAC string: the bytes as text, as a string descriptor, and as an identity.
pub fn ecm_mac(data: &[u8]) {
    let check = |text: &str| {
        if let Ok(address) = mac::parse(text) {
            assert!(address.is_valid_station());
            assert!(mac::to_text(address).eq_ignore_ascii_case(text));
        }
    };
    check(&String::from_utf8_lossy(data));
    if let Ok(string) = StringDescriptor::parse(data) {
        check(&string.text);
    }
    let fallback = mac::fallback(data);
    assert!(fallback.is_local() && fallback.is_valid_station());
    assert_eq!(fallback, mac::fallback(data));
}

/// Events for the ECM machine, in the order and with the content that the bytes say.
pub fn ecm_machine(data: &[u8]) {
    outboard_usb_ecm::machine::testing::play(data);
}

/// A device's descriptors, and in them the ports of an FTDI chip; and the bytes as a serial number.
pub fn ftdi_ports(data: &[u8]) {
    use outboard_usb_serial_ftdi::proto::{function, ids, quirks::Quirks};
    let name = function::port_name(Some(&String::from_utf8_lossy(data)), "1-2", data.first().copied());
    assert!(name.starts_with("ttyFTDI-") && name.len() < 80 && !name.contains(['/', '\0']));
    let Ok(device) = DeviceDescriptors::parse(data) else { return };
    let (vendor, product) = (device.device.vendor_id, device.device.product_id);
    let _ = ids::is_known(vendor, product);
    let active = device.configurations.last().map(|configuration| configuration.value);
    for (quirks, active) in [(Quirks::of(vendor, product), None), (Quirks::default(), active)] {
        let candidates = function::find(&device, &quirks, active);
        assert!(candidates.len() <= limit::INTERFACES);
        for candidate in &candidates {
            assert!(!candidate.to_string().is_empty());
            let Ok(port) = candidate.verdict else { continue };
            let configuration = device.configuration(candidate.configuration).expect("it exists");
            let setting = configuration.interface(port.interface).and_then(|interface| interface.initial());
            let bulk = |address, direction| {
                setting.and_then(|setting| setting.endpoint(address)).is_some_and(|endpoint| {
                    endpoint.transfer_type == TransferType::Bulk && endpoint.direction() == direction
                })
            };
            assert!(bulk(port.bulk_in, Direction::In) && bulk(port.bulk_out, Direction::Out));
            assert!(port.packet_size > 2 && quirks.is_port(port.interface));
        }
    }
}

/// A transfer from a chip: two bytes that say the packet size, two for the status before, and the transfer.
pub fn ftdi_status(data: &[u8]) {
    let Some((&[low, high, modem, line], transfer)) = data.split_first_chunk::<4>() else { return };
    let packet_size = usize::from(u16::from_le_bytes([low, high]));
    let mut bytes = transfer.to_vec();
    let stripped = status::strip(&mut bytes, packet_size, Some(status::Status { modem, line }));
    let packets = transfer.chunks(packet_size.max(2));
    let count = packets.len() as u64;
    let expected: Vec<u8> = packets.flat_map(|packet| packet.iter().skip(2)).copied().collect();
    assert_eq!(&bytes[..stripped.data], &expected[..]);
    let errors = stripped.errors;
    assert!(
        [errors.overrun, errors.parity, errors.framing, errors.breaks].iter().all(|errors| *errors <= count)
    );
    assert!(stripped.edges.iter().all(|edges| u64::from(*edges) <= count) && stripped.runts <= 1);
}

/// A rate of four bytes for each chip.
pub fn ftdi_baud(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<4>() else { return };
    let asked = u32::from_le_bytes(*bytes);
    for chip in Chip::ALL {
        let nearest = baud::nearest(chip, asked);
        assert!(
            (1..=12_000_000).contains(&nearest.baud()) && nearest.code <= 0x3_ffff,
            "{chip}: {nearest:?}"
        );
        assert!(
            chip == Chip::Sio || !matches!(nearest.code & 0xffff, 0x4000 | 0x4001 | 0x8000 | 0xc000),
            "{nearest:?}"
        );
        match baud::rate(chip, asked) {
            Ok(rate) => assert!(rate == nearest && rate.baud().abs_diff(asked) <= asked / 33 + 1),
            Err(bad) => assert!(bad.nearest == nearest && !bad.to_string().is_empty()),
        }
        assert!(nearest.nanoseconds(20) > 0);
    }
}

/// Events for the FTDI machine, in the order and with the content that the bytes say.
pub fn ftdi_machine(data: &[u8]) {
    outboard_usb_serial_ftdi::machine::testing::play(data);
}
