//! CDC Ethernet (ECM): a USB dongle becomes a network interface.
//!
//! [`proto`] turns bytes into types and back and can be used by itself.

pub mod proto;
