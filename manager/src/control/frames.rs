//! Varlink's frames: messages that end with a NUL, cut out of whatever a socket brings. Neither a message nor what waits for its turn can take
//! more memory than the limit. It must not know what is in a message.

use std::fmt;

/// What came and is not taken yet, in one buffer that never grows past the limit.
#[derive(Debug)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// The first byte that is not taken.
    start: usize,
    /// Before it there is no NUL that was not found.
    searched: usize,
    /// The end of what came.
    end: usize,
    limit: usize,
}

/// More came than the limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong {
    limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes without an end, or before their turn", self.limit)
    }
}

/// What is read at once, at least.
const STEP: usize = 4096;

impl Frames {
    /// For messages up to `limit` bytes, their NUL counted.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, searched: 0, end: 0, limit }
    }

    /// Where the next bytes go; never empty. What was put there is told by [`Frames::came`].
    pub(super) fn space(&mut self) -> Result<&mut [u8], TooLong> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            // Twice as much each time, so that a long message is not copied for each step.
            let grown = (self.end + self.end.max(STEP)).min(self.limit);
            if grown == self.end {
                return Err(TooLong { limit: self.limit });
            }
            self.bytes.resize(grown, 0);
        }
        Ok(&mut self.bytes[self.end..])
    }

    /// The first `count` bytes of the space came.
    pub(super) fn came(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// The next whole message, without its NUL.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let Some(length) = self.bytes[self.searched..self.end].iter().position(|byte| *byte == 0) else {
            self.searched = self.end;
            return None;
        };
        let (from, to) = (self.start, self.searched + length);
        self.start = to + 1;
        self.searched = self.start;
        Some(&self.bytes[from..to])
    }

    #[cfg(test)]
    fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Puts the bytes in by pieces of these lengths, and takes what is whole after each.
    fn take_all(frames: &mut Frames, mut bytes: &[u8], pieces: &[usize]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut messages = Vec::new();
        let mut pieces = pieces.iter().cycle();
        while !bytes.is_empty() {
            let space = frames.space()?;
            let length = (*pieces.next().unwrap_or(&1)).clamp(1, space.len().min(bytes.len()));
            space[..length].copy_from_slice(&bytes[..length]);
            frames.came(length);
            bytes = &bytes[length..];
            while let Some(message) = frames.next() {
                messages.push(message.to_vec());
            }
        }
        Ok(messages)
    }

    #[test]
    fn a_message_as_long_as_the_limit_passes_and_a_longer_one_does_not() {
        let mut longest = vec![b'x'; 9_999];
        longest.push(0);
        let taken = take_all(&mut Frames::new(10_000), &longest, &[4096]).unwrap();
        assert_eq!(taken, [longest[..9_999].to_vec()]);
        longest.insert(0, b'x');
        let refused = take_all(&mut Frames::new(10_000), &longest, &[4096]).unwrap_err();
        assert_eq!(refused.to_string(), "more than 10000 bytes without an end, or before their turn");
    }

    #[test]
    fn what_waits_for_its_turn_counts_too() {
        let mut frames = Frames::new(100);
        while let Ok(space) = frames.space() {
            space.fill(0);
            let length = space.len();
            frames.came(length);
        }
        assert_eq!(std::iter::from_fn(|| frames.next().map(<[u8]>::len)).collect::<Vec<_>>(), [0; 100]);
        assert!(frames.space().is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_cut_at_their_nuls_in_bounded_memory(
            runs in proptest::collection::vec((1usize..9_000, any::<u8>(), proptest::collection::vec(0u8..4, 0..8)), 0..8),
            pieces in proptest::collection::vec(1usize..9_000, 1..8),
        ) {
            const LIMIT: usize = 8192;
            // A run of a byte, and some bytes of which many are NULs.
            let bytes: Vec<u8> =
                runs.into_iter().flat_map(|(length, byte, tail)| [vec![byte; length], tail].concat()).collect();
            let mut frames = Frames::new(LIMIT);
            let wanted: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
            let (rest, whole) = wanted.split_last().unwrap();
            match take_all(&mut frames, &bytes, &pieces) {
                Ok(taken) => {
                    prop_assert_eq!(taken, whole.iter().map(|message| message.to_vec()).collect::<Vec<_>>());
                    prop_assert!(rest.len() <= LIMIT);
                }
                Err(_) => prop_assert!(wanted.iter().any(|message| message.len() >= LIMIT)),
            }
            prop_assert!(frames.memory() <= 2 * LIMIT);
        }
    }
}
