//! The request to a pseudo-terminal that rustix does not have. It knows nothing of what is done with the terminal.
#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;

use rustix::io::Result;
use rustix::ioctl::{self, Opcode, Setter};

/// TIOCPKT of <asm-generic/ioctls.h>; the architectures that have another number (alpha, mips, powerpc, sparc) are the older ones.
const TIOCPKT: Opcode = if cfg!(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64"
)) {
    0x5470
} else {
    0x5420
};

/// Packet mode (`ioctl_tty(2)`): each read of the master begins with a byte that says what it is.
pub(super) fn set_packet_mode(master: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the ioctl reads one int.
    unsafe { ioctl::ioctl(master, Setter::<TIOCPKT, i32>::new(1)) }
}
