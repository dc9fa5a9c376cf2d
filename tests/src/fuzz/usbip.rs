//! Both sides of USB/IP.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use outboard_core::usb::usbip::operation::{self, Exported, Request};
use outboard_core::usb::usbip::urb::{self, Command, MOST_DATA, Reply};
use outboard_core::usb::{Direction, transport};
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions};
use outboard_virtual_devices::usbip::{Exports, MOST_BYTES, MOST_UNREAD, News, Session};
use outboard_virtual_devices::wire::Tester;

/// What a USB/IP server reads: the opening request, then commands.
pub fn command(data: &[u8]) {
    if let Some(header) = data.first_chunk()
        && let Err(bad) = operation::Request::parse(header)
    {
        assert!(!bad.to_string().is_empty());
    }
    for header in data.as_chunks::<{ urb::HEADER }>().0 {
        match Command::parse(header) {
            Ok(command) => {
                assert_eq!(Command::parse(&command.to_bytes()), Ok(command));
                if let Command::Submit(submit) = command {
                    assert!(submit.seqnum != 0 && submit.endpoint < 16 && submit.length <= MOST_DATA);
                    assert!(submit.data_length() <= MOST_DATA as usize);
                    assert_eq!(Direction::of(submit.address()), submit.direction);
                }
            }
            Err(bad) => assert!(!bad.to_string().is_empty()),
        }
    }
}

/// What a USB/IP client reads: the answers to its opening request, then replies.
pub fn reply(data: &[u8]) {
    if let Some(header) = data.first_chunk() {
        let _ = (operation::import_reply(header), operation::list_reply(header));
    }
    if let Some(count) = data.first_chunk() {
        let few = u32::from_be_bytes(*count) <= operation::MOST_DEVICES;
        assert_eq!(operation::device_count(*count).is_ok(), few);
    }
    for bytes in data.as_chunks::<{ operation::DEVICE }>().0 {
        if let Ok((device, _)) = Exported::parse(bytes) {
            assert!(!device.bus_id.is_empty() && device.bus <= 0xffff && device.device <= 0xffff);
            assert_eq!(device.devid(), device.bus << 16 | device.device);
        }
    }
    for header in data.as_chunks::<{ urb::HEADER }>().0 {
        match Reply::parse(header) {
            Ok(reply) => {
                assert_eq!(Reply::parse(&reply.to_bytes()), Ok(reply));
                if let Reply::Returned(returned) = reply {
                    assert!(returned.actual_length <= MOST_DATA);
                    // Any status is a result.
                    let _ = urb::result_of(returned.status);
                }
            }
            Err(bad) => assert!(!bad.to_string().is_empty()),
        }
    }
}

/// A server's whole stream to a client that has transfers and unlinks out: each ends at most once, within its length.
pub fn client(data: &[u8]) {
    transport::usbip::testing::play(data);
}

/// What a USB/IP client sends: a byte that says in which pieces and how much of the answers is read, then its bytes. With bit 7 of the
/// first byte they follow an import of a dongle that has frames for its host.
pub fn server(data: &[u8]) {
    let Some((&how, bytes)) = data.split_first() else { return };
    let exports = Exports::new();
    let dongle = Rc::new(RefCell::new(EcmDongle::new(EcmOptions::default(), Tester::new())));
    let bus_id = exports.add(dongle.clone());
    let import = Request::import(&bus_id).expect("a short bus id");
    let mut now = Instant::now();
    let mut session = Session::new(exports.clone(), now);
    let before: &[u8] = if how & 0x80 != 0 { &import } else { &[] };
    let all = [before, bytes].concat();
    'all: for mut piece in all.chunks(usize::from(how & 0x3f) + 1) {
        dongle.borrow_mut().wire_mut().push([2; 600]);
        now += Duration::from_millis(1);
        while !piece.is_empty() {
            piece = &piece[session.put(piece)..];
            if session.turn(now).is_err() || session.is_over() {
                break 'all;
            }
            assert!(session.output().len() <= MOST_UNREAD + MOST_BYTES);
            // A client that never reads is not read from: it would stay here.
            if how & 0x40 != 0 || session.is_held() {
                session.sent(session.output().len());
            }
        }
    }
    let over = session.is_over();
    assert!(session.closed(now).is_ok() || !over, "what is over cannot be cut");
    assert!(!exports.is_taken(&bus_id));
    // Whatever one did, the next one gets the device.
    let mut next = Session::new(exports.clone(), now);
    assert_eq!(next.put(&import), import.len());
    next.turn(now).expect("an import");
    assert_eq!(next.take_news(), Some(News::Imported(bus_id)));
}
