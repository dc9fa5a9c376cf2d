//! The device descriptor (USB 2.0, 9.6.1). It knows no configuration.

use super::{Malformed, RawDescriptor, StringIndex, kind, u16_at};
use crate::usb::{Speed, class};
use std::num::NonZeroU8;

/// What a device says about itself as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceDescriptor {
    /// bcdUSB: the version of USB, in binary-coded decimal: 0x0200 is 2.0.
    pub usb_version: u16,
    /// bDeviceClass; see [`class`].
    pub class: u8,
    /// bDeviceSubClass.
    pub subclass: u8,
    /// bDeviceProtocol.
    pub protocol: u8,
    /// bMaxPacketSize0 as it is on the wire: bytes, but at SuperSpeed the exponent of a power of 2.
    pub max_packet_size_0: u8,
    /// idVendor.
    pub vendor_id: u16,
    /// idProduct.
    pub product_id: u16,
    /// bcdDevice: the device's own version, in binary-coded decimal.
    pub device_version: u16,
    /// iManufacturer.
    pub manufacturer: StringIndex,
    /// iProduct.
    pub product: StringIndex,
    /// iSerialNumber.
    pub serial_number: StringIndex,
    /// bNumConfigurations, as the device says it.
    pub num_configurations: u8,
}

impl DeviceDescriptor {
    /// bLength (USB 2.0, Table 9-8).
    pub const LENGTH: usize = 18;

    /// A USB 2.0 device whose interfaces say what it is, for the device side and tests. `num_configurations` is 1.
    pub const fn new(vendor_id: u16, product_id: u16) -> Self {
        Self {
            usb_version: 0x0200,
            class: class::PER_INTERFACE,
            subclass: 0,
            protocol: 0,
            max_packet_size_0: 64,
            vendor_id,
            product_id,
            device_version: 0x0100,
            manufacturer: None,
            product: None,
            serial_number: None,
            num_configurations: 1,
        }
    }

    /// Reads the descriptor that `bytes` begins with. More bytes may follow.
    ///
    /// # Errors
    /// If it is shorter than 18 bytes or no device descriptor: without it nothing that follows can be understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some(raw) = RawDescriptor::first(bytes) else {
            let reason = match bytes.first() {
                None => "is missing: the device has no descriptors".to_string(),
                Some(length) => format!("is {length}, and {} bytes are there", bytes.len()),
            };
            return Err(Malformed::new("bLength of the device descriptor", reason));
        };
        if raw.kind() != kind::DEVICE {
            let reason = format!("is {:#04x}; the first descriptor must be the device's (0x01)", raw.kind());
            return Err(Malformed::new("bDescriptorType", reason));
        }
        let Ok(fields) = <&[u8; Self::LENGTH]>::try_from(&raw.bytes()[..raw.length().min(Self::LENGTH)])
        else {
            let reason = format!("is {}; it has {} bytes", raw.length(), Self::LENGTH);
            return Err(Malformed::new("bLength of the device descriptor", reason));
        };
        let word = |at| u16_at(fields, at).unwrap_or(0);
        Ok(Self {
            usb_version: word(2),
            class: fields[4],
            subclass: fields[5],
            protocol: fields[6],
            max_packet_size_0: fields[7],
            vendor_id: word(8),
            product_id: word(10),
            device_version: word(12),
            manufacturer: NonZeroU8::new(fields[14]),
            product: NonZeroU8::new(fields[15]),
            serial_number: NonZeroU8::new(fields[16]),
            num_configurations: fields[17],
        })
    }

    /// The descriptor as it goes over the bus.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let index = |index: StringIndex| index.map_or(0, NonZeroU8::get);
        let ([u0, u1], [v0, v1]) = (self.usb_version.to_le_bytes(), self.vendor_id.to_le_bytes());
        let ([p0, p1], [d0, d1]) = (self.product_id.to_le_bytes(), self.device_version.to_le_bytes());
        [
            Self::LENGTH as u8,
            kind::DEVICE,
            u0,
            u1,
            self.class,
            self.subclass,
            self.protocol,
            self.max_packet_size_0,
            v0,
            v1,
            p0,
            p1,
            d0,
            d1,
            index(self.manufacturer),
            index(self.product),
            index(self.serial_number),
            self.num_configurations,
        ]
    }

    /// Whether the device speaks as one at SuperSpeed does. A device that could, but is attached at high speed, says
    /// version 2.1 (USB 3.2, 9.6.1), so this needs no knowledge of the bus.
    pub const fn is_super(&self) -> bool {
        self.usb_version >= 0x0300
    }

    /// The most bytes in a packet on endpoint 0: 8, 16, 32, 64 or 512. `None` if the device says something else.
    pub const fn control_packet_size(&self) -> Option<u16> {
        match self.max_packet_size_0 {
            size @ (8 | 16 | 32 | 64) if !self.is_super() => Some(size as u16),
            9 if self.is_super() => Some(512),
            _ => None,
        }
    }

    /// The slowest speed that the descriptor is possible at; what the bus says is better where it is known.
    pub(super) const fn assumed_speed(&self) -> Option<Speed> {
        if self.is_super() { Some(Speed::Super) } else { None }
    }
}
