//! The parser against well-formed, odd and arbitrary bytes.

use super::*;
use crate::usb::{Direction, Speed, TransferType, class};
use proptest::prelude::*;

/// A device with a vendor configuration and an ECM one, at high speed.
fn two_configurations() -> DeviceDescriptors {
    let mut vendor = Configuration::new(1);
    let mut setting = AlternateSetting::new(0, 0, class::VENDOR, 0xff, 0);
    setting.endpoints =
        vec![Endpoint::bulk(0x81, 512), Endpoint::bulk(0x02, 512), Endpoint::interrupt(0x83, 2, 8)];
    vendor.push(setting);

    let mut ecm = Configuration::new(2);
    ecm.attributes |= Configuration::REMOTE_WAKEUP;
    ecm.name = NonZeroU8::new(4);
    let mut control = AlternateSetting::new(0, 0, class::COMMUNICATIONS, 6, 0);
    control.extra.append(kind::CS_INTERFACE, &[0x00, 0x10, 0x01]);
    control.extra.append(kind::CS_INTERFACE, &[0x06, 0, 1]);
    control.endpoints.push(Endpoint::interrupt(0x83, 16, 8));
    ecm.push(control);
    ecm.push(AlternateSetting::new(1, 0, class::CDC_DATA, 0, 0));
    let mut data = AlternateSetting::new(1, 1, class::CDC_DATA, 0, 0);
    data.endpoints = vec![Endpoint::bulk(0x81, 512), Endpoint::bulk(0x02, 512)];
    ecm.push(data);
    ecm.associations.push(InterfaceAssociation {
        first_interface: 0,
        interface_count: 2,
        class: class::COMMUNICATIONS,
        subclass: 6,
        protocol: 0,
        name: None,
    });
    DeviceDescriptors::new(DeviceDescriptor::new(0x0bda, 0x8153), vec![vendor, ecm])
}

fn parse(bytes: &[u8]) -> DeviceDescriptors {
    DeviceDescriptors::parse_at(bytes, Speed::High).unwrap()
}

fn oddities(device: &DeviceDescriptors) -> Vec<(&'static str, Oddity)> {
    device.findings.iter().map(|finding| (finding.field, finding.oddity)).collect()
}

/// The device with its first configuration's bytes changed.
fn with_first(change: impl FnOnce(&mut Vec<u8>)) -> DeviceDescriptors {
    let device = two_configurations();
    let mut first = device.configurations[0].to_bytes(Speed::High);
    change(&mut first);
    let second = device.configurations[1].to_bytes(Speed::High);
    let parsed = parse(&[&device.device.to_bytes()[..], &first, &second].concat());
    // Whatever is done to the first, the second is there as it was.
    assert_eq!(parsed.configuration(2), Some(&device.configurations[1]), "{parsed:?}");
    parsed
}

#[test]
fn a_good_device_survives_without_findings() {
    let device = two_configurations();
    assert_eq!(parse(&device.to_bytes(Speed::High)), device);
    assert_eq!(device.configurations[0].to_bytes(Speed::High).len(), 39);
}

#[test]
fn a_missing_or_wrong_device_descriptor_is_malformed() {
    let good = two_configurations().to_bytes(Speed::High);
    for length in 0..18 {
        assert!(DeviceDescriptors::parse(&good[..length]).is_err(), "{length}");
    }
    let wrong_kind = DeviceDescriptors::parse(&good[18..]).unwrap_err();
    assert_eq!(wrong_kind.field, "bDescriptorType");
    let short = DeviceDescriptors::parse(&[&[17], &good[1..]].concat()).unwrap_err();
    assert_eq!(short.to_string(), "bLength of the device descriptor is 17; it has 18 bytes");
}

#[test]
fn a_lying_total_length_does_not_hide_the_next_configuration() {
    for declared in [0u16, 9, 10, 38, 40, 41, 60, 39 + 88, 300, u16::MAX] {
        let parsed = with_first(|bytes| bytes[2..4].copy_from_slice(&declared.to_le_bytes()));
        assert_eq!(parsed.configuration(1), Some(&two_configurations().configurations[0]), "{declared}");
        assert_eq!(
            oddities(&parsed),
            [("wTotalLength", Oddity::Differs { declared: declared.into(), found: 39 })]
        );
    }
}

#[test]
fn garbage_inside_a_configuration_does_not_hide_the_next() {
    for (bad, at) in [(0u8, 18), (1, 18), (0, 25), (200, 32)] {
        let parsed = with_first(|bytes| bytes[at] = bad);
        let kept = &parsed.configuration(1).unwrap().interfaces[0].alternates[0].endpoints;
        assert_eq!(kept.len(), (at - 18) / 7, "{bad} at {at}");
        assert!(parsed.findings.iter().any(|finding| matches!(finding.oddity, Oddity::Garbage { .. })));
    }
}

#[test]
fn a_malformed_configuration_does_not_hide_the_next() {
    for change in [(0, 8u8), (0, 0), (1, 9)] {
        let parsed = with_first(|bytes| bytes[change.0] = change.1);
        assert_eq!((parsed.malformed.len(), parsed.configurations.len()), (1, 1), "{change:?}");
    }
}

#[test]
fn a_hole_that_usbfs_leaves_behind_a_short_configuration_is_skipped() {
    let parsed = with_first(|bytes| {
        bytes[2..4].copy_from_slice(&64u16.to_le_bytes());
        bytes.resize(64, 0);
    });
    assert_eq!(parsed.configuration(1), Some(&two_configurations().configurations[0]));
}

#[test]
fn a_truncated_tail_keeps_what_was_before() {
    let device = two_configurations();
    let bytes = device.to_bytes(Speed::High);
    for cut in 18..bytes.len() {
        let parsed = parse(&bytes[..cut]);
        assert!(!parsed.findings.is_empty() || !parsed.malformed.is_empty(), "cut at {cut} must be told");
        if cut >= 18 + 39 {
            assert_eq!(parsed.configuration(1), Some(&device.configurations[0]));
        }
    }
}

#[test]
fn lying_counts_are_told() {
    let parsed = with_first(|bytes| bytes[4] = 3);
    assert_eq!(oddities(&parsed), [("bNumInterfaces", Oddity::Differs { declared: 3, found: 1 })]);
    let parsed = with_first(|bytes| bytes[13] = 5);
    assert_eq!(oddities(&parsed), [("bNumEndpoints", Oddity::Differs { declared: 5, found: 3 })]);
    // Like Linux, no more endpoints are used than bNumEndpoints says.
    let parsed = with_first(|bytes| bytes[13] = 1);
    assert_eq!(oddities(&parsed), [("bNumEndpoints", Oddity::Differs { declared: 1, found: 3 })]);
    assert_eq!(parsed.configuration(1).unwrap().interfaces[0].alternates[0].endpoints.len(), 1);

    let mut bytes = two_configurations().to_bytes(Speed::High);
    for declared in [0, 1, 3, 255] {
        bytes[17] = declared;
        let parsed = parse(&bytes);
        assert_eq!(parsed.configurations.len(), 2, "{declared}");
        let oddity = Oddity::Differs { declared: declared.into(), found: 2 };
        assert_eq!(oddities(&parsed), [("bNumConfigurations", oddity)]);
    }
}

#[test]
fn odd_endpoints_are_left_out_and_told() {
    for (address, oddity) in [
        (0x00, Oddity::Unusable { value: 0 }),
        (0x80, Oddity::Unusable { value: 0x80 }),
        (0x92, Oddity::Unusable { value: 0x92 }),
        (0x81, Oddity::Duplicate),
    ] {
        let parsed = with_first(|bytes| bytes[18 + 7 + 2] = address);
        assert_eq!(oddities(&parsed), [("bEndpointAddress", oddity)]);
        let finding = parsed.findings[0];
        assert_eq!(
            (finding.configuration, finding.interface, finding.endpoint),
            (Some(1), Some(0), Some(address))
        );
        assert_eq!(parsed.configuration(1).unwrap().interfaces[0].alternates[0].endpoints.len(), 2);
    }
}

#[test]
fn an_endpoint_of_another_interface_is_a_duplicate_but_not_of_another_alternate() {
    let mut configuration = Configuration::new(1);
    for (interface, alternate) in [(0, 0), (0, 1), (1, 0)] {
        let mut setting = AlternateSetting::new(interface, alternate, class::VENDOR, 0, 0);
        setting.endpoints.push(Endpoint::bulk(0x81, 512));
        configuration.push(setting);
    }
    let device = DeviceDescriptors::new(DeviceDescriptor::new(1, 2), vec![configuration]);
    let parsed = parse(&device.to_bytes(Speed::High));
    assert_eq!(oddities(&parsed), [("bEndpointAddress", Oddity::Duplicate)]);
    let counts: Vec<_> = parsed.configurations[0]
        .interfaces
        .iter()
        .map(|interface| interface.alternates.iter().map(|setting| setting.endpoints.len()).sum::<usize>())
        .collect();
    assert_eq!(counts, [2, 0]);
}

#[test]
fn packet_sizes_are_cut_to_what_the_speed_allows() {
    let size = |speed, transfer_type, declared: u16| {
        let mut configuration = Configuration::new(1);
        let mut setting = AlternateSetting::new(0, 0, class::VENDOR, 0, 0);
        setting.endpoints.push(Endpoint::new(0x81, transfer_type, 0, 1));
        configuration.push(setting);
        let mut bytes =
            DeviceDescriptors::new(DeviceDescriptor::new(1, 2), vec![configuration]).to_bytes(speed);
        bytes[18 + 9 + 9 + 4..][..2].copy_from_slice(&declared.to_le_bytes());
        let parsed = DeviceDescriptors::parse_at(&bytes, speed).unwrap();
        let endpoint = &parsed.configurations[0].interfaces[0].alternates[0].endpoints[0];
        let told = parsed.findings.iter().any(|finding| finding.field == "wMaxPacketSize");
        (endpoint.max_packet_size, endpoint.transactions, told)
    };
    use TransferType::{Bulk, Interrupt, Isochronous};
    assert_eq!(size(Speed::High, Bulk, 512), (512, 1, false));
    assert_eq!(size(Speed::High, Bulk, 1024), (1024, 1, true));
    assert_eq!(size(Speed::High, Bulk, 0), (0, 1, true));
    assert_eq!(size(Speed::High, Bulk, 0xffff), (1024, 1, true));
    assert_eq!(size(Speed::High, Interrupt, 0x1400), (1024, 3, false));
    assert_eq!(size(Speed::High, Interrupt, 0x1840), (64, 3, true));
    assert_eq!(size(Speed::Full, Bulk, 512), (64, 1, true));
    assert_eq!(size(Speed::Full, Isochronous, 1024), (1023, 1, true));
    assert_eq!(size(Speed::High, Isochronous, 0), (0, 1, false));
    assert_eq!(size(Speed::Low, Interrupt, 8), (8, 1, false));
    assert_eq!(size(Speed::Super, Bulk, 1024), (1024, 1, false));
    // Forbidden at low speed; polled like an interrupt endpoint.
    assert_eq!(size(Speed::Low, Bulk, 64), (8, 1, true));
}

#[test]
fn a_companion_belongs_to_its_endpoint() {
    let mut device = two_configurations();
    device.device.usb_version = 0x0300;
    device.device.max_packet_size_0 = 9;
    for configuration in &mut device.configurations {
        configuration.max_power_ma = 288;
        for endpoint in configuration
            .interfaces
            .iter_mut()
            .flat_map(|interface| &mut interface.alternates)
            .flat_map(|setting| &mut setting.endpoints)
        {
            endpoint.companion = Some(EndpointCompanion::default());
        }
    }
    let good = device.to_bytes(Speed::Super);
    assert_eq!(DeviceDescriptors::parse(&good).unwrap(), device);
    // A burst of 16 packets is the most; the byte says one less.
    let mut bytes = good.clone();
    bytes[18 + 9 + 9 + 7 + 2] = 16;
    let parsed = DeviceDescriptors::parse(&bytes).unwrap();
    assert_eq!(oddities(&parsed), [("bMaxBurst", Oddity::Replaced { declared: 16, used: 15 })]);
    // Without one, the least is meant.
    device.configurations[0].interfaces[0].alternates[0].endpoints[0].companion = None;
    let parsed = DeviceDescriptors::parse(&device.to_bytes(Speed::Super)).unwrap();
    assert_eq!(oddities(&parsed), [("SuperSpeed endpoint companion", Oddity::Missing { number: 0x81 })]);
}

#[test]
fn duplicated_and_unordered_settings_are_told() {
    let mut device = two_configurations();
    let ecm = &mut device.configurations[1];
    ecm.interfaces[1].alternates[0].alternate = 1;
    ecm.interfaces[0].number = 7;
    ecm.interfaces[0].alternates[0].interface = 7;
    ecm.associations.clear();
    let parsed = parse(&device.to_bytes(Speed::High));
    assert_eq!(
        oddities(&parsed),
        [
            ("bAlternateSetting", Oddity::Duplicate),
            ("bInterfaceNumber", Oddity::Unordered),
            ("bAlternateSetting", Oddity::Unordered)
        ]
    );
    // The first of the two stays, and what was behind the second is not counted to it.
    assert_eq!(parsed.configurations[1].alternate(1, 1).unwrap().endpoints, []);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut bytes = DeviceDescriptor::new(1, 2).to_bytes().to_vec();
    bytes.extend([9, 2, 0xff, 0xff, 1, 1, 0, 0x80, 50]);
    for number in 0..5000u32 {
        bytes.extend([9, 4, number as u8, (number >> 8) as u8, 0, 0xff, 0, 0, 0]);
        bytes.extend([8, 11, 0, 2, 2, 6, 0, 0]);
    }
    let parsed = parse(&bytes);
    assert_eq!(parsed.configurations[0].interfaces.len(), limit::INTERFACES);
    assert_eq!(parsed.configurations[0].associations.len(), limit::ASSOCIATIONS);
    assert_eq!(parsed.findings.len(), limit::FINDINGS + 1);
    assert_eq!(parsed.findings.last().unwrap().oddity, Oddity::MoreFindings);
    assert_eq!(parse(&vec![0x12; 1 << 20].tap_first()).configurations, []);
}

trait TapFirst {
    fn tap_first(self) -> Vec<u8>;
}

impl TapFirst for Vec<u8> {
    /// Puts a device descriptor in front.
    fn tap_first(mut self) -> Vec<u8> {
        self[..18].copy_from_slice(&DeviceDescriptor::new(1, 2).to_bytes());
        self
    }
}

/// What the parser promises of every device it lets through.
fn check(device: &DeviceDescriptors) {
    assert!(device.configurations.len() + device.malformed.len() <= limit::CONFIGURATIONS);
    assert!(device.findings.len() <= limit::FINDINGS + 1);
    for configuration in &device.configurations {
        assert!(configuration.interfaces.len() <= limit::INTERFACES);
        assert!(configuration.associations.len() <= limit::ASSOCIATIONS);
        let mut owner = std::collections::HashMap::new();
        for (index, interface) in configuration.interfaces.iter().enumerate() {
            assert!((1..=limit::ALTERNATES).contains(&interface.alternates.len()));
            for setting in &interface.alternates {
                assert_eq!(setting.interface, interface.number);
                assert!(setting.endpoints.len() <= limit::ENDPOINTS);
                for endpoint in &setting.endpoints {
                    assert!((1..16).contains(&(endpoint.address & 0x7f)));
                    assert!(endpoint.max_packet_size <= 1024 && (1..=3).contains(&endpoint.transactions));
                    assert_eq!(*owner.entry(endpoint.address).or_insert(index), index, "shared endpoint");
                    assert!(matches!(endpoint.direction(), Direction::In | Direction::Out));
                }
            }
        }
    }
    for finding in &device.findings {
        assert!(!finding.to_string().is_empty());
    }
}

fn any_speed() -> impl Strategy<Value = Speed> {
    prop::sample::select(vec![Speed::Low, Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus])
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>, speed in any_speed()) {
        let bytes = [&DeviceDescriptor::new(1, 2).to_bytes()[..], &bytes].concat();
        check(&DeviceDescriptors::parse_at(&bytes, speed).unwrap());
        let _ = DeviceDescriptors::parse(&bytes[18..]);
    }

    #[test]
    fn any_change_of_a_good_device_is_answered(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut: prop::sample::Index,
        speed in any_speed(),
    ) {
        let mut bytes = two_configurations().to_bytes(Speed::High);
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(device) = DeviceDescriptors::parse_at(bytes, speed) {
                check(&device);
                // What was understood is understood again in the same way, and without structural findings.
                let again = DeviceDescriptors::new(device.device, device.configurations);
                let reparsed = DeviceDescriptors::parse_at(&again.to_bytes(speed), speed).unwrap();
                prop_assert!(reparsed.malformed.is_empty());
                prop_assert_eq!(reparsed.configurations.len(), again.configurations.len());
            }
        }
    }
}
