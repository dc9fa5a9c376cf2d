//! What is known of single devices, as a table. It knows no descriptors but the device's ids and names.

use super::ids;

/// What to do differently for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// Only these bInterfaceNumbers are serial ports.
    pub only: Option<&'static [u8]>,
    /// The line always has this rate, in baud, whatever is asked for.
    pub forced_baud: Option<u32>,
    /// RTS/CTS is always on.
    pub forced_rts_cts: bool,
    /// Who asks for the first rate gets the second.
    pub instead: Option<(u32, u32)>,
    /// The latency timer stays at this many milliseconds.
    pub latency: Option<u8>,
    /// The row's reason, for people.
    pub reason: &'static str,
}

const NONE: Quirks =
    Quirks { only: None, forced_baud: None, forced_rts_cts: false, instead: None, latency: None, reason: "" };

const JTAG: Quirks = Quirks { only: Some(&[1, 2, 3]), reason: "channel A is JTAG", ..NONE };
const NDI: Quirks = Quirks {
    // The tracker's program knows no rate beyond 115,200.
    instead: Some((19_200, 1_200_000)),
    latency: Some(1),
    reason: "an NDI tracker: 19,200 baud stands for 1.2 MBd",
    ..NONE
};

/// idVendor, idProduct and what is known. Source of the facts: Linux 6.1's ftdi_sio.
pub const TABLE: &[(u16, u16, Quirks)] = &[
    // 24 MHz by 77.
    (0x0403, 0xf850, Quirks { forced_baud: Some(311_688), reason: "USB-UIRT", ..NONE }),
    // 24 MHz by 240.
    (
        0x0403,
        0xfa78,
        Quirks { forced_baud: Some(100_000), forced_rts_cts: true, reason: "HE Tira-1", ..NONE },
    ),
    (0x0403, 0xda70, NDI),
    (0x0403, 0xda71, NDI),
    (0x0403, 0xda72, NDI),
    (0x0403, 0xda73, NDI),
    (0x0403, 0xda74, NDI),
    (0x23f2, 0x0003, NDI),
    (0x0403, 0xbca4, JTAG),
    (0x0483, 0x3747, Quirks { only: Some(&[2, 3]), reason: "STMC Lite: channels A and B are JTAG", ..NONE }),
];

/// Boards with FTDI's own id whose channel A is JTAG, by manufacturer.
const JTAG_MANUFACTURERS: [&str; 1] = ["CALAO Systems"];
/// The same by product.
const JTAG_PRODUCTS: [&str; 3] = ["Arrow USB Blaster", "BeagleBone/XDS100V2", "SNAP Connect E10"];

impl Quirks {
    /// The quirks of this device.
    pub fn of(vendor: u16, product: u16) -> Self {
        if let Some(only) = ids::serial_interfaces(vendor, product) {
            return Self { only: Some(only), reason: "its other interfaces are JTAG", ..NONE };
        }
        let row = TABLE.iter().find(|(v, p, _)| (*v, *p) == (vendor, product));
        row.map_or(NONE, |(_, _, quirks)| *quirks)
    }

    /// Whether the names of a device with these ids matter: [`with_names`](Self::with_names).
    pub const fn depend_on_names(vendor: u16, product: u16) -> bool {
        vendor == 0x0403 && product == 0x6010
    }

    /// The quirks of a device whose names matter.
    #[must_use]
    pub fn with_names(self, manufacturer: Option<&str>, product: Option<&str>) -> Self {
        let is_jtag = manufacturer.is_some_and(|name| JTAG_MANUFACTURERS.contains(&name))
            || product.is_some_and(|name| JTAG_PRODUCTS.contains(&name));
        if is_jtag { JTAG } else { self }
    }

    /// Whether this interface is a serial port.
    pub fn is_port(&self, interface: u8) -> bool {
        self.only.is_none_or(|only| only.contains(&interface))
    }

    /// The rate to program for one that is asked for.
    pub fn baud(&self, asked: u32) -> u32 {
        match (self.forced_baud, self.instead) {
            (Some(forced), _) => forced,
            (None, Some((from, to))) if from == asked => to,
            _ => asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_and_are_of_known_devices() {
        assert!(
            TABLE.iter().all(
                |(vendor, product, quirks)| ids::is_known(*vendor, *product) && !quirks.reason.is_empty()
            )
        );
        let ndi = Quirks::of(0x23f2, 3);
        assert_eq!((ndi.baud(19_200), ndi.baud(9600)), (1_200_000, 9600));
        assert_eq!(Quirks::of(0x0403, 0xf850).baud(115_200), 311_688);
        let olimex = Quirks::of(0x15ba, 0x0003);
        assert!(!olimex.is_port(0) && olimex.is_port(1));
        let plain = Quirks::of(0x0403, 0x6010);
        assert!(plain.is_port(0) && Quirks::depend_on_names(0x0403, 0x6010));
        assert!(!plain.with_names(Some("CALAO Systems"), None).is_port(0));
        assert!(!plain.with_names(None, Some("SNAP Connect E10")).is_port(0));
        assert!(plain.with_names(Some("FTDI"), Some("Dual RS232-HS")).is_port(0));
    }
}
