//! Descriptors: what a device says about itself, from arbitrary bytes to plain structs and back. It knows no device, no
//! transport and no class: class-specific descriptors are kept as checked bytes for the drivers.
//!
//! There are two levels. [`Descriptors`] walks over bytes and yields [`RawDescriptor`]s whose lengths are right. Above it
//! [`DeviceDescriptors`] and [`Configuration`] are plain structs in which every endpoint has a valid address and no two
//! interfaces share one. What a device says wrongly is tolerated where Linux's own parser
//! tolerates it, so that a device that works there works here; each such thing is a [`Finding`]. What nothing sensible
//! can be made of is [`Malformed`].
//!
//! ```
//! use outboard_core::usb::{Direction, TransferType, class};
//! use outboard_core::usb::descriptor::{AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, Endpoint};
//! use outboard_core::usb::Speed;
//!
//! let mut data = AlternateSetting::new(0, 0, class::VENDOR, 0, 0);
//! data.endpoints.push(Endpoint::bulk(0x81, 512));
//! let mut configuration = Configuration::new(1);
//! configuration.push(data);
//! let device = DeviceDescriptors::new(DeviceDescriptor::new(0x1209, 0x0001), vec![configuration]);
//!
//! let again = DeviceDescriptors::parse(&device.to_bytes(Speed::High)).unwrap();
//! assert_eq!(again.configurations, device.configurations);
//! assert!(again.findings.is_empty());
//! let endpoint = &again.configurations[0].alternate(0, 0).unwrap().endpoints[0];
//! assert_eq!((endpoint.direction(), endpoint.transfer_type), (Direction::In, TransferType::Bulk));
//! ```

mod configuration;
mod device;
mod endpoint;
mod finding;
mod parse;
mod raw;
mod set;
mod string;
#[cfg(test)]
mod tests;

pub use configuration::{AlternateSetting, Configuration, InterfaceAssociation, InterfaceSettings};
pub use device::DeviceDescriptor;
pub use endpoint::{Endpoint, EndpointCompanion};
pub use finding::{Finding, Malformed, Oddity};
pub use raw::{Descriptors, Extra, RawDescriptor};
pub use set::DeviceDescriptors;
pub use string::{Languages, StringDescriptor, encode_languages, encode_string};

use std::num::NonZeroU8;

/// Index of a string descriptor; `None` is the 0 by which a device says that it has none (USB 2.0, 9.6.7).
pub type StringIndex = Option<NonZeroU8>;

/// bDescriptorType of the descriptors that are parsed here (USB 2.0, Table 9-5; USB 3.2, Table 9-6).
pub mod kind {
    /// Device (USB 2.0, 9.6.1).
    pub const DEVICE: u8 = 0x01;
    /// Configuration (USB 2.0, 9.6.3).
    pub const CONFIGURATION: u8 = 0x02;
    /// String (USB 2.0, 9.6.7).
    pub const STRING: u8 = 0x03;
    /// Interface (USB 2.0, 9.6.5).
    pub const INTERFACE: u8 = 0x04;
    /// Endpoint (USB 2.0, 9.6.6).
    pub const ENDPOINT: u8 = 0x05;
    /// Device qualifier: what a high-speed device would be at full speed (USB 2.0, 9.6.2).
    pub const DEVICE_QUALIFIER: u8 = 0x06;
    /// A configuration at the other one of full and high speed (USB 2.0, 9.6.4).
    pub const OTHER_SPEED_CONFIGURATION: u8 = 0x07;
    /// Interface association (USB 3.2, 9.6.4).
    pub const INTERFACE_ASSOCIATION: u8 = 0x0b;
    /// Binary device object store (USB 3.2, 9.6.2).
    pub const BOS: u8 = 0x0f;
    /// One of its device capabilities (USB 3.2, 9.6.2).
    pub const DEVICE_CAPABILITY: u8 = 0x10;
    /// Class-specific, behind an interface (CDC120, Table 12).
    pub const CS_INTERFACE: u8 = 0x24;
    /// Class-specific, behind an endpoint (CDC120, Table 12).
    pub const CS_ENDPOINT: u8 = 0x25;
    /// SuperSpeed endpoint companion (USB 3.2, 9.6.7).
    pub const ENDPOINT_COMPANION: u8 = 0x30;
    /// SuperSpeedPlus isochronous endpoint companion (USB 3.2, 9.6.8).
    pub const ISOCHRONOUS_COMPANION: u8 = 0x31;
}

/// Limits on what is kept of a device, whatever it says. They are those of Linux, where a device beyond them does not
/// work either, so nothing real is lost.
pub mod limit {
    /// Configurations of a device. The field could say 255; no device is known with more than 5.
    pub const CONFIGURATIONS: usize = 8;
    /// Interfaces of a configuration.
    pub const INTERFACES: usize = 32;
    /// Alternate settings of an interface.
    pub const ALTERNATES: usize = 128;
    /// Endpoints of an alternate setting: 15 numbers in two directions.
    pub const ENDPOINTS: usize = 30;
    /// Interface associations of a configuration: one joins at least two interfaces.
    pub const ASSOCIATIONS: usize = 16;
    /// Findings that are kept; enough to describe any device, too few to flood a log.
    pub const FINDINGS: usize = 64;
    /// Bytes that are looked at: the device descriptor and [`CONFIGURATIONS`] of the most that wTotalLength can say.
    pub const BYTES: usize = 18 + CONFIGURATIONS * u16::MAX as usize;
}

/// The little-endian word at `at`, where the slice is long enough.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
