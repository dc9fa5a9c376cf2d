//! FTDI's USB-to-serial chips: an adapter becomes a serial port.
//!
//! Three layers, each usable by itself: [`proto`] turns bytes into types and back; [`machine`] is the behaviour without I/O: events
//! and the time in, actions out; [`driver`] wires the machine to one port of a chip and to a [serial port of the
//! host](outboard_core::family::serial). [`matching`] says which devices it is for.

pub mod driver;
pub mod machine;
pub mod matching;
pub mod proto;

pub use driver::{FtdiDriver, FtdiStatus, Provider, Vended};
