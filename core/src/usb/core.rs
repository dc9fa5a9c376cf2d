//! The shared heart of a device's handles: what is in flight, whom to tell, and the loop that reaps. It is the one user of a
//! [`Transport`]; it must not know what is transferred.
//!
//! Per transfer there is no allocation, lock or task switch here: a slot of a slab is taken and given back, and the handler is
//! called from the loop that reaped, on the queue's thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use super::Direction;
use super::transfer::{Done, Operation, Token, TransferError, Urb};
use super::transport::{Reaped, Transport};
use crate::action::{Aborted, CancelSubmissions, Finish, Outcome};
use crate::buffer::RawBuffer;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::{self, OnQueueEnd};

/// How long a device may take for a control request: what USB 2.0, 9.2.6.4 allows the slowest of them.
pub(super) const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// Endpoint addresses as a dense index: 16 numbers, two directions.
const ENDPOINTS: usize = 32;

pub(crate) struct DeviceCore {
    name: String,
    transport: RefCell<Box<dyn Transport>>,
    flight: RefCell<Flight>,
    /// Claimed interfaces and the generation of their alternate setting.
    interfaces: RefCell<BTreeMap<u8, u32>>,
    generations: Cell<u32>,
    /// The configuration is being changed: no interface can be taken.
    configuring: Cell<bool>,
    gone: Cell<bool>,
    /// The queue has ended: what comes back now is told so.
    queue_ended: Cell<bool>,
    /// Something ended; who waits for an abort or the end looks again.
    changed: Notify,
    pump: RefCell<Option<AbortHandle>>,
}

/// What is in flight.
struct Flight {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Counts submissions, and so tells the users of a slot apart.
    serial: u64,
    per_endpoint: [u32; ENDPOINTS],
}

enum Slot {
    Free,
    Taken { whom: Whom, endpoint: Option<u8>, serial: u64, cancelled: bool },
}

enum Whom {
    Action(Rc<dyn Finish>),
    Waiter(oneshot::Sender<Done>),
}

fn index(endpoint: u8) -> usize {
    usize::from(endpoint & 0x0F) | usize::from(endpoint >> 7) << 4
}

impl Flight {
    fn take(&mut self, whom: Whom, endpoint: Option<u8>) -> (Token, u64) {
        if let Some(endpoint) = endpoint {
            self.per_endpoint[index(endpoint)] += 1;
        }
        self.serial += 1;
        let slot = Slot::Taken { whom, endpoint, serial: self.serial, cancelled: false };
        let token = match self.free.pop() {
            Some(token) => {
                self.slots[token as usize] = slot;
                token
            }
            None => {
                // Grows to the deepest the driver ever queues, then never again.
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        (Token(token), self.serial)
    }

    /// Marks this submission, unless it has ended already; its slot may be another's by now.
    fn cancel_one(&mut self, token: Token, wanted: u64) -> bool {
        match self.slots.get_mut(token.0 as usize) {
            Some(Slot::Taken { serial, cancelled, .. }) if *serial == wanted => {
                !std::mem::replace(cancelled, true)
            }
            _ => false,
        }
    }

    fn give_back(&mut self, token: Token) -> Option<(Whom, bool)> {
        let slot = std::mem::replace(self.slots.get_mut(token.0 as usize)?, Slot::Free);
        let Slot::Taken { whom, endpoint, cancelled, .. } = slot else { return None };
        if let Some(endpoint) = endpoint {
            self.per_endpoint[index(endpoint)] -= 1;
        }
        self.free.push(token.0);
        Some((whom, cancelled))
    }

    /// Marks what `which` picks and returns its tokens, the newest first: in the other order, the end of one would let the device begin
    /// with the next, and what was to be cancelled in the middle of a stream would partly be sent.
    fn cancel(&mut self, which: impl Fn(&Whom, Option<u8>) -> bool) -> Vec<Token> {
        let mut tokens = Vec::new();
        for (token, slot) in self.slots.iter_mut().enumerate() {
            if let Slot::Taken { whom, endpoint, serial, cancelled } = slot
                && !*cancelled
                && which(whom, *endpoint)
            {
                *cancelled = true;
                tokens.push((*serial, Token(token as u32)));
            }
        }
        tokens.sort_unstable_by_key(|(serial, _)| std::cmp::Reverse(*serial));
        tokens.into_iter().map(|(_, token)| token).collect()
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }
}

impl DeviceCore {
    /// Starts to reap, on the calling thread's queue.
    pub(super) fn start(transport: Box<dyn Transport>) -> Rc<Self> {
        let core = Rc::new(Self {
            name: transport.info().name.clone(),
            transport: RefCell::new(transport),
            flight: RefCell::new(Flight {
                slots: Vec::new(),
                free: Vec::new(),
                serial: 0,
                per_endpoint: [0; ENDPOINTS],
            }),
            interfaces: RefCell::default(),
            generations: Cell::new(0),
            configuring: Cell::new(false),
            gone: Cell::new(false),
            queue_ended: Cell::new(false),
            changed: Notify::new(),
            pump: RefCell::default(),
        });
        let pump = queue::spawn(pump(Rc::downgrade(&core)));
        *core.pump.borrow_mut() = Some(pump.abort_handle());
        let ended: Weak<dyn OnQueueEnd> = Rc::<Self>::downgrade(&core);
        queue::on_end(ended);
        core
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Resolves when the device is gone and everything that was in flight has been told.
    pub(super) async fn gone(&self) {
        self.until(|| self.gone.get()).await;
    }

    async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if condition() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn allocate(&self, direction: Direction, capacity: usize, count: usize) -> Vec<RawBuffer> {
        self.transport.borrow_mut().allocate(direction, capacity, count)
    }

    pub(super) fn in_flight(&self, endpoint: u8) -> usize {
        self.flight.borrow().per_endpoint[index(endpoint)] as usize
    }

    pub(super) fn submit(
        &self,
        operation: Operation,
        buffer: RawBuffer,
        whom: Rc<dyn Finish>,
    ) -> Result<(), (TransferError, RawBuffer)> {
        self.send(operation, buffer, Whom::Action(whom)).map(drop)
    }

    fn send(
        &self,
        operation: Operation,
        buffer: RawBuffer,
        whom: Whom,
    ) -> Result<(Token, u64), (TransferError, RawBuffer)> {
        if self.gone.get() {
            return Err((TransferError::Unplugged, buffer));
        }
        let (token, serial) = self.flight.borrow_mut().take(whom, operation.endpoint());
        match self.transport.borrow_mut().submit(Urb { token, operation, buffer }) {
            Ok(()) => Ok((token, serial)),
            Err((error, urb)) => {
                drop(self.flight.borrow_mut().give_back(token));
                Err((error, urb.buffer))
            }
        }
    }

    /// Does something on endpoint 0 and waits for its end. A caller that stops waiting cancels it.
    pub(super) async fn perform(
        self: &Rc<Self>,
        operation: Operation,
        buffer: RawBuffer,
    ) -> Result<RawBuffer, TransferError> {
        let (send, receive) = oneshot::channel();
        let submission = self.send(operation, buffer, Whom::Waiter(send)).map_err(|(error, _)| error)?;
        let mut guard = CancelOnDrop { core: Rc::downgrade(self), submission: Some(submission) };
        let mut receive = receive;
        let (done, timed_out) = match tokio::time::timeout(CONTROL_TIMEOUT, &mut receive).await {
            Ok(done) => (done, false),
            Err(_) => {
                guard.cancel();
                (receive.await, true)
            }
        };
        guard.submission = None;
        // The slot's sender is dropped only with the whole device.
        let done = done.map_err(|_| TransferError::Unplugged)?;
        match done.status {
            Ok(_) => Ok(done.urb.buffer),
            Err(TransferError::Cancelled) if timed_out => Err(TransferError::TimedOut),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn abort_endpoint(&self, endpoint: u8) {
        self.cancel_matching(|_, at| at == Some(endpoint));
        self.until(|| self.in_flight(endpoint) == 0).await;
    }

    /// Ends everything in flight and resets the port. What is submitted later finds the device reset.
    pub(super) async fn reset(self: &Rc<Self>) -> Result<(), TransferError> {
        // Marked as ended by us: the kernel ends it as if the device were gone.
        self.cancel_matching(|_, _| true);
        self.perform(Operation::Reset, RawBuffer::heap(0)).await.map(drop)
    }

    fn cancel_matching(&self, which: impl Fn(&Whom, Option<u8>) -> bool) {
        let tokens = self.flight.borrow_mut().cancel(which);
        let mut transport = self.transport.borrow_mut();
        for token in tokens {
            transport.cancel(token);
        }
    }

    pub(super) fn claim(&self, interface: u8) -> Result<u32> {
        let busy = |reason: &'static str| {
            Err(Error::new(ErrorKind::Busy, "claim", reason).device(self.name()).interface(interface))
        };
        if self.configuring.get() {
            return busy("the configuration is being changed");
        }
        if self.interfaces.borrow().contains_key(&interface) {
            return busy("this program has it open already");
        }
        self.transport.borrow_mut().claim(interface)?;
        Ok(self.renew_interface(interface))
    }

    /// While the guard lives, no interface can be taken.
    ///
    /// # Errors
    /// Busy: one is taken, or the configuration is being changed already.
    pub(super) fn reconfigure(self: &Rc<Self>) -> Result<Configuring> {
        let busy = |reason: String| {
            Err(Error::new(ErrorKind::Busy, "set the configuration", reason).device(self.name()))
        };
        if let Some(interface) = self.interfaces.borrow().keys().next() {
            return busy(format!("this program has interface {interface} open"));
        }
        if self.configuring.replace(true) {
            return busy("it is being changed already".into());
        }
        Ok(Configuring(self.clone()))
    }

    /// Makes all pipes of the interface stale.
    pub(super) fn renew_interface(&self, interface: u8) -> u32 {
        let generation = self.generations.get().wrapping_add(1);
        self.generations.set(generation);
        self.interfaces.borrow_mut().insert(interface, generation);
        generation
    }

    pub(super) fn interface_generation(&self, interface: u8) -> Option<u32> {
        self.interfaces.borrow().get(&interface).copied()
    }

    /// Gives a claimed interface back, after asking that what is in flight on its endpoints end: its pipes may outlive it.
    pub(super) fn release(&self, interface: u8, endpoints: impl Iterator<Item = u8> + Clone) {
        if self.interfaces.borrow_mut().remove(&interface).is_some() {
            self.cancel_matching(|_, at| {
                at.is_some_and(|at| endpoints.clone().any(|endpoint| endpoint == at))
            });
            self.transport.borrow_mut().release(interface);
        }
    }

    /// Tells each submitter of a batch. No borrow of ours is held while a handler runs.
    fn deliver(&self, batch: &mut Vec<Done>) {
        let mut following = [0u16; ENDPOINTS];
        for endpoint in batch.iter().filter_map(|done| done.urb.operation.endpoint()) {
            following[index(endpoint)] = following[index(endpoint)].saturating_add(1);
        }
        for done in batch.drain(..) {
            let mut more = false;
            if let Some(endpoint) = done.urb.operation.endpoint() {
                let following = &mut following[index(endpoint)];
                *following -= 1;
                more = *following > 0;
            }
            let taken = self.flight.borrow_mut().give_back(done.urb.token);
            let Some((whom, cancelled)) = taken else {
                debug_assert!(false, "a transport returned a request twice");
                continue;
            };
            match whom {
                Whom::Action(action) => {
                    let outcome = self.outcome(done.status, cancelled);
                    action.finish_raw(done.urb.buffer, outcome, more);
                }
                // Whoever waited may have gone.
                Whom::Waiter(waiter) => drop(waiter.send(done)),
            }
        }
        self.changed.notify_waiters();
    }

    fn outcome(&self, status: Result<usize, TransferError>, cancelled: bool) -> Outcome {
        match status {
            Ok(_) => Outcome::Completed(status),
            Err(_) if self.queue_ended.get() => Outcome::Aborted(Aborted::QueueEnded),
            Err(TransferError::Cancelled) if cancelled => Outcome::Cancelled,
            // Nobody here asked for the cancel: the kernel ends transfers so when the device goes.
            Err(TransferError::Unplugged | TransferError::Cancelled) => Outcome::Aborted(Aborted::Unplugged),
            Err(_) => Outcome::Completed(status),
        }
    }

    /// Ends everything here and now; for when nobody will reap any more.
    fn abandon(&self) {
        if let Some(pump) = self.pump.take() {
            pump.abort();
        }
        self.gone.set(true);
        // Marked as ended by us; the transport ends them all at once.
        drop(self.flight.borrow_mut().cancel(|_, _| true));
        let mut batch = Vec::new();
        self.transport.borrow_mut().abandon(&mut batch);
        self.deliver(&mut batch);
        debug_assert!(self.flight.borrow().is_empty(), "a transport kept a request");
    }
}

impl CancelSubmissions for DeviceCore {
    fn cancel_submissions(&self, action: usize) {
        self.cancel_matching(|whom, _| matches!(whom, Whom::Action(known) if known.identity() == action));
    }
}

impl OnQueueEnd for DeviceCore {
    fn queue_ended(&self) {
        self.queue_ended.set(true);
        self.abandon();
    }
}

impl Drop for DeviceCore {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// While it lives, no interface can be taken.
pub(super) struct Configuring(Rc<DeviceCore>);

impl Drop for Configuring {
    fn drop(&mut self) {
        self.0.configuring.set(false);
    }
}

struct CancelOnDrop {
    core: Weak<DeviceCore>,
    submission: Option<(Token, u64)>,
}

impl CancelOnDrop {
    fn cancel(&mut self) {
        if let (Some((token, serial)), Some(core)) = (self.submission.take(), self.core.upgrade()) {
            // It may have ended without its waiter having looked, and its slot have been taken by another.
            let in_flight = core.flight.borrow_mut().cancel_one(token, serial);
            if in_flight {
                core.transport.borrow_mut().cancel(token);
            }
        }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Reaps and tells until the device is gone or its last handle is dropped.
async fn pump(core: Weak<DeviceCore>) {
    // Enough for any transport's batch; `poll_reap` never outgrows it.
    let mut batch = Vec::with_capacity(128);
    loop {
        let reaped = poll_fn(|context| {
            let Some(core) = core.upgrade() else { return Poll::Ready(None) };
            let reaped = core.transport.borrow_mut().poll_reap(context, &mut batch);
            reaped.map(Some)
        })
        .await;
        let (Some(reaped), Some(core)) = (reaped, core.upgrade()) else { return };
        if reaped == Reaped::Gone {
            core.gone.set(true);
        }
        core.deliver(&mut batch);
        if reaped == Reaped::Gone {
            return;
        }
        drop(core);
        // A device that always has something must not keep the queue from its other work.
        tokio::task::consume_budget().await;
    }
}
