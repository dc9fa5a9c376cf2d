//! The system calls that make the demo's own namespaces and give an interface in them its address, as safe functions. It decides nothing.
#![allow(unsafe_code)]

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, Result};
use rustix::ioctl::{self, Opcode, Setter, Updater};
use rustix::thread::{UnshareFlags, unshare_unsafe};

// linux/sockios.h.
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCSIFADDR: Opcode = 0x8916;
const SIOCSIFNETMASK: Opcode = 0x891c;
/// linux/if.h: the interface is to be up.
const IFF_UP: u16 = 0x1;
/// linux/socket.h.
const AF_INET: u16 = 2;
/// linux/if.h: IFNAMSIZ.
const NAME_SIZE: usize = 16;

/// `struct ifreq`: a name and a union of 24 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Request {
    name: [u8; NAME_SIZE],
    value: [u8; 24],
}

fn request(name: &str) -> Result<Request> {
    let mut request = Request { name: [0; NAME_SIZE], value: [0; 24] };
    let space = request.name[..NAME_SIZE - 1].get_mut(..name.len()).ok_or(Errno::NAMETOOLONG)?;
    space.copy_from_slice(name.as_bytes());
    Ok(request)
}

/// Makes the calling process the first in a user namespace; it must have one thread.
pub(super) fn new_user_namespace() -> Result<()> {
    // SAFETY: it is about CLONE_FILES alone that `unshare_unsafe` warns, by which two threads would see different descriptors.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }
}

/// Moves the calling thread, and all that it starts, into a network namespace of its own.
pub(super) fn new_network_namespace() -> Result<()> {
    // SAFETY: as above.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Brings an interface up.
pub(super) fn raise(socket: BorrowedFd<'_>, name: &str) -> Result<()> {
    let mut request = request(name)?;
    // SAFETY: the ioctl reads and writes one `ifreq`, which `Request` is.
    unsafe { ioctl::ioctl(socket, Updater::<SIOCGIFFLAGS, Request>::new(&mut request))? };
    let flags = u16::from_ne_bytes([request.value[0], request.value[1]]) | IFF_UP;
    request.value[..2].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the ioctl reads one `ifreq`, which `Request` is.
    unsafe { ioctl::ioctl(socket, Setter::<SIOCSIFFLAGS, Request>::new(request)) }
}

/// Gives an interface its IPv4 address and network mask; the kernel adds the route to the network.
pub(super) fn set_address(
    socket: BorrowedFd<'_>,
    name: &str,
    address: Ipv4Addr,
    mask: Ipv4Addr,
) -> Result<()> {
    // SAFETY: the ioctl reads one `ifreq` with a `sockaddr_in` in it, which `with_address` makes.
    unsafe { ioctl::ioctl(socket, Setter::<SIOCSIFADDR, Request>::new(with_address(name, address)?))? };
    // SAFETY: as above.
    unsafe { ioctl::ioctl(socket, Setter::<SIOCSIFNETMASK, Request>::new(with_address(name, mask)?)) }
}

fn with_address(name: &str, address: Ipv4Addr) -> Result<Request> {
    let mut request = request(name)?;
    request.value[..2].copy_from_slice(&AF_INET.to_ne_bytes());
    request.value[4..8].copy_from_slice(&address.octets());
    Ok(request)
}
