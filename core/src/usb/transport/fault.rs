//! A wrapper around any transport that makes chosen transfers fail: for tests of how a driver recovers, in process or against a real
//! device. It must not know what is transferred.
//!
//! To its user it is a transport like every other: each request comes back once, and those of an endpoint in order, whatever was
//! injected. What is injected before a request reaches the device (a delay, a stall, a fault) holds up what is submitted to the same
//! endpoint behind it.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::{DeviceInfo, Reaped, Transport};
use crate::buffer::RawBuffer;
use crate::error::{Error, ErrorKind, Result};
use crate::queue;
use crate::usb::Direction;
use crate::usb::transfer::{Done, Operation, Token, TransferError, Urb};

/// What goes wrong with a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// It ends in [`TransferError::Stall`] without having reached the device. The endpoint is halted: everything on it ends so until its
    /// halt is cleared, or a configuration, an alternate setting or a reset has cleared it. Endpoint 0 does not halt (USB 2.0, 8.5.3.4).
    Stall,
    /// It ends in [`TransferError::Fault`] without having reached the device.
    Fault,
    /// It ends well, with at most so many bytes: for IN, what else arrived is lost; for OUT, the device has all of it and says less.
    Short(usize),
    /// The byte at `offset` differs by the bits of `mask` at the other end, if the transfer is as long as that.
    Corrupt {
        /// The bits that are flipped.
        mask: u8,
        /// Where, from the beginning of the transfer's data.
        offset: usize,
    },
    /// It reaches the device so much later, by the queue's clock.
    Delay(Duration),
    /// It is the last: the device is gone before it ends, and with it all that is in flight.
    Unplug,
}

/// When something is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Only transfers of this bEndpointAddress count; 0 is everything on endpoint 0. `None`: all count.
    pub endpoint: Option<u8>,
    /// The n-th of them that is submitted once the rule is added, from 1.
    pub nth: u64,
    /// Every n-th of them, instead of one.
    pub repeat: bool,
    /// What is injected. If two rules want the same transfer, the second takes the next one.
    pub injection: Injection,
}

impl Rule {
    /// Once, at the n-th transfer of an endpoint.
    pub const fn at(endpoint: u8, nth: u64, injection: Injection) -> Self {
        Self { endpoint: Some(endpoint), nth, repeat: false, injection }
    }

    /// Once, at the n-th transfer of all.
    pub const fn at_any(nth: u64, injection: Injection) -> Self {
        Self { endpoint: None, nth, repeat: false, injection }
    }

    /// The same at every n-th.
    #[must_use]
    pub const fn repeated(self) -> Self {
        Self { repeat: true, ..self }
    }
}

/// The test's end of a [`Faulty`] transport. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Injector {
    shared: Rc<RefCell<Rules>>,
}

#[derive(Debug, Default)]
struct Rules {
    /// With the transfers that it still lets pass.
    rules: Vec<(Rule, u64)>,
    injected: u64,
}

impl Injector {
    /// Adds a rule; transfers are counted from here on. One at the 0th never applies.
    pub fn add(&self, rule: Rule) {
        self.shared.borrow_mut().rules.push((rule, rule.nth));
    }

    /// Forgets all rules. What has been injected takes its course.
    pub fn clear(&self) {
        self.shared.borrow_mut().rules.clear();
    }

    /// How often something was injected.
    pub fn injected(&self) -> u64 {
        self.shared.borrow().injected
    }

    fn submitted(&self, endpoint: u8) -> Option<Injection> {
        let mut shared = self.shared.borrow_mut();
        let mut injection = None;
        for (rule, left) in &mut shared.rules {
            if rule.endpoint.is_some_and(|wanted| wanted != endpoint) || *left == 0 {
                continue;
            }
            if *left > 1 {
                *left -= 1;
            } else if injection.is_none() {
                injection = Some(rule.injection);
                *left = if rule.repeat { rule.nth } else { 0 };
            }
        }
        shared.rules.retain(|(_, left)| *left > 0);
        shared.injected += u64::from(injection.is_some());
        injection
    }
}

/// A transport that fails as its [`Injector`] says.
pub struct Faulty<T> {
    inner: T,
    injector: Injector,
    /// By endpoint; all of endpoint 0 together.
    lanes: Vec<Lane>,
    halted: BTreeSet<u8>,
    /// Ended here, on their way back.
    ended: Vec<Done>,
    timer: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
    plugged: Plugged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugged {
    In,
    /// Pulled by a rule, and nobody told yet.
    Pulled,
    Out,
}

struct Lane {
    endpoint: u8,
    /// What the inner transport has, and what is done to it when it comes back.
    below: Vec<(Token, Option<Injection>)>,
    held: VecDeque<Held>,
}

struct Held {
    urb: Urb,
    why: Option<Injection>,
    since: Instant,
}

fn lane_of(operation: &Operation) -> u8 {
    operation.endpoint().unwrap_or(0)
}

fn flip(buffer: &mut RawBuffer, mask: u8, offset: usize) {
    let len = buffer.len();
    if let Some(byte) = buffer.space_mut()[..len].get_mut(offset) {
        *byte ^= mask;
    }
}

fn is_out(operation: &Operation) -> bool {
    match operation {
        Operation::Transfer { endpoint, .. } => Direction::of(*endpoint) == Direction::Out,
        Operation::Control(setup) => setup.direction() == Direction::Out,
        _ => true,
    }
}

impl<T: Transport> Faulty<T> {
    /// Wraps a transport; nothing fails until a rule is added.
    pub fn new(inner: T) -> (Self, Injector) {
        let injector = Injector::default();
        let this = Self {
            inner,
            injector: injector.clone(),
            lanes: Vec::new(),
            halted: BTreeSet::new(),
            ended: Vec::new(),
            timer: None,
            waker: None,
            plugged: Plugged::In,
        };
        (this, injector)
    }

    fn lane(&mut self, endpoint: u8) -> usize {
        match self.lanes.iter().position(|lane| lane.endpoint == endpoint) {
            Some(at) => at,
            None => {
                self.lanes.push(Lane { endpoint, below: Vec::new(), held: VecDeque::new() });
                self.lanes.len() - 1
            }
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn hold(&mut self, lane: usize, urb: Urb, why: Option<Injection>) {
        self.lanes[lane].held.push_back(Held { urb, why, since: queue::now() });
        self.wake();
    }

    /// Hands a request to the inner transport.
    fn pass(
        &mut self,
        lane: usize,
        mut urb: Urb,
        why: Option<Injection>,
    ) -> Result<(), (TransferError, Urb)> {
        let token = urb.token;
        if let Some(Injection::Corrupt { mask, offset }) = why
            && is_out(&urb.operation)
        {
            flip(&mut urb.buffer, mask, offset);
        }
        match self.inner.submit(urb) {
            Ok(()) => {
                self.lanes[lane].below.push((token, why));
                Ok(())
            }
            Err((error, mut urb)) => {
                restore(&mut urb, why);
                Err((error, urb))
            }
        }
    }

    /// What came back from below gets what is due to it.
    fn came_back(&mut self, done: &mut Done) {
        let endpoint = lane_of(&done.urb.operation);
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.endpoint == endpoint) else { return };
        let Some(at) = lane.below.iter().position(|(token, _)| *token == done.urb.token) else { return };
        let (_, why) = lane.below.remove(at);
        restore(&mut done.urb, why);
        match (why, &mut done.status) {
            (Some(Injection::Short(limit)), Ok(n)) => {
                *n = (*n).min(limit);
                if !is_out(&done.urb.operation) {
                    let len = done.urb.buffer.len().min(limit);
                    done.urb.buffer.set_len(len);
                }
            }
            (Some(Injection::Corrupt { mask, offset }), Ok(_)) if !is_out(&done.urb.operation) => {
                flip(&mut done.urb.buffer, mask, offset);
            }
            _ => {}
        }
        if done.status.is_ok() {
            match done.urb.operation {
                Operation::ClearHalt { endpoint } => drop(self.halted.remove(&endpoint)),
                Operation::SetConfiguration(_) | Operation::SetInterface { .. } | Operation::Reset => {
                    self.halted.clear();
                }
                Operation::Transfer { .. } | Operation::Control(_) => {}
            }
        }
    }

    /// Lets go of what is held and need not be any longer. Returns when to look again.
    fn let_go(&mut self) -> Option<Instant> {
        let now = queue::now();
        let mut next: Option<Instant> = None;
        for at in 0..self.lanes.len() {
            // In order: what is held waits for what the device has.
            while let Some(first) = self.lanes[at].held.front() {
                let injected = matches!(first.why, Some(Injection::Stall | Injection::Fault));
                let halted = self.halted.contains(&self.lanes[at].endpoint);
                if (injected || halted) && !self.lanes[at].below.is_empty() {
                    break;
                }
                if let Some(Injection::Delay(delay)) = first.why
                    && !halted
                {
                    let due = first.since + delay;
                    if due > now {
                        next = Some(next.map_or(due, |next| next.min(due)));
                        break;
                    }
                }
                let Some(Held { urb, why, .. }) = self.lanes[at].held.pop_front() else { break };
                let status = match why {
                    Some(Injection::Fault) if !halted => TransferError::Fault,
                    Some(Injection::Stall) if self.lanes[at].endpoint == 0 => TransferError::Stall,
                    Some(Injection::Stall) => {
                        self.halted.insert(self.lanes[at].endpoint);
                        TransferError::Stall
                    }
                    _ if halted => TransferError::Stall,
                    _ => match self.pass(at, urb, why) {
                        Ok(()) => continue,
                        Err((error, urb)) => {
                            self.ended.push(Done { urb, status: Err(error) });
                            continue;
                        }
                    },
                };
                self.ended.push(Done { urb, status: Err(status) });
            }
        }
        next
    }

    /// Everything comes back at once, with this reason.
    fn return_all(&mut self, done: &mut Vec<Done>, reason: TransferError) {
        let start = done.len();
        self.inner.abandon(done);
        for ended in &mut done[start..] {
            self.came_back(ended);
            if ended.status == Err(TransferError::Cancelled) {
                ended.status = Err(reason);
            }
        }
        self.return_held(done, reason);
    }

    fn return_held(&mut self, done: &mut Vec<Done>, reason: TransferError) {
        done.append(&mut self.ended);
        let held = self.lanes.iter_mut().flat_map(|lane| lane.held.drain(..));
        done.extend(held.map(|held| Done { urb: held.urb, status: Err(reason) }));
        self.timer = None;
    }

    /// Is the time already there? Else the task is woken then.
    fn is_due(&mut self, at: Instant, context: &mut Context<'_>) -> bool {
        let at = tokio::time::Instant::from_std(at);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(context).is_ready()
    }
}

/// Undoes what was done to a buffer on its way out, since its owner gets it back.
fn restore(urb: &mut Urb, why: Option<Injection>) {
    if let Some(Injection::Corrupt { mask, offset }) = why
        && is_out(&urb.operation)
    {
        flip(&mut urb.buffer, mask, offset);
    }
}

impl<T: Transport> Transport for Faulty<T> {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn submit(&mut self, urb: Urb) -> Result<(), (TransferError, Urb)> {
        if self.plugged != Plugged::In {
            return Err((TransferError::Unplugged, urb));
        }
        let endpoint = lane_of(&urb.operation);
        let why = self.injector.submitted(endpoint);
        let lane = self.lane(endpoint);
        match why {
            Some(Injection::Unplug) => {
                self.plugged = Plugged::Pulled;
                self.hold(lane, urb, None);
                Ok(())
            }
            Some(Injection::Stall | Injection::Fault | Injection::Delay(_)) => {
                self.hold(lane, urb, why);
                Ok(())
            }
            _ if !self.lanes[lane].held.is_empty() || self.halted.contains(&endpoint) => {
                self.hold(lane, urb, why);
                Ok(())
            }
            _ => self.pass(lane, urb, why),
        }
    }

    fn cancel(&mut self, token: Token) {
        for lane in &mut self.lanes {
            if let Some(at) = lane.held.iter().position(|held| held.urb.token == token) {
                if let Some(held) = lane.held.remove(at) {
                    self.ended.push(Done { urb: held.urb, status: Err(TransferError::Cancelled) });
                }
                self.wake();
                return;
            }
        }
        self.inner.cancel(token);
    }

    fn poll_reap(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Poll<Reaped> {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
        loop {
            let start = done.len();
            if self.plugged == Plugged::Pulled {
                self.plugged = Plugged::Out;
                self.return_all(done, TransferError::Unplugged);
                return Poll::Ready(Reaped::Gone);
            }
            let reaped = self.inner.poll_reap(context, done);
            for ended in &mut done[start..] {
                self.came_back(ended);
            }
            if reaped == Poll::Ready(Reaped::Gone) {
                self.plugged = Plugged::Out;
                self.return_held(done, TransferError::Unplugged);
                return Poll::Ready(Reaped::Gone);
            }
            let next = self.let_go();
            done.append(&mut self.ended);
            if done.len() > start {
                return Poll::Ready(Reaped::Some);
            }
            let Some(next) = next else {
                self.timer = None;
                return Poll::Pending;
            };
            if !self.is_due(next, context) {
                return Poll::Pending;
            }
            self.timer = None;
        }
    }

    fn abandon(&mut self, done: &mut Vec<Done>) {
        self.plugged = Plugged::Out;
        self.return_all(done, TransferError::Cancelled);
    }

    fn allocate(&mut self, direction: Direction, capacity: usize, count: usize) -> Vec<RawBuffer> {
        self.inner.allocate(direction, capacity, count)
    }

    fn claim(&mut self, interface: u8) -> Result<()> {
        if self.plugged != Plugged::In {
            return Err(Error::new(ErrorKind::Unplugged, "claim", TransferError::Unplugged.to_string())
                .device(&self.info().name)
                .interface(interface));
        }
        self.inner.claim(interface)
    }

    fn release(&mut self, interface: u8) {
        self.inner.release(interface);
    }
}
