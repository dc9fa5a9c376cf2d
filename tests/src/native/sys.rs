//! A TAP's descriptor, borrowed: the crate that makes the TAP gives only its number. It decides nothing.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use tun_tap::Iface;

/// The descriptor, for as long as the TAP.
pub(super) fn descriptor(tap: &Iface) -> BorrowedFd<'_> {
    // SAFETY: the TAP owns the descriptor and does not close it before it is dropped, and the result cannot outlive it.
    unsafe { BorrowedFd::borrow_raw(tap.as_raw_fd()) }
}
