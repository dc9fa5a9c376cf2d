//! Dongles that are broken or mean, each with what a driver has to make of it. They do not know how a driver finds out.

use std::fmt;

use outboard_core::usb::TransferType;
use outboard_core::usb::descriptor::{Descriptors, kind};
use outboard_core::usb::transport::in_process::DeviceModel;

use super::{
    CONTROL_INTERFACE, DATA_INTERFACE, EcmDongle, EcmOptions, FRAMES_IN, FRAMES_OUT, Functional, MacString,
    NOTIFICATION_IN, NotificationEndpoint,
};
use crate::faulty::{Faulty, Plan};
use crate::wire::Tester;

/// What a driver has to make of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does not start, and its error names the device and at least this. `None`: whatever the driver knows of it.
    Refuse {
        /// bInterfaceNumber.
        interface: Option<u8>,
        /// bEndpointAddress.
        endpoint: Option<u8>,
        /// The field, as its specification spells it.
        field: Option<&'static str>,
    },
    /// It starts; what is wrong is no hindrance.
    Tolerate,
    /// Either, as long as it ends.
    Either,
}

/// A broken dongle.
#[derive(Debug)]
pub struct Broken {
    /// What is wrong.
    pub name: String,
    /// What a driver has to make of it.
    pub verdict: Verdict,
    /// The device.
    pub device: Faulty<EcmDongle<Tester>>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Refused, with this named.
const fn refuse(interface: u8, field: &'static str) -> Verdict {
    Verdict::Refuse { interface: Some(interface), endpoint: None, field: Some(field) }
}

/// Refused for an endpoint of the data interface.
const fn refuse_endpoint(endpoint: u8, field: &'static str) -> Verdict {
    Verdict::Refuse { interface: Some(DATA_INTERFACE), endpoint: Some(endpoint), field: Some(field) }
}

/// Refused, and what is named depends on the place.
const REFUSE: Verdict = Verdict::Refuse { interface: None, endpoint: None, field: None };

/// All of them: everything is at high speed, and different from [`EcmOptions::default`] in one thing.
pub fn all() -> Vec<Broken> {
    let mut list = Vec::new();
    cut(&mut list);
    lengths(&mut list);
    counts(&mut list);
    unions(&mut list);
    functional(&mut list);
    endpoints(&mut list);
    strings(&mut list);
    stalls(&mut list);
    list
}

/// A faultless dongle that vanishes after so many events; see [`Plan::vanish_after`].
pub fn vanishing(after: u32) -> Faulty<EcmDongle<Tester>> {
    planned(EcmOptions::default(), Plan { vanish_after: Some(after), ..Plan::default() })
}

fn planned(options: EcmOptions, plan: Plan) -> Faulty<EcmDongle<Tester>> {
    Faulty::new(EcmDongle::new(options, Tester::new()), plan)
}

fn add_options(list: &mut Vec<Broken>, name: impl Into<String>, verdict: Verdict, options: EcmOptions) {
    list.push(Broken { name: name.into(), verdict, device: planned(options, Plan::default()) });
}

fn add_bytes(list: &mut Vec<Broken>, name: impl Into<String>, verdict: Verdict, bytes: Vec<u8>) {
    let plan = Plan { descriptors: Some(bytes), ..Plan::default() };
    list.push(Broken { name: name.into(), verdict, device: planned(EcmOptions::default(), plan) });
}

/// The faultless dongle's descriptors.
fn whole() -> Vec<u8> {
    EcmDongle::new(EcmOptions::default(), Tester::new()).descriptors()
}

/// Where each descriptor begins, with its bDescriptorType.
fn places(bytes: &[u8]) -> Vec<(usize, u8)> {
    let mut at = 0;
    Descriptors::new(bytes)
        .map(|raw| {
            let place = (at, raw.kind());
            at += raw.length();
            place
        })
        .collect()
}

/// Where the interface descriptor of this interface and setting begins.
fn interface_at(bytes: &[u8], interface: u8, alternate: u8) -> usize {
    let is_it = |&(at, found): &(usize, u8)| {
        found == kind::INTERFACE && bytes[at + 2] == interface && bytes[at + 3] == alternate
    };
    places(bytes).into_iter().find(is_it).map(|(at, _)| at).expect("the dongle has this setting")
}

/// Where the endpoint descriptor of this address begins.
fn endpoint_at(bytes: &[u8], address: u8) -> usize {
    let is_it = |&(at, found): &(usize, u8)| found == kind::ENDPOINT && bytes[at + 2] == address;
    places(bytes).into_iter().find(is_it).map(|(at, _)| at).expect("the dongle has this endpoint")
}

/// Cut off at each byte. The last descriptor is that of the bulk OUT endpoint, so no part of it is enough.
fn cut(list: &mut Vec<Broken>) {
    let bytes = whole();
    for length in 0..bytes.len() {
        let verdict = match length {
            0..18 => {
                let field = Some("bLength of the device descriptor");
                Verdict::Refuse { interface: None, endpoint: None, field }
            }
            _ => REFUSE,
        };
        add_bytes(
            list,
            format!("descriptors cut off after {length} bytes"),
            verdict,
            bytes[..length].to_vec(),
        );
    }
}

/// Lengths that lie.
fn lengths(list: &mut Vec<Broken>) {
    let bytes = whole();
    for (at, found) in places(&bytes) {
        let declared = bytes[at];
        for lie in [0, 1, declared - 1, declared + 1, 255] {
            let mut bytes = bytes.clone();
            bytes[at] = lie;
            // Out of step by one, what follows may or may not make sense.
            let verdict = if lie.abs_diff(declared) == 1 { Verdict::Either } else { REFUSE };
            let name = format!("bLength of descriptor {found:#04x} at {at} is {lie}, not {declared}");
            add_bytes(list, name, verdict, bytes);
        }
    }
    for total in [0, 9, 60, u16::MAX] {
        let mut bytes = bytes.clone();
        bytes[18 + 2..][..2].copy_from_slice(&u16::to_le_bytes(total));
        add_bytes(list, format!("wTotalLength is {total}"), Verdict::Tolerate, bytes);
    }
}

/// Counts that lie: what is there counts, but endpoints beyond bNumEndpoints are left out, as Linux does.
fn counts(list: &mut Vec<Broken>) {
    let bytes = whole();
    let data = interface_at(&bytes, DATA_INTERFACE, 1);
    for (name, at) in [("bNumConfigurations", 17), ("bNumInterfaces", 18 + 4), ("bNumEndpoints", data + 4)] {
        for lie in [0, 255] {
            let mut bytes = bytes.clone();
            bytes[at] = lie;
            let verdict = match (name, lie) {
                ("bNumEndpoints", 0) => refuse(DATA_INTERFACE, name),
                _ => Verdict::Tolerate,
            };
            add_bytes(list, format!("{name} is {lie}"), verdict, bytes);
        }
    }
}

fn unions(list: &mut Vec<Broken>) {
    const UNION: u8 = 0x06;
    let control = |field| refuse(CONTROL_INTERFACE, field);
    let (none, own, data) = (9, CONTROL_INTERFACE, DATA_INTERFACE);
    for (name, numbers, verdict) in [
        ("control interface does not exist", [none, data], control("bControlInterface")),
        ("data interface does not exist", [own, none], control("bSubordinateInterface0")),
        ("interfaces do not exist", [none, none + 1], control("bControlInterface")),
        ("interfaces are both the data interface", [data, data], control("bControlInterface")),
        ("interfaces are interchanged", [data, own], Verdict::Tolerate),
        (
            "interfaces are both the control interface",
            [own, own],
            Verdict::Refuse {
                interface: Some(own),
                endpoint: Some(NOTIFICATION_IN),
                field: Some("bmAttributes"),
            },
        ),
    ] {
        let union = Functional::Odd(vec![UNION, numbers[0], numbers[1]]);
        add_options(
            list,
            format!("the Union's {name}"),
            verdict,
            EcmOptions { union, ..EcmOptions::default() },
        );
    }
    for (name, union) in [
        ("not there", Functional::Absent),
        ("there twice", Functional::Twice),
        ("too short", Functional::Odd(vec![UNION, own])),
        ("255 bytes long", Functional::Odd([&[UNION, own, data][..], &[data; 250]].concat())),
    ] {
        let options = EcmOptions { union, ..EcmOptions::default() };
        add_options(list, format!("the Union is {name}"), Verdict::Tolerate, options);
    }
}

fn functional(list: &mut Vec<Broken>) {
    let subtype = refuse(CONTROL_INTERFACE, "bDescriptorSubtype");
    for how in
        [Functional::Absent, Functional::Twice, Functional::Odd(vec![0x42; 40]), Functional::Odd(vec![])]
    {
        let header = EcmOptions { header: how.clone(), ..EcmOptions::default() };
        add_options(list, format!("the Header is {how:?}"), subtype, header);
        let ethernet = EcmOptions { ethernet: how.clone(), ..EcmOptions::default() };
        add_options(list, format!("Ethernet Networking is {how:?}"), subtype, ethernet);
    }
    let segment = refuse(CONTROL_INTERFACE, "wMaxSegmentSize");
    for (max_segment_size, verdict) in [
        (0, Verdict::Tolerate),
        (1, segment),
        (59, segment),
        (60, Verdict::Tolerate),
        (u16::MAX, Verdict::Tolerate),
    ] {
        let options = EcmOptions { max_segment_size, ..EcmOptions::default() };
        add_options(list, format!("wMaxSegmentSize is {max_segment_size}"), verdict, options);
    }
    let most = EcmOptions { multicast_filters: 0x7fff, statistics: u32::MAX, ..EcmOptions::default() };
    add_options(list, "all filters and statistics are offered", Verdict::Tolerate, most);
}

fn endpoints(list: &mut Vec<Broken>) {
    let bytes = whole();
    let missing = refuse(DATA_INTERFACE, "bNumEndpoints");
    for (name, address) in [("IN", FRAMES_IN), ("OUT", FRAMES_OUT)] {
        let at = endpoint_at(&bytes, address);
        let without = [&bytes[..at], &bytes[at + 7..]].concat();
        add_bytes(list, format!("there is no bulk {name} endpoint"), missing, without);
        for wrong in [TransferType::Interrupt, TransferType::Isochronous, TransferType::Control] {
            let verdict = refuse_endpoint(address, "bmAttributes");
            add_bytes(
                list,
                format!("the bulk {name} endpoint is {wrong}"),
                verdict,
                edit(&bytes, at + 3, &[wrong.bits()]),
            );
        }
        let verdict = refuse_endpoint(address, "wMaxPacketSize");
        add_bytes(
            list,
            format!("wMaxPacketSize of bulk {name} is 0"),
            verdict,
            edit(&bytes, at + 4, &[0, 0]),
        );
        let huge = edit(&bytes, at + 4, &[0xff, 0xff]);
        add_bytes(list, format!("wMaxPacketSize of bulk {name} is 65535"), Verdict::Tolerate, huge);
    }
    let (at_in, at_out) = (endpoint_at(&bytes, FRAMES_IN), endpoint_at(&bytes, FRAMES_OUT));
    for (name, at, address) in [
        ("bulk OUT has bulk IN's address", at_out, FRAMES_IN),
        ("bulk IN has bulk OUT's address", at_in, FRAMES_OUT),
        ("bulk IN has the notifications' address", at_in, NOTIFICATION_IN),
        ("bulk IN has address 0x80", at_in, 0x80),
        ("bulk OUT has address 0", at_out, 0),
        ("bulk IN is an OUT endpoint", at_in, 0x02),
    ] {
        add_bytes(list, name, missing, edit(&bytes, at + 2, &[address]));
    }
    let data = interface_at(&bytes, DATA_INTERFACE, 0);
    let other_class =
        edit(&edit(&bytes, data + 5, &[0xff]), interface_at(&bytes, DATA_INTERFACE, 1) + 5, &[0xff]);
    add_bytes(
        list,
        "the data interface is the vendor's",
        refuse(DATA_INTERFACE, "bInterfaceClass"),
        other_class,
    );
    let only_setting = [&bytes[..interface_at(&bytes, DATA_INTERFACE, 1)]].concat();
    add_bytes(list, "the data interface has only the setting without endpoints", missing, only_setting);
    let control = interface_at(&bytes, CONTROL_INTERFACE, 0);
    add_bytes(list, "no interface is ECM", REFUSE, edit(&bytes, control + 6, &[0]));
    let at = endpoint_at(&bytes, NOTIFICATION_IN);
    for (name, offset, value) in [
        ("is an OUT endpoint", 2, &[0x01][..]),
        ("is bulk", 3, &[TransferType::Bulk.bits()]),
        ("has packets of 0 bytes", 4, &[0, 0]),
        ("has packets of 7 bytes", 4, &[7, 0]),
        ("has bInterval 0", 6, &[0]),
    ] {
        add_bytes(
            list,
            format!("the interrupt endpoint {name}"),
            Verdict::Tolerate,
            edit(&bytes, at + offset, value),
        );
    }
    let silent = EcmOptions { notification: None, ..EcmOptions::default() };
    add_options(list, "there is no interrupt endpoint", Verdict::Tolerate, silent);
    let eight = Some(NotificationEndpoint { packet_size: 8, interval: Some(255) });
    let eight = EcmOptions { notification: eight, ..EcmOptions::default() };
    add_options(list, "bInterval is 255", Verdict::Tolerate, eight);
}

fn edit(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

/// Strings of any content: a MAC address can be made up.
fn strings(list: &mut Vec<Broken>) {
    let texts = [
        "",
        "5",
        "525400E0CC0",
        "525400E0CC012",
        "52:54:00:E0:CC:01",
        "52540OE0CC01",
        "000000000000",
        "FFFFFFFFFFFF",
    ];
    let texts = texts.map(|text| MacString::Text(text.into()));
    let raws: [&[u8]; 8] = [
        &[],
        &[4],
        &[0, 3],
        &[2, 3],
        &[26, 2, 0x35, 0],
        &[255, 3, 0x35, 0],
        &[7, 3, 0, 0xd8, 0xff],
        &[3; 255],
    ];
    let raws = raws.map(|raw| MacString::Raw(raw.into()));
    for mac in texts.into_iter().chain(raws).chain([MacString::Stalls, MacString::Absent]) {
        let name = format!("the MAC string is {mac:02x?}");
        add_options(list, name, Verdict::Tolerate, EcmOptions { mac, ..EcmOptions::default() });
    }
}

fn stalls(list: &mut Vec<Broken>) {
    let none = Plan::default();
    let data = Verdict::Refuse { interface: Some(DATA_INTERFACE), endpoint: None, field: None };
    let everything =
        Plan { stall_requests: true, stall_packets: true, stall_alternates: true, ..Plan::default() };
    for (name, verdict, plan) in [
        (
            "every request and string is stalled",
            Verdict::Tolerate,
            Plan { stall_requests: true, ..none.clone() },
        ),
        ("every packet is stalled", Verdict::Either, Plan { stall_packets: true, ..none.clone() }),
        ("every alternate setting is stalled", data, Plan { stall_alternates: true, ..none }),
        ("everything is stalled", data, everything),
    ] {
        list.push(Broken { name: name.into(), verdict, device: planned(EcmOptions::default(), plan) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_is_another_one_and_says_so() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|broken| &broken.name).collect();
        assert_eq!(names.len(), all.len());
        let said: BTreeSet<_> = all.iter().map(|broken| broken.device.descriptors()).collect();
        // Those that differ in strings and STALLs have the same descriptors.
        assert!(said.len() > 200, "{}", said.len());
    }
}
