//! Transfers that are to end early: each ends once, however the messages cross.

use outboard_core::usb::transfer::{Token, TransferError};
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::usbip::Loss;

use crate::peer::{CONNRESET, returned, unlinked};
use crate::rig::*;

const CANCELLED: Result<usize, TransferError> = Err(TransferError::Cancelled);

#[test]
fn a_transfer_ends_by_its_unlink() {
    play(
        |peer| {
            let (input, output) = (peer.command()?, peer.command()?);
            for victim in [&output, &input] {
                let unlink = peer.command()?;
                assert_eq!((unlink.words[0], unlink.victim()), (2, victim.seqnum()));
                peer.send(&unlinked(unlink.seqnum(), CONNRESET))?;
            }
            Ok(())
        },
        async |mut client| {
            submit(&mut client, urb(1, 0x81, &[0; 512]));
            submit(&mut client, urb(2, 0x02, b"kept"));
            flush(&mut client).await;
            client.cancel(Token(2));
            client.cancel(Token(1));
            client.cancel(Token(1));
            client.cancel(Token(5));
            let ends = ends(&mut client, 2).await;
            assert_eq!(ends, [(2, CANCELLED, b"kept".to_vec()), (1, CANCELLED, vec![])]);
            client.cancel(Token(1));
            flush(&mut client).await;
        },
    );
}

#[test]
fn what_was_not_sent_is_never_sent() {
    play(
        |peer| {
            let command = peer.command()?;
            assert_eq!(command.data, b"second");
            peer.returned(&command, 0, 6, &[])
        },
        async |mut client| {
            submit(&mut client, urb(1, 0x02, b"first"));
            submit(&mut client, urb(2, 0x02, b"second"));
            client.cancel(Token(1));
            assert_eq!(ends(&mut client, 1).await, [(1, CANCELLED, b"first".to_vec())]);
            assert_eq!(ends(&mut client, 1).await, [(2, Ok(6), b"second".to_vec())]);
        },
    );
}

/// The transfer ended by itself before the server heard of the unlink.
#[test]
fn an_end_that_crosses_its_unlink_counts() {
    play(
        |peer| {
            let input = peer.command()?;
            let unlink = peer.command()?;
            peer.send(&[returned(input.seqnum(), 0, 2, b"in"), unlinked(unlink.seqnum(), 0)].concat())?;
            let next = peer.command()?;
            peer.returned(&next, 0, 4, b"next")
        },
        async |mut client| {
            submit(&mut client, urb(1, 0x81, &[0; 512]));
            flush(&mut client).await;
            client.cancel(Token(1));
            assert_eq!(ends(&mut client, 1).await, [(1, Ok(2), b"in".to_vec())]);
            submit(&mut client, urb(1, 0x81, &[0; 512]));
            assert_eq!(ends(&mut client, 1).await, [(1, Ok(4), b"next".to_vec())]);
        },
    );
}

/// Linux answers an unlink with 0, and the end of the transfer may follow, or not (stub_tx.c).
#[test]
fn an_end_behind_the_answer_to_its_unlink_is_dropped() {
    play(
        |peer| {
            let (input, output, lost) = (peer.command()?, peer.command()?, peer.command()?);
            for _ in 0..3 {
                let unlink = peer.command()?;
                peer.send(&unlinked(unlink.seqnum(), 0))?;
            }
            let late = [returned(input.seqnum(), 0, 4, b"late"), returned(output.seqnum(), 0, 3, &[])];
            peer.send(&late.concat())?;
            let next = peer.command()?;
            assert!(next.seqnum() > lost.seqnum());
            peer.returned(&next, 0, 4, b"next")
        },
        async |mut client| {
            submit(&mut client, urb(1, 0x81, &[0; 512]));
            submit(&mut client, urb(2, 0x02, b"out"));
            submit(&mut client, urb(3, 0x81, &[0; 512]));
            flush(&mut client).await;
            (1..=3).for_each(|token| client.cancel(Token(token)));
            let ended = ends(&mut client, 3).await;
            assert_eq!(
                ended,
                [(1, CANCELLED, vec![]), (2, CANCELLED, b"out".to_vec()), (3, CANCELLED, vec![])]
            );
            submit(&mut client, urb(1, 0x81, &[0; 512]));
            assert_eq!(ends(&mut client, 1).await, [(1, Ok(4), b"next".to_vec())]);
        },
    );
}

#[test]
fn a_server_that_does_not_answer_an_unlink_is_left() {
    play(
        |peer| {
            peer.command()?;
            peer.command().map(drop)
        },
        async |mut client| {
            submit(&mut client, urb(1, 0x81, &[0; 512]));
            flush(&mut client).await;
            client.cancel(Token(1));
            flush(&mut client).await;
            // From here on, nothing but the time limit is waited for.
            tokio::time::pause();
            assert_eq!(gone(&mut client).await, [(1, Err(TransferError::Unplugged), vec![])]);
            assert_eq!(client.fate().loss(), Some(Loss::Unanswered));
        },
    );
}

#[test]
fn abandoned_transfers_end_at_once() {
    play(
        |peer| peer.command().map(drop),
        async |mut client| {
            submit(&mut client, urb(1, 0x81, &[0; 512]));
            flush(&mut client).await;
            submit(&mut client, urb(2, 0x02, b"not sent"));
            submit(&mut client, urb(3, 0x02, b"taken back"));
            client.cancel(Token(3));
            let mut done = Vec::new();
            client.abandon(&mut done);
            let mut tokens: Vec<_> = done.iter().map(|done| (done.urb.token.0, done.status)).collect();
            tokens.sort_unstable_by_key(|(token, _)| *token);
            assert_eq!(tokens, [(1, CANCELLED), (2, CANCELLED), (3, CANCELLED)]);
            assert_eq!(client.fate().loss(), None);
            let (error, _) = client.submit(urb(4, 0x81, &[0; 1])).unwrap_err();
            assert_eq!(error, TransferError::Unplugged);
        },
    );
}
