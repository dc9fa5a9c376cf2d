//! One field of a report: where its values are, what they mean, and what they are for. It knows no other field.

use crate::proto::{Usage, bits};

/// The bits of Input, Output and Feature items (HID 1.11, 6.2.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u32);

impl Flags {
    //  31      9      8       7      6     5       4        3     2      1       0
    // +---------+----------+------+------+-----+---------+-----+-----+--------+----------+
    // |         | BUFFERED | VOLA | NULL | NO_ | NON     | WRAP| REL | VARI-  | CONSTANT |
    // |         | _BYTES   | TILE |      | PREF| LINEAR  |     |     | ABLE   |          |
    // +---------+----------+------+------+-----+---------+-----+-----+--------+----------+

    /// Nobody may change it; mostly it fills up a byte.
    pub const CONSTANT: u32 = 0x001;
    /// Each value is a control; otherwise each says which control is on.
    pub const VARIABLE: u32 = 0x002;
    /// A change since the last report; otherwise from a fixed origin.
    pub const RELATIVE: u32 = 0x004;
    /// It rolls over from the greatest value to the least.
    pub const WRAP: u32 = 0x008;
    /// Not linear.
    pub const NON_LINEAR: u32 = 0x010;
    /// It does not return to a state by itself.
    pub const NO_PREFERRED: u32 = 0x020;
    /// Values out of the range say that there is none.
    pub const NULL_STATE: u32 = 0x040;
    /// The device may change it by itself (Output and Feature).
    pub const VOLATILE: u32 = 0x080;
    /// A stream of bytes.
    pub const BUFFERED_BYTES: u32 = 0x100;

    /// Whether it has this bit.
    pub const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// Usages that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageRun {
    /// The first one's page; `None` if the item said page and id at once.
    pub page: Option<u16>,
    /// The first one's id, or page and id.
    pub first: u32,
    /// How many there are; never 0.
    pub count: u32,
}

impl UsageRun {
    /// The usage at `index`, which is below `count`. An id that runs over stays on its page.
    pub const fn get(self, index: u32) -> Usage {
        let number = self.first.wrapping_add(index);
        match self.page {
            Some(page) => Usage::new(page, number as u16),
            None => Usage(number),
        }
    }
}

/// The usages of a field, kept as ranges: a device cannot make us store more than it sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usages {
    runs: Vec<UsageRun>,
    declared: u32,
}

impl Usages {
    pub(super) fn push(&mut self, run: UsageRun) {
        self.declared += run.count;
        self.runs.push(run);
    }

    pub(super) fn runs_mut(&mut self) -> &mut [UsageRun] {
        &mut self.runs
    }

    /// How many the descriptor says.
    pub const fn declared(&self) -> u32 {
        self.declared
    }

    /// The ranges.
    pub fn runs(&self) -> &[UsageRun] {
        &self.runs
    }

    /// The usage of the control at `index`. The last one counts for all controls behind it (HID 1.11, 6.2.2.8).
    pub fn get(&self, index: u32) -> Option<Usage> {
        let mut left = index.min(self.declared.checked_sub(1)?);
        for run in &self.runs {
            if left < run.count {
                return Some(run.get(left));
            }
            left -= run.count;
        }
        None
    }

    /// All that the descriptor says.
    pub fn iter(&self) -> impl Iterator<Item = Usage> + '_ {
        self.runs.iter().flat_map(|run| (0..run.count).map(|index| run.get(index)))
    }
}

/// Other usages of the same controls, from a delimited set (HID 1.11, 6.2.2.8). They are less preferred, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The first control that it is for.
    pub index: u32,
    /// The usages.
    pub usages: UsageRun,
}

/// A field: `count` values of `bits` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Where its main item is in the descriptor, in bytes.
    pub offset: usize,
    /// The bits of its main item.
    pub flags: Flags,
    /// Where its first value is, in bits behind the report's number.
    pub bit_offset: u32,
    /// How wide a value is, in bits.
    pub bits: u32,
    /// How many values there are.
    pub count: u32,
    /// The least value that means something. The values are signed if it is below 0.
    pub logical_minimum: i32,
    /// The greatest, as the device wrote it; see [`logical_range`](Self::logical_range).
    pub logical_maximum: i32,
    /// What the least value is in units.
    pub physical_minimum: i32,
    /// What the greatest value is in units, as the device wrote it.
    pub physical_maximum: i32,
    /// Unit (HID 1.11, 6.2.2.7): system and dimensions.
    pub unit: u32,
    /// The power of ten that the unit is multiplied by.
    pub unit_exponent: i32,
    /// The collection that it is in.
    pub collection: Option<usize>,
    /// The usage of the application collection around it.
    pub application: Usage,
    /// The usage of the physical collection around it.
    pub physical: Usage,
    /// The usage of the logical collection around it.
    pub logical: Usage,
    /// What its controls are for.
    pub usages: Usages,
    /// What else they are for.
    pub aliases: Vec<Alias>,
}

impl Field {
    /// The least and the greatest value that mean something. The greatest is unsigned if the least is not below 0.
    pub const fn logical_range(&self) -> (i64, i64) {
        let (minimum, maximum) = (self.logical_minimum, self.logical_maximum);
        (minimum as i64, if minimum < 0 { maximum as i64 } else { maximum as u32 as i64 })
    }

    /// Whether its values are signed.
    pub const fn is_signed(&self) -> bool {
        self.logical_minimum < 0
    }

    /// How many controls it has: one for each value, or for each usage if there are more.
    pub fn controls(&self) -> u32 {
        self.usages.declared().max(self.count)
    }

    /// The value at `index` in a report's bytes behind its number. Of more than 64 bits it is the lowest 64.
    pub fn value(&self, body: &[u8], index: u32) -> i64 {
        let offset = self.bit_offset as usize + index as usize * self.bits as usize;
        let value = bits::extract(body, offset, self.bits);
        if self.is_signed() { bits::sign_extend(value, self.bits) } else { value as i64 }
    }

    /// Writes the value at `index` into a report's bytes behind its number. A value that is out of what the bits can say becomes the
    /// nearest that they can.
    pub fn set_value(&self, body: &mut [u8], index: u32, value: i64) {
        if index >= self.count {
            return;
        }
        let width = self.bits.min(64);
        let (least, greatest) = match (self.is_signed(), width) {
            (_, 0) => (0, 0),
            (true, _) => (i64::MIN >> (64 - width), i64::MAX >> (64 - width)),
            (false, 64) => (i64::MIN, i64::MAX),
            (false, _) => (0, (i128::pow(2, width) - 1) as i64),
        };
        let offset = self.bit_offset as usize + index as usize * self.bits as usize;
        bits::insert(body, offset, self.bits, value.clamp(least, greatest) as u64);
    }
}
