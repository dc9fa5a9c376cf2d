//! CDC Ethernet (ECM): a USB dongle becomes a network interface.
//!
//! Three layers, each usable by itself: [`proto`] turns bytes into types and back; [`machine`] is the behaviour without I/O: events
//! and the time in, actions out; [`driver`] wires the machine to a device's pipes and a network interface. [`matching`] says which
//! devices it is for.

pub mod driver;
pub mod machine;
pub mod matching;
pub mod proto;

pub use driver::{EcmDriver, EcmStatus, Provider, Vended};
