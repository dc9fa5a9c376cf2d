//! Devices to match. They know no manifest.

use crate::usb::class;
use crate::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, InterfaceAssociation, kind,
};

/// An interface with these codes.
pub(super) fn interface(number: u8, codes: (u8, u8, u8)) -> AlternateSetting {
    AlternateSetting::new(number, 0, codes.0, codes.1, codes.2)
}

/// The same with a Union of these interfaces, control first.
pub(super) fn with_union(mut setting: AlternateSetting, members: &[u8]) -> AlternateSetting {
    setting.extra.append(kind::CS_INTERFACE, &[&[0x06], members].concat());
    setting
}

pub(super) fn association(first_interface: u8, interface_count: u8) -> InterfaceAssociation {
    let class = class::COMMUNICATIONS;
    InterfaceAssociation { first_interface, interface_count, class, subclass: 6, protocol: 0, name: None }
}

pub(super) fn configuration(
    value: u8,
    settings: Vec<AlternateSetting>,
    associations: &[InterfaceAssociation],
) -> Configuration {
    let mut configuration = Configuration::new(value);
    settings.into_iter().for_each(|setting| configuration.push(setting));
    configuration.associations = associations.to_vec();
    configuration
}

pub(super) fn device(configurations: Vec<Configuration>) -> DeviceDescriptors {
    DeviceDescriptors::new(DeviceDescriptor::new(0x0525, 0xa4a2), configurations)
}

/// Control interface of ECM.
pub(super) const ECM: (u8, u8, u8) = (class::COMMUNICATIONS, 6, 0);
/// Data interface of CDC.
pub(super) const DATA: (u8, u8, u8) = (class::CDC_DATA, 0, 0);
/// Keyboard.
pub(super) const KEYBOARD: (u8, u8, u8) = (class::HID, 1, 1);
