//! The first messages: lists, imports, and how they are refused.

use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::usbip::{Loss, UsbIp, list};
use outboard_core::usb::{Device, Speed};
use outboard_core::{Error, ErrorKind};

use crate::peer::{DEVID, Peer, STALL, descriptors, exported, import_reply};
use crate::rig::{play, play_within};

/// How an import ends that the server answers like this, closing the connection afterwards.
fn import(answer: &'static [u8]) -> Error {
    let server = |peer: &mut Peer| {
        peer.receive(40)?;
        peer.send(answer)
    };
    play_within(usize::MAX, server, async |fd| UsbIp::import(fd, "3-1.2", "far/3-1.2").await.err().unwrap())
}

#[test]
fn an_import_completes_the_description() {
    play(
        |peer| peer.silence(),
        async |client| {
            let info = client.info();
            assert_eq!((&*info.name, info.speed, info.configuration), ("far/3-1.2", Speed::High, Some(1)));
            assert_eq!(info.descriptors, descriptors());
            let fate = client.fate();
            let device = Device::open(client).await.unwrap();
            assert_eq!(device.configuration(), 1);
            drop(device);
            assert_eq!(fate.loss(), None, "we ended it ourselves");
        },
    );
}

#[test]
fn refusals_say_why() {
    for (answer, kind, text) in [
        (
            &[1, 0x11, 0, 3, 0, 0, 0, 4][..],
            ErrorKind::NotFound,
            "far/3-1.2: import: the server exports no such device",
        ),
        (&[1, 0x11, 0, 3, 0, 0, 0, 2], ErrorKind::Busy, "far/3-1.2: import: another client has the device"),
        (&[1, 0x11, 0, 3, 0, 0, 0, 1], ErrorKind::Refused, "far/3-1.2: import: the server refused"),
        (
            &[1, 0x11, 0, 3, 0, 0, 0, 3],
            ErrorKind::System,
            "far/3-1.2: import: the device is in a bad state at the server",
        ),
        (
            &[1, 0x06, 0, 3, 0, 0, 0, 0],
            ErrorKind::Unsupported,
            "far/3-1.2: import: version is 0x0106; 0x0111 is spoken here",
        ),
        (
            &[1, 0x11, 0, 5, 0, 0, 0, 0],
            ErrorKind::Malformed,
            "far/3-1.2: import: code is 0x0005; 0x0003 was to come",
        ),
        (&[], ErrorKind::Unplugged, "far/3-1.2: import: the server closed the connection without an answer"),
        (
            &[1, 0x11, 0, 3, 0],
            ErrorKind::Unplugged,
            "far/3-1.2: import: the server closed the connection in the middle of a message",
        ),
    ] {
        let error = import(answer);
        assert_eq!((error.kind(), &*error.to_string()), (kind, text));
    }
}

#[test]
fn another_device_than_asked_for_is_refused() {
    let answer: &'static [u8] = import_reply("3-1").leak();
    let error = import(answer);
    assert_eq!((error.kind(), error.field_name()), (ErrorKind::Malformed, Some("busid")), "{error}");
    let mut strange = import_reply("3-1.2");
    strange[8 + 256 + 32 + 11] = 9;
    let error = import(strange.leak());
    assert_eq!((error.kind(), error.field_name()), (ErrorKind::Malformed, Some("speed")), "{error}");
    assert_eq!(DEVID, 3 << 16 | 7);
}

#[test]
fn a_bus_id_that_is_none_is_not_sent() {
    let bad = |peer: &mut Peer| peer.silence();
    let error = play_within(usize::MAX, bad, async |fd| UsbIp::import(fd, "", "far").await.err().unwrap());
    assert_eq!((error.kind(), error.field_name()), (ErrorKind::NotFound, Some("busid")));
}

/// In virtual time: nothing else than the time limit can end these.
#[test]
fn silence_is_bounded() {
    for (sent, operation) in [(0, "import"), (5, "import"), (320, "read the descriptors")] {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut &theirs, &import_reply("3-1.2")[..sent]).unwrap();
        let error = DispatchQueue::run("client", Clock::Virtual, |_| async {
            UsbIp::import(ours.into(), "3-1.2", "far").await.err().unwrap()
        });
        let error = error.unwrap();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::TimedOut, operation), "{error}");
        drop(theirs);
    }
}

#[test]
fn a_device_that_makes_no_sense_is_refused() {
    let with = |answer: &'static [&'static [u8]], status: i32| {
        let server = move |peer: &mut Peer| {
            peer.import()?;
            for answer in answer {
                let command = peer.command()?;
                peer.returned(&command, status, answer.len(), answer)?;
            }
            peer.silence()
        };
        play_within(usize::MAX, server, async |fd| UsbIp::import(fd, "3-1.2", "far").await.err().unwrap())
    };
    let device: &[u8] = descriptors().leak();
    for (answers, field) in [
        (&*Vec::leak(vec![&device[..17]]), "bLength"),
        (Vec::leak(vec![&device[..18], &device[18..26]]), "bLength"),
        (Vec::leak(vec![&device[..18], &device[18..27], &device[18..26]]), "wTotalLength"),
        (Vec::leak(vec![&device[..18], &device[18..27], &device[18..], &[]]), "bConfigurationValue"),
    ] {
        let error = with(answers, 0);
        assert_eq!((error.kind(), error.field_name()), (ErrorKind::Malformed, Some(field)), "{error}");
    }
    let error = with(Vec::leak(vec![&[][..]]), STALL);
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Stalled, "read the descriptors"));
}

#[test]
fn a_list_is_read_with_its_interfaces() {
    let server = |peer: &mut Peer| {
        assert_eq!(peer.receive(8)?, [1, 0x11, 0x80, 5, 0, 0, 0, 0]);
        let header = [1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2];
        let interfaces = [2, 6, 0, 0, 10, 0, 0, 0];
        peer.send(&[&header[..], &exported("3-1.2"), &interfaces, &exported("4-1"), &interfaces].concat())
    };
    let devices = play_within(usize::MAX, server, async |fd| list(fd).await.unwrap());
    let names: Vec<_> = devices.iter().map(|device| &*device.bus_id).collect();
    assert_eq!(names, ["3-1.2", "4-1"]);
    assert_eq!(devices[0].interfaces, [[2, 6, 0], [10, 0, 0]]);
    assert_eq!((devices[1].vendor_id, devices[1].product_id, devices[1].speed), (0x1234, 0x5678, 3));
}

#[test]
fn a_list_without_end_or_bound_is_refused() {
    for (answer, kind) in [
        (&[1, 0x11, 0, 5, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..], ErrorKind::Malformed),
        (&[1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 7, 7], ErrorKind::Unplugged),
        (&[1, 0x11, 0, 5, 0, 0, 0, 1], ErrorKind::Refused),
        (&[1, 0x12, 0, 5, 0, 0, 0, 1], ErrorKind::Unsupported),
    ] {
        let server = |peer: &mut Peer| {
            peer.receive(8)?;
            peer.send(answer)
        };
        let error = play_within(usize::MAX, server, async |fd| list(fd).await.err().unwrap());
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(Loss::Closed.error("far").kind(), ErrorKind::Unplugged);
}
