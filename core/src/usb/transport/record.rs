//! A wrapper around any transport that tells a [`Recorder`] everything that passes: the basis of traces. It changes nothing, and must not
//! know what becomes of the record.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{DeviceInfo, Reaped, Transport};
use crate::buffer::RawBuffer;
use crate::error::Result;
use crate::queue;
use crate::usb::Direction;
use crate::usb::transfer::{Done, Operation, Token, TransferError, Urb};

/// Something that passed between a device and its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A request was sent on its way.
    Submitted {
        /// Whose it is; used again after its end.
        token: Token,
        /// What is to be done.
        operation: &'a Operation,
        /// OUT: what goes to the device.
        data: &'a [u8],
    },
    /// The request that was just submitted was not taken.
    Rejected {
        /// Whose it was.
        token: Token,
        /// What was to be done.
        operation: &'a Operation,
        /// Why not.
        error: TransferError,
    },
    /// Somebody asked that a request end early.
    Cancelled {
        /// Whose it is.
        token: Token,
    },
    /// A request ended.
    Completed {
        /// Whose it was.
        token: Token,
        /// What was done.
        operation: &'a Operation,
        /// How it ended; for transfers with the bytes that moved.
        status: Result<usize, TransferError>,
        /// IN: what arrived.
        data: &'a [u8],
    },
}

/// Is told what passes, in order, on the device's queue and in the midst of its data path: it should be quick, and not wait.
pub trait Recorder {
    /// `at` is the queue's time. What `event` borrows is gone afterwards.
    fn record(&mut self, at: Instant, event: Event<'_>);

    /// The transport has nothing to return now. A recorder that wants to be called again, though nothing may happen, has a timer of its own
    /// wake this context.
    fn idle(&mut self, _context: &mut Context<'_>) {}
}

/// A transport whose traffic is told to a [`Recorder`]. It allocates nothing and copies nothing.
pub struct Recorded<T, R> {
    inner: T,
    recorder: R,
}

impl<T: Transport, R: Recorder> Recorded<T, R> {
    /// Wraps a transport.
    pub fn new(inner: T, recorder: R) -> Self {
        Self { inner, recorder }
    }

    fn completed(&mut self, done: &[Done]) {
        if done.is_empty() {
            return;
        }
        let at = queue::now();
        for Done { urb, status } in done {
            let data = data(urb, Direction::In);
            let (token, operation) = (urb.token, &urb.operation);
            self.recorder.record(at, Event::Completed { token, operation, status: *status, data });
        }
    }
}

/// The bytes in use, if they go in this direction.
fn data(urb: &Urb, direction: Direction) -> &[u8] {
    let of_urb = match &urb.operation {
        Operation::Transfer { endpoint, .. } => Some(Direction::of(*endpoint)),
        Operation::Control(setup) => Some(setup.direction()),
        _ => None,
    };
    if of_urb == Some(direction) { &urb.buffer.space()[..urb.buffer.len()] } else { &[] }
}

impl<T: Transport, R: Recorder> Transport for Recorded<T, R> {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn submit(&mut self, urb: Urb) -> Result<(), (TransferError, Urb)> {
        let (at, token) = (queue::now(), urb.token);
        let submitted =
            Event::Submitted { token, operation: &urb.operation, data: data(&urb, Direction::Out) };
        self.recorder.record(at, submitted);
        self.inner.submit(urb).inspect_err(|(error, urb)| {
            self.recorder.record(at, Event::Rejected { token, operation: &urb.operation, error: *error });
        })
    }

    fn cancel(&mut self, token: Token) {
        self.recorder.record(queue::now(), Event::Cancelled { token });
        self.inner.cancel(token);
    }

    fn poll_reap(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Poll<Reaped> {
        let start = done.len();
        let reaped = self.inner.poll_reap(context, done);
        self.completed(&done[start..]);
        if reaped.is_pending() {
            self.recorder.idle(context);
        }
        reaped
    }

    fn abandon(&mut self, done: &mut Vec<Done>) {
        let start = done.len();
        self.inner.abandon(done);
        self.completed(&done[start..]);
    }

    fn allocate(&mut self, direction: Direction, capacity: usize, count: usize) -> Vec<RawBuffer> {
        self.inner.allocate(direction, capacity, count)
    }

    fn claim(&mut self, interface: u8) -> Result<()> {
        self.inner.claim(interface)
    }

    fn release(&mut self, interface: u8) {
        self.inner.release(interface);
    }
}

/// A record in memory, for tests. Clones are the same record; one goes into the transport. It grows without bound.
#[derive(Debug, Clone, Default)]
pub struct Log {
    entries: Rc<RefCell<Vec<Entry>>>,
}

/// A line of a [`Log`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The queue's time.
    pub at: Instant,
    /// Whose request it was about.
    pub token: Token,
    /// What happened.
    pub what: What,
}

/// An [`Event`] with data of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// [`Event::Submitted`], with the data that went out.
    Submitted(Operation, Vec<u8>),
    /// [`Event::Rejected`].
    Rejected(Operation, TransferError),
    /// [`Event::Cancelled`].
    Cancelled,
    /// [`Event::Completed`], with the data that came in.
    Completed(Operation, Result<usize, TransferError>, Vec<u8>),
}

impl Log {
    /// Everything that passed so far, in order.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.borrow().clone()
    }
}

impl Recorder for Log {
    fn record(&mut self, at: Instant, event: Event<'_>) {
        let (token, what) = match event {
            Event::Submitted { token, operation, data } => {
                (token, What::Submitted(*operation, data.to_vec()))
            }
            Event::Rejected { token, operation, error } => (token, What::Rejected(*operation, error)),
            Event::Cancelled { token } => (token, What::Cancelled),
            Event::Completed { token, operation, status, data } => {
                (token, What::Completed(*operation, status, data.to_vec()))
            }
        };
        self.entries.borrow_mut().push(Entry { at, token, what });
    }
}
