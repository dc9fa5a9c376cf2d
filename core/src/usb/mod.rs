//! USB as a driver sees it: [`Device`], [`Interface`], [`Pipe`], and below them the transports. The verbs are DriverKit's (open, copy
//! a pipe, asynchronous I/O, abort, clear stall, select an alternate setting, device request).

mod core;
pub mod descriptor;
mod device;
pub mod discovery;
pub mod health;
mod interface;
mod pipe;
mod setup;
pub mod trace;
pub mod transfer;
pub mod transport;
mod types;
pub mod usbip;

pub use device::Device;
pub use interface::Interface;
pub use pipe::{Bulk, In, Interrupt, Out, Pipe, PipeDirection, PipeType, Rejected};
pub use setup::{Recipient, RequestKind, SetupPacket, standard};
pub use transfer::TransferError;
pub use types::{Direction, Speed, TransferType, class, endpoint_number};
