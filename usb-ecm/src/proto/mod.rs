//! What ECM says over the wire, as pure functions and types: no I/O, clock, thread or log. It knows no driver and no network
//! interface.
//!
//! The specifications are CDC120 (Class Definitions for Communications Devices 1.2) and ECM120 (Subclass Specification
//! for Ethernet Control Model Devices 1.2), both from usb.org.

pub mod frame;
pub mod function;
pub mod functional;
pub mod mac;
pub mod notification;
pub mod quirks;
pub mod request;
pub mod statistics;
