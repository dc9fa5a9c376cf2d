//! An interface in memory, for tests of whole drivers: what the host sends and wants is scripted, what it gets is
//! kept. Its readiness is an eventfd each, as real as a network interface's. It does not merge or cut.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use super::frame::{self, ETHERNET_HEADER};
use super::{Counters, EthernetInterface, FrameBuffer, HostWish, Received, Transmit};
use crate::{Error, ErrorKind, Result};

/// The driver's side.
#[derive(Debug)]
pub struct MemoryInterface {
    name: String,
    host: MemoryHost,
    counters: Counters,
    saw_membership_report: bool,
}

/// The host's side; clones are the same host.
#[derive(Debug, Clone, Default)]
pub struct MemoryHost {
    state: Arc<Mutex<State>>,
    sending: Arc<Signal>,
    wishing: Arc<Signal>,
}

#[derive(Debug, Default)]
struct State {
    to_device: VecDeque<Vec<u8>>,
    from_device: VecDeque<Vec<u8>>,
    carrier: bool,
    speed: Option<(u32, bool)>,
    wish: HostWish,
    deleted: bool,
}

/// A descriptor that is readable while it is raised; `None` where the system has none left.
#[derive(Debug)]
struct Signal(Option<OwnedFd>);

impl Default for Signal {
    fn default() -> Self {
        Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok())
    }
}

impl Signal {
    fn raise(&self) {
        if let Some(fd) = &self.0 {
            // It fails only at 2^64 - 1 raises, and is readable then.
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
    }

    fn lower(&self) {
        if let Some(fd) = &self.0 {
            // It fails only when it is lowered already.
            let _ = rustix::io::read(fd, &mut [0; 8]);
        }
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}

impl MemoryInterface {
    /// An interface of this name that is up, without carrier, and the host that it belongs to.
    pub fn new(name: impl Into<String>) -> (Self, MemoryHost) {
        let host = MemoryHost::default();
        host.state().wish = HostWish { up: true, ..HostWish::default() };
        let interface = Self {
            name: name.into(),
            host: host.clone(),
            counters: Counters::default(),
            saw_membership_report: false,
        };
        (interface, host)
    }

    fn alive(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.host.state();
        if state.deleted {
            let operation = format!("use the network interface {}", self.name);
            return Err(Error::new(ErrorKind::NotFound, operation, "somebody has deleted it"));
        }
        Ok(state)
    }
}

impl MemoryHost {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame for the device.
    pub fn send(&self, frame: impl Into<Vec<u8>>) {
        self.state().to_device.push_back(frame.into());
        self.sending.raise();
    }

    /// Frames that the driver has not taken yet.
    pub fn unsent(&self) -> usize {
        self.state().to_device.len()
    }

    /// The oldest frame from the device that was not asked for yet.
    pub fn received(&self) -> Option<Vec<u8>> {
        self.state().from_device.pop_front()
    }

    /// Whether there is a link.
    pub fn carrier(&self) -> bool {
        self.state().carrier
    }

    /// Mbit/s and full duplex, once they were told.
    pub fn speed(&self) -> Option<(u32, bool)> {
        self.state().speed
    }

    /// Changes what the host wants.
    pub fn set_wish(&self, wish: HostWish) {
        self.state().wish = wish;
        self.wishing.raise();
    }

    /// Deletes the interface under the driver.
    pub fn delete(&self) {
        self.state().deleted = true;
        self.sending.raise();
    }
}

impl EthernetInterface for MemoryInterface {
    fn name(&self) -> &str {
        &self.name
    }

    fn receive<B: FrameBuffer>(&mut self, frames: &mut [B]) -> Result<Received> {
        let mut counters = self.counters;
        let mut received = Received::default();
        let mut state = self.alive()?;
        for frame in frames.iter().map(FrameBuffer::frame) {
            if frame.len() < ETHERNET_HEADER {
                counters.received_runts += 1;
            } else if !state.wish.up {
                counters.received_while_down += 1;
            } else {
                state.from_device.push_back(frame.to_vec());
                counters.received_frames += 1;
                counters.received_bytes += frame.len() as u64;
                counters.received_writes += 1;
                received.delivered += 1;
            }
        }
        drop(state);
        received.dropped = frames.len() - received.delivered;
        self.counters = counters;
        Ok(received)
    }

    fn transmit<B: FrameBuffer>(&mut self, free: &mut Vec<B>, ready: &mut Vec<B>) -> Result<Transmit> {
        let mut counters = self.counters;
        let mut saw_membership_report = self.saw_membership_report;
        let mut state = self.alive()?;
        let end = loop {
            if free.is_empty() {
                break Transmit::NoBuffers;
            }
            let Some(frame) = state.to_device.pop_front() else {
                self.host.sending.lower();
                break Transmit::Drained;
            };
            let Some(mut buffer) = free.pop() else { break Transmit::NoBuffers };
            let Some(space) = buffer.space().get_mut(..frame.len()) else {
                counters.transmitted_oversize += 1;
                free.push(buffer);
                continue;
            };
            space.copy_from_slice(&frame);
            buffer.set_len(frame.len());
            saw_membership_report |= frame::is_membership_report(&frame);
            counters.transmitted_frames += 1;
            counters.transmitted_bytes += frame.len() as u64;
            ready.push(buffer);
        };
        drop(state);
        self.counters = counters;
        self.saw_membership_report = saw_membership_report;
        Ok(end)
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        self.host.sending.as_fd()
    }

    fn set_carrier(&mut self, up: bool) -> Result<()> {
        self.alive()?.carrier = up;
        Ok(())
    }

    fn set_speed(&mut self, mbit: u32, full_duplex: bool) -> Result<()> {
        self.alive()?.speed = Some((mbit, full_duplex));
        Ok(())
    }

    fn wish(&mut self) -> Result<HostWish> {
        let wish = self.alive()?.wish.clone();
        self.host.wishing.lower();
        self.saw_membership_report = false;
        Ok(wish)
    }

    fn wish_readiness(&self) -> Option<BorrowedFd<'_>> {
        self.host.wishing.as_fd()
    }

    fn wish_may_have_changed(&self) -> bool {
        self.saw_membership_report
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::VecBuffer;
    use super::*;

    #[test]
    fn frames_go_both_ways_and_a_deletion_is_seen() {
        let (mut interface, host) = MemoryInterface::new("ecm0");
        host.send(vec![1; 60]);
        host.send(vec![2; 200]);
        host.send(vec![3; 61]);
        let (mut free, mut ready) = (vec![VecBuffer::new(100)], Vec::new());
        assert_eq!(interface.transmit(&mut free, &mut ready).unwrap(), Transmit::NoBuffers);
        assert_eq!((ready[0].frame(), host.unsent()), (&[1; 60][..], 2));
        free.append(&mut ready);
        assert_eq!(interface.transmit(&mut free, &mut ready).unwrap(), Transmit::NoBuffers);
        assert_eq!((ready[0].frame(), interface.counters().transmitted_oversize), (&[3; 61][..], 1));
        free.append(&mut ready);
        assert_eq!(interface.transmit(&mut free, &mut ready).unwrap(), Transmit::Drained);

        let mut frames = [VecBuffer::from(vec![4; 60]), VecBuffer::from(vec![5; 13])];
        let received = interface.receive(&mut frames).unwrap();
        assert_eq!(received, Received { delivered: 1, dropped: 1 });
        assert_eq!((host.received(), host.received()), (Some(vec![4; 60]), None));
        host.set_wish(HostWish { up: false, ..interface.wish().unwrap() });
        assert_eq!(interface.receive(&mut frames[..1]).unwrap().dropped, 1);
        interface.set_carrier(true).unwrap();
        interface.set_speed(480, true).unwrap();
        assert_eq!((host.carrier(), host.speed()), (true, Some((480, true))));

        host.delete();
        assert_eq!(interface.receive(&mut frames).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(interface.transmit(&mut free, &mut ready).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(free.len(), 1);
    }
}
