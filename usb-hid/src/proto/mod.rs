//! What HID says over the wire, as pure functions and types: no I/O, clock, thread or log. It knows no driver and no input node.
//!
//! The specifications are HID 1.11 (Device Class Definition for Human Interface Devices) and HUT 1.5 (HID Usage Tables), both from usb.org.

pub mod bits;
pub mod class;
pub mod report;
pub mod usage;

pub use usage::Usage;
