//! The stack's network card: two bounded queues of frames. It knows no frame's content.

use std::collections::VecDeque;

use smoltcp::phy::{
    Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium as Kind, RxToken, TxToken,
};
use smoltcp::time::Instant;

/// Frames in each direction; a window of 64 KiB for a few connections.
const MOST: usize = 512;
/// Bytes of Ethernet's header.
const HEADER: usize = 14;

/// The card.
#[derive(Debug)]
pub(super) struct Medium {
    to_stack: VecDeque<Vec<u8>>,
    from_stack: VecDeque<Vec<u8>>,
    free: Vec<Vec<u8>>,
    mtu: u16,
    pub(super) lost: u64,
}

impl Medium {
    pub(super) fn new(mtu: u16) -> Self {
        Self { to_stack: VecDeque::new(), from_stack: VecDeque::new(), free: Vec::new(), mtu, lost: 0 }
    }

    /// A frame for the stack.
    pub(super) fn put(&mut self, frame: &[u8]) {
        if self.to_stack.len() == MOST {
            self.lost += 1;
            return;
        }
        let mut memory = self.free.pop().unwrap_or_default();
        memory.clear();
        memory.extend_from_slice(frame);
        self.to_stack.push_back(memory);
    }

    /// The next frame of the stack.
    pub(super) fn take(&mut self, frame: &mut Vec<u8>) -> bool {
        let Some(next) = self.from_stack.pop_front() else { return false };
        let old = std::mem::replace(frame, next);
        if self.free.len() < MOST {
            self.free.push(old);
        }
        true
    }

    pub(super) fn has_frames(&self) -> bool {
        !self.from_stack.is_empty()
    }
}

impl Device for Medium {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Room<'_>)> {
        // An answer to what is received needs room too.
        if self.from_stack.len() >= MOST {
            return None;
        }
        let frame = self.to_stack.pop_front()?;
        Some((Received(frame), Room(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        (self.from_stack.len() < MOST).then_some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Kind::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.mtu) + HEADER;
        capabilities.checksum = ChecksumCapabilities::default();
        debug_assert!(matches!(capabilities.checksum.tcp, Checksum::Both));
        capabilities
    }
}

/// A frame for the stack.
pub(super) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// Room for a frame of the stack.
pub(super) struct Room<'a>(&'a mut Medium);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = self.0.free.pop().unwrap_or_default();
        frame.clear();
        frame.resize(length, 0);
        let result = f(&mut frame);
        self.0.from_stack.push_back(frame);
        result
    }
}
