//! Peers that do not behave: wrong fields, cut connections, any bytes. Each ends alone, with the field named.

use std::time::Duration;

use outboard_core::usb::usbip::BadMessage;
use outboard_core::usb::usbip::operation::Request;
use outboard_core::usb::usbip::urb::{Command, MOST_DATA, Submit};
use outboard_core::usb::{Direction, Recipient, SetupPacket, standard};
use outboard_virtual_devices::ecm::{FRAMES_IN, FRAMES_OUT};
use outboard_virtual_devices::usbip::{PeerError, REQUEST_TIMEOUT};
use proptest::prelude::*;

use super::client::{Answer, ByHand, Client};
use super::session::{Dongle, exports, started};
use outboard_virtual_devices::ecm::EcmOptions;

/// What the server makes of these bytes from a client that has a device and a transfer in flight.
fn refused(make: impl FnOnce(&Client<ByHand>, u32) -> Vec<u8>) -> BadMessage {
    let (exports, _dongle, mut client) = started();
    let pending = client.submit_in(FRAMES_IN, 64);
    let bytes = make(&client, pending);
    let error = client.way.try_send(&bytes).expect_err("it is wrong");
    assert!(client.way.session.is_over() && !exports.is_taken("1-1"), "the device is free again");
    assert!(Client::new(ByHand::new(&exports), "1-1").is_ok());
    match error {
        PeerError::Message(message) => message,
        other => panic!("{other}"),
    }
}

#[test]
fn each_wrong_field_is_named() {
    let words = |at: usize, value: u32| {
        move |client: &Client<ByHand>, _| {
            let mut bytes = client.transfer(Direction::In, FRAMES_IN & 0x7f, 64).to_bytes();
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            bytes.to_vec()
        }
    };
    for (at, value, field) in [
        (0, 3, "command"),
        (4, 0, "seqnum"),
        (8, 0x0001_0003, "devid"),
        (12, 2, "direction"),
        (16, 16, "ep"),
        (24, MOST_DATA + 1, "transfer_buffer_length"),
        (32, 1, "number_of_packets"),
    ] {
        assert_eq!(refused(words(at, value)).field, field);
    }
    let again = refused(|client, pending| {
        Submit { seqnum: pending, ..client.transfer(Direction::In, 2, 64) }.to_bytes().to_vec()
    });
    assert_eq!(again.to_string(), "seqnum is 4, which is still in flight");
    let unlink = refused(|client, pending| {
        Command::Unlink { seqnum: pending, devid: client.devid, victim: pending }.to_bytes().to_vec()
    });
    assert_eq!(unlink.field, "seqnum");
    let foreign = refused(|client, pending| {
        Command::Unlink { seqnum: client.next, devid: 7, victim: pending }.to_bytes().to_vec()
    });
    assert_eq!(foreign.to_string(), "devid is 0x7; 0x10002 was imported");
    let setup = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
    let direction = refused(|client, _| {
        let submit = Submit { setup, ..client.transfer(Direction::Out, 0, 18) };
        [&submit.to_bytes()[..], &[0; 18]].concat()
    });
    assert_eq!(direction.to_string(), "direction is not that of bmRequestType, 0x80");
    let setup = SetupPacket { request_type: 0, ..setup };
    let length = refused(|client, _| {
        let submit = Submit { setup, ..client.transfer(Direction::Out, 0, 5) };
        [&submit.to_bytes()[..], &[0; 5]].concat()
    });
    assert_eq!(length.to_string(), "transfer_buffer_length is 5; wLength of the setup packet is 18");
}

#[test]
fn requests_that_are_none_end_the_connection() {
    let (exports, _) = exports(&[EcmOptions::default()]);
    let says = |bytes: &[u8]| match ByHand::new(&exports).try_send(bytes) {
        Err(PeerError::Message(message)) => message.field,
        other => panic!("{other:?}"),
    };
    assert_eq!(says(b"GET / HT"), "version");
    assert_eq!(says(&[1, 0x11, 0, 5, 0, 0, 0, 0]), "code");
    let mut import = Request::import("1-1").unwrap();
    import[8..].fill(b'1');
    assert_eq!(says(&import), "busid");
    let mut silent = ByHand::new(&exports);
    silent.try_send(&import[..20]).unwrap();
    silent.now += REQUEST_TIMEOUT - Duration::from_nanos(1);
    assert_eq!(silent.turn(), Ok(Some(silent.now + Duration::from_nanos(1))));
    silent.now += Duration::from_nanos(1);
    assert_eq!(silent.turn(), Err(PeerError::Silent));
}

/// A conversation that is right, as bytes, with frames for and from the dongle.
fn conversation() -> Vec<u8> {
    let (_exports, _dongle, client) = started();
    let mut seqnum = 0;
    let mut bytes = Request::import("1-1").unwrap().to_vec();
    let mut add = |submit: Submit, data: &[u8]| {
        seqnum += 1;
        bytes.extend(Submit { seqnum, ..submit }.to_bytes());
        bytes.extend(data);
    };
    let control = |setup: [u8; 8]| {
        let setup = SetupPacket::from_bytes(setup);
        let direction = if setup.length > 0 { setup.direction() } else { Direction::Out };
        Submit { setup, ..client.transfer(direction, 0, setup.length.into()) }
    };
    add(control([0x80, 6, 0, 1, 0, 0, 18, 0]), &[]);
    add(control([0x00, 9, 1, 0, 0, 0, 0, 0]), &[]);
    add(control([0x01, 11, 1, 0, 1, 0, 0, 0]), &[]);
    add(control([0x21, 0x43, 0xf, 0, 0, 0, 0, 0]), &[]);
    add(control([0x21, 0x40, 1, 0, 0, 0, 6, 0]), &[1, 0, 0x5e, 0, 0, 1]);
    for length in [60, 1514, 64] {
        add(client.transfer(Direction::In, FRAMES_IN & 0x7f, 2048), &[]);
        add(client.transfer(Direction::Out, FRAMES_OUT, length), &vec![2; length]);
    }
    bytes.extend(Command::Unlink { seqnum: 100, devid: client.devid, victim: 6 }.to_bytes());
    bytes
}

#[test]
fn a_connection_may_be_cut_at_any_byte() {
    let all = conversation();
    let (exports, _) = exports(&[EcmOptions::default()]);
    let mut whole = 0;
    for length in 0..=all.len() {
        let mut way = ByHand::new(&exports);
        way.try_send(&all[..length]).unwrap();
        match way.session.closed(way.now) {
            Ok(()) => whole += 1,
            Err(PeerError::Cut { within }) => assert!(!within.is_empty()),
            Err(other) => panic!("{length}: {other}"),
        }
        assert!(way.session.is_over() && !exports.is_taken("1-1"), "cut after {length} bytes");
    }
    // Nothing, the import, five requests, six transfers, the unlink.
    assert_eq!(whole, 1 + 1 + 5 + 6 + 1);
}

#[test]
fn pieces_make_no_difference() {
    let all = conversation();
    let answers = |piece: usize| {
        let (exports, _) = exports(&[EcmOptions::default()]);
        let mut way = ByHand::new(&exports);
        all.chunks(piece).for_each(|bytes| way.try_send(bytes).unwrap());
        way.session.output().to_vec()
    };
    assert_eq!(answers(1), answers(7));
    // The import, the device descriptor, seven ends without data, and the unlink of a transfer that would have stayed pending.
    assert_eq!(answers(1).len(), 320 + 48 + 18 + 7 * 48 + 48);
    assert_eq!(answers(all.len()).len(), answers(1).len());
}

/// A client that does whatever the numbers say.
#[derive(Debug, Clone)]
enum Deed {
    Submit { endpoint: u8, is_in: bool, length: u32, seqnum: Option<u32>, flags: u32 },
    Control([u8; 8]),
    Unlink(u32),
    Raw(Vec<u8>),
    Frame(usize),
    Stall(bool),
    Wait(u32),
    Read(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let setup = prop_oneof![
        any::<[u8; 8]>(),
        (
            prop_oneof![
                Just(0u8),
                Just(1),
                Just(2),
                Just(0x80),
                Just(0x81),
                Just(0x82),
                Just(0x21),
                Just(0xa1),
                Just(0x23)
            ],
            0..50u8,
            0..8u8,
            0..16u8,
            0..4u8,
            0..40u8
        )
            .prop_map(|(kind, request, v0, v1, index, length)| [kind, request, v0, v1, index, 0, length, 0]),
    ];
    prop_oneof![
        6 => (0..16u8, any::<bool>(), 0..5000u32, proptest::option::weighted(0.05, 0..40u32), 0..0x300u32).prop_map(
            |(endpoint, is_in, length, seqnum, flags)| Deed::Submit { endpoint: endpoint & 3, is_in, length, seqnum, flags }),
        1 => (any::<bool>(), 0..MOST_DATA).prop_map(|(_, length)| Deed::Submit { endpoint: 2, is_in: true, length, seqnum: None, flags: 0 }),
        4 => setup.prop_map(Deed::Control),
        3 => (0..60u32).prop_map(Deed::Unlink),
        1 => proptest::collection::vec(any::<u8>(), 0..100).prop_map(Deed::Raw),
        3 => (0..1600usize).prop_map(Deed::Frame),
        1 => any::<bool>().prop_map(Deed::Stall),
        1 => (0..100_000u32).prop_map(Deed::Wait),
        3 => (0..10_000usize).prop_map(Deed::Read),
    ]
}

fn bytes_of(deed: &Deed, client: &Client<ByHand>, next: &mut u32) -> Vec<u8> {
    let mut seqnum = || {
        *next += 1;
        *next
    };
    match deed {
        Deed::Submit { endpoint, is_in, length, seqnum: chosen, flags } => {
            let direction = if *is_in { Direction::In } else { Direction::Out };
            let submit = client.transfer(direction, *endpoint, *length as usize);
            let setup = SetupPacket::from_bytes([
                u8::from(*is_in) << 7,
                6,
                0,
                1,
                0,
                0,
                *length as u8,
                (*length >> 8) as u8,
            ]);
            let seqnum = chosen.unwrap_or_else(&mut seqnum);
            let submit = Submit { seqnum, flags: *flags, setup, ..submit };
            [&submit.to_bytes()[..], &vec![7; submit.data_length()]].concat()
        }
        Deed::Control(setup) => {
            let setup = SetupPacket::from_bytes(*setup);
            let direction = if setup.length > 0 { setup.direction() } else { Direction::Out };
            let submit = Submit { setup, ..client.transfer(direction, 0, setup.length.into()) };
            let submit = Submit { seqnum: seqnum(), ..submit };
            [&submit.to_bytes()[..], &vec![1; submit.data_length()]].concat()
        }
        Deed::Unlink(victim) => {
            Command::Unlink { seqnum: seqnum(), devid: client.devid, victim: *victim }.to_bytes().to_vec()
        }
        Deed::Raw(bytes) => bytes.clone(),
        _ => Vec::new(),
    }
}

fn play(deeds: &[Deed]) {
    let (exports, mut dongles) = exports(&[EcmOptions::default()]);
    let dongle: Dongle = dongles.remove(0);
    let mut client = Client::new(ByHand::new(&exports), "1-1").unwrap();
    client.start_ecm();
    let mut next = client.next;
    for deed in deeds {
        match deed {
            Deed::Frame(length) => dongle.borrow_mut().wire_mut().push(vec![2; *length]),
            Deed::Stall(is_in) => dongle.borrow_mut().stall_once(if *is_in { FRAMES_IN } else { FRAMES_OUT }),
            Deed::Wait(micros) => client.way.now += Duration::from_micros((*micros).into()),
            Deed::Read(count) => {
                let count = (*count).min(client.way.session.output().len());
                client.way.session.sent(count);
            }
            _ => {}
        }
        let bytes = bytes_of(deed, &client, &mut next);
        if client.way.try_send(&bytes).and_then(|()| client.way.turn()).is_err() {
            assert!(client.way.session.is_over());
            break;
        }
    }
    drop(client);
    assert!(!exports.is_taken("1-1"));
    let mut next = Client::new(ByHand::new(&exports), "1-1").expect("the device is free");
    assert_eq!(next.get(Recipient::Device, standard::GET_CONFIGURATION, 0, 0, 1), Ok(vec![0]));
    next.start_ecm();
    dongle.borrow_mut().wire_mut().push(vec![2; 60]);
    let waiting = next.submit_in(FRAMES_IN, 2048);
    let answers = next.answers();
    assert!(
        answers.iter().any(
            |answer| matches!(answer, Answer::Returned { seqnum, status: 0 | -32, .. } if *seqnum == waiting)
        ),
        "{answers:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_a_client_does_the_next_one_gets_a_working_device(deeds in proptest::collection::vec(deed(), 0..60)) {
        play(&deeds);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), begin in 0..3u8, piece in 1..200usize,
    ) {
        let (exports, _) = exports(&[EcmOptions::default()]);
        let mut way = ByHand::new(&exports);
        let prefix: &[u8] = match begin {
            0 => &[],
            1 => &[1, 0x11],
            _ => &Request::import("1-1").unwrap(),
        };
        let all = [prefix, &bytes].concat();
        let ended = all.chunks(piece).try_for_each(|bytes| way.try_send(bytes));
        prop_assert_eq!(ended.is_err(), way.session.is_over());
        prop_assert!(way.session.output().len() < 64 * 1024);
        way.session.closed(way.now).ok();
        prop_assert!(!exports.is_taken("1-1"));
    }
}
