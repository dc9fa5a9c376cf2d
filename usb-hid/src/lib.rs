//! HID: keyboards, mice, tablets, touch and gamepads become input devices.
//!
//! Layers, each usable by itself: [`proto`] turns bytes into types and back; [`mapping`] decides which input nodes come of a report
//! descriptor; [`machine`] turns reports into events of these nodes. None of them does I/O.

pub mod machine;
pub mod mapping;
pub mod proto;
pub mod quirks;
