//! Servers that say what cannot be: the connection ends with the field that is wrong, and everything that was out comes back.

use outboard_core::usb::transfer::TransferError;
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::usbip::{Loss, testing};
use proptest::prelude::*;

use crate::peer::{Command, Over, returned, unlinked};
use crate::rig::*;

/// The loss after the server answered an IN and an OUT transfer with what `answer` makes of them.
fn answered(answer: impl FnOnce(&Command, &Command) -> Vec<u8> + Send + 'static) -> (Loss, Vec<End>) {
    play(
        |peer| {
            let (input, output) = (peer.command()?, peer.command()?);
            peer.send(&answer(&input, &output))
        },
        async |mut client| {
            submit(&mut client, urb(1, 0x81, &[0; 64]));
            submit(&mut client, urb(2, 0x02, b"out"));
            let mut ends = gone(&mut client).await;
            ends.sort_unstable_by_key(|(token, ..)| *token);
            assert_eq!(ends.len(), 2, "each once: {ends:?}");
            let (error, _) = client.submit(urb(1, 0x81, &[0; 1])).unwrap_err();
            assert_eq!(error, TransferError::Unplugged);
            (client.fate().loss().unwrap(), ends)
        },
    )
}

#[test]
fn lies_end_the_connection() {
    type Answer = Box<dyn FnOnce(&Command, &Command) -> Vec<u8> + Send>;
    let cases: [(&str, Answer); 10] = [
        ("actual_length is 65; 64 bytes", Box::new(|input, _| returned(input.seqnum(), 0, 65, &[0; 65]))),
        ("actual_length is 4; 3 bytes", Box::new(|_, output| returned(output.seqnum(), 0, 4, &[]))),
        (
            "actual_length is 4294967295",
            Box::new(|input, _| returned(input.seqnum(), 0, u32::MAX as usize, &[])),
        ),
        ("names nothing that is out", Box::new(|_, output| returned(output.seqnum() + 1, 0, 0, &[]))),
        ("names nothing that is out", Box::new(|_, _| returned(0, 0, 0, &[]))),
        ("names nothing that is out", Box::new(|_, _| returned(1, 0, 18, &[0; 18]))),
        ("names nothing that is out", Box::new(|_, output| unlinked(output.seqnum(), -104))),
        ("names nothing that is out", Box::new(|_, output| unlinked(output.seqnum() + 1, -104))),
        ("command is 0x1", Box::new(|_, _| [0, 0, 0, 1].repeat(12))),
        (
            "command is 0x4854",
            Box::new(|_, _| b"\0\0HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n....".to_vec()),
        ),
    ];
    for (text, answer) in cases {
        let (loss, ends) = answered(answer);
        assert!(matches!(loss, Loss::Malformed(_)) && loss.to_string().contains(text), "{loss}");
        assert!(ends.iter().all(|(_, status, _)| *status == Err(TransferError::Unplugged)), "{ends:?}");
    }
}

#[test]
fn a_second_end_of_a_transfer_is_a_lie() {
    let (loss, ends) = answered(|input, _| returned(input.seqnum(), 0, 1, b"x").repeat(2));
    assert!(loss.to_string().contains("names nothing that is out"), "{loss}");
    assert_eq!(ends[0], (1, Ok(1), b"x".to_vec()));
    assert_eq!(ends[1].1, Err(TransferError::Unplugged));
}

/// The data of a transfer cannot come back before all of it has gone out.
#[test]
fn an_end_before_its_beginning_is_a_lie() {
    const LENGTH: usize = 4 << 20;
    play(
        |peer| {
            let header = peer.receive(48)?;
            let seqnum = u32::from_be_bytes(header[4..8].try_into().unwrap());
            peer.send(&returned(seqnum, 0, LENGTH, &[]))?;
            peer.deaf();
            Err(Over)
        },
        async |mut client| {
            submit(&mut client, urb(1, 0x02, &vec![1; LENGTH]));
            let ends = gone(&mut client).await;
            assert_eq!((ends[0].0, ends[0].1), (1, Err(TransferError::Unplugged)));
            assert!(client.fate().loss().unwrap().to_string().contains("was not sent yet"));
        },
    );
}

#[test]
fn statuses_of_any_kind_are_told() {
    for (status, error) in [
        (-71, TransferError::Fault),
        (-75, TransferError::Overflow),
        (-108, TransferError::Unplugged),
        (-12, TransferError::Refused(12)),
        (5, TransferError::Fault),
    ] {
        play(
            move |peer| {
                let input = peer.command()?;
                peer.returned(&input, status, 3, b"abc")
            },
            async |mut client| {
                submit(&mut client, urb(1, 0x81, &[0; 64]));
                assert_eq!(ends(&mut client, 1).await, [(1, Err(error), b"abc".to_vec())]);
            },
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        testing::play(&bytes);
    }

    /// Headers that are nearly right, with whatever follows them.
    #[test]
    fn nearly_right_messages_are_survived(
        cut: u8,
        messages in proptest::collection::vec((3..5u32, 0..30u32, -110..1i32, 0..80_000usize, 0..2000usize), 0..40),
    ) {
        let mut stream = vec![cut];
        for (command, seqnum, status, actual, data) in messages {
            match command {
                3 => stream.extend(returned(seqnum, status, actual, &vec![7; data.min(actual)])),
                _ => stream.extend(unlinked(seqnum, if status < -50 { -104 } else { status })),
            }
        }
        testing::play(&stream);
    }
}
