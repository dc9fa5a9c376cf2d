//! The receiving side against any bytes, for fuzzing. It must not know sockets.

use super::outstanding::Outstanding;
use super::receive::{BUFFER, Receiver};
use crate::buffer::RawBuffer;
use crate::usb::transfer::{Operation, Token, Urb};
use crate::usb::usbip::urb::Submit;
use crate::usb::{Direction, SetupPacket, TransferType};

/// Transfers that are out.
const TRANSFERS: u32 = 16;

/// Receives `data`, cut as its first byte says, for sixteen transfers that were sent, numbered from 1: even ones IN, of different
/// lengths, each third one of them unlinked (from 17 on). Panics if a promise is broken.
pub fn play(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let (mut table, mut receiver) = (Outstanding::new(), Receiver::new());
    let mut lengths = Vec::new();
    for token in 0..TRANSFERS {
        let direction = if token % 2 == 0 { Direction::Out } else { Direction::In };
        let length = [0, 5, 64, 1514, 70_000][token as usize % 5];
        lengths.push(length as usize);
        let operation = Operation::Transfer {
            endpoint: 1 | direction.bit(),
            transfer_type: TransferType::Bulk,
            request: length as usize,
            zero_packet: false,
        };
        let submit = Submit {
            seqnum: 0,
            devid: 0x0001_0002,
            direction,
            endpoint: 1,
            flags: 0,
            length,
            interval: 0,
            setup: SetupPacket::from_bytes([0; 8]),
        };
        let mut buffer = RawBuffer::heap(length as usize);
        if direction == Direction::Out {
            buffer.set_len(length as usize);
        }
        let seqnum = table.add(Urb { token: Token(token), operation, buffer }, submit, 0);
        table.set_sent(seqnum);
    }
    for victim in (3..=TRANSFERS).step_by(3) {
        let unlink = table.add_unlink(0x0001_0002, victim);
        table.set_sent(unlink);
    }
    let mut ended = [false; TRANSFERS as usize];
    let mut rest = stream;
    let mut malformed = false;
    'stream: while !rest.is_empty() {
        let most = usize::from(*cut).max(1).min(rest.len());
        let count = receiver.fill(&mut table, |spaces| {
            let mut from = &rest[..most];
            for space in spaces.iter_mut() {
                let now = space.len().min(from.len());
                space[..now].copy_from_slice(&from[..now]);
                from = &from[now..];
            }
            assert!(spaces.iter().map(|space| space.len()).sum::<usize>() <= BUFFER + 70_000);
            Ok::<_, ()>(most - from.len())
        });
        let count = count.expect("it cannot fail");
        assert!(count > 0, "there is always room when all was looked at");
        rest = &rest[count..];
        loop {
            match receiver.next(&mut table) {
                Ok(Some((transfer, status))) => {
                    let token = transfer.urb.token.0 as usize;
                    assert!(!std::mem::replace(&mut ended[token], true), "a transfer ends once");
                    assert!(transfer.urb.buffer.len() <= lengths[token]);
                    assert!(status.is_err() || status.is_ok_and(|count| count <= lengths[token]));
                    if transfer.submit.direction == Direction::Out {
                        assert_eq!(
                            transfer.urb.buffer.len(),
                            lengths[token],
                            "data to be sent is left alone"
                        );
                    }
                }
                Ok(None) => break,
                Err(bad) => {
                    assert!(!bad.field.is_empty() && !bad.reason.is_empty());
                    malformed = true;
                    break 'stream;
                }
            }
        }
    }
    let left = table.take_all();
    let out = ended.iter().filter(|ended| !**ended).count();
    assert_eq!(left.len(), out, "what did not end is still there ({malformed})");
}
