//! Descriptors, and traces of transfers.

use std::collections::HashMap;

use crate::capture::Capture;
use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::{Configuration, DeviceDescriptors, Languages, StringDescriptor, limit};
use outboard_core::usb::trace::{Options, Tracer};
use outboard_core::usb::transfer::{Operation, Token};
use outboard_core::usb::transport::DeviceInfo;
use outboard_core::usb::transport::record::Event;

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

/// A device's descriptors at the begin of a trace, and the bytes as a trace.
pub fn trace(data: &[u8]) {
    let value = data.get(23).copied();
    let info = DeviceInfo {
        name: "1-2".into(),
        speed: SPEEDS[data.len() % SPEEDS.len()],
        descriptors: data.to_vec(),
        configuration: value,
    };
    let mut tracer = Tracer::new(&info, &Options::default());
    let mut out = Vec::new();
    tracer.begin(1, &Default::default(), &mut out);
    let begin = Capture::parse(&out).expect("what we wrote").records;
    assert!((2..=2 * 257).contains(&begin.len()) && begin.iter().all(|record| record.remark.is_some()));
    let kept: usize = begin.iter().map(|record| record.data.len()).sum();
    assert!(kept <= data.len(), "no byte is told twice");
    let operation = Operation::SetConfiguration(value.unwrap_or(1));
    tracer.event(2, &Event::Submitted { token: Token(0), operation: &operation, data: &[] }, &mut out);
    let completed = Event::Completed { token: Token(0), operation: &operation, status: Ok(0), data: &[] };
    tracer.event(3, &completed, &mut out);
    tracer.end(4, &mut out);
    let capture = Capture::parse(&out).expect("what we wrote");
    assert_eq!(capture.counted, Some(capture.records.len() as u64));
    assert_eq!(capture.on_the_bus().count(), 2);
    // The judge of traces must not fall either.
    if let Ok(capture) = Capture::parse(data) {
        assert!(capture.records.len() <= data.len() / 96);
    }
}
