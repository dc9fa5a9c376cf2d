//! What a well-behaved server and the client say to each other.

use std::io::Read;

use outboard_core::usb::transfer::{Operation, TransferError};
use outboard_core::usb::transport::Transport;
use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket};
use outboard_core::{ErrorKind, usb::transport::usbip::UsbIp};

use crate::peer::{DEVID, Over, Peer, STALL, returned};
use crate::rig::*;

#[test]
fn transfers_have_the_fields_of_the_protocol() {
    play(
        |peer| {
            let words = |command: &crate::peer::Command| command.words[2..10].to_vec();
            let input = peer.command()?;
            // devid, direction, ep, transfer_flags, transfer_buffer_length, start_frame, number_of_packets, interval.
            assert_eq!(words(&input), [DEVID, 1, 1, 0x200, 1024, 0, 0, 0]);
            let output = peer.command()?;
            assert_eq!(words(&output), [DEVID, 0, 2, 0x40, 5, 0, 0, 0]);
            assert_eq!(output.data, b"hello");
            let interrupt = peer.command()?;
            // bInterval 4 at high speed: 2^3 microframes.
            assert_eq!(words(&interrupt), [DEVID, 1, 3, 0x200, 64, 0, 0, 8]);
            assert_eq!((input.setup, output.setup, interrupt.setup), ([0; 8], [0; 8], [0; 8]));
            let control = peer.command()?;
            assert_eq!(words(&control), [DEVID, 0, 0, 0, 3, 0, 0, 0]);
            assert_eq!((control.setup, &control.data[..]), ([0x21, 9, 2, 1, 4, 3, 3, 0], &[7, 8, 9][..]));
            // Out of order, the way a device answers; two in one piece, and one byte by byte.
            let pieces = [returned(control.seqnum(), 0, 3, &[]), returned(interrupt.seqnum(), 0, 2, b"ab")];
            peer.send(&pieces.concat())?;
            for byte in returned(input.seqnum(), 0, 4, b"data") {
                peer.send(&[byte])?;
            }
            peer.returned(&output, STALL, 0, &[])
        },
        async |mut client| {
            submit(&mut client, urb(7, 0x81, &[0; 1024]));
            submit(&mut client, urb(0, 0x02, b"hello"));
            submit(&mut client, urb(9, 0x83, &[0; 64]));
            let setup = SetupPacket::new(
                Direction::Out,
                RequestKind::Class,
                Recipient::Interface,
                9,
                0x0102,
                0x0304,
                3,
            );
            let mut control = urb(3, 0x02, &[7, 8, 9]);
            control.operation = Operation::Control(setup);
            submit(&mut client, control);
            assert_eq!(
                ends(&mut client, 4).await,
                [
                    (3, Ok(3), vec![7, 8, 9]),
                    (9, Ok(2), b"ab".to_vec()),
                    (7, Ok(4), b"data".to_vec()),
                    (0, Err(TransferError::Stall), b"hello".to_vec()),
                ]
            );
        },
    );
}

/// A socket that keeps records apart shows each system call.
#[test]
fn submissions_of_one_turn_leave_by_one_system_call() {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let server = std::thread::spawn(move || {
        let mut theirs = std::fs::File::from(theirs);
        let mut record = [0; 1 << 16];
        let mut next = |theirs: &mut std::fs::File| theirs.read(&mut record).map(|n| record[..n].to_vec());
        assert_eq!(next(&mut theirs).unwrap().len(), 40);
        send(&mut theirs, &crate::peer::import_reply("3-1.2")[..8]);
        send(&mut theirs, &crate::peer::import_reply("3-1.2")[8..]);
        let descriptors = crate::peer::descriptors();
        let configuration = &descriptors[18..];
        for answer in [&descriptors[..18], &configuration[..9], configuration, &[1]] {
            let request = next(&mut theirs).unwrap();
            assert_eq!(request.len(), 48);
            send(&mut theirs, &returned(seqnum(&request), 0, answer.len(), answer));
        }
        let batch = next(&mut theirs).unwrap();
        assert_eq!(batch.len(), 20 * 48 + 10 * 100, "all in one");
        // All back in one piece.
        let ends: Vec<u8> = (0..20).flat_map(|n| returned(seqnum(&batch) + n, 0, 0, &[])).collect();
        send(&mut theirs, &ends);
        assert_eq!(next(&mut theirs).unwrap(), []);
    });
    outboard_core::queue::DispatchQueue::run("client", outboard_core::queue::Clock::Real, |_| async {
        let mut client = UsbIp::import(ours, "3-1.2", "far").await.unwrap();
        for token in 0..10 {
            submit(&mut client, urb(token, 0x81, &[0; 512]));
            submit(&mut client, urb(token + 10, 0x02, &[5; 100]));
        }
        let (_, batch) = reap(&mut client).await;
        assert_eq!(batch.len(), 20, "one read brings them all");
    })
    .unwrap();
    server.join().unwrap();

    fn seqnum(message: &[u8]) -> u32 {
        u32::from_be_bytes(message[4..8].try_into().unwrap())
    }

    fn send(theirs: &mut std::fs::File, bytes: &[u8]) {
        assert_eq!(std::io::Write::write(theirs, bytes).unwrap(), bytes.len());
    }
}

/// More than any socket holds, both ways at once, by a server that reads in small bites.
#[test]
fn large_transfers_arrive_whole() {
    const LENGTH: usize = 3 << 20;
    let pattern =
        |seed: usize| (0..LENGTH).map(move |n| (n * 31 + n / 251 + seed) as u8).collect::<Vec<u8>>();
    play(
        move |peer| {
            let input = peer.command()?;
            let output = peer.command()?;
            assert!(output.data == pattern(1));
            let short = peer.command()?;
            peer.returned(&output, 0, LENGTH, &[])?;
            let reply = returned(input.seqnum(), 0, LENGTH, &pattern(2));
            for piece in reply.chunks(40_001) {
                peer.send(piece)?;
            }
            peer.returned(&short, 0, 1, b"!")
        },
        async |mut client| {
            submit(&mut client, urb(1, 0x81, &vec![0; LENGTH]));
            submit(&mut client, urb(2, 0x02, &pattern(1)));
            submit(&mut client, urb(3, 0x81, &[0; 512]));
            let ends = ends(&mut client, 3).await;
            assert_eq!((ends[0].0, ends[0].1), (2, Ok(LENGTH)));
            assert_eq!((ends[1].0, ends[1].1), (1, Ok(LENGTH)));
            assert!(ends[1].2 == pattern(2));
            assert_eq!(ends[2], (3, Ok(1), b"!".to_vec()));
        },
    );
}

fn expect(peer: &mut Peer, setup: [u8; 8], status: i32) -> Result<(), Over> {
    let command = peer.command()?;
    assert_eq!((command.setup, command.words[3], command.length()), (setup, 0, 0));
    peer.returned(&command, status, 0, &[])
}

#[test]
fn operations_are_the_requests_that_servers_look_for() {
    play(
        |peer| {
            expect(peer, [0x01, 11, 2, 0, 1, 0, 0, 0], 0)?;
            expect(peer, [0x01, 11, 1, 0, 0, 0, 0, 0], 0)?;
            expect(peer, [0x02, 1, 0, 0, 0x81, 0, 0, 0], 0)?;
            // A reset, and both alternate settings again.
            expect(peer, [0x23, 3, 4, 0, 1, 0, 0, 0], 0)?;
            expect(peer, [0x01, 11, 2, 0, 1, 0, 0, 0], 0)?;
            expect(peer, [0x01, 11, 1, 0, 0, 0, 0, 0], 0)?;
            // One that the device itself refuses, as with Linux's server.
            expect(peer, [0x23, 3, 4, 0, 1, 0, 0, 0], STALL)?;
            expect(peer, [0x01, 11, 2, 0, 1, 0, 0, 0], STALL)?;
            expect(peer, [0x01, 11, 1, 0, 0, 0, 0, 0], 0)?;
            // A configuration has all settings at 0.
            expect(peer, [0x00, 9, 1, 0, 0, 0, 0, 0], 0)?;
            expect(peer, [0x23, 3, 4, 0, 1, 0, 0, 0], 0)
        },
        async |mut client| {
            for (operation, end) in [
                (Operation::SetInterface { interface: 1, alternate: 2 }, Ok(0)),
                (Operation::SetInterface { interface: 0, alternate: 1 }, Ok(0)),
                (Operation::ClearHalt { endpoint: 0x81 }, Ok(0)),
                (Operation::Reset, Ok(0)),
                (Operation::Reset, Err(TransferError::Stall)),
                (Operation::SetConfiguration(1), Ok(0)),
                (Operation::Reset, Ok(0)),
            ] {
                submit(&mut client, command(4, operation));
                assert_eq!(ends(&mut client, 1).await, [(4, end, vec![])], "{operation:?}");
            }
            assert_eq!(client.info().configuration, Some(1));
        },
    );
}

#[test]
fn an_interface_is_claimed_once() {
    play(
        |peer| {
            // Both begin at alternate setting 0, whoever had them before; the device need not agree.
            expect(peer, [0x01, 11, 0, 0, 0, 0, 0, 0], STALL)?;
            expect(peer, [0x01, 11, 0, 0, 1, 0, 0, 0], 0)?;
            expect(peer, [0x01, 11, 2, 0, 1, 0, 0, 0], 0)?;
            expect(peer, [0x01, 11, 0, 0, 1, 0, 0, 0], 0)?;
            // Forgotten, and so not restored.
            expect(peer, [0x23, 3, 4, 0, 1, 0, 0, 0], 0)
        },
        async |mut client| {
            client.claim(0).unwrap();
            assert_eq!(client.claim(0).unwrap_err().kind(), ErrorKind::Busy);
            client.claim(1).unwrap();
            let select = Operation::SetInterface { interface: 1, alternate: 2 };
            submit(&mut client, command(1, select));
            assert_eq!(ends(&mut client, 1).await, [(1, Ok(0), vec![])]);
            client.release(1);
            client.claim(1).unwrap();
            submit(&mut client, command(2, Operation::Reset));
            assert_eq!(ends(&mut client, 1).await, [(2, Ok(0), vec![])]);
        },
    );
}

#[test]
fn what_no_message_can_carry_comes_straight_back() {
    play(
        |_| Ok(()),
        async |mut client| {
            let (error, urb) = client.submit(urb(1, 0x02, &vec![0; (16 << 20) + 1])).unwrap_err();
            assert!(matches!(error, TransferError::Refused(_)), "{error}");
            assert_eq!((urb.token.0, urb.buffer.len()), (1, (16 << 20) + 1));
        },
    );
}
