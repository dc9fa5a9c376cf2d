//! One example a file. Each is run in a test against a device in the same process, but for `ecm-by-hand`, which is a program of its own:
//! what anyone would write without Outboard, and the baseline of its benchmark.

pub mod tcp_on_ecm;
pub mod wwdc;
