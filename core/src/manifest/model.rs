//! A manifest as types that cannot hold nonsense. It must not know how it is written down.

use std::fmt;
use std::path::PathBuf;

use super::{Match, Version, limit};

/// What a driver says about itself, and what its administrator lets it have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What it is called everywhere: lower-case letters, digits and hyphens; see [`is_name`].
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its name for people, without control characters.
    pub display_name: String,
    /// What it does for the user, in a sentence, without control characters.
    pub usage_description: String,
    /// What is run.
    pub program: Program,
    /// What it makes of a device.
    pub family: Family,
    /// Decides between equally specific matches; the larger wins. -1000 to 1000, usually 0.
    pub priority: i16,
    /// What it may use, in order, none twice; its family and the transport are among them.
    pub entitlements: Vec<Entitlement>,
    /// Which devices it is for: at least one alternative.
    pub alternatives: Vec<Match>,
}

impl Manifest {
    /// Whether it may use this.
    pub fn is_entitled(&self, entitlement: Entitlement) -> bool {
        self.entitlements.contains(&entitlement)
    }
}

/// What is run for a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// One of the drivers that are part of `outboard`: `builtin:usb-ecm`.
    BuiltIn(String),
    /// A program, by its absolute path.
    Path(PathBuf),
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(name) => write!(f, "builtin:{name}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// What a driver makes of a device for the rest of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// A network interface.
    Ethernet,
    /// A serial port.
    Serial,
    /// An input device.
    Hid,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ethernet, Self::Serial, Self::Hid];

    /// The word for it in manifests, stable over versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Serial => "serial",
            Self::Hid => "hid",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that a driver may use. As in DriverKit there is one for the transport and one for each family; whoever starts a driver
/// opens and hands over nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entitlement {
    /// `transport.usb`: the interfaces of the function that it matched, and no others.
    TransportUsb,
    /// `family.ethernet`, `family.serial`, `family.hid`: this family's kernel-facing end.
    Family(Family),
}

impl Entitlement {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [
        Self::TransportUsb,
        Self::Family(Family::Ethernet),
        Self::Family(Family::Serial),
        Self::Family(Family::Hid),
    ];

    /// The word for it in manifests, stable over versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportUsb => "transport.usb",
            Self::Family(Family::Ethernet) => "family.ethernet",
            Self::Family(Family::Serial) => "family.serial",
            Self::Family(Family::Hid) => "family.hid",
        }
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether this can be a driver's name: 1 to 32 lower-case letters, digits and hyphens, a letter first and no hyphen last. It names
/// processes, files and interfaces.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= limit::NAME
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(plain)
}
