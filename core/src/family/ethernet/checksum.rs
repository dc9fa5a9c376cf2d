//! The Internet checksum (RFC 1071) at the speed of memory, and its incremental update (RFC 1624). It knows nothing
//! of headers.

/// A one's complement sum that is not folded yet.
///
/// The words are added in the machine's own byte order, which the sum does not mind (RFC 1071, 2 (B)); only when it
/// leaves as two bytes do they stand in wire order. Sums of adjacent ranges may be added when all but the last have
/// even lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of these bytes; a last odd byte counts as if a zero followed.
    #[inline]
    pub fn of(data: &[u8]) -> Self {
        if data.len() < BLOCK { Self(short(data)) } else { long(data) }
    }

    /// This and the other sum together.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        // Each part is below 2^38, and nobody adds 2^20 of them.
        Self(self.0 + other.0)
    }

    /// Adds one 16-bit field with this value.
    #[inline]
    #[must_use]
    pub const fn word(self, value: u16) -> Self {
        Self(self.0 + value.to_be() as u64)
    }

    /// Adds one 32-bit field with this value.
    #[inline]
    #[must_use]
    pub const fn long(self, value: u32) -> Self {
        Self(self.0 + value.to_be() as u64)
    }

    /// Takes away a 16-bit field that had this value.
    #[inline]
    #[must_use]
    pub const fn without(self, value: u16) -> Self {
        self.word(!value)
    }

    /// The sum as it stands in a header that leaves the rest to an offload: folded, not complemented.
    #[inline]
    pub const fn partial(self) -> [u8; 2] {
        let mut sum = self.0;
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        (sum as u16).to_ne_bytes()
    }

    /// The checksum field: folded and complemented.
    #[inline]
    pub const fn checksum(self) -> [u8; 2] {
        let [a, b] = self.partial();
        [!a, !b]
    }

    /// Whether the range that was summed, checksum field included, is intact.
    #[inline]
    pub const fn is_valid(self) -> bool {
        matches!(self.partial(), [0xff, 0xff])
    }
}

/// Bytes of a round of the fast loop.
const BLOCK: usize = 64;

/// A sum below 2^37 of less than [`BLOCK`] bytes; small enough to be made part of its callers, who sum headers.
#[inline(always)]
fn short(data: &[u8]) -> u64 {
    let (words, rest) = data.as_chunks::<8>();
    let mut sum = 0;
    for word in words {
        sum += halves(*word);
    }
    if let Some((word, rest)) = rest.split_first_chunk::<4>() {
        return sum + u64::from(u32::from_ne_bytes(*word)) + tail(rest);
    }
    sum + tail(rest)
}

#[inline(always)]
fn tail(rest: &[u8]) -> u64 {
    match *rest {
        [] => 0,
        [a] => u16::from_ne_bytes([a, 0]).into(),
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, ..] => u64::from(u16::from_ne_bytes([a, b])) + u64::from(u16::from_ne_bytes([c, 0])),
    }
}

#[inline(always)]
const fn halves(word: [u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(word);
    (word & 0xffff_ffff) + (word >> 32)
}

fn long(data: &[u8]) -> Sum {
    // Lanes of 32-bit halves have no carry to follow, so the compiler makes vector code of them. A lane grows by
    // less than 2^33 a round, so that all together stay below 2^64 for 2^28 rounds, 16 GiB.
    let (blocks, rest) = data.as_chunks::<BLOCK>();
    let mut lanes = [0_u64; BLOCK / 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += halves(*word);
        }
    }
    Sum(fold32(lanes.iter().sum()) + short(rest))
}

const fn fold32(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

/// The checksum field after one 16-bit field of the range went from `old` to `new` (RFC 1624, equation 3).
#[inline]
pub const fn update(checksum: [u8; 2], old: u16, new: u16) -> [u8; 2] {
    let value = u16::from_be_bytes(checksum);
    Sum(0).word(!value).word(!old).word(new).checksum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition, 16 bits at a time; also the judge of the other modules' tests.
    pub(crate) fn naive(data: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in data.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            if sum > 0xffff {
                sum -= 0xffff;
            }
        }
        sum as u16
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&data).partial(), [0xdd, 0xf2]);
        assert_eq!(Sum::of(&data).checksum(), [0x22, 0x0d]);
    }

    #[test]
    fn the_largest_frame_of_ones_does_not_overflow() {
        assert!(Sum::of(&vec![0xff; 1 << 20]).is_valid());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(u16::from_be_bytes(Sum::of(&data).partial()), naive(&data));
        }

        #[test]
        fn does_not_mind_where_it_starts_in_memory(data in proptest::collection::vec(any::<u8>(), 64..300), at in 0..64_usize) {
            prop_assert_eq!(u16::from_be_bytes(Sum::of(&data[at..]).partial()), naive(&data[at..]));
        }

        #[test]
        fn parts_add_up(data in proptest::collection::vec(any::<u8>(), 0..300), at in 0..150_usize) {
            let (front, back) = data.split_at((at * 2).min(data.len() & !1));
            prop_assert_eq!(Sum::of(front).and(Sum::of(back)).partial(), Sum::of(&data).partial());
        }

        #[test]
        fn an_update_is_a_new_sum(mut data in proptest::collection::vec(any::<u8>(), 4..100), at in 1..50_usize, new: u16) {
            data.truncate(data.len() & !1);
            let at = at * 2 % data.len();
            let at = if at == 0 { 2 } else { at };
            data[..2].fill(0);
            let field = Sum::of(&data).checksum();
            let old = u16::from_be_bytes([data[at], data[at + 1]]);
            data[at..at + 2].copy_from_slice(&new.to_be_bytes());
            data[..2].copy_from_slice(&update(field, old, new));
            prop_assert!(Sum::of(&data).is_valid() || data[2..].iter().all(|&byte| byte == 0));
        }

        #[test]
        fn fields_are_bytes(words in proptest::collection::vec(any::<u16>(), 1..40), long: u32) {
            let mut sum = Sum::default().long(long);
            let mut bytes = long.to_be_bytes().to_vec();
            for &word in &words {
                sum = sum.word(word);
                bytes.extend(word.to_be_bytes());
            }
            prop_assert_eq!(sum.partial(), Sum::of(&bytes).partial());
            let bytes = &bytes[..bytes.len() - 2];
            let rest = sum.without(*words.last().unwrap()).partial();
            // Zero has two forms; both mean the same sum.
            let same = |a: [u8; 2], b: [u8; 2]| a == b || (matches!(a, [0, 0] | [255, 255]) && matches!(b, [0, 0] | [255, 255]));
            prop_assert!(same(rest, Sum::of(bytes).partial()));
        }
    }
}
