//! What is wrong with a report descriptor: findings, which are tolerated, and errors, which are not. It knows no bytes.

use outboard_core::usb::descriptor::Malformed;
use std::fmt;

/// Something that the specification does not allow and that was tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Where in the descriptor, in bytes.
    pub offset: usize,
    /// What is odd, and what was made of it.
    pub oddity: Oddity,
}

/// What is odd, and what was made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// Collections are open at the end; they were closed there. Linux refuses such a device.
    MissingEnd {
        /// How many.
        count: usize,
    },
    /// An End Collection without a collection; it was passed over. Linux refuses such a device.
    ExtraEnd,
    /// The last item is cut off; it was dropped. Linux refuses such a device.
    CutOff {
        /// How many bytes.
        bytes: usize,
    },
    /// A long item; it was passed over, as the specification asks. Linux refuses such a device.
    LongItem,
    /// An item that the specification reserves; it was passed over.
    Reserved,
    /// A delimited set was not closed before the main item; it was closed there.
    OpenDelimiter,
    /// A usage range ends before it begins.
    ReversedRange,
    /// More usages in one field than are kept; those beyond were dropped.
    TooManyUsages,
    /// More fields in one report than are kept; those beyond were dropped.
    TooManyFields,
    /// A field of more than 64 bits; of each value only the lowest 64 are read.
    WideField {
        /// Its width in bits.
        bits: u32,
    },
    /// There were more findings than are kept.
    MoreFindings,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MissingEnd { count: 1 } => f.write_str("a collection is open at the end; closed there"),
            Self::MissingEnd { count } => write!(f, "{count} collections are open at the end; closed there"),
            Self::ExtraEnd => f.write_str("End Collection without a collection; passed over"),
            Self::CutOff { bytes } => write!(f, "the last item is cut off after {bytes} bytes; dropped"),
            Self::LongItem => f.write_str("a long item; passed over"),
            Self::Reserved => f.write_str("a reserved item; passed over"),
            Self::OpenDelimiter => f.write_str("a delimited set is open at a main item; closed there"),
            Self::ReversedRange => f.write_str("a usage range ends before it begins"),
            Self::TooManyUsages => {
                write!(f, "more than {} usages in one field; the rest is dropped", super::limit::USAGES)
            }
            Self::TooManyFields => {
                write!(f, "more than {} fields in one report; the rest is dropped", super::limit::FIELDS)
            }
            Self::WideField { bits } => write!(f, "a field of {bits} bits; the lowest 64 are read"),
            Self::MoreFindings => f.write_str("more faults than are listed"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: {}", self.offset, self.oddity)
    }
}

/// A descriptor that nothing sensible can be made of: what the first such item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset}: {problem}")]
pub struct DescriptorError {
    /// Where in the descriptor, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an item. Linux refuses all of these as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no item at all.
    #[error("there are no items")]
    Empty,
    /// The descriptor is longer than wDescriptorLength can say.
    #[error("the descriptor has more than {} bytes", super::limit::DESCRIPTOR)]
    TooLong,
    /// A report number outside 1 to 255.
    #[error("Report ID is {0}, and must be 1 to 255")]
    ReportId(u32),
    /// A report size beyond the limit.
    #[error("Report Size is {0} bits, and must be at most {max}", max = super::limit::FIELD_BITS)]
    ReportSize(u32),
    /// A report count beyond the limit.
    #[error("Report Count is {0}, and must be at most {max}", max = super::limit::USAGES)]
    ReportCount(u32),
    /// The least value is greater than the greatest.
    #[error("Logical Minimum is {minimum}, above Logical Maximum {maximum}")]
    LogicalRange {
        /// Logical Minimum.
        minimum: i64,
        /// Logical Maximum.
        maximum: i64,
    },
    /// A report is longer than the transport carries.
    #[error("a report has more than {0} bytes")]
    ReportLength(u32),
    /// Too many Push.
    #[error("more than {} Push without Pop", super::limit::STACK)]
    PushOverflow,
    /// Pop without Push.
    #[error("Pop without Push")]
    PopUnderflow,
    /// A delimited set within another, or an end without one.
    #[error("Delimiter is nested, or closes what is not open")]
    Delimiter,
    /// More usages in one field than are kept.
    #[error("more than {} usages in one field", super::limit::USAGES)]
    TooManyUsages,
}

impl From<DescriptorError> for Malformed {
    fn from(error: DescriptorError) -> Self {
        Self::new("report descriptor", format!("is malformed at {error}"))
    }
}
