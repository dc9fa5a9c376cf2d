//! Virtual devices over USB/IP: what `usbipd` is for real ones. A kernel's `vhci_hcd`, or a driver in another process, attaches to them
//! as if they were plugged in. It must not know what a device is.
//!
//! [`Exports`] is the set of devices, [`Session`] one connection without I/O and clock (bytes in, bytes out, the time passed in), and
//! [`serve_listener`] and [`serve_stream`] bring sessions and sockets together on the calling thread's queue.
//!
//! The peer is not trusted. What it sends that makes no sense ends its connection with a [`PeerError`] that names the field, and nothing
//! else. What it may have in flight is bounded ([`MOST_TRANSFERS`], [`MOST_BYTES`]); a peer that does not read its answers is not read from.
//!
//! ```
//! use std::time::Instant;
//! use outboard_core::usb::usbip::operation::{self, Request};
//! use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions};
//! use outboard_virtual_devices::usbip::{Exports, Session};
//! use outboard_virtual_devices::wire::Tester;
//!
//! let exports = Exports::new();
//! assert_eq!(exports.add(EcmDongle::new(EcmOptions::default(), Tester::new())), "1-1");
//! let now = Instant::now();
//! let mut session = Session::new(exports, now);
//! session.put(&Request::list());
//! session.turn(now).unwrap();
//! assert_eq!(session.output()[..8], [1, 0x11, 0, 5, 0, 0, 0, 0]);
//! ```

mod exports;
mod flight;
mod input;
mod output;
mod serve;
mod session;

pub use exports::Exports;
pub use serve::{Ended, Event, serve_listener, serve_stream};
pub use session::{News, Session};

use std::time::Duration;

use outboard_core::usb::usbip::BadMessage;

/// Transfers of one connection that may be in flight. More come back with -ENOMEM, as usbfs answers at its own limit.
pub const MOST_TRANSFERS: usize = 1024;

/// Bytes of one connection's transfers in flight, counted by the memory that they take. More come back with -ENOMEM.
pub const MOST_BYTES: usize = 32 << 20;

/// Answers in bytes that a peer may leave unread before nothing more is read from it and its device stands still. What is in flight then
/// may still be added.
pub const MOST_UNREAD: usize = 1 << 20;

/// How long a peer may take to say what it wants.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What a peer did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// A field has a value that it must not have.
    #[error(transparent)]
    Message(#[from] BadMessage),
    /// The connection ended in the middle of something.
    #[error("the connection was cut off within {within}")]
    Cut {
        /// What was not complete.
        within: &'static str,
    },
    /// It connected and did not ask for anything.
    #[error("nothing was asked for within {} s", REQUEST_TIMEOUT.as_secs())]
    Silent,
}
