//! Inputs that the fuzz targets start from. They know the targets' input formats and none of their bodies.

use crate::data::DESCRIPTORS;
use crate::hid;
use crate::mutate::Random;
use outboard_core::usb::descriptor::encode_string;
use outboard_usb_ecm::proto::notification::Notification;

/// Real devices' descriptors.
pub fn devices() -> Vec<Vec<u8>> {
    DESCRIPTORS.iter().map(|sample| sample.bytes()).collect()
}

/// Addresses as devices write them, as text and as string descriptors.
pub fn mac_strings() -> Vec<Vec<u8>> {
    let texts = ["400102030405", "00E04C680001", "52:54:00:12:34:56", "ffffffffffff", ""];
    texts.iter().flat_map(|text| [text.as_bytes().to_vec(), encode_string(text)]).collect()
}

/// Each notification whole, split after its header, and twice in one transfer.
pub fn notifications() -> Vec<Vec<u8>> {
    let speed = Notification::Speed { downlink: 480_000_000, uplink: 12_000_000 };
    let all = [Notification::Connection { connected: true }, speed, Notification::ResponseAvailable];
    all.iter()
        .flat_map(|notification| {
            let (bytes, length) = notification.to_bytes(0);
            let whole = &bytes[..length];
            let (header, data) = whole.split_at(8);
            [
                [&[length as u8], whole].concat(),
                [&[8], header, &[data.len() as u8], data].concat(),
                [&[length as u8 * 2], whole, whole].concat(),
            ]
        })
        .collect()
}

/// Long random sequences of events: each byte means something to the machine's player.
pub fn events() -> Vec<Vec<u8>> {
    (1..=8)
        .map(|seed| {
            let mut random = Random::new(seed);
            (0..400).map(|_| random.number() as u8).collect()
        })
        .collect()
}

/// Real HID devices' report descriptors.
pub fn report_descriptors() -> Vec<Vec<u8>> {
    hid::corpus().into_iter().map(|sample| sample.descriptor).collect()
}

/// Reports for real HID devices: which device, then reports with a byte that says how long each is, as `hid_machine` reads them.
pub fn hid_reports() -> Vec<Vec<u8>> {
    let mut random = Random::new(1);
    let number = |random: &mut Random| random.number() as u8;
    (0..64)
        .map(|_| {
            let device = [number(&mut random), number(&mut random)];
            let reports = (0..20).flat_map(|_| {
                let length = number(&mut random) & 31;
                // Mostly reports 1 to 3.
                let id = number(&mut random) % 3 + 1;
                let body: Vec<u8> = (0..length).map(|_| number(&mut random)).collect();
                [&[length + 1, id][..], &body].concat()
            });
            [&device[..], &reports.collect::<Vec<u8>>()].concat()
        })
        .collect()
}
