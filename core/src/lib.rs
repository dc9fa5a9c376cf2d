//! What an Outboard driver is written against.

mod error;
pub mod family;
mod mac;

pub use error::{Error, ErrorKind, Result};
pub use mac::MacAddr;
