//! What an Outboard driver is written against.

mod error;

pub use error::{Error, ErrorKind, Result};
