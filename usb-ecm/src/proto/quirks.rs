//! What is known of single devices, as a table. It knows no descriptors but the device's vendor and product.
//!
//! Most oddities need no row: descriptors on the configuration (Motorola SB4100), behind the endpoint (2Wire), swapped
//! interfaces (Ambit) are recognised on any device, as Linux does. A row is for what cannot be seen.

/// What to do differently for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// The device says ECM but does not speak it, or another driver must have it: why.
    pub refuse: Option<&'static str>,
    /// `refuse` is only meant for this bInterfaceNumber.
    pub refuse_interface: Option<u8>,
    /// A locally administered address in iMACAddress is the same on every such device: make one of our own.
    pub replace_local_mac: bool,
    /// Received frames carry a made-up, locally administered destination: write the interface's own address there.
    pub rewrite_local_destination: bool,
    /// NETWORK_CONNECTION "on" while the carrier is on already means that the link was lost in between.
    pub repeated_carrier_on: bool,
    /// Linux has a driver for the vendor's own protocol, which does more than ECM. ECM works.
    pub better_driver: Option<&'static str>,
    /// The row's reason, for people.
    pub reason: &'static str,
}

impl Quirks {
    /// The quirks of this device; the first row that fits.
    pub fn of(vendor: u16, product: u16) -> Self {
        TABLE
            .iter()
            .find(|row| row.vendor == vendor && row.product.is_none_or(|id| id == product))
            .map_or_else(Self::default, |row| row.quirks)
    }

    /// Why this interface must be left alone.
    pub fn refusal(&self, interface: u8) -> Option<&'static str> {
        self.refuse.filter(|_| self.refuse_interface.is_none_or(|only| only == interface))
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// idVendor.
    pub vendor: u16,
    /// idProduct; `None` is any.
    pub product: Option<u16>,
    /// What to do differently.
    pub quirks: Quirks,
}

const fn row(vendor: u16, product: u16, quirks: Quirks) -> Row {
    Row { vendor, product: Some(product), quirks }
}

const NONE: Quirks = Quirks {
    refuse: None,
    refuse_interface: None,
    replace_local_mac: false,
    rewrite_local_destination: false,
    repeated_carrier_on: false,
    better_driver: None,
    reason: "",
};

const fn refuse(why: &'static str) -> Quirks {
    Quirks { refuse: Some(why), reason: why, ..NONE }
}

const fn better(driver: &'static str, reason: &'static str) -> Quirks {
    Quirks { better_driver: Some(driver), reason, ..NONE }
}

const ZAURUS: Quirks = refuse("speaks Sharp's variant, which ends frames with a CRC (Linux: zaurus)");
const QMI: Quirks = refuse("its network port is configured by QMI (Linux: qmi_wwan)");
const RTL8152: Quirks = better("r8152", "Realtek RTL8152/8153");
const AQC111: Quirks = better("aqc111", "Aquantia AQC111U/AQC112U");
const PLAIN_ZTE: Quirks = Quirks { reason: "ZTE that needs none of the other ZTEs' quirks", ..NONE };

/// All rows; the first that fits counts. Source of the facts: Linux 6.1, drivers/net/usb/cdc_ether.c.
pub const TABLE: &[Row] = &[
    row(0x04dd, 0x8004, ZAURUS), // Sharp Zaurus, SA-1100
    row(0x04dd, 0x8005, ZAURUS),
    row(0x04dd, 0x8006, ZAURUS), // B-500, SL-5600
    row(0x04dd, 0x8007, ZAURUS), // C-700
    row(0x04dd, 0x9031, ZAURUS), // C-750, C-760
    row(0x04dd, 0x9032, ZAURUS), // SL-6000
    row(0x04dd, 0x9050, ZAURUS), // C-860
    row(0x07b4, 0x0f02, ZAURUS), // Olympus R-1000
    row(0x1004, 0x61aa, refuse("puts headers of its own before every frame (Linux: lg-vl600)")),
    row(0x046d, 0xc11f, refuse("speaks BLAN under the name of MDLM (Linux: zaurus)")), // Logitech Harmony 900
    row(0x1410, 0xb001, QMI), // Novatel USB551L, MC551
    row(0x1410, 0x9010, QMI), // Novatel E362
    row(0x1410, 0x9011, QMI), // Novatel E371
    row(0x413c, 0x8195, QMI), // Dell 5800
    row(0x413c, 0x8196, QMI), // Dell 5800
    row(0x413c, 0x819b, QMI), // Dell 5804
    row(0x03f0, 0x421d, QMI), // HP lt2523
    row(0x16d5, 0x650a, QMI), // AnyDATA ADU960S
    row(0x12d1, 0x14ac, Quirks { refuse_interface: Some(1), ..QMI }), // Huawei E1820
    row(0x0bda, 0x8152, RTL8152),
    row(0x0bda, 0x8153, RTL8152),
    row(0x04e8, 0xa101, RTL8152), // Samsung
    row(0x13b1, 0x0041, RTL8152), // Linksys USB3GIGV1
    row(0x17ef, 0x3054, RTL8152), // Lenovo OneLink+ dock
    row(0x17ef, 0x3062, RTL8152), // Lenovo USB-C dock
    row(0x17ef, 0x3069, RTL8152), // Lenovo Thunderbolt 3 dock
    row(0x17ef, 0x3082, RTL8152), // Lenovo Thunderbolt 3 dock, 2nd generation
    row(0x17ef, 0x7205, RTL8152), // Lenovo USB 3.0 adapter
    row(0x17ef, 0x720c, RTL8152), // Lenovo USB-C adapter
    row(0x17ef, 0x7214, RTL8152), // Lenovo USB-C travel hub
    row(0x17ef, 0x721e, RTL8152), // Lenovo powered travel hub
    row(0x17ef, 0xa387, RTL8152), // Lenovo USB-C dock, 2nd generation
    row(0x0955, 0x09ff, RTL8152), // NVIDIA Tegra
    row(0x045e, 0x07ab, RTL8152), // Microsoft Surface 2 dock
    row(0x045e, 0x07c6, RTL8152), // Microsoft Surface
    row(0x045e, 0x0927, RTL8152), // Microsoft Surface, RTL8153B
    row(0x2357, 0x0601, RTL8152), // TP-LINK UE300
    row(0x2eca, 0xc101, AQC111),
    row(0x0b95, 0x2790, AQC111),    // ASIX 5G
    row(0x0b95, 0x2791, AQC111),    // ASIX 2.5G
    row(0x20f4, 0xe05a, AQC111),    // TRENDnet
    row(0x1c04, 0x0015, AQC111),    // QNAP QNA-UC5G1T
    row(0x19d2, 0x1003, PLAIN_ZTE), // K3805-Z
    row(0x19d2, 0x1015, PLAIN_ZTE), // K3806-Z
    row(0x19d2, 0x1173, PLAIN_ZTE), // K4510-Z
    row(0x19d2, 0x1177, PLAIN_ZTE), // K3770-Z
    row(0x19d2, 0x1181, PLAIN_ZTE), // K3772-Z
    Row {
        vendor: 0x19d2,
        product: None,
        quirks: Quirks {
            replace_local_mac: true,
            rewrite_local_destination: true,
            repeated_carrier_on: true,
            reason: "ZTE modems (MF823, MF831, MF910): shared and made-up addresses, two carrier-on notifications",
            ..NONE
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specific_row_counts_before_the_vendor() {
        assert!(Quirks::of(0x19d2, 0x1405).replace_local_mac);
        assert!(!Quirks::of(0x19d2, 0x1181).replace_local_mac);
        assert_eq!(Quirks::of(0x0525, 0xa4a2), Quirks::default());
    }

    #[test]
    fn a_refusal_can_be_for_one_interface() {
        assert!(Quirks::of(0x04dd, 0x8004).refusal(7).is_some());
        assert!(Quirks::of(0x12d1, 0x14ac).refusal(1).is_some());
        assert!(Quirks::of(0x12d1, 0x14ac).refusal(2).is_none());
        assert!(Quirks::of(0x0bda, 0x8153).refusal(0).is_none());
    }

    #[test]
    fn every_row_can_be_reached_and_says_why() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(!row.quirks.reason.is_empty());
            let earlier = TABLE[..index].iter().any(|other| {
                other.vendor == row.vendor && (other.product.is_none() || other.product == row.product)
            });
            assert!(!earlier, "{:04x}:{:04x?} is hidden by an earlier row", row.vendor, row.product);
        }
    }
}
