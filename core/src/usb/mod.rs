//! USB as a driver sees it. What is here is pure: the vocabulary and the descriptors.

pub mod descriptor;
mod setup;
mod types;

pub use setup::{Recipient, RequestKind, SetupPacket, standard};
pub use types::{Direction, Speed, TransferType, class, endpoint_number};
