//! The dongle's descriptors, sound or with one defect each: bytes only, nothing of how they reach a host.

/// Linux Foundation; the product id of its FunctionFS gadgets.
pub(crate) const VENDOR: u16 = 0x1d6b;
/// See [`VENDOR`].
pub(crate) const PRODUCT: u16 = 0x0105;

/// Interrupt IN, bulk IN, bulk OUT: the addresses of dummy_hcd's fixed endpoints.
pub(crate) const NOTIFICATION: u8 = 0x85;
/// See [`NOTIFICATION`].
pub(crate) const BULK_IN: u8 = 0x81;
/// See [`NOTIFICATION`].
pub(crate) const BULK_OUT: u8 = 0x02;

/// Index of iMACAddress.
pub(crate) const MAC_STRING: u8 = 4;

/// What is wrong with the device. The name is what the command line takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Defect {
    /// Nothing.
    None,
    /// There is no Union descriptor (CDC 1.2, 5.2.3.2).
    UnionMissing,
    /// The Union descriptor names a data interface that does not exist.
    UnionNowhere,
    /// The Union descriptor ends before its subordinate interface.
    UnionShort,
    /// There is no Ethernet Networking descriptor (ECM 1.2, 5.4).
    EthernetMissing,
    /// The Ethernet Networking descriptor has 5 of its 13 bytes.
    EthernetShort,
    /// A functional descriptor has bLength 0.
    LengthZero,
    /// The last functional descriptor is longer than the configuration.
    LengthOverrun,
    /// iMACAddress is 0.
    MacAbsent,
    /// iMACAddress names a string that the device does not have.
    MacStall,
    /// The string of iMACAddress is no MAC address.
    MacGarbage,
    /// wMaxSegmentSize is 0.
    SegmentZero,
    /// wMaxSegmentSize is 65535.
    SegmentHuge,
    /// The data interface has no bulk IN endpoint.
    BulkInMissing,
    /// What should be bulk IN is interrupt IN.
    BulkInInterrupt,
    /// wMaxPacketSize of bulk IN is 0.
    PacketZero,
    /// The data interface does not exist.
    DataMissing,
    /// All class requests are STALLed.
    ClassStall,
}

/// Speed that a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// 12 Mbit/s.
    Full,
    /// 480 Mbit/s.
    High,
}

impl Rate {
    fn bulk_packet(self) -> u16 {
        if self == Self::Full { 64 } else { 512 }
    }

    /// 32 ms: frames at full speed, 2^(n-1) microframes at high speed (USB 2.0, 9.6.6).
    fn interval(self) -> u8 {
        if self == Self::Full { 32 } else { 9 }
    }
}

/// The device descriptor (USB 2.0, 9.6.1).
pub(crate) fn device() -> Vec<u8> {
    let mut bytes = vec![18, 1, 0x00, 0x02, 2, 0, 0, 64];
    bytes.extend(VENDOR.to_le_bytes());
    bytes.extend(PRODUCT.to_le_bytes());
    bytes.extend([0x00, 0x01, 1, 2, 3, 1]);
    bytes
}

/// An endpoint descriptor (USB 2.0, 9.6.6).
fn endpoint(address: u8, attributes: u8, packet: u16, interval: u8) -> Vec<u8> {
    let [low, high] = packet.to_le_bytes();
    vec![7, 5, address, attributes, low, high, interval]
}

/// The endpoints as the controller has to serve them, whatever the configuration tells the host.
pub(crate) fn served_endpoint(address: u8, rate: Rate) -> Vec<u8> {
    match address {
        NOTIFICATION => endpoint(address, 3, 16, rate.interval()),
        _ => endpoint(address, 2, rate.bulk_packet(), 0),
    }
}

/// The configuration descriptor with all that follows it (USB 2.0, 9.6.3), with the defect built in.
pub(crate) fn configuration(rate: Rate, defect: Defect) -> Vec<u8> {
    let data = defect != Defect::DataMissing;
    let mut body = Vec::new();
    body.extend([9, 4, 0, 0, 1, 2, 6, 0, 0]);
    // Header (CDC 1.2, 5.2.3.1).
    body.extend([5, 0x24, 0x00, 0x20, 0x01]);
    match defect {
        Defect::UnionMissing => {}
        Defect::UnionNowhere => body.extend([5, 0x24, 0x06, 0, 9]),
        Defect::UnionShort => body.extend([4, 0x24, 0x06, 0]),
        _ => body.extend([5, 0x24, 0x06, 0, 1]),
    }
    if defect == Defect::LengthZero {
        body.extend([0, 0x24, 0x0f]);
    }
    body.extend(ethernet(defect));
    body.extend(served_endpoint(NOTIFICATION, rate));
    if data {
        body.extend([9, 4, 1, 0, 0, 0x0a, 0, 0, 0]);
        let endpoints = if defect == Defect::BulkInMissing { 1 } else { 2 };
        body.extend([9, 4, 1, 1, endpoints, 0x0a, 0, 0, 0]);
        match defect {
            Defect::BulkInMissing => {}
            Defect::BulkInInterrupt => body.extend(endpoint(BULK_IN, 3, 64, 4)),
            Defect::PacketZero => body.extend(endpoint(BULK_IN, 2, 0, 0)),
            _ => body.extend(served_endpoint(BULK_IN, rate)),
        }
        body.extend(served_endpoint(BULK_OUT, rate));
    }
    if defect == Defect::LengthOverrun {
        body.extend([200, 0x24, 0x0f, 0]);
    }
    let [low, high] = ((9 + body.len()) as u16).to_le_bytes();
    let mut bytes = vec![9, 2, low, high, if data { 2 } else { 1 }, 1, 0, 0x80, 50];
    bytes.extend(body);
    bytes
}

/// Ethernet Networking functional descriptor (ECM 1.2, 5.4).
fn ethernet(defect: Defect) -> Vec<u8> {
    let mac = if defect == Defect::MacAbsent { 0 } else { MAC_STRING };
    let segment: u16 = match defect {
        Defect::SegmentZero => 0,
        Defect::SegmentHuge => 65535,
        _ => 1514,
    };
    let [low, high] = segment.to_le_bytes();
    match defect {
        Defect::EthernetMissing => Vec::new(),
        Defect::EthernetShort => vec![5, 0x24, 0x0f, mac, 0],
        _ => vec![13, 0x24, 0x0f, mac, 0, 0, 0, 0, low, high, 0, 0, 0],
    }
}

/// A string descriptor (USB 2.0, 9.6.7), or `None` where the device STALLs.
pub(crate) fn string(index: u8, defect: Defect) -> Option<Vec<u8>> {
    let text = match index {
        // Index 0 lists the languages: English (United States).
        0 => return Some(vec![4, 3, 0x09, 0x04]),
        1 => "Outboard",
        2 => "Broken dongle",
        3 => "2",
        MAC_STRING => match defect {
            Defect::MacStall => return None,
            Defect::MacGarbage => "not a MAC !!",
            _ => "02005e000003",
        },
        _ => return None,
    };
    let mut bytes = vec![0, 3];
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    bytes[0] = bytes.len() as u8;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn chain(bytes: &[u8]) -> Option<Vec<&[u8]>> {
        let mut rest = bytes;
        let mut found = Vec::new();
        while !rest.is_empty() {
            let length = usize::from(rest[0]);
            if length < 2 || length > rest.len() {
                return None;
            }
            found.push(&rest[..length]);
            rest = &rest[length..];
        }
        Some(found)
    }

    #[test]
    fn the_sound_configuration_is_a_chain() {
        for rate in [Rate::Full, Rate::High] {
            let bytes = configuration(rate, Defect::None);
            let chain = chain(&bytes).expect("every length fits");
            assert_eq!(usize::from(u16::from_le_bytes([bytes[2], bytes[3]])), bytes.len());
            assert_eq!(chain.iter().filter(|one| one[1] == 5).count(), 3);
            assert_eq!(chain.iter().filter(|one| one[1] == 0x24).count(), 3);
        }
        assert_eq!(device().len(), 18);
    }

    #[test]
    fn every_defect_changes_something() {
        for &defect in Defect::value_variants() {
            let same = configuration(Rate::High, defect) == configuration(Rate::High, Defect::None)
                && string(MAC_STRING, defect) == string(MAC_STRING, Defect::None);
            assert_eq!(same, matches!(defect, Defect::None | Defect::ClassStall), "{defect:?}");
        }
    }

    #[test]
    fn lengths_lie_where_they_should() {
        assert!(chain(&configuration(Rate::High, Defect::LengthZero)).is_none());
        assert!(chain(&configuration(Rate::High, Defect::LengthOverrun)).is_none());
    }
}
