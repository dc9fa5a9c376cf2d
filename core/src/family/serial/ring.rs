//! The bytes between the device and a reader that does not read just now: a ring of a fixed size. It knows no end.

/// What a port's ring holds: 3.5 s at 3 MBd.
pub const CAPACITY: usize = 1 << 20;

/// A queue of bytes that never grows. Its memory is not touched, and so not taken from the system, before it is needed.
#[derive(Debug)]
pub struct Ring {
    bytes: Box<[u8]>,
    /// Where the oldest byte is.
    begin: usize,
    len: usize,
}

impl Ring {
    /// An empty ring for so many bytes.
    pub fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), begin: 0, len: 0 }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that there is room for.
    pub fn room(&self) -> usize {
        self.bytes.len() - self.len
    }

    /// Appends as many bytes as there is room for; how many that were.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = &bytes[..bytes.len().min(self.room())];
        let end = self.begin + self.len;
        let end = if end >= self.bytes.len() { end - self.bytes.len() } else { end };
        let (first, second) = taken.split_at(taken.len().min(self.bytes.len() - end));
        self.bytes[end..end + first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.len += taken.len();
        taken.len()
    }

    /// The oldest bytes that are in one piece; empty only if the ring is.
    pub fn front(&self) -> &[u8] {
        let end = (self.begin + self.len).min(self.bytes.len());
        &self.bytes[self.begin..end]
    }

    /// Drops the oldest bytes, at most all.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        self.begin += count;
        if self.begin >= self.bytes.len() {
            self.begin -= self.bytes.len();
        }
        if self.len == 0 {
            // From the beginning again: the next bytes are in one piece, and in memory that is in the cache.
            self.begin = 0;
        }
    }

    /// Drops all; how many that were.
    pub fn clear(&mut self) -> usize {
        let count = self.len;
        self.consume(count);
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_bounded_queue(capacity in 1usize..40, steps in prop::collection::vec((any::<bool>(), 0usize..50), 0..100)) {
            let (mut ring, mut model) = (Ring::new(capacity), VecDeque::new());
            let mut next = 0u8;
            for (push, count) in steps {
                if push {
                    let bytes: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let taken = ring.push(&bytes);
                    prop_assert_eq!(taken, count.min(capacity - model.len()));
                    model.extend(&bytes[..taken]);
                } else {
                    ring.consume(count);
                    model.drain(..count.min(model.len()));
                }
                prop_assert_eq!(ring.len(), model.len());
                prop_assert_eq!(ring.room(), capacity - model.len());
                prop_assert_eq!(ring.front().is_empty(), model.is_empty());
                let front: Vec<u8> = model.iter().copied().take(ring.front().len()).collect();
                prop_assert_eq!(ring.front(), &front[..]);
            }
            prop_assert_eq!(ring.clear(), model.len());
            prop_assert!(ring.is_empty());
        }
    }
}
