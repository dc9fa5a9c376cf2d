//! The end that takes entries out: the ring's consumer over shared memory, with the two events. It does not know what
//! entries mean.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::error::{Corruption, DequeueError};
use super::event::Event;
use super::layout::{WORD, max_entry};
use super::sys::{self, Mapping};
use super::{Counters, Parts, Readiness, malformed, ring};
use crate::Result;

/// The consumer's end of a data queue. There must be one of it at a time; the producer sees a second one as corruption.
#[derive(Debug)]
pub struct Consumer {
    ring: ring::Consumer<Mapping>,
    data_available: Event,
    space_available: Event,
}

impl Consumer {
    /// The consumer's end of the queue that `parts` are of. If there was a consumer before, this one goes on where that
    /// one stopped; an entry that it was busy with comes again.
    ///
    /// Needs fcntl, fstat, fstatfs, mmap and write, so a process that locks itself down does it before.
    ///
    /// # Errors
    /// [`Malformed`](crate::ErrorKind::Malformed), naming the part, if the memory is not a sealed data queue, an event is
    /// no eventfd, or the indices make no sense; the operating system's own otherwise.
    pub fn from_parts(parts: Parts) -> Result<Self> {
        let data_available = Event::adopt(parts.data_available, "data_available")?;
        let space_available = Event::adopt(parts.space_available, "space_available")?;
        let ring = ring::Consumer::adopt(sys::open(parts.memory.as_fd())?).map_err(malformed)?;
        // The last consumer may have died between taking an entry and its signal.
        space_available.signal().map_err(malformed)?;
        Ok(Self { ring, data_available, space_available })
    }

    /// Copies the oldest entry to the start of `buffer`, removes it, and returns its length in bytes.
    ///
    /// # Errors
    /// See [`DequeueError`].
    pub fn dequeue(&mut self, buffer: &mut [u8]) -> Result<usize, DequeueError> {
        let entry = self.peek()?;
        let needed = entry.len();
        if needed > buffer.len() {
            return Err(DequeueError::BufferTooSmall { needed });
        }
        let len = entry.copy_to(buffer);
        entry.consume();
        Ok(len)
    }

    /// The oldest entry, to be looked at. It stays in the queue until it is consumed.
    ///
    /// # Errors
    /// [`DequeueError::Underrun`] or [`DequeueError::Corrupt`].
    pub fn peek(&mut self) -> Result<Entry<'_>, DequeueError> {
        let len = self.ring.front()?;
        Ok(Entry { consumer: self, len })
    }

    /// Length of the oldest entry in bytes: what [`Consumer::dequeue`] needs, whatever the producer does meanwhile.
    ///
    /// # Errors
    /// As [`Consumer::peek`].
    pub fn peek_len(&mut self) -> Result<usize, DequeueError> {
        self.ring.front()
    }

    /// To be called before sleeping on [`Consumer::event_fd`]. [`Readiness::Wait`]: the queue is empty; the event becomes
    /// readable with the next entry. [`Readiness::Ready`]: there is an entry by now.
    ///
    /// # Errors
    /// What the producer did to the queue.
    pub fn prepare_wait(&mut self) -> Result<Readiness, Corruption> {
        self.ring.check()?;
        // Cleared before armed: a signal that answers the arming is not lost.
        self.data_available.clear().map_err(|broken| self.ring.poison(broken))?;
        self.ring.arm()
    }

    /// Sleeps until there is an entry, or until the time is over, if one is given: then the result is
    /// [`Readiness::Wait`].
    ///
    /// # Errors
    /// As [`Consumer::prepare_wait`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Readiness, Corruption> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if self.prepare_wait()? == Readiness::Ready {
                return Ok(Readiness::Ready);
            }
            if !self.data_available.sleep(deadline).map_err(|broken| self.ring.poison(broken))? {
                return Ok(Readiness::Wait);
            }
        }
    }

    /// Readable when there is an entry again, as [`Consumer::prepare_wait`] says; now and then also without need.
    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.data_available.as_fd()
    }

    /// Bytes in the ring, among them 8 for each entry and its padding to 8.
    pub fn capacity(&self) -> usize {
        self.ring.capacity() as usize * WORD
    }

    /// The longest possible entry in bytes.
    pub fn max_entry(&self) -> usize {
        max_entry(self.ring.capacity())
    }

    /// What went through this end; [`Counters::refused`] are its underruns.
    pub fn counters(&self) -> Counters {
        self.ring.counters
    }
}

/// The oldest entry of a queue. Its length is fixed and checked; its bytes lie where the producer can still reach them, so
/// they are only ever copied out. Copy once and look at the copy: two copies may differ.
#[derive(Debug)]
pub struct Entry<'a> {
    consumer: &'a mut Consumer,
    len: usize,
}

impl Entry<'_> {
    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an entry of no bytes is still an entry")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies the start of the entry, as much as there is and fits; returns how many bytes.
    pub fn copy_to(&self, buffer: &mut [u8]) -> usize {
        self.copy_from(0, buffer)
    }

    /// Copies the entry from `offset` on, as much as there is and fits; returns how many bytes.
    pub fn copy_from(&self, offset: usize, buffer: &mut [u8]) -> usize {
        self.consumer.ring.copy(offset, buffer)
    }

    /// Removes the entry from the queue.
    pub fn consume(self) {
        let Consumer { ring, space_available, .. } = self.consumer;
        if ring.release()
            && let Err(broken) = space_available.signal()
        {
            ring.poison(broken);
        }
    }
}
