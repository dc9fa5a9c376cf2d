//! The device side: what a model of a USB device implements. It must not know who asks: a driver in the same process, a test, or a
//! USB/IP client.

use std::time::Instant;

use crate::usb::{SetupPacket, Speed};

/// A device's answer to a packet or request (USB 2.0, 8.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake<T = ()> {
    /// Taken, or here it is.
    Ack(T),
    /// Not now: ask again. The transfer stays pending.
    Nak,
    /// Not supported, or halted. The port keeps the endpoint halted until the host clears it.
    Stall,
}

/// A model of a device, asked packet by packet as a real one is. The port in front of it ([`Port`](super::Port)) answers standard requests,
/// keeps halts, and cuts transfers into packets.
///
/// Time is passed in and never looked up, so that a test decides what time it is.
pub trait DeviceModel {
    /// The speed it is attached at.
    fn speed(&self) -> Speed;

    /// The device descriptor, then all configurations, as they go over the bus. May be as wrong as a test wants.
    fn descriptors(&self) -> Vec<u8>;

    /// A string descriptor (USB 2.0, 9.6.7) with its two bytes of header; index 0 is the list of languages. `None` is a STALL.
    fn string_descriptor(&self, index: u8, language: u16) -> Option<Vec<u8>>;

    /// A class or vendor request with an answer. What is longer than asked for is cut.
    fn control_in(&mut self, setup: SetupPacket, now: Instant) -> Handshake<Vec<u8>> {
        let _ = (setup, now);
        Handshake::Stall
    }

    /// A class or vendor request with data, perhaps none.
    fn control_out(&mut self, setup: SetupPacket, data: &[u8], now: Instant) -> Handshake {
        let _ = (setup, data, now);
        Handshake::Stall
    }

    /// The host selected a configuration (0: none).
    fn configured(&mut self, value: u8, now: Instant) {
        let _ = (value, now);
    }

    /// The host selected an alternate setting. False is a STALL.
    fn alternate_selected(&mut self, interface: u8, alternate: u8, now: Instant) -> bool {
        let _ = (interface, alternate, now);
        true
    }

    /// The host asks for a packet of at most `space.len()` bytes (the endpoint's packet size). The answer is its length.
    fn packet_in(&mut self, endpoint: u8, space: &mut [u8], now: Instant) -> Handshake<usize>;

    /// The host sends a packet; an empty one ends a transfer.
    fn packet_out(&mut self, endpoint: u8, packet: &[u8], now: Instant) -> Handshake;

    /// Time has passed. Returns when to call again, if nothing else happens before.
    fn advance(&mut self, now: Instant) -> Option<Instant> {
        let _ = now;
        None
    }
}
