//! Which devices are attached to this machine, and when one comes or goes. It reads what the kernel has cached and asks no device
//! anything, so that looking is free of side effects; it must not know which driver a device is for.
//!
//! nusb hears of arrivals and departures, and the tree in sysfs says what is there: an event only means "look again". The tree is also
//! read again now and then, since events get lost ([`Watch`] says when).

mod selector;
mod sysfs;
mod watch;

use std::path::PathBuf;

pub use selector::{ParseSelectorError, SelectError, Selector, select};
pub use sysfs::Roots;
pub use watch::{Event, RESCAN, Watch};

use super::Speed;
use crate::error::Result;

/// An attached device, as the kernel knows it. What comes from the device (strings, descriptors) is not trusted: it may have any content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is plugged in, as the kernel names it: `bus-port.port` (`1-2.3`).
    pub name: String,
    /// Number of its bus.
    pub bus: u16,
    /// Its address on the bus; a device that is plugged in again has another one.
    pub address: u16,
    /// idVendor.
    pub vendor_id: u16,
    /// idProduct.
    pub product_id: u16,
    /// The string of iManufacturer, if the device has one and the kernel could read it.
    pub manufacturer: Option<String>,
    /// The string of iProduct, likewise.
    pub product: Option<String>,
    /// The string of iSerialNumber, likewise.
    pub serial: Option<String>,
    /// The speed it was enumerated at; full speed where the kernel does not know.
    pub speed: Speed,
    /// What usbfs opens: `/dev/bus/usb/001/004`.
    pub node: PathBuf,
    /// Its directory in sysfs.
    pub sysfs: PathBuf,
    /// bConfigurationValue of the active configuration; `None` if it is not configured, or the kernel does not say.
    pub configuration: Option<u8>,
    /// The device descriptor and all configurations; empty if neither sysfs nor the node gave them.
    pub descriptors: Vec<u8>,
    /// The interfaces of the active configuration, by number, and who has each.
    pub drivers: Vec<Bound>,
}

/// Who has an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// bInterfaceNumber.
    pub interface: u8,
    /// The kernel's driver that is bound to it: `usbfs` if a program has it, `None` if nobody has.
    pub driver: Option<String>,
    /// Network interfaces that this driver made of it.
    pub networks: Vec<String>,
}

/// The devices that are attached now, ordered by bus and port. Root hubs are not among them; other hubs are. A device that vanishes while
/// it is looked at is left out.
///
/// # Errors
/// Unsupported: the kernel has no USB, or sysfs is not mounted. Refused: sysfs may not be read.
pub fn list() -> Result<Vec<Found>> {
    Roots::default().scan()
}

/// Arrivals and departures from now on, beginning with an arrival for each device that is attached. On a queue.
pub fn watch() -> Watch {
    Watch::new(Roots::default(), true)
}

#[cfg(test)]
mod tests;
