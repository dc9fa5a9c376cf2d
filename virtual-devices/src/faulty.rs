//! Any device with faults: other descriptors, STALLs, or gone in the middle. It must not know which device it is.

use std::cell::Cell;
use std::fmt;
use std::time::Instant;

use outboard_core::usb::transport::in_process::{DeviceModel, Handshake};
use outboard_core::usb::{SetupPacket, Speed};

/// What is wrong with the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// It says this of itself.
    pub descriptors: Option<Vec<u8>>,
    /// It stalls every class and vendor request and every string.
    pub stall_requests: bool,
    /// It stalls every packet.
    pub stall_packets: bool,
    /// It stalls the selection of an alternate setting.
    pub stall_alternates: bool,
    /// It answers so many requests, selections, strings and packets, and nothing from then on: packets and requests stay pending, and a
    /// string or a selection, which cannot, is a STALL.
    pub vanish_after: Option<u32>,
}

/// A device with faults.
pub struct Faulty<M> {
    model: M,
    plan: Plan,
    // Strings are asked for through a shared reference.
    events: Cell<u32>,
    vanished: Cell<bool>,
    on_vanish: Cell<Option<Box<dyn FnOnce()>>>,
}

impl<M: DeviceModel> Faulty<M> {
    /// The device with these faults.
    pub fn new(model: M, plan: Plan) -> Self {
        Self { model, plan, events: Cell::new(0), vanished: Cell::new(false), on_vanish: Cell::new(None) }
    }

    /// Is called once, when the device stops to answer. It is called from inside the transport, so it may only leave word for somebody
    /// who then pulls the plug, as a hub needs its time too.
    pub fn on_vanish(&mut self, tell: impl FnOnce() + 'static) {
        self.on_vanish.set(Some(Box::new(tell)));
    }

    /// The device behind the faults.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The device behind the faults, to change what it does.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }

    /// Requests and packets that it has answered: what [`Plan::vanish_after`] counts.
    pub fn events(&self) -> u32 {
        self.events.get()
    }

    /// Whether it has stopped to answer.
    pub fn has_vanished(&self) -> bool {
        self.vanished.get()
    }

    /// Whether it is gone before the next event.
    fn is_gone(&self) -> bool {
        if !self.vanished.get() && self.plan.vanish_after.is_some_and(|most| self.events.get() >= most) {
            self.vanished.set(true);
            if let Some(tell) = self.on_vanish.take() {
                tell();
            }
        }
        self.vanished.get()
    }

    fn count(&self) {
        self.events.set(self.events.get().saturating_add(1));
    }

    fn answer<T>(&mut self, stalls: bool, ask: impl FnOnce(&mut M) -> Handshake<T>) -> Handshake<T> {
        if self.is_gone() {
            return Handshake::Nak;
        }
        let answer = if stalls { Handshake::Stall } else { ask(&mut self.model) };
        if !matches!(answer, Handshake::Nak) {
            self.count();
        }
        answer
    }
}

impl<M: DeviceModel> DeviceModel for Faulty<M> {
    fn speed(&self) -> Speed {
        self.model.speed()
    }

    fn descriptors(&self) -> Vec<u8> {
        self.plan.descriptors.clone().unwrap_or_else(|| self.model.descriptors())
    }

    fn string_descriptor(&self, index: u8, language: u16) -> Option<Vec<u8>> {
        if self.is_gone() {
            return None;
        }
        self.count();
        if self.plan.stall_requests {
            return None;
        }
        self.model.string_descriptor(index, language)
    }

    fn control_in(&mut self, setup: SetupPacket, now: Instant) -> Handshake<Vec<u8>> {
        self.answer(self.plan.stall_requests, |model| model.control_in(setup, now))
    }

    fn control_out(&mut self, setup: SetupPacket, data: &[u8], now: Instant) -> Handshake {
        self.answer(self.plan.stall_requests, |model| model.control_out(setup, data, now))
    }

    fn configured(&mut self, value: u8, now: Instant) {
        if !self.is_gone() {
            self.count();
            self.model.configured(value, now);
        }
    }

    fn alternate_selected(&mut self, interface: u8, alternate: u8, now: Instant) -> bool {
        if self.is_gone() || self.plan.stall_alternates {
            return false;
        }
        self.count();
        self.model.alternate_selected(interface, alternate, now)
    }

    fn packet_in(&mut self, endpoint: u8, space: &mut [u8], now: Instant) -> Handshake<usize> {
        self.answer(self.plan.stall_packets, |model| model.packet_in(endpoint, space, now))
    }

    fn packet_out(&mut self, endpoint: u8, packet: &[u8], now: Instant) -> Handshake {
        self.answer(self.plan.stall_packets, |model| model.packet_out(endpoint, packet, now))
    }

    fn advance(&mut self, now: Instant) -> Option<Instant> {
        if self.vanished.get() { None } else { self.model.advance(now) }
    }
}

impl<M> fmt::Debug for Faulty<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({:?}, after {} events)", self.plan, self.events.get())
    }
}
