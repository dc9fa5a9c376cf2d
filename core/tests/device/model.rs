//! The device that the tests drive, and the list in which completions are kept. It must not know what a test is about.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use outboard_core::action::{Action, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::usb::transport::in_process::{DeviceModel, Handshake, InProcess, Plug};
use outboard_core::usb::{Device, PipeDirection, SetupPacket, Speed};

pub(crate) const BULK_IN: u8 = 0x81;
pub(crate) const BULK_OUT: u8 = 0x02;
pub(crate) const INTERRUPT_IN: u8 = 0x83;
/// wMaxPacketSize of the bulk endpoints.
pub(crate) const PACKET: usize = 64;

/// A full-speed device that says, takes and refuses what a test wants.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    /// What each IN endpoint says next; NAK when there is nothing.
    pub(crate) say: BTreeMap<u8, VecDeque<Vec<u8>>>,
    /// Every packet that came in, by endpoint.
    pub(crate) heard: BTreeMap<u8, Vec<Vec<u8>>>,
    /// Endpoints that NAK what is sent to them.
    pub(crate) busy: BTreeSet<u8>,
    /// Endpoints that STALL the next packet.
    pub(crate) stall: BTreeSet<u8>,
    /// Class and vendor requests are NAKed.
    pub(crate) control_busy: bool,
    /// Alternate settings are refused.
    pub(crate) fixed: bool,
    pub(crate) selected: Vec<(u8, u8)>,
    pub(crate) configured: Vec<u8>,
}

const fn endpoint(address: u8, attributes: u8, packet: u8) -> [u8; 7] {
    [7, 5, address, attributes, packet, 0, 1]
}

const fn interface(number: u8, alternate: u8, endpoints: u8) -> [u8; 9] {
    [9, 4, number, alternate, endpoints, 0xff, 0, 0, 0]
}

fn configuration(value: u8, interfaces: u8, parts: &[&[u8]]) -> Vec<u8> {
    let parts = parts.concat();
    let total = (9 + parts.len()) as u8;
    let mut all = vec![9, 2, total, 0, interfaces, value, 0, 0x80, 50];
    all.extend(parts);
    all
}

impl DeviceModel for Bench {
    fn speed(&self) -> Speed {
        Speed::Full
    }

    fn descriptors(&self) -> Vec<u8> {
        let mut all = vec![18, 1, 0, 2, 0, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 0, 0, 0, 2];
        all.extend(configuration(
            1,
            2,
            &[
                &interface(0, 0, 3),
                &endpoint(BULK_IN, 2, 64),
                &endpoint(BULK_OUT, 2, 64),
                &endpoint(INTERRUPT_IN, 3, 16),
                &interface(0, 1, 1),
                &endpoint(BULK_IN, 2, 32),
                &interface(1, 0, 2),
                &endpoint(0x84, 2, 0),
                &endpoint(0x05, 1, 64),
            ],
        ));
        all.extend(configuration(2, 1, &[&interface(0, 0, 0)]));
        all
    }

    fn string_descriptor(&self, _: u8, _: u16) -> Option<Vec<u8>> {
        None
    }

    fn control_in(&mut self, setup: SetupPacket, _: Instant) -> Handshake<Vec<u8>> {
        match (self.control_busy, setup.request) {
            (true, _) => Handshake::Nak,
            (_, 0x5a) => Handshake::Stall,
            (_, request) => Handshake::Ack(vec![request; 300]),
        }
    }

    fn control_out(&mut self, _: SetupPacket, data: &[u8], _: Instant) -> Handshake {
        if self.control_busy {
            return Handshake::Nak;
        }
        self.heard.entry(0).or_default().push(data.to_vec());
        Handshake::Ack(())
    }

    fn configured(&mut self, value: u8, _: Instant) {
        self.configured.push(value);
    }

    fn alternate_selected(&mut self, interface: u8, alternate: u8, _: Instant) -> bool {
        if !self.fixed {
            self.selected.push((interface, alternate));
        }
        !self.fixed
    }

    fn packet_in(&mut self, endpoint: u8, space: &mut [u8], _: Instant) -> Handshake<usize> {
        if self.stall.remove(&endpoint) {
            return Handshake::Stall;
        }
        let Some(packet) = self.say.get_mut(&endpoint).and_then(VecDeque::pop_front) else {
            return Handshake::Nak;
        };
        let n = packet.len().min(space.len());
        space[..n].copy_from_slice(&packet[..n]);
        Handshake::Ack(n)
    }

    fn packet_out(&mut self, endpoint: u8, packet: &[u8], _: Instant) -> Handshake {
        if self.stall.remove(&endpoint) {
            return Handshake::Stall;
        }
        if self.busy.contains(&endpoint) {
            return Handshake::Nak;
        }
        self.heard.entry(endpoint).or_default().push(packet.to_vec());
        Handshake::Ack(())
    }
}

/// Runs a test on a queue in virtual time.
pub(crate) fn on_queue<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    DispatchQueue::run("test", Clock::Virtual, |_| test()).expect("a queue on this thread")
}

/// The device, opened, and its plug.
pub(crate) async fn open() -> (Device, Plug<Bench>) {
    let (transport, plug) = InProcess::new("1-2", Bench::default());
    (Device::open(transport).await.expect("well-formed"), plug)
}

/// A completion as it was seen. A buffer is known by its capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) capacity: usize,
    pub(crate) data: Vec<u8>,
    pub(crate) outcome: Outcome,
    pub(crate) more: bool,
}

/// Keeps completions in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endings(Rc<RefCell<Vec<Seen>>>);

impl Endings {
    pub(crate) fn keep<D: PipeDirection>(&self, done: &Completion<BufferDescriptor<D>>) {
        self.0.borrow_mut().push(Seen {
            capacity: done.buffer.capacity(),
            data: done.buffer.data().to_vec(),
            outcome: done.outcome,
            more: done.more,
        });
    }

    pub(crate) fn action<D: PipeDirection>(&self) -> Action<BufferDescriptor<D>> {
        let this = self.clone();
        Action::new(move |done| this.keep(&done))
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.0.borrow().clone()
    }

    /// Each buffer with how it ended.
    pub(crate) fn outcomes(&self) -> Vec<(usize, Outcome)> {
        self.0.borrow().iter().map(|seen| (seen.capacity, seen.outcome)).collect()
    }
}

/// Lets everything on the queue run until nothing can.
pub(crate) async fn settle() {
    // In virtual time this passes when all else is idle.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}
