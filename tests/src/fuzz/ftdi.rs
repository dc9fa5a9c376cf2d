//! What the FTDI driver reads of a chip, and its machine.

use outboard_core::usb::descriptor::{DeviceDescriptors, limit};
use outboard_core::usb::{Direction, TransferType};
use outboard_usb_serial_ftdi::proto;
use outboard_usb_serial_ftdi::proto::chip::Chip;
use outboard_usb_serial_ftdi::proto::quirks::Quirks;
use outboard_usb_serial_ftdi::proto::{function, ids};

/// A device's descriptors, and in them the ports of an FTDI chip; and the bytes as a serial number.
pub fn ports(data: &[u8]) {
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
pub fn status(data: &[u8]) {
    let Some((&[low, high, modem, line], transfer)) = data.split_first_chunk::<4>() else { return };
    let packet_size = usize::from(u16::from_le_bytes([low, high]));
    let mut bytes = transfer.to_vec();
    let stripped = proto::status::strip(&mut bytes, packet_size, Some(proto::status::Status { modem, line }));
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
pub fn baud(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<4>() else { return };
    let asked = u32::from_le_bytes(*bytes);
    for chip in Chip::ALL {
        let nearest = proto::baud::nearest(chip, asked);
        assert!(
            (1..=12_000_000).contains(&nearest.baud()) && nearest.code <= 0x3_ffff,
            "{chip}: {nearest:?}"
        );
        assert!(
            chip == Chip::Sio || !matches!(nearest.code & 0xffff, 0x4000 | 0x4001 | 0x8000 | 0xc000),
            "{nearest:?}"
        );
        match proto::baud::rate(chip, asked) {
            Ok(rate) => assert!(rate == nearest && rate.baud().abs_diff(asked) <= asked / 33 + 1),
            Err(bad) => assert!(bad.nearest == nearest && !bad.to_string().is_empty()),
        }
        assert!(nearest.nanoseconds(20) > 0);
    }
}

/// Events for the FTDI machine, in the order and with the content that the bytes say.
pub fn machine(data: &[u8]) {
    outboard_usb_serial_ftdi::machine::testing::play(data);
}
