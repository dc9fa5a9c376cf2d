//! Report descriptors (HID 1.11, 6.2.2): which reports a device has, which fields are in them, and what each field is for. It knows no
//! event codes and no device.

mod field;
mod finding;
pub mod item;
mod parser;
#[cfg(test)]
mod tests;

pub use field::{Alias, Field, Flags, UsageRun, Usages};
pub use finding::{DescriptorError, Finding, Oddity, Problem};

use super::Usage;
use super::class::ReportKind;

/// What a descriptor may ask for. A device that needs more is hostile or broken.
pub mod limit {
    /// Bytes of a descriptor: what wDescriptorLength can say.
    pub const DESCRIPTOR: usize = 65_535;
    /// Bytes of a report, its number included: as usbhid has it.
    pub const REPORT_BYTES: u32 = 16_384;
    /// Bits of one value.
    pub const FIELD_BITS: u32 = 256;
    /// Usages, and values, of one field.
    pub const USAGES: u32 = 12_288;
    /// Fields of one report.
    pub const FIELDS: usize = 256;
    /// Global states pushed.
    pub const STACK: usize = 16;
    /// Findings that are kept.
    pub const FINDINGS: usize = 64;
}

/// What the parser may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// The longest report that the transport carries, in bytes with its number. uhid has 4096 instead of usbhid's 16384.
    pub report_bytes: u32,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self { report_bytes: limit::REPORT_BYTES }
    }
}

/// What kind of collection it is (HID 1.11, 6.2.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CollectionKind(pub u8);

impl CollectionKind {
    /// Physical: values of one point.
    pub const PHYSICAL: Self = Self(0);
    /// Application: what an application knows a device as.
    pub const APPLICATION: Self = Self(1);
    /// Logical: related values.
    pub const LOGICAL: Self = Self(2);
    /// Named Array.
    pub const NAMED_ARRAY: Self = Self(4);

    /// Its name; `None` for those that the specification reserves and for vendors' own.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "Physical",
            1 => "Application",
            2 => "Logical",
            3 => "Report",
            4 => "Named Array",
            5 => "Usage Switch",
            6 => "Usage Modifier",
            _ => return None,
        })
    }
}

/// A collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collection {
    /// Its kind.
    pub kind: CollectionKind,
    /// Its usage; [`Usage::NONE`] if it says none.
    pub usage: Usage,
    /// The collection that it is in, by its place in [`ReportDescriptor::collections`].
    pub parent: Option<usize>,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its kind.
    pub kind: ReportKind,
    /// Its number; 0 if it has none.
    pub id: u8,
    /// The application collection that its first field is in.
    pub application: Usage,
    /// How long it is without its number, in bits.
    pub bits: u32,
    /// Its fields in their order; those without usage only fill it up and are left out.
    pub fields: Vec<Field>,
}

impl Report {
    /// How long it is without its number, in bytes.
    pub const fn body_bytes(&self) -> usize {
        self.bits.div_ceil(8) as usize
    }
}

/// Whether a device is one for touch, by the marks that Linux goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TouchGroup {
    /// It reports no contacts by number.
    #[default]
    None,
    /// It does.
    Touch,
    /// It does, and is certified for Windows 8 or later, which promises much about its reports.
    Certified,
}

/// A report descriptor that was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportDescriptor {
    /// All collections, in their order.
    pub collections: Vec<Collection>,
    /// All reports of all kinds, in the order in which they first appear.
    pub reports: Vec<Report>,
    /// Whether the device is one for touch.
    pub touch: TouchGroup,
    /// What was tolerated, in the order of the bytes; at most [`limit::FINDINGS`] and one that says that there were more.
    pub findings: Vec<Finding>,
}

impl ReportDescriptor {
    /// Reads a descriptor as Linux does, and beyond it what is unambiguous: collections that are open at the end, an End Collection too many,
    /// an item that is cut off, long and reserved items; see [`Oddity`].
    ///
    /// # Errors
    /// If an item makes no sense; see [`Problem`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        Self::parse_with(bytes, &ParseOptions::default())
    }

    /// As [`parse`](Self::parse), for a transport of one's own.
    ///
    /// # Errors
    /// As there.
    pub fn parse_with(bytes: &[u8], options: &ParseOptions) -> Result<Self, DescriptorError> {
        parser::parse(bytes, options)
    }

    /// The reports of a kind, in their order.
    pub fn reports(&self, kind: ReportKind) -> impl Iterator<Item = &Report> {
        self.reports.iter().filter(move |report| report.kind == kind)
    }

    /// Whether reports of this kind begin with their number.
    pub fn is_numbered(&self, kind: ReportKind) -> bool {
        self.reports(kind).any(|report| report.id != 0)
    }

    /// How long the longest report of this kind is, its number included, in bytes: what a transfer must have room for.
    pub fn longest(&self, kind: ReportKind) -> usize {
        let number = usize::from(self.is_numbered(kind));
        self.reports(kind).map(|report| report.body_bytes() + number).max().unwrap_or(0)
    }

    /// How many application collections there are.
    pub fn applications(&self) -> usize {
        self.collections.iter().filter(|collection| collection.kind == CollectionKind::APPLICATION).count()
    }

    /// This collection and those around it, from the inside out.
    pub fn enclosing(&self, collection: Option<usize>) -> impl Iterator<Item = (usize, &Collection)> {
        let at = move |index: usize| Some((index, self.collections.get(index)?));
        std::iter::successors(collection.and_then(at), move |(_, collection)| collection.parent.and_then(at))
    }
}
