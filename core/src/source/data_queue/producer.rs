//! The end that puts entries in: the ring's producer over shared memory, with the two events. It does not know what
//! entries mean.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::error::{EnqueueError, EntryFull};
use super::event::Event;
use super::layout::{WORD, max_entry};
use super::sys::{self, Mapping};
use super::{Counters, Parts, Readiness, malformed, ring};
use crate::Result;

/// The producer's end of a data queue. There must be one of it at a time; the consumer sees a second one as corruption.
#[derive(Debug)]
pub struct Producer {
    ring: ring::Producer<Mapping>,
    data_available: Event,
    space_available: Event,
}

impl Producer {
    /// The producer's end of the queue that `parts` are of. If there was a producer before, this one goes on where
    /// that one stopped.
    ///
    /// Needs fcntl, fstat, fstatfs, mmap and write, so a process that locks itself down does it before.
    ///
    /// # Errors
    /// [`Malformed`](crate::ErrorKind::Malformed), naming the part, if the memory is not a sealed data queue, an event is
    /// no eventfd, or the indices make no sense; the operating system's own otherwise.
    pub fn from_parts(parts: Parts) -> Result<Self> {
        let data_available = Event::adopt(parts.data_available, "data_available")?;
        let space_available = Event::adopt(parts.space_available, "space_available")?;
        let ring = ring::Producer::adopt(sys::open(parts.memory.as_fd())?).map_err(malformed)?;
        // The last producer may have died between an entry and its signal.
        data_available.signal().map_err(malformed)?;
        Ok(Self { ring, data_available, space_available })
    }

    /// Appends an entry, which may be empty.
    ///
    /// # Errors
    /// See [`EnqueueError`]; after [`Overrun`](EnqueueError::Overrun) the entry may be tried again.
    pub fn enqueue(&mut self, entry: &[u8]) -> Result<(), EnqueueError> {
        // The limit is the length, so the writer takes it all.
        self.enqueue_with(entry.len(), |writer| writer.write(entry).unwrap_or_default())
    }

    /// Appends an entry that `fill` writes into the ring, of at most `limit` bytes; its length is what was written.
    /// If `fill` panics there is no entry.
    ///
    /// # Errors
    /// As [`Producer::enqueue`], for an entry of `limit` bytes; `fill` is then not called.
    pub fn enqueue_with<R>(
        &mut self,
        limit: usize,
        fill: impl FnOnce(&mut EntryWriter<'_>) -> R,
    ) -> Result<R, EnqueueError> {
        let mut writer = EntryWriter(self.ring.reserve(limit)?);
        let result = fill(&mut writer);
        let len = writer.0.finish();
        if self.ring.publish(len)
            && let Err(broken) = self.data_available.signal()
        {
            self.ring.poison(broken);
        }
        Ok(result)
    }

    /// To be called before sleeping on [`Producer::event_fd`], after an overrun. [`Readiness::Wait`]: an entry of `len`
    /// bytes does not fit; the event becomes readable when it does. [`Readiness::Ready`]: it fits by now.
    ///
    /// # Errors
    /// [`EnqueueError::TooLarge`] or [`EnqueueError::Corrupt`].
    pub fn prepare_wait(&mut self, len: usize) -> Result<Readiness, EnqueueError> {
        self.ring.check()?;
        // Cleared before armed: a signal that answers the arming is not lost.
        self.space_available.clear().map_err(|broken| self.ring.poison(broken))?;
        self.ring.arm(len)
    }

    /// Sleeps until an entry of `len` bytes fits, or until the time is over, if one is given: then the result is
    /// [`Readiness::Wait`].
    ///
    /// # Errors
    /// As [`Producer::prepare_wait`].
    pub fn wait(&mut self, len: usize, timeout: Option<Duration>) -> Result<Readiness, EnqueueError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if self.prepare_wait(len)? == Readiness::Ready {
                return Ok(Readiness::Ready);
            }
            if !self.space_available.sleep(deadline).map_err(|broken| self.ring.poison(broken))? {
                return Ok(Readiness::Wait);
            }
        }
    }

    /// Readable when there is room again, as [`Producer::prepare_wait`] says; now and then also without need.
    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.space_available.as_fd()
    }

    /// Bytes in the ring, among them 8 for each entry and its padding to 8.
    pub fn capacity(&self) -> usize {
        self.ring.capacity() as usize * WORD
    }

    /// The longest possible entry in bytes.
    pub fn max_entry(&self) -> usize {
        max_entry(self.ring.capacity())
    }

    /// What went through this end; [`Counters::refused`] are its overruns.
    pub fn counters(&self) -> Counters {
        self.ring.counters
    }
}

/// Writes one entry into the ring, from its start to its end.
pub struct EntryWriter<'a>(ring::Writer<'a, AtomicU64>);

impl EntryWriter<'_> {
    /// Appends bytes to the entry.
    ///
    /// # Errors
    /// [`EntryFull`] if they do not fit; none of them are taken then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), EntryFull> {
        self.0.write(bytes)
    }

    /// Bytes that can still be written.
    pub fn left(&self) -> usize {
        self.0.left()
    }
}

impl fmt::Debug for EntryWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryWriter").field("left", &self.left()).finish_non_exhaustive()
    }
}
