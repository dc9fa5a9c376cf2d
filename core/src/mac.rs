//! The hardware address of an Ethernet interface. It knows neither interfaces nor where an address comes from.

use std::fmt;
use std::str::FromStr;

/// A 48-bit MAC address (IEEE 802, 8.1), in the order of transmission.
///
/// ```
/// use outboard_core::MacAddr;
/// let mac: MacAddr = "52:54:00:12:34:56".parse()?;
/// assert!(mac.is_local() && !mac.is_multicast());
/// assert_eq!(mac.to_string(), "52:54:00:12:34:56");
/// # Ok::<(), outboard_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// The address with these octets, first transmitted first.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The six octets, first transmitted first.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether the group bit is set; broadcast counts as multicast.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// Whether the address is locally administered.
    pub const fn is_local(self) -> bool {
        self.0[0] & 0x02 != 0
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

impl FromStr for MacAddr {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || {
            crate::Error::new(
                crate::ErrorKind::Malformed,
                "read a MAC address",
                format!("{text:?} is not six pairs of hexadecimal digits with colons between them"),
            )
        };
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && !part.starts_with('+'))
                .ok_or_else(malformed)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        if parts.next().is_some() {
            return Err(malformed());
        }
        Ok(Self(octets))
    }
}
