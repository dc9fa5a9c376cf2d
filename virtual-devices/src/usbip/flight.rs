//! A connection's transfers in flight: their names, how many they are and the memory that they take, which is used again. It must not
//! know what a transfer is about.

use std::collections::HashMap;

use outboard_core::buffer::RawBuffer;
use outboard_core::usb::Direction;
use outboard_core::usb::transfer::Token;
use outboard_core::usb::usbip::urb::{MOST_DATA, Submit};

use super::{MOST_BYTES, MOST_TRANSFERS};

/// What has to be known of a transfer when it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) seqnum: u32,
    pub(super) flags: u32,
    pub(super) direction: Direction,
    pub(super) length: u32,
}

/// The transfers in flight.
#[derive(Debug)]
pub(super) struct Flight {
    /// By token.
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_seqnum: HashMap<u32, u32>,
    /// Memory of all buffers that are out.
    bytes: usize,
    pool: Pool,
}

impl Flight {
    /// None in flight.
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            // While it is half empty it makes room for new names where it is, and never grows.
            by_seqnum: HashMap::with_capacity(2 * MOST_TRANSFERS + 1),
            bytes: 0,
            pool: Pool::default(),
        }
    }

    pub(super) fn contains(&self, seqnum: u32) -> bool {
        self.by_seqnum.contains_key(&seqnum)
    }

    /// Lets a transfer in, with an empty buffer of at least its length; `None`: there are too many, or they are too long.
    pub(super) fn admit(&mut self, submit: &Submit) -> Option<(Token, RawBuffer)> {
        let room = room(submit.length);
        if self.by_seqnum.len() >= MOST_TRANSFERS || self.bytes + room > MOST_BYTES {
            return None;
        }
        self.bytes += room;
        let entry = Entry {
            seqnum: submit.seqnum,
            flags: submit.flags,
            direction: submit.direction,
            length: submit.length,
        };
        let token = match self.free.pop() {
            Some(token) => token,
            None => {
                self.entries.push(None);
                self.entries.len() as u32 - 1
            }
        };
        self.entries[token as usize] = Some(entry);
        self.by_seqnum.insert(submit.seqnum, token);
        Some((Token(token), self.pool.take(room)))
    }

    /// The transfer with this seqnum, if it is in flight.
    pub(super) fn token(&self, seqnum: u32) -> Option<Token> {
        self.by_seqnum.get(&seqnum).copied().map(Token)
    }

    /// A transfer ended; its buffer is given back by [`recycle`](Self::recycle).
    pub(super) fn end(&mut self, token: Token) -> Option<Entry> {
        let entry = self.entries.get_mut(token.0 as usize)?.take()?;
        self.free.push(token.0);
        self.by_seqnum.remove(&entry.seqnum);
        Some(entry)
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&mut self, buffer: RawBuffer) {
        self.bytes = self.bytes.saturating_sub(buffer.capacity());
        self.pool.give(buffer);
    }

    /// Memory that is held, in flight or waiting to be used again.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.pool.bytes
    }
}

/// The least memory of a buffer.
const SMALLEST: usize = 64;
/// Sizes of buffers: powers of two from [`SMALLEST`] to [`MOST_DATA`].
const SIZES: usize = (MOST_DATA as usize / SMALLEST).ilog2() as usize + 1;
/// Memory that waits to be used again.
const MOST_IDLE: usize = 4 << 20;

/// The memory of a buffer for a transfer of this length.
fn room(length: u32) -> usize {
    (length as usize).next_power_of_two().max(SMALLEST)
}

/// Buffers that wait to be used again, by size.
#[derive(Debug, Default)]
struct Pool {
    buffers: [Vec<RawBuffer>; SIZES],
    bytes: usize,
}

impl Pool {
    fn take(&mut self, room: usize) -> RawBuffer {
        match self.of(room).and_then(Vec::pop) {
            Some(mut buffer) => {
                self.bytes -= room;
                buffer.set_len(0);
                buffer
            }
            None => RawBuffer::heap(room),
        }
    }

    fn give(&mut self, buffer: RawBuffer) {
        let room = buffer.capacity();
        if self.bytes + room <= MOST_IDLE
            && let Some(buffers) = self.of(room)
        {
            buffers.push(buffer);
            self.bytes += room;
        }
    }

    fn of(&mut self, room: usize) -> Option<&mut Vec<RawBuffer>> {
        self.buffers.get_mut((room / SMALLEST).checked_ilog2()? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_core::usb::SetupPacket;

    fn submit(seqnum: u32, length: u32) -> Submit {
        Submit {
            seqnum,
            devid: 0,
            direction: Direction::In,
            endpoint: 1,
            flags: 0,
            length,
            interval: 0,
            setup: SetupPacket::from_bytes([0; 8]),
        }
    }

    #[test]
    fn count_and_memory_are_bounded_and_memory_is_used_again() {
        let mut flight = Flight::new();
        let mut out = Vec::new();
        for seqnum in 0..MOST_TRANSFERS as u32 {
            out.push(flight.admit(&submit(seqnum, 100)).unwrap());
        }
        assert!(flight.admit(&submit(u32::MAX, 0)).is_none());
        assert_eq!(flight.memory(), MOST_TRANSFERS * 128);
        for (token, buffer) in out.drain(..) {
            assert_eq!((buffer.capacity(), buffer.len()), (128, 0));
            let entry = flight.end(token).unwrap();
            assert!(flight.end(token).is_none() && !flight.contains(entry.seqnum));
            flight.recycle(buffer);
        }
        let whole =
            (flight.admit(&submit(1, MOST_DATA)).unwrap(), flight.admit(&submit(2, MOST_DATA)).unwrap());
        assert!(flight.admit(&submit(3, 0)).is_none());
        for (token, buffer) in [whole.0, whole.1] {
            flight.end(token);
            flight.recycle(buffer);
        }
        assert!(flight.memory() <= MOST_IDLE);
    }
}
