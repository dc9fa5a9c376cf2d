//! Registering descriptors with the event loop of the calling thread's queue. It knows tokio's contract and nothing else.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a descriptor on the queue of the calling thread, for who awaits readiness instead of having a handler called
/// ([`InterruptSource`](super::InterruptSource)).
///
/// # Errors
/// The descriptor cannot be waited for.
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its descriptor open until it is dropped with the registration; nobody here replaces it.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(|error| error.into_parts().1)
}
