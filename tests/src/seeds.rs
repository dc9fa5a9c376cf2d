//! Inputs that the fuzz targets start from. They know the targets' input formats and none of their bodies.

use crate::data::DESCRIPTORS;
use crate::mutate::Random;
use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, Endpoint, encode_string,
};
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

/// Descriptors of FTDI chips: one with one port, one with two.
pub fn chips() -> Vec<Vec<u8>> {
    [(0x6001, 0x0600, 1, 64), (0x6010, 0x0700, 2, 512)]
        .map(|(product, version, interfaces, packet_size)| {
            let mut device = DeviceDescriptor::new(0x0403, product);
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
            DeviceDescriptors::new(device, vec![configuration]).to_bytes(Speed::High)
        })
        .into()
}

/// Transfers of an FTDI chip behind their packet size and the status before.
pub fn transfers() -> Vec<Vec<u8>> {
    let packet = |length: usize, line: u8| [vec![0x01, line], vec![0x55; length]].concat();
    let one = [&[64, 0, 0x01, 0x60][..], &packet(3, 0x60)].concat();
    let many = [&[64, 0, 0x11, 0x60][..], &packet(62, 0x60), &packet(62, 0x1e), &packet(0, 0x60)].concat();
    let fast = [&[0, 2, 0x01, 0x60][..], &packet(510, 0x00), &packet(100, 0x64), &[0x01]].concat();
    vec![one, many, fast]
}

/// Rates, at the edges of what chips can do.
pub fn rates() -> Vec<Vec<u8>> {
    let rates =
        [0u32, 1, 50, 183, 732, 1199, 1200, 9600, 115_200, 2_500_000, 3_000_000, 12_000_000, u32::MAX];
    rates.map(|rate| rate.to_le_bytes().into()).into()
}
