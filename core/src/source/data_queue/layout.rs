//! How a data queue lies in shared memory. Constants and arithmetic only: nothing here reads or writes the memory.
//!
//! ```text
//! byte    0  magic, version                     written once by the creator
//! byte  128  write index, space mark            written by the producer only
//! byte  256  read index, wake mark              written by the consumer only
//! byte  384  entries: a power of two of bytes   written by the producer only
//! ```
//!
//! Everything is a 64-bit word in the machine's byte order. Each word has one writer, so that no side ever needs
//! a read-modify-write, and the two sides' words are 128 bytes apart, since processors fetch cache lines in pairs.
//!
//! Indices and marks count words since the queue was created and never go back to 0; the place of an index is its
//! remainder by the capacity. So a full ring and an empty one differ, and 2^64 words outlast any machine.
//!
//! An entry is a head word and then its bytes, padded with zeroes to a whole word; it may wrap at any word. The head
//! is the length in bytes (low half) and the low half of the index that it lies at (high half), so that a head which
//! is left over or overwritten is told from one that belongs there.
//!
//! The capacity is not in the memory: it follows from the sealed size of the file, which no peer can change.

/// "OBDQUEUE": the memory is a data queue of this byte order.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"OBDQUEUE");

/// Version of this layout; the other side must have the same.
pub(super) const VERSION: u64 = 1;

/// Bytes in a word.
pub(super) const WORD: usize = size_of::<u64>();

/// Bytes before the entries.
pub(super) const HEADER_BYTES: usize = 384;

/// Smallest room for entries in bytes.
pub const MIN_CAPACITY: usize = 64;

/// Largest room for entries in bytes.
pub const MAX_CAPACITY: usize = 1 << 30;

/// A word of the header, as its place in words from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Field {
    /// [`MAGIC`].
    Magic = 0,
    /// [`VERSION`].
    Version = 1,
    /// Where the next entry will be written: all words before it are published. The producer's.
    WriteIndex = 16,
    /// The producer waits for the read index to reach this. The producer's.
    SpaceMark = 17,
    /// Where the oldest entry lies: all words before it may be overwritten. The consumer's.
    ReadIndex = 32,
    /// The consumer waits for the write index to pass this. The consumer's.
    WakeMark = 33,
}

/// The words that an entry of `len` bytes takes, its head among them. `len` is at most [`MAX_CAPACITY`] or came out
/// of 32 bits, so nothing overflows.
pub(super) const fn entry_words(len: usize) -> u64 {
    1 + len.div_ceil(WORD) as u64
}

/// The longest entry, in bytes, of a ring of so many words.
pub(super) const fn max_entry(capacity_words: u64) -> usize {
    (capacity_words as usize - 1) * WORD
}

/// The head of an entry of `len` bytes at `index`.
pub(super) const fn entry_head(index: u64, len: u32) -> u64 {
    (index << 32) | len as u64
}

/// Length in bytes and stamp of an entry's head.
pub(super) const fn split_head(head: u64) -> (u32, u32) {
    (head as u32, (head >> 32) as u32)
}

const _: () = {
    assert!(HEADER_BYTES.is_multiple_of(128));
    assert!((Field::WakeMark as usize) < HEADER_BYTES / WORD);
    assert!(MIN_CAPACITY.is_power_of_two() && MIN_CAPACITY.is_multiple_of(WORD));
    assert!(MAX_CAPACITY.is_power_of_two() && MAX_CAPACITY <= u32::MAX as usize);
};
