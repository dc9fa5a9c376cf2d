//! An Ethernet address. It knows no interface and no device.

use std::fmt;
use std::str::FromStr;

/// A 48-bit MAC address (IEEE 802-2014, 8.2), in the order in which it goes over the wire.
///
/// ```
/// use outboard_core::MacAddr;
/// let mac: MacAddr = "52:54:00:12:34:56".parse().unwrap();
/// assert_eq!(mac.octets(), [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
/// assert!(mac.is_local() && !mac.is_multicast());
/// assert_eq!(mac.to_string(), "52:54:00:12:34:56");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// All bits 1: every station.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// All bits 0: no address.
    pub const ZERO: Self = Self([0; 6]);

    /// The address of these octets, first on the wire first.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The octets, first on the wire first.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether it addresses a group (bit 0 of the first octet); broadcast does.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// Whether it addresses every station.
    pub const fn is_broadcast(self) -> bool {
        matches!(self.0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    }

    /// Whether it is locally administered: not assigned by a manufacturer (bit 1 of the first octet).
    pub const fn is_local(self) -> bool {
        self.0[0] & 0x02 != 0
    }

    /// Whether an interface can have it: it addresses one station and is not zero.
    pub const fn is_valid_station(self) -> bool {
        !self.is_multicast() && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl From<MacAddr> for [u8; 6] {
    fn from(mac: MacAddr) -> Self {
        mac.0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six pairs of hexadecimal digits with colons or hyphens between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address is six pairs of hexadecimal digits, like 52:54:00:12:34:56")]
pub struct ParseMacError;

impl FromStr for MacAddr {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let text = text.as_bytes();
        if text.len() != 17 {
            return Err(ParseMacError);
        }
        let digit = |at: usize| char::from(text[at]).to_digit(16).ok_or(ParseMacError);
        let mut octets = [0; 6];
        for (index, octet) in octets.iter_mut().enumerate() {
            let at = index * 3;
            *octet = (digit(at)? << 4 | digit(at + 1)?) as u8;
            if index > 0 && (text[at - 1] != text[2] || !matches!(text[2], b':' | b'-')) {
                return Err(ParseMacError);
            }
        }
        Ok(Self(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_six_pairs_parse() {
        for bad in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:5g",
            "52:54-00:12:34:56",
            "525400123456",
            "52.54.00.12.34.56",
        ] {
            assert_eq!(bad.parse::<MacAddr>(), Err(ParseMacError), "{bad}");
        }
        assert!("52-54-00-AB-cd-EF".parse::<MacAddr>().is_ok());
    }

    proptest! {
        #[test]
        fn display_parses_back(octets: [u8; 6]) {
            prop_assert_eq!(MacAddr::new(octets).to_string().parse(), Ok(MacAddr::new(octets)));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,20}") {
            let _ = text.parse::<MacAddr>();
        }
    }
}
