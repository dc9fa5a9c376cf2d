//! What an Outboard driver is written against.

mod error;
pub mod source;

pub use error::{Error, ErrorKind, Result};
