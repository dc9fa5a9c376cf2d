//! What is behind a network device: frames go out to it and come in from it. It must not know the device.

use std::collections::VecDeque;
use std::time::Instant;

use crate::observed::Observed;

/// The far side of a network device's plug. Frames are whole, from the destination address to the last byte before the frame check
/// sequence.
pub trait Wire {
    /// A frame that the device sends. The wire takes every frame; one that it has no room for is lost.
    fn to_wire(&mut self, frame: &[u8], now: Instant);

    /// Puts the next frame for the device into `frame`, replacing its content. False: there is none now.
    #[expect(clippy::wrong_self_convention, reason = "it is the direction, as in `to_wire`")]
    fn from_wire(&mut self, frame: &mut Vec<u8>, now: Instant) -> bool;

    /// When to ask again, if nothing is sent before. `None`: not until then.
    fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        let _ = now;
        None
    }

    /// Whether it wants to be [told](Self::told) of the device. Asked whenever it has no frame; it must not want it again and again.
    fn asks(&self) -> bool {
        false
    }

    /// The device's state now, for a wire that [asks](Self::asks). It is then asked for frames once more.
    fn told(&mut self, device: Observed) {
        let _ = device;
    }
}

impl<W: Wire + ?Sized> Wire for Box<W> {
    fn to_wire(&mut self, frame: &[u8], now: Instant) {
        (**self).to_wire(frame, now);
    }

    fn from_wire(&mut self, frame: &mut Vec<u8>, now: Instant) -> bool {
        (**self).from_wire(frame, now)
    }

    fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        (**self).next_wake(now)
    }

    fn asks(&self) -> bool {
        (**self).asks()
    }

    fn told(&mut self, device: Observed) {
        (**self).told(device);
    }
}

/// A wire whose far side is the test: it puts frames on it and takes frames off it.
#[derive(Debug, Clone, Default)]
pub struct Tester {
    to_device: VecDeque<Vec<u8>>,
    from_device: VecDeque<Vec<u8>>,
}

impl Tester {
    /// Nothing on the wire.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a frame on the wire for the device, of any length and content.
    pub fn push(&mut self, frame: impl Into<Vec<u8>>) {
        self.to_device.push_back(frame.into());
    }

    /// Frames that the device has not taken off the wire yet.
    pub fn unread(&self) -> usize {
        self.to_device.len()
    }

    /// The oldest frame that the device sent and nobody took.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.from_device.pop_front()
    }

    /// All frames that the device sent and nobody took, oldest first.
    pub fn take_all(&mut self) -> Vec<Vec<u8>> {
        self.from_device.drain(..).collect()
    }
}

impl Wire for Tester {
    fn to_wire(&mut self, frame: &[u8], _: Instant) {
        self.from_device.push_back(frame.to_vec());
    }

    fn from_wire(&mut self, frame: &mut Vec<u8>, _: Instant) -> bool {
        let Some(next) = self.to_device.pop_front() else { return false };
        *frame = next;
        true
    }
}
