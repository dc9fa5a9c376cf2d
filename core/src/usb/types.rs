//! The basic vocabulary of USB: direction, transfer type, speed, class codes. It knows no descriptor and no transport.

use std::fmt;

/// Which way data flows, seen from the host (USB 2.0, 9.6.6: bit 7 of bEndpointAddress).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the host to the device.
    Out,
    /// From the device to the host.
    In,
}

impl Direction {
    /// The direction that a bEndpointAddress or a bmRequestType carries in its bit 7.
    pub const fn of(address: u8) -> Self {
        if address & 0x80 == 0 { Self::Out } else { Self::In }
    }

    /// This direction as bit 7 of a bEndpointAddress or a bmRequestType: 0x00 or 0x80.
    pub const fn bit(self) -> u8 {
        match self {
            Self::Out => 0x00,
            Self::In => 0x80,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Out => "OUT",
            Self::In => "IN",
        })
    }
}

/// The endpoint's number without its direction, 0 to 15 (USB 2.0, 9.6.6: bits 3..0 of bEndpointAddress).
pub const fn endpoint_number(address: u8) -> u8 {
    address & 0x0f
}

/// The four transfer types (USB 2.0, 9.6.6: bits 1..0 of an endpoint's bmAttributes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferType {
    /// Requests and their answers (USB 2.0, 5.5).
    Control,
    /// A reserved rate without retries (USB 2.0, 5.6).
    Isochronous,
    /// Whatever the bus has left, with retries (USB 2.0, 5.8).
    Bulk,
    /// Small data with a bounded latency, with retries (USB 2.0, 5.7).
    Interrupt,
}

impl TransferType {
    /// The type in bits 1..0 of bmAttributes; the other bits are ignored.
    pub const fn of(attributes: u8) -> Self {
        match attributes & 3 {
            0 => Self::Control,
            1 => Self::Isochronous,
            2 => Self::Bulk,
            _ => Self::Interrupt,
        }
    }

    /// This type as bits 1..0 of bmAttributes.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Isochronous => 1,
            Self::Bulk => 2,
            Self::Interrupt => 3,
        }
    }

    /// Whether the bus polls it at fixed times: isochronous and interrupt.
    pub const fn is_periodic(self) -> bool {
        matches!(self, Self::Isochronous | Self::Interrupt)
    }
}

impl fmt::Display for TransferType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Isochronous => "isochronous",
            Self::Bulk => "bulk",
            Self::Interrupt => "interrupt",
        })
    }
}

/// How fast the device's connection to the bus is signalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Speed {
    /// 1.5 Mbit/s (USB 2.0, 5.3.1.1.1).
    Low,
    /// 12 Mbit/s (USB 2.0, 5.3.1.1.1).
    Full,
    /// 480 Mbit/s (USB 2.0, 5.3.1.1.1).
    High,
    /// 5 Gbit/s (USB 3.2, 3.2.1).
    Super,
    /// 10 Gbit/s and up (USB 3.2, 3.2.1). Two lanes double it; which is in use is not visible here.
    SuperPlus,
}

impl Speed {
    /// Signalling rate in bits per second. What payload gets through is less: 8b/10b or 128b/132b coding, packet headers.
    pub const fn bits_per_second(self) -> u64 {
        match self {
            Self::Low => 1_500_000,
            Self::Full => 12_000_000,
            Self::High => 480_000_000,
            Self::Super => 5_000_000_000,
            Self::SuperPlus => 10_000_000_000,
        }
    }

    /// Whether descriptors follow USB 3.2: endpoint companions, bMaxPower in units of 8 mA.
    pub const fn is_super(self) -> bool {
        matches!(self, Self::Super | Self::SuperPlus)
    }

    /// One word for logs and scripts, stable over versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Full => "full",
            Self::High => "high",
            Self::Super => "super",
            Self::SuperPlus => "super-plus",
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits_per_second();
        if !bits.is_multiple_of(1_000_000) {
            write!(f, "{}.{} Mbit/s", bits / 1_000_000, bits % 1_000_000 / 100_000)
        } else if bits < 1_000_000_000 {
            write!(f, "{} Mbit/s", bits / 1_000_000)
        } else {
            write!(f, "{} Gbit/s", bits / 1_000_000_000)
        }
    }
}

/// Class codes: bDeviceClass, bInterfaceClass, bFunctionClass (usb.org, "Defined Class Codes").
pub mod class {
    /// The interfaces say what they are; only as bDeviceClass.
    pub const PER_INTERFACE: u8 = 0x00;
    /// Audio.
    pub const AUDIO: u8 = 0x01;
    /// Communications: the control half of CDC (CDC120, 4.2).
    pub const COMMUNICATIONS: u8 = 0x02;
    /// Human interface devices (HID 1.11, 4.1).
    pub const HID: u8 = 0x03;
    /// Still imaging.
    pub const IMAGE: u8 = 0x06;
    /// Printers.
    pub const PRINTER: u8 = 0x07;
    /// Mass storage.
    pub const MASS_STORAGE: u8 = 0x08;
    /// Hubs (USB 2.0, 11.23.1).
    pub const HUB: u8 = 0x09;
    /// The data half of CDC (CDC120, 4.5).
    pub const CDC_DATA: u8 = 0x0a;
    /// Smart cards.
    pub const SMART_CARD: u8 = 0x0b;
    /// Video.
    pub const VIDEO: u8 = 0x0e;
    /// Wireless controllers: Bluetooth, and some RNDIS.
    pub const WIRELESS: u8 = 0xe0;
    /// Miscellaneous; as bDeviceClass with subclass 2, protocol 1: interface associations are in use.
    pub const MISCELLANEOUS: u8 = 0xef;
    /// Defined by the application: DFU, test and measurement.
    pub const APPLICATION: u8 = 0xfe;
    /// Defined by the vendor.
    pub const VENDOR: u8 = 0xff;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_survive_their_bits() {
        for bits in 0..=255 {
            assert_eq!(TransferType::of(bits).bits(), bits & 3);
            assert_eq!(Direction::of(bits).bit(), bits & 0x80);
        }
    }

    #[test]
    fn speeds_print_as_people_write_them() {
        let all = [Speed::Low, Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus];
        let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1.5 Mbit/s", "12 Mbit/s", "480 Mbit/s", "5 Gbit/s", "10 Gbit/s"]);
        assert!(all.is_sorted());
    }
}
