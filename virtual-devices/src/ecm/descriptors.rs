//! The dongle's descriptors, from its options. They are as right or wrong as the options say.

use std::num::NonZeroU8;

use outboard_core::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, Endpoint, EndpointCompanion, Extra,
    encode_languages, encode_string, kind,
};
use outboard_core::usb::{Speed, class};

use super::{
    CONTROL_INTERFACE, DATA_INTERFACE, EcmOptions, FRAMES_IN, FRAMES_OUT, Functional, MacString,
    NOTIFICATION_IN, Neighbour, Place,
};

/// bInterfaceSubClass of the Ethernet Control Model (CDC120, Table 4).
const ETHERNET_CONTROL_MODEL: u8 = 0x06;
/// bInterfaceSubClass of the Abstract Control Model, under which RNDIS goes (CDC120, Table 4).
const ABSTRACT_CONTROL_MODEL: u8 = 0x02;
/// bInterfaceProtocol by which RNDIS says that it is not ACM.
const VENDOR_PROTOCOL: u8 = 0xff;

/// bDescriptorSubtype of functional descriptors (CDC120, Table 13).
mod subtype {
    pub(super) const HEADER: u8 = 0x00;
    pub(super) const CALL_MANAGEMENT: u8 = 0x01;
    pub(super) const UNION: u8 = 0x06;
    pub(super) const ETHERNET: u8 = 0x0f;
}

/// bcdCDC of CDC 1.2, as it goes over the bus.
const CDC_1_20: [u8; 2] = [0x20, 0x01];

/// iProduct's text.
pub(super) const PRODUCT: &str = "Virtual ECM dongle";

/// Indices of the string descriptors.
mod string {
    pub(super) const LANGUAGES: u8 = 0;
    pub(super) const MANUFACTURER: u8 = 1;
    pub(super) const PRODUCT: u8 = 2;
    pub(super) const SERIAL: u8 = 3;
    pub(super) const MAC: u8 = 4;
}

/// The device descriptor and all configurations, as they go over the bus.
pub(super) fn all(options: &EcmOptions) -> Vec<u8> {
    let mut device = DeviceDescriptor::new(options.id.0, options.id.1);
    device.class = class::COMMUNICATIONS;
    if options.speed.is_super() {
        // 9 is the exponent of 512 bytes (USB 3.2, 9.6.1).
        (device.usb_version, device.max_packet_size_0) = (0x0300, 9);
    }
    device.manufacturer = NonZeroU8::new(string::MANUFACTURER);
    device.product = NonZeroU8::new(string::PRODUCT);
    device.serial_number = options.serial.as_ref().and_then(|_| NonZeroU8::new(string::SERIAL));
    let neighbour = options.neighbour.map(|neighbour| {
        device.class = class::PER_INTERFACE;
        match neighbour {
            Neighbour::Rndis => rndis(options),
            Neighbour::Vendor => vendor(options),
        }
    });
    let configurations = neighbour.into_iter().chain([ecm(options)]).collect();
    DeviceDescriptors::new(device, configurations).to_bytes(options.speed)
}

/// A string descriptor; `None` is a STALL.
pub(super) fn string(options: &EcmOptions, index: u8) -> Option<Vec<u8>> {
    const US_ENGLISH: u16 = 0x0409;
    match index {
        string::LANGUAGES => Some(encode_languages(&[US_ENGLISH])),
        string::MANUFACTURER => Some(encode_string("Outboard")),
        string::PRODUCT => Some(encode_string(PRODUCT)),
        string::SERIAL => options.serial.as_deref().map(encode_string),
        string::MAC => match &options.mac {
            MacString::Text(text) => Some(encode_string(text)),
            MacString::Raw(bytes) => Some(bytes.clone()),
            MacString::Stalls | MacString::Absent => None,
        },
        _ => None,
    }
}

fn ecm(options: &EcmOptions) -> Configuration {
    let mut configuration = Configuration::new(options.configuration());
    let mut control =
        AlternateSetting::new(CONTROL_INTERFACE, 0, class::COMMUNICATIONS, ETHERNET_CONTROL_MODEL, 0);
    let mut notification = options.notification.map(|asked| {
        let interval = asked.interval.unwrap_or(interval_32_ms(options.speed));
        interrupt(options, asked.packet_size, interval)
    });
    let mut elsewhere = Extra::new();
    functional(
        options,
        match (options.place, &mut notification) {
            (Place::Interface, _) => &mut control.extra,
            (Place::Configuration, _) => &mut configuration.extra,
            (Place::Endpoint, Some(endpoint)) => &mut endpoint.extra,
            (Place::Endpoint, None) => &mut elsewhere,
        },
    );
    control.endpoints.extend(notification);
    configuration.push(control);
    let setting = |alternate| AlternateSetting::new(DATA_INTERFACE, alternate, class::CDC_DATA, 0, 0);
    if options.idle_alternate {
        configuration.push(setting(0));
    }
    let mut data = setting(options.data_alternate());
    data.endpoints = bulk_pair(options);
    configuration.push(data);
    configuration
}

fn functional(options: &EcmOptions, extra: &mut Extra) {
    let [statistics0, statistics1, statistics2, statistics3] = options.statistics.to_le_bytes();
    let [segment0, segment1] = options.max_segment_size.to_le_bytes();
    let hashed = if options.multicast_hashed { 0x8000 } else { 0 };
    let [filters0, filters1] = (options.multicast_filters & 0x7fff | hashed).to_le_bytes();
    let mac = if options.mac == MacString::Absent { 0 } else { string::MAC };
    let ethernet = [
        subtype::ETHERNET,
        mac,
        statistics0,
        statistics1,
        statistics2,
        statistics3,
        segment0,
        segment1,
        filters0,
        filters1,
        0,
    ];
    let header = [subtype::HEADER, CDC_1_20[0], CDC_1_20[1]];
    let union = [subtype::UNION, CONTROL_INTERFACE, DATA_INTERFACE];
    let all = [(&options.header, &header[..]), (&options.union, &union), (&options.ethernet, &ethernet)];
    for (how, right) in all {
        match how {
            Functional::Absent => {}
            Functional::Present => extra.append(kind::CS_INTERFACE, right),
            Functional::Twice => (0..2).for_each(|_| extra.append(kind::CS_INTERFACE, right)),
            Functional::Odd(content) => {
                extra.append(kind::CS_INTERFACE, &content[..content.len().min(253)]);
            }
        }
    }
}

/// A configuration like that of QEMU's usb-net for RNDIS.
fn rndis(options: &EcmOptions) -> Configuration {
    let mut configuration = Configuration::new(2);
    let mut control = AlternateSetting::new(
        CONTROL_INTERFACE,
        0,
        class::COMMUNICATIONS,
        ABSTRACT_CONTROL_MODEL,
        VENDOR_PROTOCOL,
    );
    control.extra.append(kind::CS_INTERFACE, &[subtype::HEADER, CDC_1_20[0], CDC_1_20[1]]);
    control.extra.append(kind::CS_INTERFACE, &[subtype::CALL_MANAGEMENT, 0, DATA_INTERFACE]);
    control.extra.append(kind::CS_INTERFACE, &[subtype::UNION, CONTROL_INTERFACE, DATA_INTERFACE]);
    control.endpoints.push(interrupt(options, 8, interval_32_ms(options.speed)));
    configuration.push(control);
    let mut data = AlternateSetting::new(DATA_INTERFACE, 0, class::CDC_DATA, 0, 0);
    data.endpoints = bulk_pair(options);
    configuration.push(data);
    configuration
}

/// A configuration like the one that RTL8153 has for Realtek's own driver.
fn vendor(options: &EcmOptions) -> Configuration {
    let mut configuration = Configuration::new(1);
    let mut setting = AlternateSetting::new(0, 0, class::VENDOR, class::VENDOR, 0);
    setting.endpoints = bulk_pair(options);
    setting.endpoints.push(interrupt(options, 2, interval_32_ms(options.speed)));
    configuration.push(setting);
    configuration
}

fn bulk_pair(options: &EcmOptions) -> Vec<Endpoint> {
    [FRAMES_IN, FRAMES_OUT]
        .map(|address| {
            let endpoint = Endpoint::bulk(address, options.bulk_packet_size());
            let burst = EndpointCompanion { max_burst: 15, ..EndpointCompanion::default() };
            companion(options, endpoint, burst)
        })
        .into()
}

fn interrupt(options: &EcmOptions, packet_size: u16, interval: u8) -> Endpoint {
    let once = EndpointCompanion { bytes_per_interval: packet_size, ..EndpointCompanion::default() };
    companion(options, Endpoint::interrupt(NOTIFICATION_IN, packet_size, interval), once)
}

fn companion(options: &EcmOptions, endpoint: Endpoint, companion: EndpointCompanion) -> Endpoint {
    if options.speed.is_super() { endpoint.with_companion(companion) } else { endpoint }
}

/// bInterval of 32 ms: frames, or the exponent of microframes (USB 2.0, Table 9-13).
const fn interval_32_ms(speed: Speed) -> u8 {
    match speed {
        Speed::Low | Speed::Full => 32,
        Speed::High | Speed::Super | Speed::SuperPlus => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faultless_dongle_has_nothing_odd_at_any_speed() {
        for speed in [Speed::Full, Speed::High, Speed::Super] {
            for neighbour in [None, Some(Neighbour::Rndis), Some(Neighbour::Vendor)] {
                let options = EcmOptions { neighbour, ..EcmOptions::at(speed) };
                let says = DeviceDescriptors::parse_at(&all(&options), speed).unwrap();
                assert_eq!((says.findings, says.malformed), (vec![], vec![]), "{options:?}");
                let ecm =
                    says.configurations.iter().find(|one| one.value == options.configuration()).unwrap();
                let data = ecm.alternate(DATA_INTERFACE, 1).unwrap();
                assert_eq!(data.endpoint(FRAMES_IN).unwrap().max_packet_size, options.bulk_packet_size());
                assert_eq!(data.endpoint(FRAMES_IN).unwrap().companion.is_some(), speed.is_super());
                assert_eq!(ecm.alternate(CONTROL_INTERFACE, 0).unwrap().extra.iter().count(), 3);
            }
        }
    }

    #[test]
    fn each_speed_has_its_own_sizes_and_intervals() {
        // bcdUSB, bMaxPacketSize0, bulk and notification packets, bInterval, and the unit of bMaxPower in mA.
        for (speed, expected) in [
            (Speed::Full, (0x0200, 64, 64, 16, 32, 2)),
            (Speed::High, (0x0200, 64, 512, 16, 9, 2)),
            (Speed::Super, (0x0300, 9, 1024, 16, 9, 8)),
        ] {
            let options = EcmOptions::at(speed);
            let bytes = all(&options);
            let says = DeviceDescriptors::parse_at(&bytes, speed).unwrap();
            let ecm = says.configuration(options.configuration()).unwrap();
            let data = ecm.alternate(DATA_INTERFACE, 1).unwrap();
            let notification =
                ecm.alternate(CONTROL_INTERFACE, 0).unwrap().endpoint(NOTIFICATION_IN).unwrap();
            let bulk = [FRAMES_IN, FRAMES_OUT].map(|address| data.endpoint(address).unwrap());
            assert_eq!(bulk[0].max_packet_size, bulk[1].max_packet_size);
            let found = (
                u16::from_le_bytes([bytes[2], bytes[3]]),
                bytes[7],
                bulk[0].max_packet_size,
                notification.max_packet_size,
                notification.interval,
                100u16.div_ceil(bytes[18 + 8].into()),
            );
            assert_eq!(found, expected, "{speed}");
            let companions = bulk.map(|endpoint| endpoint.companion.map(|companion| companion.max_burst));
            let once =
                notification.companion.map(|companion| (companion.max_burst, companion.bytes_per_interval));
            let super_speed = speed.is_super();
            assert_eq!(companions, [super_speed.then_some(15); 2]);
            assert_eq!(once, super_speed.then_some((0, 16)), "a notification an interval");
            assert_eq!(ecm.alternate(DATA_INTERFACE, 0).unwrap().endpoints, [], "the idle setting has none");
        }
    }
}
