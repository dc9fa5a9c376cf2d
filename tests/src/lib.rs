//! What the integration tests of Outboard share, and the guest side of the kernel lab.
//!
//! Nothing of the product may depend on this package.

pub mod lab;
