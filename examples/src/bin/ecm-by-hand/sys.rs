//! Registering the TAP with tokio. It knows tokio's contract and nothing else.
#![allow(unsafe_code)]

use std::io;

use tokio::io::unix::AsyncFd;
use tun_tap::Iface;

/// Watches a TAP.
pub(super) fn watch(tap: Iface) -> io::Result<AsyncFd<Iface>> {
    // SAFETY: an `Iface` keeps its descriptor open until it is dropped with the registration; nobody here replaces it.
    unsafe { AsyncFd::register(tap) }.map_err(io::Error::from)
}
