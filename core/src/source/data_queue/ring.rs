//! The algorithm of the ring: one writer, one reader, neither of which trusts the other. It works over [`Memory`],
//! so that the very code that runs over shared memory is model-checked over loom's. It makes no system call and
//! does not know how a peer is woken: it says only whether it must be.
//!
//! **Publishing.** The producer writes an entry with relaxed stores, then releases the write index; the consumer
//! acquires the write index, copies the entry out, then releases the read index, which the producer acquires before
//! it overwrites.
//!
//! **Waking.** Who is about to sleep stores a mark (the index whose passing it waits for), fences, and looks once
//! more. Who moves an index stores it, fences, and then reads the mark. Of two sequentially consistent fences one
//! comes first: either the sleeper sees the move and does not sleep, or the mover sees the mark and wakes it. A move
//! wakes only if it passes the mark, so a busy peer is woken once and not for every entry, and nobody has to clear
//! anything.
//!
//! **Trust.** Each word of the other side is read once per use, into a local, and checked against what this end
//! holds privately (its own index, the last one that it accepted, the capacity). All arithmetic wraps, all places
//! are masked. The bytes of an entry are copied as words of relaxed atomics: a peer that changes them meanwhile gives
//! us odd bytes, never undefined behaviour.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Corruption, DequeueError, EnqueueError, EntryFull};
use super::layout::{Field, WORD, entry_head, entry_words, max_entry, split_head};
use super::{Counters, Readiness};

/// A word that both sides see.
pub(super) trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
}

impl Word for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
}

/// The memory that both sides see.
pub(super) trait Memory {
    type Word: Word;
    fn field(&self, field: Field) -> &Self::Word;
    /// The words for entries: a power of two of them, at least 2, always the same.
    fn data(&self) -> &[Self::Word];
    /// A sequentially consistent fence.
    fn fence(&self);
}

/// The `count` words from `index` on, in the two parts that the end of the ring divides them into. `count` is at
/// most the ring's length.
fn run<W>(data: &[W], index: u64, count: usize) -> (&[W], &[W]) {
    let slot = index as usize & (data.len() - 1);
    let count = count.min(data.len());
    let first = count.min(data.len() - slot);
    (&data[slot..slot + first], &data[..count - first])
}

fn word_at<W>(data: &[W], index: u64) -> &W {
    &data[index as usize & (data.len() - 1)]
}

/// The producer's end.
#[derive(Debug)]
pub(super) struct Producer<M> {
    memory: M,
    capacity: u64,
    write: u64,
    /// The last read index that was accepted.
    read: u64,
    poison: Option<Corruption>,
    pub(super) counters: Counters,
}

impl<M: Memory> Producer<M> {
    /// Goes on where the last producer of this memory stopped; at the start if there was none.
    pub(super) fn adopt(memory: M) -> Result<Self, Corruption> {
        let capacity = memory.data().len() as u64;
        let write = memory.field(Field::WriteIndex).load(Ordering::Relaxed);
        let read = memory.field(Field::ReadIndex).load(Ordering::Acquire);
        if write.wrapping_sub(read) > capacity {
            return Err(Corruption::ReadIndex { found: read, write, capacity });
        }
        Ok(Self { memory, capacity, write, read, poison: None, counters: Counters::default() })
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn check(&self) -> Result<(), Corruption> {
        self.poison.map_or(Ok(()), Err)
    }

    pub(super) fn poison(&mut self, corruption: Corruption) -> Corruption {
        *self.poison.get_or_insert(corruption)
    }

    fn free(&self) -> u64 {
        self.capacity - self.write.wrapping_sub(self.read)
    }

    /// Takes over the consumer's read index.
    fn refresh(&mut self) -> Result<(), Corruption> {
        let found = self.memory.field(Field::ReadIndex).load(Ordering::Acquire);
        // It lies between the last one and the write index; anything else is further from the write index.
        if self.write.wrapping_sub(found) > self.write.wrapping_sub(self.read) {
            let (write, capacity) = (self.write, self.capacity);
            return Err(self.poison(Corruption::ReadIndex { found, write, capacity }));
        }
        self.read = found;
        Ok(())
    }

    /// The words of an entry of `len` bytes, if one can ever fit.
    fn words(&self, len: usize) -> Result<u64, EnqueueError> {
        self.check()?;
        let max = max_entry(self.capacity);
        if len > max { Err(EnqueueError::TooLarge { len, max }) } else { Ok(entry_words(len)) }
    }

    /// Room for an entry of at most `limit` bytes, to be filled and then published.
    pub(super) fn reserve(&mut self, limit: usize) -> Result<Writer<'_, M::Word>, EnqueueError> {
        let words = self.words(limit)?;
        if words > self.free() {
            self.refresh()?;
            if words > self.free() {
                self.counters.refused += 1;
                let (needed, free) = (words as usize * WORD, self.free() as usize * WORD);
                return Err(EnqueueError::Overrun { needed, free });
            }
        }
        let index = self.write.wrapping_add(1);
        Ok(Writer { data: self.memory.data(), index, carry: [0; WORD], written: 0, limit })
    }

    /// Makes the entry that a [`Writer`] filled visible. True if the consumer must be woken.
    pub(super) fn publish(&mut self, len: usize) -> bool {
        let old = self.write;
        let new = old.wrapping_add(entry_words(len));
        // No entry is longer than the capacity, which fits 32 bits.
        word_at(self.memory.data(), old).store(entry_head(old, len as u32), Ordering::Relaxed);
        self.memory.field(Field::WriteIndex).store(new, Ordering::Release);
        self.write = new;
        self.counters.entries += 1;
        self.counters.bytes += len as u64;

        self.memory.fence();
        let mark = self.memory.field(Field::WakeMark).load(Ordering::Relaxed);
        if new.wrapping_sub(mark).cast_signed() < 0 {
            // The entry is out already, so the next call reports it.
            self.poison(Corruption::WakeMark { found: mark, write: new });
            return false;
        }
        let wake = mark.wrapping_sub(old) < new.wrapping_sub(old);
        self.counters.wakeups += u64::from(wake);
        wake
    }

    /// Asks to be woken when an entry of `len` bytes fits.
    pub(super) fn arm(&mut self, len: usize) -> Result<Readiness, EnqueueError> {
        let words = self.words(len)?;
        if words <= self.free() {
            return Ok(Readiness::Ready);
        }
        let mark = self.write.wrapping_add(words).wrapping_sub(self.capacity);
        self.memory.field(Field::SpaceMark).store(mark, Ordering::Relaxed);
        self.memory.fence();
        self.refresh()?;
        Ok(if words <= self.free() { Readiness::Ready } else { Readiness::Wait })
    }
}

/// An entry being written. It keeps what does not fill a word yet; [`Writer::finish`] puts that down as well.
pub(super) struct Writer<'a, W> {
    data: &'a [W],
    /// Where the next whole word goes.
    index: u64,
    carry: [u8; WORD],
    written: usize,
    limit: usize,
}

impl<W: Word> Writer<'_, W> {
    pub(super) fn left(&self) -> usize {
        self.limit - self.written
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), EntryFull> {
        if bytes.len() > self.left() {
            return Err(EntryFull { len: bytes.len(), left: self.left() });
        }
        let held = self.written % WORD;
        self.written += bytes.len();
        if held > 0 {
            let (now, rest) = bytes.split_at(bytes.len().min(WORD - held));
            self.carry[held..held + now.len()].copy_from_slice(now);
            if held + now.len() < WORD {
                return Ok(());
            }
            self.put_carry();
            bytes = rest;
        }
        let (words, rest) = bytes.as_chunks::<WORD>();
        let (first, second) = run(self.data, self.index, words.len());
        let (head, tail) = words.split_at(first.len());
        // for_each, since a chain that is iterated by hand asks at each word which half it is in.
        first.iter().zip(head).chain(second.iter().zip(tail)).for_each(|(word, bytes)| {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        });
        self.index = self.index.wrapping_add(words.len() as u64);
        self.carry[..rest.len()].copy_from_slice(rest);
        Ok(())
    }

    fn put_carry(&mut self) {
        word_at(self.data, self.index).store(u64::from_ne_bytes(self.carry), Ordering::Relaxed);
        self.index = self.index.wrapping_add(1);
    }

    /// Pads the last word and returns the entry's length in bytes.
    pub(super) fn finish(mut self) -> usize {
        let held = self.written % WORD;
        if held > 0 {
            self.carry[held..].fill(0);
            self.put_carry();
        }
        self.written
    }
}

/// The consumer's end.
#[derive(Debug)]
pub(super) struct Consumer<M> {
    memory: M,
    capacity: u64,
    read: u64,
    /// The last write index that was accepted.
    write: u64,
    /// Length of the oldest entry, once its head was read: it is not read again.
    front: Option<usize>,
    poison: Option<Corruption>,
    pub(super) counters: Counters,
}

impl<M: Memory> Consumer<M> {
    /// Goes on where the last consumer of this memory stopped; at the start if there was none.
    pub(super) fn adopt(memory: M) -> Result<Self, Corruption> {
        let capacity = memory.data().len() as u64;
        let read = memory.field(Field::ReadIndex).load(Ordering::Relaxed);
        let write = memory.field(Field::WriteIndex).load(Ordering::Acquire);
        if write.wrapping_sub(read) > capacity {
            return Err(Corruption::WriteIndex { found: write, read, capacity });
        }
        Ok(Self { memory, capacity, read, write, front: None, poison: None, counters: Counters::default() })
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn check(&self) -> Result<(), Corruption> {
        self.poison.map_or(Ok(()), Err)
    }

    pub(super) fn poison(&mut self, corruption: Corruption) -> Corruption {
        *self.poison.get_or_insert(corruption)
    }

    /// Takes over the producer's write index.
    fn refresh(&mut self) -> Result<(), Corruption> {
        let found = self.memory.field(Field::WriteIndex).load(Ordering::Acquire);
        let used = found.wrapping_sub(self.read);
        if used > self.capacity || used < self.write.wrapping_sub(self.read) {
            let (read, capacity) = (self.read, self.capacity);
            return Err(self.poison(Corruption::WriteIndex { found, read, capacity }));
        }
        self.write = found;
        Ok(())
    }

    /// Length of the oldest entry in bytes, if there is one.
    pub(super) fn front(&mut self) -> Result<usize, DequeueError> {
        self.check()?;
        if let Some(len) = self.front {
            return Ok(len);
        }
        if self.write == self.read {
            self.refresh()?;
            if self.write == self.read {
                self.counters.refused += 1;
                return Err(DequeueError::Underrun);
            }
        }
        let (index, used) = (self.read, self.write.wrapping_sub(self.read));
        let (len, stamp) = split_head(word_at(self.memory.data(), index).load(Ordering::Relaxed));
        if stamp != index as u32 {
            return Err(self.poison(Corruption::EntryStamp { index, found: stamp }).into());
        }
        if entry_words(len as usize) > used {
            let available = max_entry(used);
            return Err(self.poison(Corruption::EntryLength { index, found: len, available }).into());
        }
        self.front = Some(len as usize);
        Ok(len as usize)
    }

    /// Copies bytes of the oldest entry, from `offset` on, until it or `out` ends; returns how many.
    pub(super) fn copy(&self, offset: usize, out: &mut [u8]) -> usize {
        let count = self.front.unwrap_or(0).saturating_sub(offset).min(out.len());
        let data = self.memory.data();
        let mut index = self.read.wrapping_add(1 + (offset / WORD) as u64);
        let mut out = &mut out[..count];
        let skip = offset % WORD;
        if skip > 0 && count > 0 {
            let word = word_at(data, index).load(Ordering::Relaxed).to_ne_bytes();
            let (now, rest) = out.split_at_mut(count.min(WORD - skip));
            now.copy_from_slice(&word[skip..skip + now.len()]);
            index = index.wrapping_add(1);
            out = rest;
        }
        let (words, rest) = out.as_chunks_mut::<WORD>();
        let whole = words.len();
        let (first, second) = run(data, index, whole);
        let (head, tail) = words.split_at_mut(first.len());
        head.iter_mut().zip(first).chain(tail.iter_mut().zip(second)).for_each(|(bytes, word)| {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        });
        if !rest.is_empty() {
            let word = word_at(data, index.wrapping_add(whole as u64)).load(Ordering::Relaxed).to_ne_bytes();
            rest.copy_from_slice(&word[..rest.len()]);
        }
        count
    }

    /// Gives the oldest entry's room back, if [`Consumer::front`] found one. True if the producer must be woken.
    pub(super) fn release(&mut self) -> bool {
        let Some(len) = self.front.take() else { return false };
        let old = self.read;
        let new = old.wrapping_add(entry_words(len));
        self.memory.field(Field::ReadIndex).store(new, Ordering::Release);
        self.read = new;
        self.counters.entries += 1;
        self.counters.bytes += len as u64;

        self.memory.fence();
        let mark = self.memory.field(Field::SpaceMark).load(Ordering::Relaxed);
        // An honest producer waits for its write index at most, which is at most a ring's length ahead of us.
        if new.wrapping_add(self.capacity).wrapping_sub(mark).cast_signed() < 0 {
            // The entry is with the caller already, so the next call reports it.
            self.poison(Corruption::SpaceMark { found: mark, read: new });
            return false;
        }
        // Reaching the mark is enough, where an entry must pass it: hence old < mark <= new.
        let wake = new.wrapping_sub(mark) < new.wrapping_sub(old);
        self.counters.wakeups += u64::from(wake);
        wake
    }

    /// Asks to be woken when there is an entry.
    pub(super) fn arm(&mut self) -> Result<Readiness, Corruption> {
        self.check()?;
        if self.write == self.read {
            self.memory.field(Field::WakeMark).store(self.read, Ordering::Relaxed);
            self.memory.fence();
            self.refresh()?;
        }
        Ok(if self.write == self.read { Readiness::Wait } else { Readiness::Ready })
    }
}
