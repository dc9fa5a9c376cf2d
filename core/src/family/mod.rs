//! The kernel-facing ends: what a driver vends to the machine it runs on, as narrow traits with an end of the real
//! kernel and one in memory each. A family knows nothing of USB or of any device; a driver for any chip vends
//! through the same families.

pub mod ethernet;
pub mod hid;
pub mod serial;
