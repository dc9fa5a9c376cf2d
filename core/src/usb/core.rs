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
    per_endpoint: [u32; ENDPOINTS],
}

enum Slot {
    Free,
    Taken { whom: Whom, endpoint: Option<u8>, cancelled: bool },
}

enum Whom {
    Action(Rc<dyn Finish>),
    Waiter(oneshot::Sender<Done>),
}

fn index(endpoint: u8) -> usize {
    usize::from(endpoint & 0x0F) | usize::from(endpoint >> 7) << 4
}

impl Flight {
    fn take(&mut self, whom: Whom, endpoint: Option<u8>) -> Token {
        if let Some(endpoint) = endpoint {
            self.per_endpoint[index(endpoint)] += 1;
        }
        let slot = Slot::Taken { whom, endpoint, cancelled: false };
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
        Token(token)
    }

    fn give_back(&mut self, token: Token) -> Option<(Whom, bool)> {
        let slot = std::mem::replace(self.slots.get_mut(token.0 as usize)?, Slot::Free);
        let Slot::Taken { whom, endpoint, cancelled } = slot else { return None };
        if let Some(endpoint) = endpoint {
            self.per_endpoint[index(endpoint)] -= 1;
        }
        self.free.push(token.0);
        Some((whom, cancelled))
    }

    /// Marks what `which` picks and returns its tokens.
    fn cancel(&mut self, which: impl Fn(&Whom, Option<u8>) -> bool) -> Vec<Token> {
        let mut tokens = Vec::new();
        for (token, slot) in self.slots.iter_mut().enumerate() {
            if let Slot::Taken { whom, endpoint, cancelled } = slot
                && !*cancelled
                && which(whom, *endpoint)
            {
                *cancelled = true;
                tokens.push(Token(token as u32));
            }
        }
        tokens
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
                per_endpoint: [0; ENDPOINTS],
            }),
            interfaces: RefCell::default(),
            generations: Cell::new(0),
            gone: Cell::new(false),
            queue_ended: Cell::new(false),
            changed: Notify::new(),
            pump: RefCell::default(),
        });
        let pump = tokio::task::spawn_local(pump(Rc::downgrade(&core)));
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
    ) -> Result<Token, (TransferError, RawBuffer)> {
        if self.gone.get() {
            return Err((TransferError::Unplugged, buffer));
        }
        let token = self.flight.borrow_mut().take(whom, operation.endpoint());
        match self.transport.borrow_mut().submit(Urb { token, operation, buffer }) {
            Ok(()) => Ok(token),
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
        let token = self.send(operation, buffer, Whom::Waiter(send)).map_err(|(error, _)| error)?;
        let mut guard = CancelOnDrop { core: Rc::downgrade(self), token: Some(token) };
        let mut receive = receive;
        let (done, timed_out) = match tokio::time::timeout(CONTROL_TIMEOUT, &mut receive).await {
            Ok(done) => (done, false),
            Err(_) => {
                guard.cancel();
                (receive.await, true)
            }
        };
        guard.token = None;
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

    fn cancel_matching(&self, which: impl Fn(&Whom, Option<u8>) -> bool) {
        let tokens = self.flight.borrow_mut().cancel(which);
        let mut transport = self.transport.borrow_mut();
        for token in tokens {
            transport.cancel(token);
        }
    }

    pub(super) fn claim(&self, interface: u8) -> Result<u32> {
        if self.interfaces.borrow().contains_key(&interface) {
            return Err(Error::new(ErrorKind::Busy, "claim", "this program has it open already")
                .device(self.name())
                .interface(interface));
        }
        self.transport.borrow_mut().claim(interface)?;
        Ok(self.renew_interface(interface))
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

    pub(super) fn release(&self, interface: u8) {
        if self.interfaces.borrow_mut().remove(&interface).is_some() {
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

struct CancelOnDrop {
    core: Weak<DeviceCore>,
    token: Option<Token>,
}

impl CancelOnDrop {
    fn cancel(&mut self) {
        if let (Some(token), Some(core)) = (self.token.take(), self.core.upgrade()) {
            core.transport.borrow_mut().cancel(token);
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
    }
}
