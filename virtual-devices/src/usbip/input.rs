//! The peer's bytes on their way in: filled in whatever pieces come, taken in the pieces that make sense. It knows no message.

/// The peer's bytes that were not understood yet.
#[derive(Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Input {
    /// Room behind what is there, for at most `most` bytes of both.
    pub(super) fn space(&mut self, most: usize) -> &mut [u8] {
        if self.begin > 0 {
            // Rarely more than a part of a header.
            self.bytes.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        if self.bytes.len() < most {
            self.bytes.resize(most, 0);
        }
        &mut self.bytes[self.end..most.max(self.end)]
    }

    /// So many bytes of it were filled.
    pub(super) fn received(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }

    /// Nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    /// The next `N` bytes, once they are there.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.bytes[self.begin..self.end].first_chunk()?;
        self.begin += N;
        Some(taken)
    }

    /// The next bytes, at most `most`.
    pub(super) fn take_up_to(&mut self, most: usize) -> &[u8] {
        let begin = self.begin;
        self.begin += most.min(self.end - begin);
        &self.bytes[begin..self.begin]
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({} bytes)", self.end - self.begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_as_they_went_in() {
        let mut input = Input::default();
        let (mut given, mut expected) = (0u8, 0u8);
        for round in 0..500usize {
            let space = input.space(20);
            let count = (round * 7 % 13).min(space.len());
            for byte in &mut space[..count] {
                *byte = given;
                given = given.wrapping_add(1);
            }
            input.received(count);
            let taken = match round % 3 {
                0 => input.take::<8>().map(Vec::from).unwrap_or_default(),
                _ => input.take_up_to(round % 5).to_vec(),
            };
            for byte in taken {
                assert_eq!(byte, expected);
                expected = expected.wrapping_add(1);
            }
        }
        input.take_up_to(usize::MAX);
        assert!(input.is_empty() && input.take::<1>().is_none());
        assert_eq!(input.space(20).len(), 20);
        input.received(usize::MAX);
        assert_eq!(input.space(20).len(), 0, "never more than there is space for");
    }
}
