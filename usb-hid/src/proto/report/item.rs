//! The items that a report descriptor is a sequence of (HID 1.11, 6.2.2). It knows their framing and no meaning.

/// What kind of item it is (HID 1.11, 6.2.2.2: bType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// Makes a field or a collection.
    Main,
    /// Stays until it is changed.
    Global,
    /// Counts for the next main item.
    Local,
    /// Reserved by the specification.
    Reserved,
    /// A long item (HID 1.11, 6.2.2.3); none has been given a meaning.
    Long,
}

/// Tags of main items (HID 1.11, 6.2.2.4).
pub mod main {
    /// Input.
    pub const INPUT: u8 = 0x8;
    /// Output.
    pub const OUTPUT: u8 = 0x9;
    /// Collection.
    pub const COLLECTION: u8 = 0xa;
    /// Feature.
    pub const FEATURE: u8 = 0xb;
    /// End Collection.
    pub const END_COLLECTION: u8 = 0xc;
}

/// Tags of global items (HID 1.11, 6.2.2.7).
pub mod global {
    /// Usage Page.
    pub const USAGE_PAGE: u8 = 0x0;
    /// Logical Minimum.
    pub const LOGICAL_MINIMUM: u8 = 0x1;
    /// Logical Maximum.
    pub const LOGICAL_MAXIMUM: u8 = 0x2;
    /// Physical Minimum.
    pub const PHYSICAL_MINIMUM: u8 = 0x3;
    /// Physical Maximum.
    pub const PHYSICAL_MAXIMUM: u8 = 0x4;
    /// Unit Exponent.
    pub const UNIT_EXPONENT: u8 = 0x5;
    /// Unit.
    pub const UNIT: u8 = 0x6;
    /// Report Size.
    pub const REPORT_SIZE: u8 = 0x7;
    /// Report ID.
    pub const REPORT_ID: u8 = 0x8;
    /// Report Count.
    pub const REPORT_COUNT: u8 = 0x9;
    /// Push.
    pub const PUSH: u8 = 0xa;
    /// Pop.
    pub const POP: u8 = 0xb;
}

/// Tags of local items (HID 1.11, 6.2.2.8).
pub mod local {
    /// Usage.
    pub const USAGE: u8 = 0x0;
    /// Usage Minimum.
    pub const USAGE_MINIMUM: u8 = 0x1;
    /// Usage Maximum.
    pub const USAGE_MAXIMUM: u8 = 0x2;
    /// Designator Index.
    pub const DESIGNATOR_INDEX: u8 = 0x3;
    /// Designator Minimum.
    pub const DESIGNATOR_MINIMUM: u8 = 0x4;
    /// Designator Maximum.
    pub const DESIGNATOR_MAXIMUM: u8 = 0x5;
    /// String Index.
    pub const STRING_INDEX: u8 = 0x7;
    /// String Minimum.
    pub const STRING_MINIMUM: u8 = 0x8;
    /// String Maximum.
    pub const STRING_MAXIMUM: u8 = 0x9;
    /// Delimiter.
    pub const DELIMITER: u8 = 0xa;
}

/// One item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Where its first byte is in the descriptor.
    pub offset: usize,
    /// Its kind.
    pub kind: ItemKind,
    /// Its tag; bLongItemTag of a long item.
    pub tag: u8,
    /// Its data: 0, 1, 2 or 4 bytes; up to 255 of a long item.
    pub data: &'a [u8],
}

impl Item<'_> {
    /// The data as an unsigned number; 0 without data.
    pub fn unsigned(&self) -> u32 {
        match *self.data {
            [a] => a.into(),
            [a, b] => u16::from_le_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    /// The data as a signed number; 0 without data.
    pub fn signed(&self) -> i32 {
        match *self.data {
            [a] => i8::from_le_bytes([a]).into(),
            [a, b] => i16::from_le_bytes([a, b]).into(),
            _ => self.unsigned() as i32,
        }
    }
}

/// The items of a descriptor one after the other; ends at the end or where an item is cut off.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Items<'a> {
    /// All items of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next item begins, or would.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// What has not been read: behind the last item, what is left of one that is cut off.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        const LONG: u8 = 0xfe;
        let offset = self.at;
        let (&prefix, rest) = self.rest().split_first()?;
        let (kind, tag, data) = if prefix == LONG {
            let [size, tag, rest @ ..] = rest else { return None };
            (ItemKind::Long, *tag, rest.get(..usize::from(*size))?)
        } else {
            let kind = match prefix >> 2 & 3 {
                0 => ItemKind::Main,
                1 => ItemKind::Global,
                2 => ItemKind::Local,
                _ => ItemKind::Reserved,
            };
            // bSize 3 means four bytes.
            let size = [0, 1, 2, 4][usize::from(prefix & 3)];
            (kind, prefix >> 4, rest.get(..size)?)
        };
        self.at += 1 + data.len() + if kind == ItemKind::Long { 2 } else { 0 };
        Some(Item { offset, kind, tag, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_every_size_follow_one_another() {
        let bytes = [0xc0, 0x15, 0x80, 0x16, 0x00, 0x80, 0x17, 1, 2, 3, 0x84, 0xfe, 2, 9, 7, 8, 0x26, 1];
        let mut items = Items::new(&bytes);
        let all: Vec<_> =
            items.by_ref().map(|item| (item.kind, item.tag, item.unsigned(), item.signed())).collect();
        assert_eq!(
            all,
            [
                (ItemKind::Main, 0xc, 0, 0),
                (ItemKind::Global, 1, 0x80, -128),
                (ItemKind::Global, 1, 0x8000, -32768),
                (ItemKind::Global, 1, 0x8403_0201, 0x8403_0201u32 as i32),
                (ItemKind::Long, 9, 0x0807, 0x0807),
            ]
        );
        assert_eq!((items.offset(), items.rest()), (16, &[0x26, 1][..]));
    }
}
