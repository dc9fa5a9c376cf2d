//! What the ECM driver reads of a device, and its machine.

use outboard_core::usb::descriptor::{DeviceDescriptors, Endpoint, StringDescriptor, limit};
use outboard_core::usb::{Direction, TransferType};
use outboard_usb_ecm::proto::function::{EcmFunction, LONGEST_SEGMENT, Refusal, SHORTEST_SEGMENT};
use outboard_usb_ecm::proto::notification::{HEADER, LONGEST, Notification, Reader};
use outboard_usb_ecm::proto::quirks::Quirks;
use outboard_usb_ecm::proto::{self, statistics};

/// A device's descriptors, and in them the ECM function.
pub fn function(data: &[u8]) {
    let Ok(device) = DeviceDescriptors::parse(data) else { return };
    let known = Quirks::of(device.device.vendor_id, device.device.product_id);
    let active = device.configurations.last().map(|configuration| configuration.value);
    for (quirks, active) in [(known, None), (Quirks::default(), active)] {
        let candidates = proto::function::find(&device, &quirks, active);
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
pub fn notification(data: &[u8]) {
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
pub fn mac(data: &[u8]) {
    let check = |text: &str| {
        if let Ok(address) = proto::mac::parse(text) {
            assert!(address.is_valid_station());
            assert!(proto::mac::to_text(address).eq_ignore_ascii_case(text));
        }
    };
    check(&String::from_utf8_lossy(data));
    if let Ok(string) = StringDescriptor::parse(data) {
        check(&string.text);
    }
    let fallback = proto::mac::fallback(data);
    assert!(fallback.is_local() && fallback.is_valid_station());
    assert_eq!(fallback, proto::mac::fallback(data));
}

/// Events for the ECM machine, in the order and with the content that the bytes say.
pub fn machine(data: &[u8]) {
    outboard_usb_ecm::machine::testing::play(data);
}
