//! What the integration tests of Outboard share: test data, the fuzz targets' bodies, and the guest side of the kernel lab.
//!
//! Nothing of the product may depend on this package.

pub mod data;
pub mod fuzz;
pub mod hid;
pub mod hid_reports;
pub mod lab;
pub mod mutate;
pub mod seeds;
