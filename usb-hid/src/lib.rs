//! HID: keyboards, mice, tablets, touch and gamepads become input devices.
//!
//! Layers, each usable by itself: [`proto`] turns bytes into types and back; [`mapping`] decides which input nodes come of a report
//! descriptor; [`machine`] turns reports into events of these nodes; [`quirks`] is what is known about single devices. None of them does I/O.
//!
//! Nodes and events are those of Linux 6.1, oddities included, since applications and their configurations are used to them. On purpose we differ in
//! this: descriptors that are cut off, or lack or have too many an End Collection, are repaired and long and reserved items passed over, where
//! Linux refuses the device; a delimited set is one control with aliases, where Linux takes its first set for controls that follow one another; up to
//! 16 states are pushed, not 4; a device's controls are bounded ([`mapping::limit`]), and so are the key presses of a relative volume; an LED's report
//! is the one that the LED is in, not always the first with LEDs.

pub mod machine;
pub mod mapping;
pub mod proto;
pub mod quirks;
