//! A queue of variable-length entries in memory that two processes share: one produces, one consumes, neither trusts
//! the other. DriverKit's IODataQueueDispatchSource for Linux: a ring in a sealed memfd, and an eventfd each way, to be
//! watched by any event loop. It does not know what entries mean, nor how its parts travel to the other process.
//!
//! ```
//! use outboard_core::source::data_queue::{self, Consumer, DequeueError, EnqueueError, Readiness};
//!
//! let (mut producer, parts) = data_queue::create(4096)?;
//! let mut consumer = Consumer::from_parts(parts)?; // `parts` may have come over a socket
//!
//! producer.enqueue(b"one")?;
//! producer.enqueue_with(64, |entry| {
//!     entry.write(b"tw")?;
//!     entry.write(b"o")
//! })??;
//!
//! let mut buffer = [0; 64];
//! loop {
//!     match consumer.dequeue(&mut buffer) {
//!         Ok(len) => println!("{:?}", &buffer[..len]),
//!         Err(DequeueError::Underrun) => match consumer.prepare_wait()? {
//!             Readiness::Ready => {}
//!             Readiness::Wait => break, // sleep until consumer.event_fd() is readable, then go on
//!         },
//!         Err(error) => return Err(error.into()),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Waiting
//! An end that has nothing to do calls `prepare_wait`, and sleeps on its event only if that says
//! [`Wait`](Readiness::Wait). The other end signals once, when what was waited for is there; as long as nobody has asked
//! to be woken, no system call is made. An event can be readable without need, never the other way round. The producer
//! may wait as well, for room. `wait` does all of it for a thread without an event loop.
//!
//! # What can go wrong
//! Too fast is [`EnqueueError::Overrun`], too early is [`DequeueError::Underrun`]; both pass. A peer that broke the queue
//! is [`Corruption`], which says what it did, and does not pass: this end stays closed. It never becomes a panic, an access
//! out of bounds, a signal or an endless loop here. If it is found after an entry was moved, that call still succeeds
//! and the next one reports it.
//!
//! # What a hostile peer can still do
//! Put anything into the entries, which the consumer must parse with care; take nothing out, or put nothing in; wake this
//! end without need, as often as it can make system calls. It can also fill an event's count and take O_NONBLOCK off
//! the shared description, so that a signal to it sleeps until that count is read: an end that must serve others beside
//! a hostile peer runs on a thread, or in a process, of its own.

use std::os::fd::OwnedFd;

pub use consumer::{Consumer, Entry};
pub use error::{Corruption, DequeueError, EnqueueError, EntryFull};
pub use layout::{MAX_CAPACITY, MIN_CAPACITY};
pub use producer::{EntryWriter, Producer};

use crate::{Error, ErrorKind, Result};

mod consumer;
mod error;
mod event;
mod layout;
mod producer;
mod ring;
mod sys;
#[cfg(test)]
mod tests;

/// The descriptors that a data queue consists of. Both ends need all three; they may be sent over a socket.
#[derive(Debug)]
pub struct Parts {
    /// The ring: a memfd sealed against growing, shrinking and other seals.
    pub memory: OwnedFd,
    /// The eventfd that wakes the consumer.
    pub data_available: OwnedFd,
    /// The eventfd that wakes the producer.
    pub space_available: OwnedFd,
}

impl Parts {
    /// Makes an empty queue with room for `capacity` bytes, rounded up to a power of two and to [`MIN_CAPACITY`]. Each entry
    /// takes 8 bytes more than it has, and its bytes are padded to 8.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) above [`MAX_CAPACITY`]; the operating system's own.
    pub fn create(capacity: usize) -> Result<Self> {
        if capacity > MAX_CAPACITY {
            let reason = format!("is {capacity} bytes; {MAX_CAPACITY} is the most");
            return Err(Error::new(ErrorKind::Unsupported, "create the data queue", reason).field("capacity"));
        }
        let capacity = capacity.max(MIN_CAPACITY).next_power_of_two();
        Ok(Self {
            memory: sys::create(capacity)?,
            data_available: event::create()?,
            space_available: event::create()?,
        })
    }

    /// The same queue once more: for the other end, or to be kept for the successor of a process.
    ///
    /// # Errors
    /// The operating system's own, when there are too many descriptors.
    pub fn try_clone(&self) -> Result<Self> {
        let clone =
            |fd: &OwnedFd| fd.try_clone().map_err(|error| Error::os("duplicate the data queue", error));
        Ok(Self {
            memory: clone(&self.memory)?,
            data_available: clone(&self.data_available)?,
            space_available: clone(&self.space_available)?,
        })
    }
}

/// Makes an empty queue and keeps the producer's end of it; the parts are for the consumer. Whoever wants the consumer's
/// end, or neither, uses [`Parts::create`].
///
/// # Errors
/// As [`Parts::create`] and [`Producer::from_parts`].
pub fn create(capacity: usize) -> Result<(Producer, Parts)> {
    let parts = Parts::create(capacity)?;
    Ok((Producer::from_parts(parts.try_clone()?)?, parts))
}

/// Whether it is time to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "sleeping without Wait sleeps too long"]
pub enum Readiness {
    /// What is waited for is there.
    Ready,
    /// It is not; the end's event will say when.
    Wait,
}

/// What went through one end of a queue since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Entries moved.
    pub entries: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Calls refused: overruns of a producer, underruns of a consumer.
    pub refused: u64,
    /// Times that the other end was woken.
    pub wakeups: u64,
}

/// What is wrong with a queue that is being opened.
fn malformed(corruption: Corruption) -> Error {
    Error::new(ErrorKind::Malformed, "open the data queue", corruption.to_string())
}
