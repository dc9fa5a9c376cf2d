//! A node for another process: opened, its interfaces taken from the kernel's drivers and claimed, its privileges given up; and the way back. It
//! must not know who the other process is.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::sys;
use crate::error::{Error, ErrorKind, Result};

/// What is granted of a device.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `/dev/bus/usb/001/004`.
    pub node: &'a Path,
    /// What names the device in errors: `1-2.3`.
    pub name: &'a str,
    /// bConfigurationValue of the active configuration, and bInterfaceNumber of all that it has.
    pub active: Option<(u8, &'a [u8])>,
    /// The configuration that the interfaces are of.
    pub configuration: u8,
    /// bInterfaceNumber of each that is granted.
    pub interfaces: &'a [u8],
}

/// An open node that can do no more than drive its interfaces.
#[derive(Debug)]
pub struct Granted {
    /// To be passed to the one process that drives them, and closed here: while anybody has it, the interfaces are taken.
    pub fd: OwnedFd,
    /// Interfaces that a driver of the kernel had.
    pub from_kernel_drivers: Vec<u8>,
}

/// Opens the node afresh and grants the interfaces, all or none. Also selects the configuration, if it is another one; the kernel's drivers lose their
/// interfaces of the present one by that.
///
/// # Errors
/// Busy: another program has one of the interfaces, or, where the configuration has to be changed, any. Refused: the right is missing.
/// Unplugged, NotFound: the device is gone. Unsupported: the kernel cannot give privileges up (before 4.5), or the number is beyond 31.
pub fn grant(wanted: &Wanted<'_>) -> Result<Granted> {
    let Wanted { node, name, active, configuration, interfaces } = *wanted;
    let os = |operation: &'static str| move |error: Errno| Error::os(operation, error.into()).device(name);
    let fd = open(node, name)?;
    if active.map(|(value, _)| value) != Some(configuration) {
        for interface in active.map_or(&[][..], |(_, all)| all) {
            match sys::driver_of(fd.as_fd(), *interface) {
                Ok(Some(driver)) if driver == "usbfs" => return Err(taken(name, *interface)),
                Ok(Some(_)) => {
                    sys::disconnect(fd.as_fd(), *interface).map_err(os("detach the kernel's driver"))?
                }
                // It has none, or is only in the descriptors.
                Ok(None) | Err(_) => {}
            }
        }
        sys::set_configuration(fd.as_fd(), configuration).map_err(os("select the configuration"))?;
    }
    let mut granted = Granted { fd, from_kernel_drivers: Vec::new() };
    let mut mask = 0_u32;
    for &interface in interfaces {
        let claimed = claim(&mut granted, name, interface);
        let bit = 1_u32.checked_shl(interface.into()).ok_or_else(|| {
            let reason = "privileges can be kept for interfaces 0 to 31 only";
            Error::new(ErrorKind::Unsupported, "claim", reason).device(name).interface(interface)
        });
        match claimed.and(bit) {
            Ok(bit) => mask |= bit,
            Err(error) => {
                let taken = std::mem::take(&mut granted.from_kernel_drivers);
                drop(granted);
                give_back(node, name, &taken);
                return Err(error);
            }
        }
    }
    sys::drop_privileges(granted.fd.as_fd(), mask).map_err(os("drop privileges"))?;
    Ok(granted)
}

fn claim(granted: &mut Granted, name: &str, interface: u8) -> Result<()> {
    let fd = granted.fd.as_fd();
    let os = |error: Errno| match error {
        Errno::BUSY => taken(name, interface),
        error => Error::os("claim", error.into()).device(name).interface(interface),
    };
    let driver = sys::driver_of(fd, interface).map_err(os)?;
    sys::disconnect_claim(fd, interface).map_err(os)?;
    if driver.is_some_and(|driver| driver != "usbfs") {
        granted.from_kernel_drivers.push(interface);
    }
    Ok(())
}

fn taken(name: &str, interface: u8) -> Error {
    Error::new(ErrorKind::Busy, "claim", "another program has the interface open")
        .device(name)
        .interface(interface)
}

fn open(node: &Path, name: &str) -> Result<OwnedFd> {
    rustix::fs::open(node, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
        .map_err(|error| Error::os(format!("open {}", node.display()), error.into()).device(name))
}

/// Lets the kernel's drivers have interfaces again that nobody has claimed any more. A device that is gone needs none, and where no driver of the
/// kernel wants an interface, it stays without.
pub fn give_back(node: &Path, name: &str, interfaces: &[u8]) {
    if interfaces.is_empty() {
        return;
    }
    let fd = match open(node, name) {
        Ok(fd) => fd,
        Err(error) => return tracing::debug!(%error, "the device cannot be given back"),
    };
    for &interface in interfaces {
        if let Err(error) = sys::connect(fd.as_fd(), interface) {
            tracing::debug!(device = name, interface, %error, "no kernel driver took the interface back");
        }
    }
}

/// Selects the configuration that a device had, after its driver has ended; the kernel looks for drivers by itself then.
///
/// # Errors
/// Busy: another program has an interface. Unplugged; the device's own refusal.
pub fn restore_configuration(node: &Path, name: &str, configuration: u8) -> Result<()> {
    let fd = open(node, name)?;
    sys::set_configuration(fd.as_fd(), configuration)
        .map_err(|error| Error::os("select the original configuration", error.into()).device(name))
}
