//! What can go wrong at one end of a data queue, told apart so that a caller knows what to do: wait, bring a larger
//! buffer, or give the peer up. It knows nothing of how the ring works.

use std::fmt;

use crate::{Error, ErrorKind};

/// What the other side did that no honest peer does. The end that saw it takes no more part in the queue.
///
/// Indices count words of 8 bytes since the queue was created; `capacity` is in the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// The write index went back, or lies further from the read index than the ring is long.
    WriteIndex {
        /// What it was.
        found: u64,
        /// The read index at that time.
        read: u64,
        /// Words in the ring.
        capacity: u64,
    },
    /// The read index went back, or lies beyond the write index, or further behind it than the ring is long.
    ReadIndex {
        /// What it was.
        found: u64,
        /// The write index at that time.
        write: u64,
        /// Words in the ring.
        capacity: u64,
    },
    /// The head of the entry at this index bears another index: it is left over, or was overwritten.
    EntryStamp {
        /// Where the entry lies.
        index: u64,
        /// The low 32 bits of the index that it says it lies at.
        found: u32,
    },
    /// The entry is longer than all that has been published.
    EntryLength {
        /// Where the entry lies.
        index: u64,
        /// Its length in bytes, as it says.
        found: u32,
        /// The most that it can have in bytes.
        available: usize,
    },
    /// The consumer asks to be woken by an entry beyond the one that will be written next.
    WakeMark {
        /// What it was.
        found: u64,
        /// The write index at that time.
        write: u64,
    },
    /// The producer waits for more room than the ring has.
    SpaceMark {
        /// What it was.
        found: u64,
        /// The read index at that time.
        read: u64,
    },
    /// The other side's event could not be signalled, or ours not be reset: it may wait for ever.
    Event {
        /// The operating system's error number.
        os: i32,
    },
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WriteIndex { found, read, capacity } => {
                write!(
                    f,
                    "the write index is {found} with the read index at {read} in a ring of {capacity} words"
                )
            }
            Self::ReadIndex { found, write, capacity } => {
                write!(
                    f,
                    "the read index is {found} with the write index at {write} in a ring of {capacity} words"
                )
            }
            Self::EntryStamp { index, found } => {
                write!(f, "the entry at {index} is stamped {found:#010x} instead of {:#010x}", index as u32)
            }
            Self::EntryLength { index, found, available } => {
                write!(
                    f,
                    "the entry at {index} has a length of {found} bytes where at most {available} can be"
                )
            }
            Self::WakeMark { found, write } => {
                write!(f, "the wake mark is {found}, beyond the write index at {write}")
            }
            Self::SpaceMark { found, read } => {
                write!(f, "the space mark is {found}, out of reach of the read index at {read}")
            }
            Self::Event { os } => {
                write!(f, "its event does not work: {}", std::io::Error::from_raw_os_error(os))
            }
        }
    }
}

impl std::error::Error for Corruption {}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Self {
        Error::new(ErrorKind::Malformed, "use the data queue", corruption.to_string())
    }
}

/// Why an entry was not enqueued. Nothing of it can be seen by the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// The consumer is behind: there is no room now. See [`Producer::prepare_wait`](super::Producer::prepare_wait).
    #[error("overrun: no room for {needed} bytes of entry, {free} are free")]
    Overrun {
        /// Bytes that the entry would take in the ring, with its head and padding.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// The entry can never fit.
    #[error("an entry of {len} bytes can never fit, the longest has {max}")]
    TooLarge {
        /// Bytes that the entry would have had.
        len: usize,
        /// [`Producer::max_entry`](super::Producer::max_entry).
        max: usize,
    },
    /// The consumer broke the queue; this and every later call fails.
    #[error("the consumer corrupted the data queue: {0}")]
    Corrupt(#[from] Corruption),
}

/// Why no entry was dequeued. Whatever is in the queue is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DequeueError {
    /// There is no entry. See [`Consumer::prepare_wait`](super::Consumer::prepare_wait).
    #[error("underrun: the data queue is empty")]
    Underrun,
    /// The oldest entry is longer than the buffer; it stays where it is.
    #[error("the entry has {needed} bytes, the buffer is too small")]
    BufferTooSmall {
        /// Length of the entry in bytes.
        needed: usize,
    },
    /// The producer broke the queue; this and every later call fails.
    #[error("the producer corrupted the data queue: {0}")]
    Corrupt(#[from] Corruption),
}

/// More bytes were written than the entry was reserved for; none of them were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes do not fit the {left} that are left of the entry")]
pub struct EntryFull {
    /// Bytes that were to be written.
    pub len: usize,
    /// Bytes that were left.
    pub left: usize,
}
