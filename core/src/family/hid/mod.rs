//! The input family's vocabulary: what an input node is (its codes, axes and properties) and what an event is. The ends that make real nodes
//! of it (uinput) and the one for tests come with the driver. It knows no device and no report.

pub mod codes;
mod node;

pub use node::{Absolute, CodeSet, Event, InputId, Node, Repeat};
