//! What is known about single devices, by vendor and product: the facts of Linux 6.1, where twenty years of reports went. It knows no descriptor
//! but its group, and drives nothing.

mod devices;
mod touch;

use crate::mapping::{Quirks, TouchClass};
use crate::proto::report::TouchGroup;

/// What can be different, as bits of the table.
mod bit {
    /// `HID_QUIRK_ALWAYS_POLL`.
    pub(super) const ALWAYS_POLL: u16 = 1 << 0;
    /// `HID_QUIRK_BADPAD`.
    pub(super) const BADPAD: u16 = 1 << 1;
    /// `HID_QUIRK_FULLSPEED_INTERVAL`.
    pub(super) const FULLSPEED_INTERVAL: u16 = 1 << 2;
    /// `HID_QUIRK_HIDINPUT_FORCE`.
    pub(super) const HIDINPUT_FORCE: u16 = 1 << 3;
    /// `HID_QUIRK_INCREMENT_USAGE_ON_DUPLICATE`.
    pub(super) const INCREMENT_USAGE_ON_DUPLICATE: u16 = 1 << 4;
    /// `HID_QUIRK_MULTI_INPUT`.
    pub(super) const MULTI_INPUT: u16 = 1 << 5;
    /// `HID_QUIRK_NOGET`.
    pub(super) const NOGET: u16 = 1 << 6;
    /// `HID_QUIRK_NO_INIT_REPORTS`.
    pub(super) const NO_INIT_REPORTS: u16 = 1 << 7;
    /// `HID_QUIRK_SKIP_OUTPUT_REPORTS`.
    pub(super) const SKIP_OUTPUT_REPORTS: u16 = 1 << 8;
}

/// What is known about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceQuirks {
    /// How its nodes are to be made.
    pub mapping: Quirks,
    /// How its touch reports are to be read, if not as its descriptor suggests.
    pub touch: Option<TouchClass>,
    /// It must be polled also while nobody reads its nodes; otherwise it resets itself.
    pub always_poll: bool,
    /// Its interval is in frames although its speed is high.
    pub full_speed_interval: bool,
    /// It must not be asked for reports at all.
    pub no_get: bool,
    /// It must not be asked for reports when it starts.
    pub no_initial_reports: bool,
}

impl DeviceQuirks {
    /// Of this vendor and product, whose descriptor is in this group.
    pub fn of(vendor: u16, product: u16, group: TouchGroup) -> Self {
        let found = devices::DEVICES.binary_search_by_key(&(vendor, product), |device| (device.0, device.1));
        let bits = match found {
            Ok(found) => devices::DEVICES[found].2,
            Err(_) => of_vendor(vendor, product),
        };
        let has = |bit: u16| bits & bit != 0;
        let touch = touch::DEVICES.iter().find(|(known, device, _, needs)| {
            (*known, *device) == (vendor, product)
                && needs.map_or(group != TouchGroup::None, |needs| needs == group)
        });
        Self {
            mapping: Quirks {
                bad_pad: has(bit::BADPAD),
                multi_input: has(bit::MULTI_INPUT),
                skip_output_reports: has(bit::SKIP_OUTPUT_REPORTS),
                increment_on_duplicate: has(bit::INCREMENT_USAGE_ON_DUPLICATE),
                force_input: has(bit::HIDINPUT_FORCE),
                ..Quirks::default()
            },
            touch: touch.map(|(_, _, class, _)| *class),
            always_poll: has(bit::ALWAYS_POLL),
            full_speed_interval: has(bit::FULLSPEED_INTERVAL),
            no_get: has(bit::NOGET),
            no_initial_reports: has(bit::NO_INIT_REPORTS),
        }
    }
}

/// Where all or many devices of a vendor are alike.
fn of_vendor(vendor: u16, product: u16) -> u16 {
    const ELAN: u16 = 0x04f3;
    const NCR: u16 = 0x0404;
    match (vendor, product) {
        (ELAN, _) => bit::ALWAYS_POLL,
        (NCR, 0x0300..=0x03ff) => bit::NO_INIT_REPORTS,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ascends_so_that_every_device_is_found() {
        assert!(devices::DEVICES.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
        let usual = DeviceQuirks::of(1, 2, TouchGroup::None);
        assert_eq!(usual, DeviceQuirks::default());
        for (vendor, product, _) in devices::DEVICES {
            assert_ne!(
                DeviceQuirks::of(*vendor, *product, TouchGroup::None),
                usual,
                "{vendor:04x}:{product:04x}"
            );
        }
        assert!(DeviceQuirks::of(0x04f3, 0xffff, TouchGroup::None).always_poll);
    }

    #[test]
    fn a_touch_class_is_for_its_group() {
        // 3M's M1968 is not certified.
        let class = |group| DeviceQuirks::of(0x0596, 0x0500, group).touch.map(|class| class.name);
        assert_eq!((class(TouchGroup::Touch), class(TouchGroup::Certified)), (Some("3m"), None));
    }
}
