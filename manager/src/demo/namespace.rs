//! The demo's own network namespace: whatever happens in it, the machine's routes and names stay as they are, and it is gone with the process.
//! It must not know what is put into it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use outboard_core::Error;
use rustix::net::{AddressFamily, SocketType, socket};

use super::sys;
use crate::exit::{Cause, Failure};

/// A namespace that the whole process is in.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// It was made by an ordinary user, who is root only inside.
    pub(crate) by_user: bool,
    socket: OwnedFd,
}

impl Namespace {
    /// Moves the process into a network namespace of its own; an ordinary user first into a user namespace that owns it. The process must have
    /// one thread.
    ///
    /// # Errors
    /// Right: the kernel does not let this user.
    pub(crate) fn enter() -> Result<Self, Failure> {
        let by_user = !rustix::process::geteuid().is_root();
        let refused = |what: &str, error: &dyn std::fmt::Display| {
            let failure = Failure::new(Cause::Right, format!("{what}: {error}"));
            failure.with_hint(if by_user {
                "This kernel lets no ordinary user make a network of its own. Run the demo as root, for example with sudo."
            } else {
                "This root is confined: the demo needs CAP_SYS_ADMIN and CAP_NET_ADMIN to make a network of its own."
            })
        };
        if by_user {
            let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            sys::new_user_namespace().map_err(|error| refused("make a user namespace", &error))?;
            // user_namespaces(7): a group map needs setgroups denied first.
            fs::write("/proc/self/setgroups", "deny")
                .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {user} 1")))
                .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {group} 1")))
                .map_err(|error| refused("become root in a user namespace", &error))?;
        }
        sys::new_network_namespace().map_err(|error| refused("make a network namespace", &error))?;
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)
            .map_err(|error| Error::os("open a socket in the namespace", error.into()))?;
        let this = Self { by_user, socket };
        this.raise("lo").map_err(|failure| refused("bring up the loopback interface", &failure))?;
        Ok(this)
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn raise(&self, interface: &str) -> Result<(), Error> {
        sys::raise(self.socket.as_fd(), interface)
            .map_err(|error| Error::os(format!("bring {interface} up"), error.into()))
    }

    /// Gives an interface an address with its network.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn set_address(
        &self,
        interface: &str,
        address: std::net::Ipv4Addr,
        prefix: u8,
    ) -> Result<(), Error> {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0).into();
        sys::set_address(self.socket.as_fd(), interface, address, mask).map_err(|error| {
            Error::os(format!("give {interface} the address {address}/{prefix}"), error.into())
        })
    }

    /// What a person puts before a command to run it in here.
    pub(crate) fn command_prefix(&self) -> String {
        let id = std::process::id();
        if self.by_user {
            format!("nsenter -t {id} -U -n --preserve-credentials")
        } else {
            format!("sudo nsenter -t {id} -n")
        }
    }
}
