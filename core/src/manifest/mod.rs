//! Driver manifests: which devices a driver is for, and what it may use. Reading one, matching it and ranking several is pure: no file, no
//! clock, no log. Only [`store`] touches the file system. It must not know any driver; what drivers there are is told to it.
//!
//! A device has [`functions`]: groups of interfaces that belong together. Each function gets its own driver: [`decide`] asks every
//! manifest, lets the drivers of those that match look closer, and ranks what is left.
//!
//! # Ranking
//!
//! A manifest has alternatives, each a list of criteria that must all hold. What it scores is the score of its best alternative that does.
//! Each criterion has a bit of the [`Score`], so that a criterion counts more than all below it together, and one more criterion
//! that holds always raises the score. From strong to weak:
//!
//! | Criterion | Field | Needs |
//! |---|---|---|
//! | `serial-number` | the string of iSerialNumber | `product-id` |
//! | `port` | where it is plugged in, `bus-port.port` | |
//! | `product-id` | idProduct | `vendor-id` |
//! | `device-version` | bcdDevice | `product-id` |
//! | `interface-number` | bInterfaceNumber | `product-id` |
//! | `configuration` | bConfigurationValue | `product-id` |
//! | `interface-class` | bInterfaceClass | |
//! | `vendor-id` | idVendor | |
//! | `interface-subclass` | bInterfaceSubClass | `interface-class` |
//! | `interface-protocol` | bInterfaceProtocol | `interface-subclass` |
//! | `device-class` | bDeviceClass | |
//! | `device-subclass` | bDeviceSubClass | `device-class` |
//! | `device-protocol` | bDeviceProtocol | `device-subclass` |
//! | `speed` | the speed it was enumerated at | one of the others |
//!
//! The middle is the order of the USB Common Class Specification, Revision 1.0, which IOKit's probe scores follow as well: vendor, product and
//! version before vendor and product, these before a vendor's class codes, and those before class codes alone. Above it are the
//! criteria by which an administrator means one device. Ties are broken by [`Manifest::priority`], then by name.

mod criterion;
mod fault;
mod function;
mod model;
mod parse;
mod rank;
mod read;
pub mod store;
#[cfg(test)]
mod tests;

pub use criterion::{Criterion, Match, Score, Wanted};
pub use fault::Fault;
pub use function::{Function, Joined, functions};
pub use model::{Entitlement, Family, Manifest, Program, is_name};
pub use parse::{Expected, parse};
pub use rank::{
    Assessment, Behind, Check, Decision, Difference, Matched, Notes, Refused, Subject, Verdict, behind,
    decide,
};
pub use semver::Version;

/// Limits on a manifest, whoever wrote it. All are far above what drivers need.
pub mod limit {
    /// Bytes of a file.
    pub const BYTES: usize = 64 * 1024;
    /// Files that are looked at in a folder.
    pub const FILES: usize = 1024;
    /// Characters of a name.
    pub const NAME: usize = 32;
    /// Characters of a version.
    pub const VERSION: usize = 64;
    /// Characters of the display name.
    pub const DISPLAY_NAME: usize = 80;
    /// Characters of the usage description.
    pub const USAGE_DESCRIPTION: usize = 400;
    /// Bytes of the program's path.
    pub const PROGRAM: usize = 1024;
    /// Alternatives.
    pub const ALTERNATIVES: usize = 512;
    /// Values of one criterion.
    pub const VALUES: usize = 256;
    /// Characters of a serial number: a string descriptor has no more UTF-16 units (USB 2.0, 9.6.7).
    pub const SERIAL_NUMBER: usize = 126;
    /// Characters of a port: a bus and seven tiers (USB 2.0, 4.1.1) fit.
    pub const PORT: usize = 32;
    /// The priority, and as much below 0.
    pub const PRIORITY: i16 = 1000;
    /// Faults of a file that are told.
    pub const FAULTS: usize = 16;
}
