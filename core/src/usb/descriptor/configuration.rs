//! Configurations, associations, interfaces and alternate settings as plain structs, and their way back to bytes
//! (USB 2.0, 9.6.3 and 9.6.5; USB 3.2, 9.6.4). It knows nothing of how they were read.

use super::{Endpoint, Extra, StringIndex, kind};
use crate::usb::Speed;
use std::num::NonZeroU8;

/// A configuration with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// bConfigurationValue, by which it is selected.
    pub value: u8,
    /// bmAttributes: [`SELF_POWERED`](Self::SELF_POWERED), [`REMOTE_WAKEUP`](Self::REMOTE_WAKEUP), reserved bits.
    pub attributes: u8,
    /// What it draws from the bus at most, in mA: 0 to 510, at SuperSpeed to 2040.
    pub max_power_ma: u16,
    /// iConfiguration.
    pub name: StringIndex,
    /// Its interfaces, in the order of their first descriptors; no number twice.
    pub interfaces: Vec<InterfaceSettings>,
    /// Its interface associations.
    pub associations: Vec<InterfaceAssociation>,
    /// Descriptors between the configuration's and the first interface's.
    pub extra: Extra,
}

/// An interface: the alternate settings that share a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceSettings {
    /// bInterfaceNumber.
    pub number: u8,
    /// At least one, in the order of their descriptors; no bAlternateSetting twice.
    pub alternates: Vec<AlternateSetting>,
}

/// One alternate setting of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlternateSetting {
    /// bInterfaceNumber.
    pub interface: u8,
    /// bAlternateSetting.
    pub alternate: u8,
    /// bInterfaceClass; see [`class`](crate::usb::class).
    pub class: u8,
    /// bInterfaceSubClass.
    pub subclass: u8,
    /// bInterfaceProtocol.
    pub protocol: u8,
    /// iInterface.
    pub name: StringIndex,
    /// Its endpoints without endpoint 0; no address twice, none that another interface has too.
    pub endpoints: Vec<Endpoint>,
    /// Descriptors between the interface's and the first endpoint's.
    pub extra: Extra,
}

/// Interfaces that are one function together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAssociation {
    /// bFirstInterface.
    pub first_interface: u8,
    /// bInterfaceCount: how many interfaces, from the first one on.
    pub interface_count: u8,
    /// bFunctionClass.
    pub class: u8,
    /// bFunctionSubClass.
    pub subclass: u8,
    /// bFunctionProtocol.
    pub protocol: u8,
    /// iFunction.
    pub name: StringIndex,
}

impl Configuration {
    /// bLength (USB 2.0, Table 9-10).
    pub const LENGTH: usize = 9;
    /// Bit 6 of bmAttributes: it has power of its own.
    pub const SELF_POWERED: u8 = 0x40;
    /// Bit 5 of bmAttributes: it can wake the host.
    pub const REMOTE_WAKEUP: u8 = 0x20;
    /// Bit 7 of bmAttributes must be 1.
    pub(super) const ALWAYS: u8 = 0x80;

    /// A bus-powered configuration of 100 mA without interfaces, for the device side and tests.
    pub const fn new(value: u8) -> Self {
        Self {
            value,
            attributes: Self::ALWAYS,
            max_power_ma: 100,
            name: None,
            interfaces: Vec::new(),
            associations: Vec::new(),
            extra: Extra::new(),
        }
    }

    /// Appends an alternate setting to its interface, which is made if it is the first of its number.
    pub fn push(&mut self, setting: AlternateSetting) {
        match self.interfaces.iter_mut().find(|interface| interface.number == setting.interface) {
            Some(interface) => interface.alternates.push(setting),
            None => self
                .interfaces
                .push(InterfaceSettings { number: setting.interface, alternates: vec![setting] }),
        }
    }

    /// The interface with this bInterfaceNumber.
    pub fn interface(&self, number: u8) -> Option<&InterfaceSettings> {
        self.interfaces.iter().find(|interface| interface.number == number)
    }

    /// The alternate setting of this interface and number.
    pub fn alternate(&self, interface: u8, alternate: u8) -> Option<&AlternateSetting> {
        self.interface(interface)?.alternates.iter().find(|setting| setting.alternate == alternate)
    }

    /// The association that this interface belongs to.
    pub fn association(&self, interface: u8) -> Option<&InterfaceAssociation> {
        self.associations.iter().find(|association| association.contains(interface))
    }

    /// All of it as it goes over the bus. wTotalLength, bNumInterfaces and bNumEndpoints are written as they are, and
    /// whatever is beyond the 65,535 bytes that wTotalLength can express is cut off.
    pub fn to_bytes(&self, speed: Speed) -> Vec<u8> {
        let unit = max_power_unit(speed.is_super());
        let power = u8::try_from(self.max_power_ma.div_ceil(unit)).unwrap_or(u8::MAX);
        let mut bytes = vec![
            Self::LENGTH as u8,
            kind::CONFIGURATION,
            0,
            0,
            u8::try_from(self.interfaces.len()).unwrap_or(u8::MAX),
            self.value,
            self.name.map_or(0, NonZeroU8::get),
            self.attributes,
            power,
        ];
        bytes.extend_from_slice(self.extra.bytes());
        for association in &self.associations {
            if self.interface(association.first_interface).is_none() {
                association.write(&mut bytes);
            }
        }
        for interface in &self.interfaces {
            for association in &self.associations {
                if association.first_interface == interface.number {
                    association.write(&mut bytes);
                }
            }
            for setting in &interface.alternates {
                setting.write(&mut bytes);
            }
        }
        bytes.truncate(usize::from(u16::MAX));
        let total = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total.to_le_bytes());
        bytes
    }
}

/// The unit of bMaxPower in mA (USB 2.0, Table 9-10; USB 3.2, Table 9-22).
pub(super) const fn max_power_unit(super_speed: bool) -> u16 {
    if super_speed { 8 } else { 2 }
}

impl InterfaceSettings {
    /// The alternate setting that is in force after the configuration was selected: number 0, or the first if a device
    /// has none.
    /// `None` only for a hand-made value without any.
    pub fn initial(&self) -> Option<&AlternateSetting> {
        self.alternates.iter().find(|setting| setting.alternate == 0).or(self.alternates.first())
    }
}

impl AlternateSetting {
    /// bLength (USB 2.0, Table 9-12).
    pub const LENGTH: usize = 9;

    /// A setting without endpoints, for the device side and tests.
    pub const fn new(interface: u8, alternate: u8, class: u8, subclass: u8, protocol: u8) -> Self {
        Self {
            interface,
            alternate,
            class,
            subclass,
            protocol,
            name: None,
            endpoints: Vec::new(),
            extra: Extra::new(),
        }
    }

    /// The endpoint with this bEndpointAddress.
    pub fn endpoint(&self, address: u8) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.address == address)
    }

    /// Class, subclass and protocol.
    pub const fn codes(&self) -> (u8, u8, u8) {
        (self.class, self.subclass, self.protocol)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&[
            Self::LENGTH as u8,
            kind::INTERFACE,
            self.interface,
            self.alternate,
            u8::try_from(self.endpoints.len()).unwrap_or(u8::MAX),
            self.class,
            self.subclass,
            self.protocol,
            self.name.map_or(0, NonZeroU8::get),
        ]);
        bytes.extend_from_slice(self.extra.bytes());
        for endpoint in &self.endpoints {
            endpoint.write(bytes);
        }
    }
}

impl InterfaceAssociation {
    /// bLength (USB 3.2, Table 9-23).
    pub const LENGTH: usize = 8;

    /// Whether the interface of this number belongs to it.
    pub const fn contains(&self, interface: u8) -> bool {
        interface >= self.first_interface && interface - self.first_interface < self.interface_count
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&[
            Self::LENGTH as u8,
            kind::INTERFACE_ASSOCIATION,
            self.first_interface,
            self.interface_count,
            self.class,
            self.subclass,
            self.protocol,
            self.name.map_or(0, NonZeroU8::get),
        ]);
    }
}
