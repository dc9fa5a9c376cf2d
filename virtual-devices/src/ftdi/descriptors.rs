//! A chip's descriptors, from its options.

use std::num::NonZeroU8;

use outboard_core::usb::class;
use outboard_core::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, Endpoint, encode_languages,
    encode_string,
};

use super::{FtdiOptions, Kind};

/// Indices of the string descriptors.
mod string {
    pub(super) const LANGUAGES: u8 = 0;
    pub(super) const MANUFACTURER: u8 = 1;
    pub(super) const PRODUCT: u8 = 2;
    pub(super) const SERIAL: u8 = 3;
}

/// bEndpointAddress of a port's endpoint to the host.
pub(super) const fn endpoint_in(port: usize) -> u8 {
    0x81 + 2 * port as u8
}

/// bEndpointAddress of a port's endpoint from the host.
pub(super) const fn endpoint_out(port: usize) -> u8 {
    0x02 + 2 * port as u8
}

/// wMaxPacketSize of all endpoints.
pub(super) fn packet_size(options: &FtdiOptions) -> u16 {
    options.packet_size.unwrap_or(options.kind.packet_size() as u16)
}

/// The device descriptor and the configuration, as they go over the bus.
pub(super) fn all(options: &FtdiOptions) -> Vec<u8> {
    let mut device = DeviceDescriptor::new(options.id.0, options.id.1);
    device.usb_version = if matches!(options.kind, Kind::Sio | Kind::Bm) { 0x0110 } else { 0x0200 };
    device.max_packet_size_0 =
        if options.kind == Kind::R || options.kind == Kind::X { 8 } else { device.max_packet_size_0 };
    device.device_version = options.version.unwrap_or(options.kind.version());
    device.manufacturer = NonZeroU8::new(string::MANUFACTURER);
    device.product = NonZeroU8::new(string::PRODUCT);
    device.serial_number = options.serial.as_ref().and_then(|_| NonZeroU8::new(string::SERIAL));
    let mut configuration = Configuration::new(1);
    for port in 0..options.kind.ports() {
        let mut setting = AlternateSetting::new(port as u8, 0, class::VENDOR, class::VENDOR, class::VENDOR);
        setting.name = NonZeroU8::new(string::PRODUCT);
        setting.endpoints = [endpoint_in(port), endpoint_out(port)]
            .map(|address| Endpoint::bulk(address, packet_size(options)))
            .into();
        configuration.push(setting);
    }
    DeviceDescriptors::new(device, vec![configuration]).to_bytes(options.kind.speed())
}

/// A string descriptor; `None` is a STALL.
pub(super) fn string(options: &FtdiOptions, index: u8) -> Option<Vec<u8>> {
    match index {
        string::LANGUAGES => Some(encode_languages(&[0x0409])),
        string::MANUFACTURER => Some(encode_string("FTDI")),
        string::PRODUCT => Some(encode_string(&options.product)),
        string::SERIAL => options.serial.as_deref().map(encode_string),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faultless_chip_has_nothing_odd() {
        for kind in Kind::ALL {
            let options = FtdiOptions::new(kind);
            let says = DeviceDescriptors::parse_at(&all(&options), kind.speed()).unwrap();
            assert_eq!((says.findings, says.malformed), (vec![], vec![]), "{kind:?}");
            assert_eq!(says.configurations[0].interfaces.len(), kind.ports());
        }
    }
}
