//! A USB device on the host side, as sysfs shows it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::sysfs::{read, wait_for, wait_until};

const DEVICES: &str = "/sys/bus/usb/devices";

/// Enumeration takes about a second in the guest; more means that it failed.
const ENUMERATION: Duration = Duration::from_secs(30);

/// A device that is attached.
#[derive(Clone, Debug)]
pub(crate) struct UsbDevice {
    /// Bus and port path, such as `1-1`: sysfs's name for it, and what `outboard attach` takes.
    pub(crate) port: String,
}

impl UsbDevice {
    /// Waits for a device with this vendor and product id to be attached and configured.
    pub(crate) fn wait(vendor: u16, product: u16) -> Result<Self> {
        wait_for(&format!("a device {vendor:04x}:{product:04x}"), ENUMERATION, || {
            Ok(find(vendor, product, |_| true))
        })
    }

    /// Waits for the same device to be attached a second time, as when it is imported over USB/IP by the machine that exports it.
    pub(crate) fn wait_again(&self, vendor: u16, product: u16) -> Result<Self> {
        wait_for(&format!("a second device {vendor:04x}:{product:04x}"), ENUMERATION, || {
            Ok(find(vendor, product, |port| port != self.port))
        })
    }

    /// Waits until the device is gone from sysfs.
    pub(crate) fn wait_gone(&self) -> Result<()> {
        wait_until(&format!("device {} to go", self.port), ENUMERATION, || !self.path().exists())
    }

    /// The device's folder in sysfs.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(DEVICES).join(&self.port)
    }

    /// The signalling rate, in Mbit/s: 12, 480, 5000.
    pub(crate) fn speed(&self) -> Result<u32> {
        let text = read(self.path().join("speed"))?;
        text.parse().with_context(|| format!("speed {text:?} of {}", self.port))
    }

    /// Names (`1-1:1.0`) of the interfaces of the active configuration that have this class, subclass and protocol.
    pub(crate) fn interfaces(&self, class: &str, subclass: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is = |file: &str, wanted: &str| read(path.join(file)).is_ok_and(|text| text == wanted);
            if name.starts_with(&self.port)
                && is("bInterfaceClass", class)
                && is("bInterfaceSubClass", subclass)
            {
                found.push(name);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The ECM control interface (CDC 1.2, 4.3: class 2, subclass 6).
    pub(crate) fn ecm_interface(&self) -> Result<String> {
        let found = self.interfaces("02", "06")?;
        found
            .into_iter()
            .next()
            .with_context(|| format!("device {} has no ECM interface in its configuration", self.port))
    }

    /// The kernel driver that an interface is bound to, if any.
    pub(crate) fn driver_of(interface: &str) -> Option<String> {
        let target = fs::read_link(PathBuf::from(DEVICES).join(interface).join("driver")).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// The network interface that a kernel driver made of this USB interface.
    pub(crate) fn net_of(interface: &str) -> Option<String> {
        let entry = fs::read_dir(PathBuf::from(DEVICES).join(interface).join("net")).ok()?.next()?.ok()?;
        Some(entry.file_name().to_string_lossy().into_owned())
    }
}

/// A configured device with these ids, at a port that will do.
fn find(vendor: u16, product: u16, will_do: impl Fn(&str) -> bool) -> Option<UsbDevice> {
    let entries = fs::read_dir(DEVICES).ok()?;
    for entry in entries.flatten() {
        let path = entry.path();
        let is =
            |file: &str, wanted: u16| read(path.join(file)).is_ok_and(|text| text == format!("{wanted:04x}"));
        let configured = read(path.join("bConfigurationValue")).is_ok_and(|text| !text.is_empty());
        let port = entry.file_name().to_string_lossy().into_owned();
        if configured && will_do(&port) && is("idVendor", vendor) && is("idProduct", product) {
            return Some(UsbDevice { port });
        }
    }
    None
}
