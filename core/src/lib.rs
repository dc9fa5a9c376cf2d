//! What an Outboard driver is written against.

pub mod action;
pub mod buffer;
mod error;
pub mod family;
mod mac;
pub mod queue;
pub mod service;
pub mod source;
pub mod usb;

pub use error::{Error, ErrorKind, Result};
pub use mac::{MacAddr, ParseMacError};
