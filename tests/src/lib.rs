//! What the integration tests of Outboard share: test data, the fuzz targets' bodies, the guest side of the kernel lab, and the
//! benchmark without a guest.
//!
//! Nothing of the product may depend on this package.

pub mod capture;
pub mod data;
pub mod fuzz;
pub mod hid;
pub mod hid_reports;
pub mod lab;
pub mod mutate;
pub mod native;
mod order;
pub mod sandbox;
