//! The lower level: descriptors whose lengths are right, over bytes that may be anything. It knows no descriptor's content.

use super::u16_at;

/// One descriptor: at least two bytes, and exactly as many as its bLength says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawDescriptor<'a> {
    bytes: &'a [u8],
}

impl<'a> RawDescriptor<'a> {
    /// The descriptor that `bytes` begins with, if bLength is at least 2 and does not reach past the end.
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::from(*bytes.first()?);
        if length < 2 {
            return None;
        }
        Some(Self { bytes: bytes.get(..length)? })
    }

    /// All bytes, bLength and bDescriptorType included; their number is bLength.
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// bLength, at least 2.
    pub const fn length(self) -> usize {
        self.bytes.len()
    }

    /// bDescriptorType.
    pub const fn kind(self) -> u8 {
        self.bytes[1]
    }

    /// bDescriptorSubtype, the third byte of a class-specific descriptor.
    pub fn subtype(self) -> Option<u8> {
        self.u8(2)
    }

    /// The byte at this offset, counted from bLength.
    pub fn u8(self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// The little-endian word at this offset, counted from bLength.
    pub fn u16(self, at: usize) -> Option<u16> {
        u16_at(self.bytes, at)
    }

    /// The little-endian double word at this offset, counted from bLength.
    pub fn u32(self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?))
    }
}

/// Walks over descriptors one behind the other. It ends at the end of the bytes, or before the first descriptor whose
/// bLength is below 2 or past the end; [`rest`](Self::rest) tells which.
#[derive(Debug, Clone)]
pub struct Descriptors<'a> {
    rest: &'a [u8],
}

impl<'a> Descriptors<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been walked over. Behind the last descriptor it is empty, or begins with a bad bLength.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next descriptor, without going on.
    pub fn peek(&self) -> Option<RawDescriptor<'a>> {
        RawDescriptor::first(self.rest)
    }
}

impl<'a> Iterator for Descriptors<'a> {
    type Item = RawDescriptor<'a>;

    fn next(&mut self) -> Option<RawDescriptor<'a>> {
        let descriptor = self.peek()?;
        self.rest = &self.rest[descriptor.length()..];
        Some(descriptor)
    }
}

impl std::iter::FusedIterator for Descriptors<'_> {}

/// Descriptors that are kept as bytes: class-specific and vendor-specific ones, and those that are out of place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    bytes: Vec<u8>,
}

impl Extra {
    /// Nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of them, one behind the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Each of them.
    pub fn iter(&self) -> Descriptors<'_> {
        Descriptors::new(&self.bytes)
    }

    /// Appends one.
    pub fn push(&mut self, descriptor: RawDescriptor<'_>) {
        self.bytes.extend_from_slice(descriptor.bytes());
    }

    /// Appends one of this bDescriptorType with this content; bLength is written for it.
    ///
    /// # Panics
    /// If `content` is longer than the 253 bytes that bLength can express. For the device side and tests: what comes
    /// from a device has its length already.
    pub fn append(&mut self, kind: u8, content: &[u8]) {
        let length = u8::try_from(content.len() + 2).expect("a descriptor has at most 255 bytes");
        self.bytes.extend_from_slice(&[length, kind]);
        self.bytes.extend_from_slice(content);
    }
}

impl<'a> IntoIterator for &'a Extra {
    type Item = RawDescriptor<'a>;
    type IntoIter = Descriptors<'a>;

    fn into_iter(self) -> Descriptors<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_of_zero_or_one_or_past_the_end_ends_the_walk() {
        for bad in [&[0u8, 4, 0][..], &[1, 4, 0], &[4, 4, 0], &[2], &[255, 1]] {
            let bytes = [&[3, 0x24, 7][..], bad].concat();
            let mut walk = Descriptors::new(&bytes);
            assert_eq!(walk.next().and_then(RawDescriptor::subtype), Some(7));
            assert_eq!(walk.next(), None);
            assert_eq!(walk.next(), None);
            assert_eq!(walk.rest(), bad);
        }
    }

    proptest! {
        #[test]
        fn descriptors_and_rest_are_the_bytes(bytes: Vec<u8>) {
            let mut walk = Descriptors::new(&bytes);
            let mut joined = Vec::new();
            for descriptor in walk.by_ref() {
                prop_assert!(descriptor.length() >= 2);
                prop_assert_eq!(descriptor.length(), usize::from(descriptor.bytes()[0]));
                joined.extend_from_slice(descriptor.bytes());
            }
            joined.extend_from_slice(walk.rest());
            prop_assert_eq!(joined, bytes);
        }
    }
}
