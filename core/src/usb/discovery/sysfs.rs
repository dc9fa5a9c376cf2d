//! The kernel's tree of devices, `/sys/bus/usb/devices` (Linux, Documentation/ABI/testing/sysfs-bus-usb), read tolerantly: attributes come
//! and go with their device, and some hold what the device said. It must not know what the answers are for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Bound, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::usb::Speed;

/// More than any attribute in text has: a string descriptor is at most 126 UTF-16 units, so 378 bytes of UTF-8.
const MAX_TEXT: u64 = 1024;

/// The largest descriptors that are read: a device and 255 configurations of 64 KiB cannot be meant.
const MAX_DESCRIPTORS: u64 = 256 * 1024;

/// More interfaces than a configuration can number.
const MAX_INTERFACES: usize = 256;

/// More network interfaces than one USB interface can be meant to have.
const MAX_NETWORKS: usize = 64;

/// Where the kernel's trees are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/sys`.
    pub sysfs: PathBuf,
    /// `/dev`.
    pub devices: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { sysfs: "/sys".into(), devices: "/dev".into() }
    }
}

impl Roots {
    /// As [`list`](super::list), in these trees.
    ///
    /// # Errors
    /// As `list`.
    pub fn scan(&self) -> Result<Vec<Found>> {
        let directory = self.sysfs.join("bus/usb/devices");
        let entries = fs::read_dir(&directory).map_err(|error| {
            let operation = format!("list {}", directory.display());
            match error.kind() {
                io::ErrorKind::NotFound => {
                    let reason =
                        "there is none: the kernel has no USB support loaded, or sysfs is not mounted";
                    Error::new(ErrorKind::Unsupported, operation, reason)
                }
                _ => Error::os(operation, error),
            }
        })?;
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                let place = Place::parse(&name)?;
                Some((place, self.read(&directory, &name)?))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    /// `None`: it vanished.
    fn read(&self, directory: &Path, name: &str) -> Option<Found> {
        // The entry is a link, which the next device in this port will have too; what it points to now may vanish, but not change.
        let sysfs = directory.join(name).canonicalize().ok()?;
        let (bus, address) = (decimal(&sysfs, "busnum")?, decimal(&sysfs, "devnum")?);
        let node = self.devices.join(format!("bus/usb/{bus:03}/{address:03}"));
        let found = Found {
            name: name.to_owned(),
            bus,
            address,
            vendor_id: hexadecimal(&sysfs, "idVendor")?,
            product_id: hexadecimal(&sysfs, "idProduct")?,
            manufacturer: text(&sysfs, "manufacturer"),
            product: text(&sysfs, "product"),
            serial: text(&sysfs, "serial"),
            speed: speed(text(&sysfs, "speed").as_deref()),
            configuration: decimal(&sysfs, "bConfigurationValue").and_then(|value| u8::try_from(value).ok()),
            descriptors: descriptors(&sysfs, &node),
            drivers: drivers(&sysfs, name),
            node,
            sysfs: sysfs.clone(),
        };
        // Unplugged and plugged in again meanwhile, it would be a mixture of two devices.
        (decimal(&sysfs, "devnum") == Some(address)).then_some(found)
    }
}

/// A device's place, `bus-port.port`, in the order of numbers: `1-2` before `1-10`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    bus: u16,
    ports: Vec<u16>,
}

impl Place {
    /// `None` for everything else there is in the directory: root hubs (`usb1`) and interfaces (`1-2:1.0`).
    pub(super) fn parse(name: &str) -> Option<Self> {
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse().ok()).flatten()
        };
        let (bus, ports) = name.split_once('-')?;
        Some(Self { bus: number(bus)?, ports: ports.split('.').map(number).collect::<Option<_>>()? })
    }
}

/// At most `limit` bytes of a file; of one that is longer, its beginning.
fn bytes(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// An attribute without the newline that the kernel adds. What is no UTF-8 is replaced; an empty one is none.
fn text(directory: &Path, attribute: &str) -> Option<String> {
    let bytes = bytes(&directory.join(attribute), MAX_TEXT)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches(['\n', '\0']);
    (!text.is_empty()).then(|| text.to_owned())
}

fn decimal(directory: &Path, attribute: &str) -> Option<u16> {
    text(directory, attribute)?.trim().parse().ok()
}

fn hexadecimal(directory: &Path, attribute: &str) -> Option<u16> {
    u16::from_str_radix(text(directory, attribute)?.trim(), 16).ok()
}

/// Megabits per second, as the kernel writes them.
fn speed(text: Option<&str>) -> Speed {
    match text.map(str::trim) {
        Some("1.5") => Speed::Low,
        Some("480") => Speed::High,
        Some("5000") => Speed::Super,
        Some("10000" | "20000") => Speed::SuperPlus,
        // "unknown" is what the kernel says before it has asked; full speed is what every device can do.
        _ => Speed::Full,
    }
}

/// From sysfs, which never waits for the device; else from the node, where one may open it.
fn descriptors(sysfs: &Path, node: &Path) -> Vec<u8> {
    bytes(&sysfs.join("descriptors"), MAX_DESCRIPTORS)
        .filter(|bytes| !bytes.is_empty())
        .or_else(|| bytes(node, MAX_DESCRIPTORS))
        .unwrap_or_default()
}

fn drivers(sysfs: &Path, name: &str) -> Vec<Bound> {
    let prefix = format!("{name}:");
    let mut drivers: Vec<Bound> = names(sysfs)
        .filter(|entry| entry.starts_with(&prefix))
        .take(MAX_INTERFACES)
        .filter_map(|entry| {
            let interface = sysfs.join(entry);
            let link = fs::read_link(interface.join("driver")).ok();
            let mut networks: Vec<String> = names(&interface.join("net")).take(MAX_NETWORKS).collect();
            networks.sort();
            Some(Bound {
                interface: u8::try_from(hexadecimal(&interface, "bInterfaceNumber")?).ok()?,
                driver: link.and_then(|link| Some(link.file_name()?.to_str()?.to_owned())),
                networks,
            })
        })
        .collect();
    drivers.sort_by_key(|bound| bound.interface);
    drivers
}

/// The names in a directory, in no order; none if there is no such directory.
fn names(directory: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}
