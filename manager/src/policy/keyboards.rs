//! What people can type on, as the kernel's input devices in sysfs say, and whether a function is the last of it. It must not know any rule.
//!
//! A keyboard is what udev takes for one: an input device with all keys from Escape to S, by their numbers. Mice, power buttons, and media keys have not got
//! them. Devices that programs made (uinput, uhid) do not count as another keyboard: nobody may sit at them. That errs to the side on which a
//! keyboard stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use outboard_core::manifest::Function;
use outboard_core::usb::class;
use outboard_core::usb::descriptor::DeviceDescriptors;
use outboard_core::usb::discovery::{Bound, Found};

/// More input devices than a machine has.
const MAX_DEVICES: usize = 4096;

/// KEY_ESC (1) to KEY_S (31), as udev's `input_id` asks for them.
const FIRST_KEYS: u64 = 0xffff_fffe;

/// The kernel's drivers of keyboards.
const DRIVERS: [&str; 2] = ["usbhid", "usbkbd"];

/// The keyboards there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyboards {
    /// Where each is in sysfs, below the device that it belongs to.
    places: Vec<PathBuf>,
    /// They could not be read: each may be the last.
    unknown: bool,
}

impl Keyboards {
    /// Those of this machine; `sysfs` is `/sys`.
    pub(crate) fn read(sysfs: &Path) -> Self {
        let entries = match fs::read_dir(sysfs.join("class/input")) {
            Ok(entries) => entries,
            // A kernel without input devices, and so without keyboards.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::none(),
            Err(_) => return Self { places: Vec::new(), unknown: true },
        };
        let mut found = Self::none();
        for entry in entries.take(MAX_DEVICES) {
            let Ok(entry) = entry else {
                found.unknown = true;
                break;
            };
            let is_input = entry.file_name().to_string_lossy().starts_with("input");
            if is_input && is_keyboard(&entry.path()) {
                found.places.extend(entry.path().canonicalize());
            }
        }
        found
    }

    fn none() -> Self {
        Self { places: Vec::new(), unknown: false }
    }

    /// Whether the machine has no keyboard any more if this function is taken: it is one, and there is no other.
    pub(crate) fn needs(&self, found: &Found, function: &Function) -> bool {
        let lost = lost(found, function);
        let is_keyboard = self.places.iter().any(|place| is_below(place, &lost));
        // The kernel may have a keyboard that shows no keys yet, or that we could not read.
        let may_be = lost.iter().any(|(bound, _)| {
            let driver = bound.driver.as_deref().unwrap_or_default();
            DRIVERS.contains(&driver) && (self.unknown || is_boot_keyboard(found, bound.interface))
        });
        let other = self.places.iter().any(|place| !is_virtual(place) && !is_below(place, &lost));
        (is_keyboard || may_be) && (self.unknown || !other)
    }

    /// The function is taken: its keyboards are none of the kernel's any more.
    pub(crate) fn lose(&mut self, found: &Found, function: &Function) {
        let lost = lost(found, function);
        self.places.retain(|place| !is_below(place, &lost));
    }
}

/// The interfaces that lose their drivers when the function is taken, with their places in sysfs: its own, or all if another configuration has
/// to be selected for it.
fn lost<'a>(found: &'a Found, function: &Function) -> Vec<(&'a Bound, PathBuf)> {
    let Some(active) = found.configuration else { return Vec::new() };
    let all = active != function.configuration;
    let own = found.drivers.iter().filter(|bound| all || function.interfaces.contains(&bound.interface));
    let place = |bound: &Bound| found.sysfs.join(format!("{}:{active}.{}", found.name, bound.interface));
    own.map(|bound| (bound, place(bound))).collect()
}

fn is_below(place: &Path, interfaces: &[(&Bound, PathBuf)]) -> bool {
    interfaces.iter().any(|(_, interface)| place.starts_with(interface))
}

fn is_virtual(place: &Path) -> bool {
    let mut parts = place.components().map(|part| part.as_os_str());
    parts.by_ref().any(|part| part == "devices") && parts.next().is_some_and(|part| part == "virtual")
}

/// Whether an input device has the keys of a keyboard. The kernel writes the bits as words in hexadecimal, the lowest word last.
fn is_keyboard(input: &Path) -> bool {
    let Ok(keys) = fs::read_to_string(input.join("capabilities/key")) else { return false };
    let lowest = keys.split_ascii_whitespace().next_back();
    let bits = lowest.and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or_default();
    bits & FIRST_KEYS == FIRST_KEYS
}

fn is_boot_keyboard(found: &Found, number: u8) -> bool {
    let Ok(descriptors) = DeviceDescriptors::parse_at(&found.descriptors, found.speed) else { return false };
    let active = found.configuration.and_then(|active| descriptors.configuration(active));
    let setting = active.and_then(|active| active.interface(number)?.initial());
    setting.is_some_and(|setting| setting.codes() == (class::HID, 1, 1))
}

#[cfg(test)]
pub(super) mod tests;
