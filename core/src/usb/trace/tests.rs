//! What the tracer makes of events, record by record.

use super::usbmon::{Header, event, no_data};
use super::*;
use crate::usb::transfer::{Operation, Token, TransferError};
use crate::usb::transport::DeviceInfo;
use crate::usb::transport::record::Event;
use crate::usb::{Direction, Recipient, RequestKind, SetupPacket, Speed, TransferType};

/// A record of a trace: its time, header, data, and its length before data was left out.
#[derive(Debug, Clone, PartialEq)]
struct Record {
    time: u64,
    header: Header,
    data: Vec<u8>,
    original: usize,
    comment: bool,
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// The packets; whatever else there is must be whole as well.
fn records(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (kind, length) = (word(bytes, 0), word(bytes, 4));
        let (block, rest) = bytes.split_at(length);
        assert_eq!((length % 4, word(block, length - 4)), (0, length));
        bytes = rest;
        if kind == 6 {
            let captured = word(block, 20);
            let padded = captured.next_multiple_of(4);
            let packet = &block[28..28 + captured];
            records.push(Record {
                time: (word(block, 12) as u64) << 32 | word(block, 16) as u64,
                header: Header::from_bytes(packet[..64].try_into().unwrap()),
                data: packet[64..].to_vec(),
                original: word(block, 24) - 64,
                comment: length > 32 + padded,
            });
        }
    }
    records
}

/// High speed; an interrupt endpoint, bulk both ways; a second configuration with nothing in it.
fn device() -> DeviceInfo {
    let mut descriptors = vec![18, 1, 0, 2, 0, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 0, 0, 0, 2];
    descriptors.extend([9, 2, 39, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 3, 0xff, 0, 0, 0]);
    descriptors.extend([7, 5, 0x81, 2, 0, 2, 0, 7, 5, 0x02, 2, 0, 2, 0, 7, 5, 0x83, 3, 16, 0, 9]);
    descriptors.extend([9, 2, 18, 0, 1, 2, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xff, 0, 0, 0]);
    DeviceInfo { name: "1-2".into(), speed: Speed::High, descriptors, configuration: Some(1) }
}

fn traced(info: &DeviceInfo, payload: Payload, events: &[Event<'_>]) -> Vec<Record> {
    let options = Options { address: Address { bus: 1, device: 7 }, payload };
    let mut tracer = Tracer::new(info, &options);
    let mut out = Vec::new();
    tracer.begin(1_700_000_000_123_456_789, &Default::default(), &mut out);
    let begin = records(&out).len();
    for event in events {
        tracer.event(1_700_000_001_000_000_001, event, &mut out);
    }
    tracer.end(1_700_000_002_000_000_000, &mut out);
    let mut all = records(&out);
    if events.is_empty() { all } else { all.split_off(begin) }
}

const fn transfer(endpoint: u8, transfer_type: TransferType, request: usize) -> Operation {
    Operation::Transfer { endpoint, transfer_type, request, zero_packet: true }
}

fn both<'a>(
    operation: &'a Operation,
    out: &'a [u8],
    status: Result<usize, TransferError>,
    data: &'a [u8],
) -> [Event<'a>; 2] {
    let token = Token(4);
    [Event::Submitted { token, operation, data: out }, Event::Completed { token, operation, status, data }]
}

#[test]
fn a_trace_begins_with_the_descriptors_the_active_configuration_last() {
    let records = traced(&device(), Payload::None, &[]);
    let requests: Vec<_> = records.iter().step_by(2).map(|record| record.header.setup).collect();
    assert_eq!(
        requests,
        [[0x80, 6, 0, 1, 0, 0, 18, 0], [0x80, 6, 1, 2, 0, 0, 18, 0], [0x80, 6, 0, 2, 0, 0, 39, 0]]
    );
    let lengths: Vec<_> = records.iter().map(|record| record.data.len()).collect();
    assert_eq!(lengths, [0, 18, 0, 18, 0, 39]);
    assert!(records.iter().all(|record| record.comment && record.time == 1_700_000_000_123_456_789));
    let Header { seconds, microseconds, bus, device, .. } = records[0].header;
    assert_eq!((seconds, microseconds, bus, device), (1_700_000_000, 123_456, 1, 7));
}

#[test]
fn a_bulk_transfer_each_way() {
    let operation = transfer(0x02, TransferType::Bulk, 0);
    let out = traced(&device(), Payload::All, &both(&operation, b"frame", Ok(5), &[]));
    let submit = Header {
        id: 5,
        event: event::SUBMIT,
        transfer_type: 3,
        endpoint: 0x02,
        device: 7,
        bus: 1,
        setup_flag: b'-',
        data_flag: 0,
        seconds: 1_700_000_001,
        status: -115,
        length: 5,
        captured: 5,
        flags: 0x40,
        ..Header::default()
    };
    assert_eq!((&out[0].header, &out[0].data[..]), (&submit, &b"frame"[..]));
    let complete =
        Header { event: event::COMPLETE, data_flag: no_data::OUT, status: 0, captured: 0, ..submit };
    assert_eq!((&out[1].header, &out[1].data[..]), (&complete, &[][..]));
    assert_eq!(out[1].time, 1_700_000_001_000_000_001);

    let operation = transfer(0x81, TransferType::Bulk, 2048);
    let out = traced(&device(), Payload::All, &both(&operation, &[], Ok(3), b"abc"));
    let submit =
        Header { endpoint: 0x81, data_flag: no_data::IN, length: 2048, captured: 0, flags: 0x200, ..submit };
    assert_eq!((&out[0].header, &out[0].data[..]), (&submit, &[][..]));
    let complete =
        Header { event: event::COMPLETE, data_flag: 0, status: 0, length: 3, captured: 3, ..submit };
    assert_eq!((&out[1].header, &out[1].data[..]), (&complete, &b"abc"[..]));
}

#[test]
fn control_transfers_have_their_setup_packet_at_the_submission() {
    let (class, interface) = (RequestKind::Class, Recipient::Interface);
    let setup = SetupPacket::new(Direction::In, class, interface, 0x44, 1, 2, 4);
    let operation = Operation::Control(setup);
    let records = traced(&device(), Payload::All, &both(&operation, &[], Err(TransferError::Stall), &[]));
    let headers: Vec<_> = records
        .iter()
        .map(|Record { header: h, .. }| (h.endpoint, h.setup_flag, h.setup, h.status, h.length))
        .collect();
    assert_eq!(headers, [(0x80, 0, setup.to_bytes(), -115, 4), (0x80, b'-', [0; 8], -32, 0)]);
}

#[test]
fn what_the_system_does_by_calls_is_the_control_transfer_that_it_is() {
    for (operation, setup) in [
        (Operation::SetConfiguration(2), [0, 9, 2, 0, 0, 0, 0, 0]),
        (Operation::SetInterface { interface: 1, alternate: 3 }, [1, 11, 3, 0, 1, 0, 0, 0]),
        (Operation::ClearHalt { endpoint: 0x81 }, [2, 1, 0, 0, 0x81, 0, 0, 0]),
    ] {
        let records = traced(&device(), Payload::All, &both(&operation, &[], Ok(0), &[]));
        assert_eq!((records[0].header.setup, records[0].header.data_flag), (setup, 0));
        assert_eq!((records[1].header.status, records[1].header.data_flag), (0, no_data::OUT));
        let more = if matches!(operation, Operation::SetConfiguration(_)) { 2 } else { 0 };
        assert_eq!(records.len(), 2 + more, "a new configuration's descriptor follows");
    }
    let reset = both(&Operation::Reset, &[], Ok(0), &[]).to_vec();
    assert_eq!(traced(&device(), Payload::All, &reset), []);
}

#[test]
fn intervals_are_those_of_the_selected_configuration() {
    let operation = transfer(0x83, TransferType::Interrupt, 16);
    let mut events = both(&operation, &[], Ok(0), &[]).to_vec();
    events.extend(both(&Operation::SetConfiguration(2), &[], Ok(0), &[]));
    events.extend(both(&operation, &[], Ok(0), &[]));
    let records = traced(&device(), Payload::All, &events);
    let intervals: Vec<_> =
        records.iter().filter(|r| r.header.endpoint == 0x83).map(|r| r.header.interval).collect();
    assert_eq!(intervals, [256, 256, 0, 0]);
}

#[test]
fn every_end_has_the_kernels_number() {
    for (error, number) in [
        (TransferError::Stall, -32),
        (TransferError::Fault, -71),
        (TransferError::Overflow, -75),
        (TransferError::Unplugged, -108),
        (TransferError::Cancelled, -2),
        (TransferError::TimedOut, -110),
        (TransferError::Refused(12), -12),
        (TransferError::Refused(0), -5),
        (TransferError::Refused(i32::MIN), -5),
    ] {
        let operation = transfer(0x81, TransferType::Bulk, 64);
        let token = Token(0);
        let events = [
            Event::Submitted { token, operation: &operation, data: &[] },
            Event::Rejected { token, operation: &operation, error },
            Event::Cancelled { token },
            Event::Completed { token, operation: &operation, status: Err(error), data: b"x" },
        ];
        let records = traced(&device(), Payload::All, &events);
        let kinds: Vec<_> = records.iter().map(|r| (r.header.event, r.header.status)).collect();
        assert_eq!(kinds, [(b'S', -115), (b'E', number), (b'C', number)]);
        assert_eq!((records[1].header.data_flag, &records[2].data[..]), (b'E', &b"x"[..]));
    }
}

#[test]
fn payload_is_left_out_but_for_descriptors() {
    let read = transfer(0x83, TransferType::Interrupt, 64);
    let write = transfer(0x02, TransferType::Bulk, 0);
    let (class, standard) = (RequestKind::Class, RequestKind::Standard);
    let report =
        Operation::Control(SetupPacket::new(Direction::Out, class, Recipient::Interface, 9, 0, 0, 6));
    let string =
        Operation::Control(SetupPacket::new(Direction::In, standard, Recipient::Device, 6, 0x0301, 0, 255));
    let mut events = both(&read, &[], Ok(6), b"secret").to_vec();
    events.extend(both(&write, b"secret", Ok(6), &[]));
    events.extend(both(&report, b"secret", Ok(6), &[]));
    events.extend(both(&string, &[], Ok(6), b"\x06\x03a\0b\0"));
    for (payload, kept) in [(Payload::None, 0), (Payload::First(2), 2), (Payload::First(100), 6)] {
        let records = traced(&device(), payload, &events);
        let with: Vec<_> = [1, 2, 4].map(|at| &records[at]).into_iter().collect();
        for record in with {
            assert_eq!(record.data, b"secret"[..kept]);
            assert_eq!((record.original, record.header.length), (6, 6));
            assert_eq!(record.header.captured, kept as u32);
            let flag = if kept == 0 { no_data::NOT_CAPTURED } else { 0 };
            assert_eq!(record.header.data_flag, flag);
        }
        assert_eq!(records[7].data, b"\x06\x03a\0b\0");
    }
}

#[test]
fn a_transfer_is_never_longer_than_readers_take() {
    let data = vec![7; 400_000];
    let operation = transfer(0x02, TransferType::Bulk, 0);
    let records = traced(&device(), Payload::First(usize::MAX), &both(&operation, &data, Ok(400_000), &[]));
    assert_eq!((records[0].data.len() + 64, records[0].original), (262_144, 400_000));
}

#[test]
fn descriptors_that_lie_end_where_they_end() {
    for (descriptors, expected) in [
        (vec![], 2),
        (vec![18, 1], 2),
        // wTotalLength beyond the end, and below the least.
        ([&[0; 18][..], &[9, 2, 0xff, 0xff, 0, 1, 0, 0, 0]].concat(), 4),
        ([&[0; 18][..], &[9, 2, 8, 0, 0, 1, 0, 0, 0]].concat(), 2),
        ([&[0; 18][..], &[9, 2, 9, 0, 0, 1, 0, 0, 0].repeat(300)].concat(), 2 + 2 * 256),
    ] {
        let info = DeviceInfo { descriptors, ..device() };
        assert_eq!(traced(&info, Payload::All, &[]).len(), expected);
    }
}

#[test]
fn payloads_are_spelt() {
    assert_eq!("all".parse(), Ok(Payload::All));
    assert_eq!("none".parse(), Ok(Payload::None));
    assert_eq!("64".parse(), Ok(Payload::First(64)));
    for text in ["", "All", "-1", "64k"] {
        assert_eq!(text.parse::<Payload>(), Err(ParsePayloadError));
    }
}
