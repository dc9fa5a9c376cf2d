//! The device side: what a model of a USB device implements. It must not know who asks: a driver in the same process, a test, or a
//! USB/IP client.

use std::cell::RefCell;
use std::rc::Rc;
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

/// Any model, for a set of different ones.
impl<M: DeviceModel + ?Sized> DeviceModel for Box<M> {
    fn speed(&self) -> Speed {
        (**self).speed()
    }

    fn descriptors(&self) -> Vec<u8> {
        (**self).descriptors()
    }

    fn string_descriptor(&self, index: u8, language: u16) -> Option<Vec<u8>> {
        (**self).string_descriptor(index, language)
    }

    fn control_in(&mut self, setup: SetupPacket, now: Instant) -> Handshake<Vec<u8>> {
        (**self).control_in(setup, now)
    }

    fn control_out(&mut self, setup: SetupPacket, data: &[u8], now: Instant) -> Handshake {
        (**self).control_out(setup, data, now)
    }

    fn configured(&mut self, value: u8, now: Instant) {
        (**self).configured(value, now);
    }

    fn alternate_selected(&mut self, interface: u8, alternate: u8, now: Instant) -> bool {
        (**self).alternate_selected(interface, alternate, now)
    }

    fn packet_in(&mut self, endpoint: u8, space: &mut [u8], now: Instant) -> Handshake<usize> {
        (**self).packet_in(endpoint, space, now)
    }

    fn packet_out(&mut self, endpoint: u8, packet: &[u8], now: Instant) -> Handshake {
        (**self).packet_out(endpoint, packet, now)
    }

    fn advance(&mut self, now: Instant) -> Option<Instant> {
        (**self).advance(now)
    }
}

/// A model that somebody else looks at or changes between the turns of its port; nobody may hold a borrow during one.
impl<M: DeviceModel + ?Sized> DeviceModel for Rc<RefCell<M>> {
    fn speed(&self) -> Speed {
        self.borrow().speed()
    }

    fn descriptors(&self) -> Vec<u8> {
        self.borrow().descriptors()
    }

    fn string_descriptor(&self, index: u8, language: u16) -> Option<Vec<u8>> {
        self.borrow().string_descriptor(index, language)
    }

    fn control_in(&mut self, setup: SetupPacket, now: Instant) -> Handshake<Vec<u8>> {
        self.borrow_mut().control_in(setup, now)
    }

    fn control_out(&mut self, setup: SetupPacket, data: &[u8], now: Instant) -> Handshake {
        self.borrow_mut().control_out(setup, data, now)
    }

    fn configured(&mut self, value: u8, now: Instant) {
        self.borrow_mut().configured(value, now);
    }

    fn alternate_selected(&mut self, interface: u8, alternate: u8, now: Instant) -> bool {
        self.borrow_mut().alternate_selected(interface, alternate, now)
    }

    fn packet_in(&mut self, endpoint: u8, space: &mut [u8], now: Instant) -> Handshake<usize> {
        self.borrow_mut().packet_in(endpoint, space, now)
    }

    fn packet_out(&mut self, endpoint: u8, packet: &[u8], now: Instant) -> Handshake {
        self.borrow_mut().packet_out(endpoint, packet, now)
    }

    fn advance(&mut self, now: Instant) -> Option<Instant> {
        self.borrow_mut().advance(now)
    }
}
