//! Inputs that the fuzz targets start from. They know the targets' input formats and none of their bodies.

use crate::data::DESCRIPTORS;
use crate::hid;
use crate::mutate::Random;
use outboard_core::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, Endpoint, encode_string,
};
use outboard_core::usb::trace::{Options, Tracer};
use outboard_core::usb::transport::DeviceInfo;
use outboard_core::usb::usbip::operation::{self, Exported, Request};
use outboard_core::usb::usbip::urb::{Command, Reply, Returned, Submit, flags};
use outboard_core::usb::{Direction, SetupPacket, Speed};
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

/// Descriptors, and a trace of one of them.
pub fn traces() -> Vec<Vec<u8>> {
    let mut seeds = devices();
    let info = DeviceInfo {
        name: "1-2".into(),
        speed: Speed::High,
        descriptors: seeds[0].clone(),
        configuration: Some(1),
    };
    let (mut tracer, mut trace) = (Tracer::new(&info, &Options::default()), Vec::new());
    tracer.begin(1, &Default::default(), &mut trace);
    tracer.end(2, &mut trace);
    seeds.push(trace);
    seeds
}

/// What a USB/IP client sends.
pub fn usbip_commands() -> Vec<Vec<u8>> {
    let submit = Submit {
        seqnum: 7,
        devid: 0x0001_0002,
        direction: Direction::Out,
        endpoint: 2,
        flags: flags::ZERO_PACKET,
        length: 1514,
        interval: 0,
        setup: SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]),
    };
    let unlink = Command::Unlink { seqnum: 8, devid: 0x0001_0002, victim: 7 };
    let import = Request::import("1-1").map(|request| request.to_vec());
    vec![
        import.unwrap_or_default(),
        Request::list().to_vec(),
        [submit.to_bytes(), unlink.to_bytes()].concat(),
        Command::Submit(Submit { direction: Direction::In, endpoint: 0, ..submit }).to_bytes().to_vec(),
    ]
}

/// Replies to the sixteen transfers and five unlinks that the client under test has out.
fn usbip_returns() -> Vec<Vec<u8>> {
    let returned = |seqnum, length: u32| {
        let reply = Reply::Returned(Returned { seqnum, status: 0, actual_length: length });
        [&reply.to_bytes()[..], &vec![7; length as usize]].concat()
    };
    let unlinked = |seqnum, status| Reply::Unlinked { seqnum, status }.to_bytes().to_vec();
    vec![
        // An IN transfer of up to 1514 bytes, one of up to 5, and an OUT transfer, whose length no data follows.
        [returned(4, 1500), returned(2, 5), returned(1, 0)].concat(),
        [unlinked(17, Reply::UNLINKED), unlinked(18, 0), returned(6, 0), unlinked(19, -71)].concat(),
        [returned(10, 4000), unlinked(20, 0), returned(12, 3)].concat(),
    ]
}

/// What a USB/IP server sends.
pub fn usbip_replies() -> Vec<Vec<u8>> {
    let device = Exported {
        path: "/sys/devices/x/1-1".into(),
        bus_id: "1-1".into(),
        bus: 1,
        device: 2,
        speed: 3,
        vendor_id: 0x0525,
        product_id: 0xa4a2,
        release: 0x0100,
        class: [2, 0, 0],
        configuration: 1,
        configurations: 2,
        interfaces: vec![[2, 6, 0]],
    };
    let mut seeds = usbip_returns();
    seeds.push(operation::import_answer(Ok(&device)));
    seeds.push(operation::list_answer([device.clone()].iter()));
    seeds.push(device.to_bytes().to_vec());
    seeds
}

/// The same for a client with transfers out; the first byte says in which pieces they come.
pub fn usbip_sessions() -> Vec<Vec<u8>> {
    let cut = |cut: u8| usbip_returns().into_iter().map(move |stream| [&[cut][..], &stream].concat());
    cut(255).chain(cut(1)).chain(cut(48)).collect()
}

/// What a client of the USB/IP server says, behind the byte that tells how it reads: nothing, a list, and an imported dongle's start.
pub fn usbip_conversations() -> Vec<Vec<u8>> {
    let submit = |seqnum, direction, endpoint, length, setup: [u8; 8]| {
        Submit {
            seqnum,
            devid: 0x0001_0002,
            direction,
            endpoint,
            flags: 0,
            length,
            interval: 0,
            setup: SetupPacket::from_bytes(setup),
        }
        .to_bytes()
    };
    let (is_in, out) = (Direction::In, Direction::Out);
    let conversation = [
        &submit(1, is_in, 0, 18, [0x80, 6, 0, 1, 0, 0, 18, 0])[..],
        &submit(2, out, 0, 0, [0x00, 9, 1, 0, 0, 0, 0, 0]),
        &submit(3, out, 0, 0, [0x01, 11, 1, 0, 1, 0, 0, 0]),
        &submit(4, out, 0, 0, [0x21, 0x43, 0x1f, 0, 0, 0, 0, 0]),
        &submit(5, is_in, 2, 2048, [0; 8]),
        &submit(6, is_in, 1, 16, [0; 8]),
        &submit(7, out, 3, 60, [0; 8]),
        &[2; 60],
        &Command::Unlink { seqnum: 8, devid: 0x0001_0002, victim: 5 }.to_bytes(),
    ]
    .concat();
    let mut seeds = vec![vec![0], [&[0x3f][..], &Request::list()].concat()];
    seeds.extend([0x80, 0xbf, 0xff, 0xc7].map(|how| [&[how][..], &conversation].concat()));
    seeds
}

/// Manifests: the built-in ones, and one that says all that can be said.
pub fn manifests() -> Vec<Vec<u8>> {
    let full = "name = 'a-1'\nversion = '1.2.3-rc.1+x'\ndisplay-name = 'A'\nusage-description = \"B\"\nprogram = '/b/c'\n\
        family = 'serial'\npriority = -7\nentitlements = ['transport.usb', 'family.serial']\n[[match]]\nvendor-id = 0x0403\n\
        product-id = [0x6001, 24597]\ndevice-version = { min = 0x0200, max = 0x0699 }\nserial-number = 'F'\nport = ['1-2', '3-4.1']\n\
        device-class = 0\ndevice-subclass = 0\ndevice-protocol = 0\ninterface-class = 0xff\ninterface-subclass = 0xff\n\
        interface-protocol = [0xff, 1]\ninterface-number = 0\nconfiguration = 1\nspeed = ['full', 'high']\n[[match]]\nport = '1-1'\n";
    [full, outboard_usb_ecm::matching::MANIFEST, outboard_usb_serial_ftdi::matching::MANIFEST]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
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
