//! Sessions of a client that behaves: every message, transfers that end out of order, unlinks, several clients, time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use outboard_core::usb::usbip::operation::Status;
use outboard_core::usb::usbip::urb::{Submit, flags};
use outboard_core::usb::{Direction, Recipient, SetupPacket, Speed, standard};
use outboard_virtual_devices::ecm::{
    EcmDongle, EcmOptions, FRAMES_IN, FRAMES_OUT, Link, NOTIFICATION_IN, Step,
};
use outboard_virtual_devices::usbip::{Exports, MOST_TRANSFERS, MOST_UNREAD, News};
use outboard_virtual_devices::wire::Tester;

use super::client::{Answer, ByHand, Client, import, list};

pub(crate) type Dongle = Rc<RefCell<EcmDongle<Tester>>>;

const EPROTO: i32 = -71;
const EPIPE: i32 = -32;
const ENOMEM: i32 = -12;
const EREMOTEIO: i32 = -121;
const ECONNRESET: i32 = -104;

pub(crate) fn exports(options: &[EcmOptions]) -> (Exports, Vec<Dongle>) {
    let exports = Exports::new();
    let dongles: Vec<Dongle> = options
        .iter()
        .map(|options| Rc::new(RefCell::new(EcmDongle::new(options.clone(), Tester::new()))))
        .collect();
    dongles.iter().for_each(|dongle| drop(exports.add(dongle.clone())));
    (exports, dongles)
}

/// A client whose dongle passes every frame.
pub(crate) fn started() -> (Exports, Dongle, Client<ByHand>) {
    let (exports, mut dongles) = exports(&[EcmOptions::default()]);
    let mut client = Client::new(ByHand::new(&exports), "1-1").unwrap();
    client.start_ecm();
    (exports, dongles.remove(0), client)
}

fn frame(length: usize) -> Vec<u8> {
    (0..length).map(|at| at as u8 | 2).collect()
}

fn returned(seqnum: u32, status: i32, data: &[u8]) -> Answer {
    Answer::Returned { seqnum, status, length: data.len() as u32, data: data.to_vec() }
}

fn sent(seqnum: u32, length: u32) -> Answer {
    Answer::Returned { seqnum, status: 0, length, data: vec![] }
}

#[test]
fn a_list_has_all_that_is_free() {
    let options = [EcmOptions::at(Speed::Full), EcmOptions::at(Speed::High), EcmOptions::at(Speed::Super)];
    let (exports, _) = exports(&options);
    let mut way = ByHand::new(&exports);
    let found = list(&mut way);
    assert!(way.session.is_over() && way.session.output().is_empty());
    assert_eq!(way.session.take_news(), Some(News::Listed));
    assert_eq!(way.session.put(b"more"), 0, "nothing more is read");
    let ids: Vec<_> =
        found.iter().map(|device| (device.bus_id.as_str(), device.devid(), device.speed)).collect();
    assert_eq!(ids, [("1-1", 0x1_0002, 2), ("1-2", 0x1_0003, 3), ("1-3", 0x1_0004, 5)]);
    let first = &found[0];
    assert_eq!((first.vendor_id, first.product_id, first.configurations), (0x1209, 0x0ecc, 1));
    assert_eq!((&first.interfaces[..], first.configuration), (&[[2, 6, 0], [10, 0, 0]][..], 0));
    let _client = Client::new(ByHand::new(&exports), "1-2").unwrap();
    let left: Vec<_> = list(&mut ByHand::new(&exports)).into_iter().map(|device| device.bus_id).collect();
    assert_eq!(left, ["1-1", "1-3"]);
    assert!(exports.is_taken("1-2") && !exports.is_taken("1-1"));
}

#[test]
fn a_device_is_one_clients_until_it_leaves() {
    let (exports, dongle, mut client) = started();
    let mut other = ByHand::new(&exports);
    assert_eq!(import(&mut other, "1-1").unwrap_err(), Status::Busy);
    assert_eq!(other.session.take_news(), Some(News::Refused("1-1".into(), Status::Busy)));
    assert!(other.session.is_over());
    assert_eq!(import(&mut ByHand::new(&exports), "2-1").unwrap_err(), Status::NoDevice);

    client.submit_in(FRAMES_IN, 2048);
    client.submit_in(NOTIFICATION_IN, 8);
    dongle.borrow_mut().take_steps();
    let now = client.way.now;
    client.way.session.closed(now).unwrap();
    assert!(!exports.is_taken("1-1") && client.way.session.is_over());
    assert_eq!(dongle.borrow_mut().take_steps(), [Step::Configured(0)]);

    let mut next = Client::new(ByHand::new(&exports), "1-1").unwrap();
    assert_eq!(next.get(Recipient::Device, standard::GET_CONFIGURATION, 0, 0, 1), Ok(vec![0]));
    assert_eq!(next.answers(), [], "nothing of the first one's transfers");
    drop(next);
    assert!(!exports.is_taken("1-1"), "a session that is dropped gives its device back");
}

#[test]
fn transfers_end_as_the_device_ends_them() {
    let (_exports, dongle, mut client) = started();
    let first = client.submit_in(FRAMES_IN, 2048);
    let second = client.submit_in(FRAMES_IN, 2048);
    assert_eq!(client.answers(), []);
    let up = client.submit_in(NOTIFICATION_IN, 16);
    assert_eq!(client.answers(), [returned(up, 0, &[0xa1, 0, 1, 0, 0, 0, 0, 0])]);
    let speed = client.submit_in(NOTIFICATION_IN, 16);
    assert!(matches!(client.answer(), Some(Answer::Returned { seqnum, length: 16, .. }) if seqnum == speed));
    let pending = client.submit_in(NOTIFICATION_IN, 16);
    let out = client.submit_out(FRAMES_OUT, &frame(60));
    assert_eq!(client.answers(), [sent(out, 60)]);
    assert_eq!(dongle.borrow_mut().wire_mut().take(), Some(frame(60)));
    dongle.borrow_mut().wire_mut().push(frame(512));
    dongle.borrow_mut().wire_mut().push(frame(1514));
    assert_eq!(client.answers(), [returned(first, 0, &frame(512)), returned(second, 0, &frame(1514))]);
    dongle.borrow_mut().set_link(Link::down());
    assert_eq!(client.answers(), [returned(pending, 0, &[0xa1, 0, 0, 0, 0, 0, 0, 0])]);
}

#[test]
fn flags_mean_what_they_mean_to_the_kernel() {
    let (_exports, dongle, mut client) = started();
    let whole = Submit { flags: flags::ZERO_PACKET, ..client.transfer(Direction::Out, FRAMES_OUT, 512) };
    let out = client.submit(whole, &frame(512));
    assert_eq!(client.answers(), [sent(out, 512)]);
    assert_eq!(dongle.borrow_mut().wire_mut().take(), Some(frame(512)));
    let open = client.submit_out(FRAMES_OUT, &frame(512));
    assert_eq!(client.answers(), [sent(open, 512)]);
    assert_eq!(dongle.borrow_mut().wire_mut().take(), None, "its end is to come");
    let end = client.submit_out(FRAMES_OUT, &[]);
    assert_eq!(client.answers(), [sent(end, 0)]);
    assert_eq!(dongle.borrow_mut().wire_mut().take(), Some(frame(512)));

    let asked =
        Submit { flags: flags::SHORT_NOT_OK, ..client.transfer(Direction::In, FRAMES_IN & 0x7f, 2048) };
    let short = client.submit(asked, &[]);
    dongle.borrow_mut().wire_mut().push(frame(60));
    assert_eq!(client.answers(), [returned(short, EREMOTEIO, &frame(60))]);
}

#[test]
fn a_transfer_that_fails_says_how() {
    let (_exports, dongle, mut client) = started();
    let nowhere = client.submit_in(9, 512);
    let nowhere_out = client.submit_out(9, &frame(60));
    assert_eq!(client.answers(), [returned(nowhere, EPROTO, &[]), returned(nowhere_out, EPROTO, &[])]);
    dongle.borrow_mut().stall_once(FRAMES_IN);
    let stalled = client.submit_in(FRAMES_IN, 512);
    let behind = client.submit_in(FRAMES_IN, 512);
    assert_eq!(client.answers(), [returned(stalled, EPIPE, &[]), returned(behind, EPIPE, &[])]);
    client
        .set(Recipient::Endpoint, standard::CLEAR_FEATURE, standard::ENDPOINT_HALT, FRAMES_IN.into())
        .unwrap();
    dongle.borrow_mut().wire_mut().push(frame(600));
    let again = client.submit_in(FRAMES_IN, 512);
    assert_eq!(client.answers(), [returned(again, 0, &frame(600)[..512])]);
    // What is left of the frame is more than was asked for now: babble, and what fits comes along.
    let babble = client.submit_in(FRAMES_IN, 8);
    const EOVERFLOW: i32 = -75;
    assert_eq!(client.answers(), [returned(babble, EOVERFLOW, &frame(600)[512..520])]);
}

#[test]
fn an_unlink_comes_before_or_after_the_end() {
    let (_exports, dongle, mut client) = started();
    let victim = client.submit_in(FRAMES_IN, 2048);
    let kept = client.submit_in(FRAMES_IN, 2048);
    let unlink = client.unlink(victim);
    assert_eq!(client.answers(), [Answer::Unlinked { seqnum: unlink, status: ECONNRESET }]);
    // It is gone: the frame is the next one's, and its seqnum is free.
    dongle.borrow_mut().wire_mut().push(frame(60));
    assert_eq!(client.answers(), [returned(kept, 0, &frame(60))]);
    let late = client.unlink(kept);
    assert_eq!(client.answers(), [Answer::Unlinked { seqnum: late, status: 0 }]);
    let nobody = client.unlink(12345);
    assert_eq!(client.answers(), [Answer::Unlinked { seqnum: nobody, status: 0 }]);
}

#[test]
fn an_unlink_that_crosses_the_end_finds_it_returned() {
    let (_exports, dongle, mut client) = started();
    let victim = client.submit_in(FRAMES_IN, 2048);
    dongle.borrow_mut().wire_mut().push(frame(60));
    // The answer is on its way and not read when the unlink is sent.
    client.way.wait(Duration::ZERO);
    let unlink = client.unlink(victim);
    assert_eq!(
        client.answers(),
        [returned(victim, 0, &frame(60)), Answer::Unlinked { seqnum: unlink, status: 0 }]
    );
}

#[test]
fn submit_and_unlink_in_one_piece() {
    let (_exports, _dongle, mut client) = started();
    use outboard_core::usb::usbip::urb::Command;
    let submit = client.transfer(Direction::Out, FRAMES_OUT, 100);
    let unlink = Command::Unlink { seqnum: submit.seqnum + 1, devid: client.devid, victim: submit.seqnum };
    // The device had no time for it: it is taken back.
    client.submit(submit, &[&frame(100)[..], &unlink.to_bytes()].concat());
    client.next += 1;
    assert_eq!(client.answers(), [Answer::Unlinked { seqnum: submit.seqnum + 1, status: ECONNRESET }]);
}

#[test]
fn every_request_of_the_kernels_client_is_taken() {
    let (_exports, dongle, mut client) = started();
    dongle.borrow_mut().take_steps();
    // A reset of the port, as vhci asks for it: the configuration and the setting stay.
    let reset = SetupPacket::from_bytes([0x23, 3, 4, 0, 1, 0, 0, 0]);
    assert_eq!(client.control(reset, &[]), Ok(vec![]));
    let alternate = Step::Alternate { interface: 1, alternate: 1 };
    assert_eq!(dongle.borrow_mut().take_steps(), [Step::Configured(1), alternate]);
    assert_eq!(client.get(Recipient::Interface, standard::GET_INTERFACE, 0, 1, 1), Ok(vec![1]));
    // Without a data stage the kernel's direction is OUT, whatever bmRequestType says.
    let nothing = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 0, 0]);
    assert_eq!(client.control(nothing, &[]), Ok(vec![]));
    assert_eq!(client.set(Recipient::Device, standard::SET_ADDRESS, 5, 0), Err(EPIPE));
    // A shorter buffer than wLength cuts the answer.
    let setup = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
    let submit = Submit { setup, ..client.transfer(Direction::In, 0, 8) };
    let asked = client.submit(submit, &[]);
    assert_eq!(client.answers(), [returned(asked, 0, &[18, 1, 0, 2, 2, 0, 0, 64])]);
}

#[test]
fn what_is_too_much_comes_back_and_the_rest_goes_on() {
    let (_exports, dongle, mut client) = started();
    let pending: Vec<_> = (0..MOST_TRANSFERS).map(|_| client.submit_in(FRAMES_IN, 64)).collect();
    let one_more = client.submit_in(FRAMES_IN, 64);
    let out = client.submit_out(FRAMES_OUT, &frame(1514));
    assert_eq!(client.answers(), [returned(one_more, ENOMEM, &[]), returned(out, ENOMEM, &[])]);
    let unlink = client.unlink(pending[0]);
    assert_eq!(client.answers(), [Answer::Unlinked { seqnum: unlink, status: ECONNRESET }]);
    let out = client.submit_out(FRAMES_OUT, &frame(60));
    assert_eq!(client.answers(), [sent(out, 60)]);
    dongle.borrow_mut().wire_mut().push(frame(60));
    assert_eq!(client.answers(), [returned(pending[1], 0, &frame(60))]);
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let (_exports, dongle, mut client) = started();
    let ask = client.transfer(Direction::In, FRAMES_IN & 0x7f, 2048);
    let mut most = 0;
    for seqnum in ask.seqnum..ask.seqnum + 4096 {
        let submit = Submit { seqnum, ..ask };
        if client.way.session.put(&submit.to_bytes()) < 48 {
            break;
        }
        dongle.borrow_mut().wire_mut().push(frame(1500));
        client.way.session.turn(client.way.now).unwrap();
        most = most.max(client.way.session.output().len());
    }
    assert!(client.way.session.is_held() && client.way.session.space().is_empty());
    assert!((MOST_UNREAD..MOST_UNREAD + 4096).contains(&most), "{most} bytes");
    let waiting = dongle.borrow().wire().unread();
    client.way.wait(Duration::from_secs(1));
    assert_eq!((client.way.session.output().len(), dongle.borrow().wire().unread()), (most, waiting));
    client.way.session.sent(most);
    assert!(!client.way.session.is_held() && !client.way.session.space().is_empty());
}

#[test]
fn time_is_the_devices_own() {
    let slow = EcmOptions { paced: true, link: Link::up(1_000_000), ..EcmOptions::default() };
    let (exports, dongles) = exports(&[slow]);
    let mut client = Client::new(ByHand::new(&exports), "1-1").unwrap();
    client.start_ecm();
    for _ in 0..3 {
        let out = client.submit_out(FRAMES_OUT, &frame(1514));
        assert_eq!(client.answers(), [sent(out, 1514)]);
    }
    let taken = || dongles[0].borrow_mut().wire_mut().take_all().len();
    assert_eq!(taken(), 1);
    // 1,538 bytes on the wire at 1 Mbit/s.
    let a_frame = Duration::from_micros(12_304);
    assert_eq!(client.way.turn().unwrap(), Some(client.way.now + a_frame));
    client.way.wait(a_frame);
    assert_eq!(taken(), 1);
    // Called late, it makes up for it.
    client.way.wait(10 * a_frame);
    assert_eq!(taken(), 1);
}

#[test]
fn two_devices_do_not_see_each_other() {
    let (exports, dongles) = exports(&[EcmOptions::default(), EcmOptions::at(Speed::Super)]);
    let mut clients = ["1-1", "1-2"].map(|id| Client::new(ByHand::new(&exports), id).unwrap());
    for client in &mut clients {
        client.start_ecm();
    }
    let waiting = clients.each_mut().map(|client| client.submit_in(FRAMES_IN, 2048));
    dongles[1].borrow_mut().wire_mut().push(frame(99));
    assert_eq!(clients[0].answers(), []);
    assert_eq!(clients[1].answers(), [returned(waiting[1], 0, &frame(99))]);
    let now = clients[0].way.now;
    clients[0].way.session.closed(now).unwrap();
    let out = clients[1].submit_out(FRAMES_OUT, &frame(60));
    assert_eq!(clients[1].answers(), [sent(out, 60)]);
}
