//! What an Outboard driver is written against.

mod error;
mod mac;
pub mod usb;

pub use error::{Error, ErrorKind, Result};
pub use mac::{MacAddr, ParseMacError};
