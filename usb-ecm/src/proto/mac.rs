//! The MAC address that a device gives its host as a string, and the one that is made where it cannot be used. It asks
//! no device.

use outboard_core::MacAddr;

/// Why iMACAddress's string gives no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMacString {
    /// The device has no such string.
    #[error("iMACAddress is 0: the device names no MAC address")]
    Missing,
    /// It has not 12 characters.
    #[error("the string of iMACAddress has {0} characters; a MAC address has exactly 12")]
    Length(usize),
    /// One of them is no hexadecimal digit.
    #[error("character {at} of iMACAddress's string is {char:?}, not a hexadecimal digit")]
    Digit {
        /// Which one, counted from 1.
        at: usize,
        /// What it is.
        char: char,
    },
    /// No interface can have it: a group address, or zero.
    #[error("iMACAddress's string is {0}, which no single station can have")]
    NotAStation(MacAddr),
}

/// Reads iMACAddress's string: exactly 12 hexadecimal digits (ECM120, Table 3), of either case as Linux takes them.
///
/// # Errors
/// For any other text; then [`fallback`] is what is left.
///
/// ```
/// use outboard_usb_ecm::proto::mac::parse;
/// assert_eq!(parse("525400123456").unwrap().to_string(), "52:54:00:12:34:56");
/// assert!(parse("52:54:00:12:34:56").is_err());
/// ```
pub fn parse(text: &str) -> Result<MacAddr, BadMacString> {
    let mut octets = [0u8; 6];
    let mut count = 0;
    let mut bad = None;
    for char in text.chars() {
        match char.to_digit(16) {
            Some(digit) if count < 12 => octets[count / 2] = octets[count / 2] << 4 | digit as u8,
            None if bad.is_none() => bad = Some(BadMacString::Digit { at: count + 1, char }),
            _ => {}
        }
        count += 1;
    }
    if count != 12 {
        return Err(BadMacString::Length(count));
    }
    let mac = MacAddr::new(octets);
    match bad {
        Some(bad) => Err(bad),
        None if !mac.is_valid_station() => Err(BadMacString::NotAStation(mac)),
        None => Ok(mac),
    }
}

/// The string for the device side: 12 upper-case digits.
pub fn to_text(mac: MacAddr) -> String {
    mac.octets().iter().map(|octet| format!("{octet:02X}")).collect()
}

/// What a device is known by where it has no address of its own. Serial numbers are often the same on all devices of a
/// kind ("000000" on Realtek's), so the port counts too: the address stays as long as the device stays where it is.
pub fn identity(vendor: u16, product: u16, serial: Option<&str>, port_path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + serial.map_or(0, str::len) + port_path.len());
    bytes.extend_from_slice(&vendor.to_le_bytes());
    bytes.extend_from_slice(&product.to_le_bytes());
    // With its length before it, no serial number can be mistaken for a part of the path.
    bytes.extend_from_slice(&(serial.map_or(0, str::len) as u64).to_le_bytes());
    bytes.extend_from_slice(serial.unwrap_or_default().as_bytes());
    bytes.extend_from_slice(port_path.as_bytes());
    bytes
}

/// A locally administered unicast address that is always the same for the same identity: the 64-bit FNV-1a hash, folded
/// to 48 bits by exclusive or, with the two low bits of the first octet set to 10. It must never change between
/// versions: networks know the interface by it.
pub fn fallback(identity: &[u8]) -> MacAddr {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = identity.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    let [_, _, mut octets @ ..] = (hash ^ hash >> 48).to_be_bytes();
    octets[0] = octets[0] & !0x01 | 0x02;
    MacAddr::new(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_twelve_digits_are_an_address() {
        assert_eq!(parse("400102030405").unwrap().octets(), [0x40, 1, 2, 3, 4, 5]);
        assert_eq!(parse("00e04CabCDef").unwrap().octets(), [0x00, 0xe0, 0x4c, 0xab, 0xcd, 0xef]);
        assert_eq!(parse(""), Err(BadMacString::Length(0)));
        assert_eq!(parse("40010203040"), Err(BadMacString::Length(11)));
        assert_eq!(parse("4001020304055"), Err(BadMacString::Length(13)));
        assert_eq!(parse("40:01:02:03:04:05"), Err(BadMacString::Length(17)));
        assert_eq!(parse("40010203040g"), Err(BadMacString::Digit { at: 12, char: 'g' }));
        assert_eq!(parse("\u{ff10}00000000000"), Err(BadMacString::Digit { at: 1, char: '\u{ff10}' }));
        assert_eq!(parse("000000000000"), Err(BadMacString::NotAStation(MacAddr::ZERO)));
        assert_eq!(parse("ffffffffffff"), Err(BadMacString::NotAStation(MacAddr::BROADCAST)));
        assert!(matches!(parse("01005e000001"), Err(BadMacString::NotAStation(_))));
    }

    #[test]
    fn the_fallback_never_changes() {
        // FNV-1a's own check values: "" is 0xcbf29ce484222325, "foobar" is 0x85944171f73967e8.
        assert_eq!(fallback(b"").to_string(), "9e:e4:84:22:e8:d7");
        assert_eq!(fallback(b"foobar").to_string(), "42:71:f7:39:e2:7c");
    }

    #[test]
    fn each_part_of_the_identity_counts() {
        let all = [
            identity(0x0bda, 0x8153, Some("000000"), "1-2"),
            identity(0x0bda, 0x8153, Some("000000"), "1-3"),
            identity(0x0bda, 0x8153, Some("000001"), "1-2"),
            identity(0x0bda, 0x8153, None, "0000001-2"),
            identity(0x0bda, 0x8152, Some("000000"), "1-2"),
            identity(0x0bdb, 0x8153, Some("000000"), "1-2"),
        ];
        let addresses: std::collections::BTreeSet<_> =
            all.iter().map(|identity| fallback(identity)).collect();
        assert_eq!(addresses.len(), all.len());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn every_station_survives(octets: [u8; 6]) {
            let mac = MacAddr::new(octets);
            prop_assert_eq!(parse(&to_text(mac)).is_ok(), mac.is_valid_station());
            if let Ok(again) = parse(&to_text(mac)) {
                prop_assert_eq!(again, mac);
            }
        }

        #[test]
        fn every_fallback_is_local_and_unicast(identity: Vec<u8>) {
            let mac = fallback(&identity);
            prop_assert!(mac.is_local() && mac.is_valid_station());
        }
    }
}
