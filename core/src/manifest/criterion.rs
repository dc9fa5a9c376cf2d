//! What a manifest can ask of a device, how much each criterion counts, and which make sense together. It must not know any device.

use std::collections::BTreeMap;
use std::fmt;

use crate::usb::Speed;

/// Something that a manifest asks of a device or an interface. Ordered from the most to the least specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criterion {
    /// The string of iSerialNumber, exactly: one specimen.
    SerialNumber,
    /// Where it is plugged in, `bus-port.port`: one place on this machine.
    Port,
    /// idProduct.
    ProductId,
    /// bcdDevice.
    DeviceVersion,
    /// bInterfaceNumber.
    InterfaceNumber,
    /// bConfigurationValue.
    Configuration,
    /// bInterfaceClass.
    InterfaceClass,
    /// idVendor.
    VendorId,
    /// bInterfaceSubClass.
    InterfaceSubclass,
    /// bInterfaceProtocol.
    InterfaceProtocol,
    /// bDeviceClass.
    DeviceClass,
    /// bDeviceSubClass.
    DeviceSubclass,
    /// bDeviceProtocol.
    DeviceProtocol,
    /// The speed that it was enumerated at.
    Speed,
}

/// How a criterion's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number of 16 bits, shown in hexadecimal.
    Word,
    /// A number of 8 bits, shown in hexadecimal.
    Code,
    /// A number of 8 bits, shown in decimal.
    Number,
    /// A smallest and a largest number of 16 bits.
    Range,
    /// A serial number.
    Serial,
    /// A place.
    Place,
    /// A speed.
    Speed,
}

impl Criterion {
    /// All of them, the most specific first.
    pub const ALL: [Self; 14] = [
        Self::SerialNumber,
        Self::Port,
        Self::ProductId,
        Self::DeviceVersion,
        Self::InterfaceNumber,
        Self::Configuration,
        Self::InterfaceClass,
        Self::VendorId,
        Self::InterfaceSubclass,
        Self::InterfaceProtocol,
        Self::DeviceClass,
        Self::DeviceSubclass,
        Self::DeviceProtocol,
        Self::Speed,
    ];

    /// Its key in manifests, stable over versions.
    pub const fn key(self) -> &'static str {
        match self {
            Self::SerialNumber => "serial-number",
            Self::Port => "port",
            Self::ProductId => "product-id",
            Self::DeviceVersion => "device-version",
            Self::InterfaceNumber => "interface-number",
            Self::Configuration => "configuration",
            Self::InterfaceClass => "interface-class",
            Self::VendorId => "vendor-id",
            Self::InterfaceSubclass => "interface-subclass",
            Self::InterfaceProtocol => "interface-protocol",
            Self::DeviceClass => "device-class",
            Self::DeviceSubclass => "device-subclass",
            Self::DeviceProtocol => "device-protocol",
            Self::Speed => "speed",
        }
    }

    /// The criterion without which this one says nothing: a product's id means something only for its vendor, a serial number or the number
    /// of an interface only for a product.
    pub const fn needs(self) -> Option<Self> {
        match self {
            Self::ProductId => Some(Self::VendorId),
            Self::SerialNumber | Self::DeviceVersion | Self::InterfaceNumber | Self::Configuration => {
                Some(Self::ProductId)
            }
            Self::InterfaceSubclass => Some(Self::InterfaceClass),
            Self::InterfaceProtocol => Some(Self::InterfaceSubclass),
            Self::DeviceSubclass => Some(Self::DeviceClass),
            Self::DeviceProtocol => Some(Self::DeviceSubclass),
            Self::Port | Self::InterfaceClass | Self::VendorId | Self::DeviceClass | Self::Speed => None,
        }
    }

    /// Whether it is asked of an interface; otherwise of the device.
    pub const fn is_of_interface(self) -> bool {
        matches!(
            self,
            Self::InterfaceNumber | Self::InterfaceClass | Self::InterfaceSubclass | Self::InterfaceProtocol
        )
    }

    /// Whether an alternative may have it alone.
    const fn identifies(self) -> bool {
        !matches!(self, Self::Speed)
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::SerialNumber => Kind::Serial,
            Self::Port => Kind::Place,
            Self::ProductId | Self::VendorId => Kind::Word,
            Self::DeviceVersion => Kind::Range,
            Self::InterfaceNumber | Self::Configuration => Kind::Number,
            Self::InterfaceClass
            | Self::InterfaceSubclass
            | Self::InterfaceProtocol
            | Self::DeviceClass
            | Self::DeviceSubclass
            | Self::DeviceProtocol => Kind::Code,
            Self::Speed => Kind::Speed,
        }
    }

    /// Its bit of a [`Score`].
    const fn bit(self) -> u16 {
        1 << (Self::ALL.len() - 1 - self as usize)
    }

    /// A number as people write it for this criterion.
    pub(super) fn number(self, number: u16) -> String {
        match self.kind() {
            Kind::Word | Kind::Range => format!("{number:#06x}"),
            Kind::Code => format!("{number:#04x}"),
            _ => number.to_string(),
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// How specific a match is: a bit for each criterion, the most specific the highest. The larger wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Score(u16);

impl Score {
    /// As a number, for scripts. It grows with specificity; what it is exactly may change with versions.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether this criterion is part of the match.
    pub const fn has(self, criterion: Criterion) -> bool {
        self.0 & criterion.bit() != 0
    }
}

/// The values that a criterion accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Any of these numbers.
    Numbers(Vec<u16>),
    /// A number from the first to the second, both included.
    Range(u16, u16),
    /// Any of these texts, exactly.
    Texts(Vec<String>),
    /// Any of these speeds.
    Speeds(Vec<Speed>),
}

impl Wanted {
    pub(super) fn accepts_number(&self, number: u16) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.contains(&number),
            Self::Range(least, most) => (*least..=*most).contains(&number),
            Self::Texts(_) | Self::Speeds(_) => false,
        }
    }

    pub(super) fn accepts_text(&self, text: &str) -> bool {
        matches!(self, Self::Texts(texts) if texts.iter().any(|wanted| wanted == text))
    }

    pub(super) fn accepts_speed(&self, speed: Speed) -> bool {
        matches!(self, Self::Speeds(speeds) if speeds.contains(&speed))
    }

    /// The values as people write them for this criterion; a long list is cut.
    pub(super) fn describe(&self, criterion: Criterion) -> String {
        /// More would hide the rest of the line.
        const SHOWN: usize = 4;
        let list = |values: Vec<String>| match values.as_slice() {
            [one] => one.clone(),
            [first @ .., last] if values.len() <= SHOWN => format!("{} or {last}", first.join(", ")),
            _ => format!("{} or {} others", values[..SHOWN - 1].join(", "), values.len() - SHOWN + 1),
        };
        match self {
            Self::Numbers(numbers) => list(numbers.iter().map(|number| criterion.number(*number)).collect()),
            Self::Range(least, most) if least == most => criterion.number(*least),
            Self::Range(least, most) => {
                format!("{} to {}", criterion.number(*least), criterion.number(*most))
            }
            Self::Texts(texts) => list(texts.iter().map(|text| format!("\"{text}\"")).collect()),
            Self::Speeds(speeds) => list(speeds.iter().map(|speed| speed.as_str().to_owned()).collect()),
        }
    }
}

/// One alternative of a manifest: criteria that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    criteria: BTreeMap<Criterion, Wanted>,
}

/// Criteria that make no sense together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Senseless {
    #[error("is empty: it would match every device; name at least {}", Criterion::InterfaceClass)]
    Empty,
    #[error("has {0} alone, which does not tell what a device is; name at least {wanted}", wanted = Criterion::InterfaceClass)]
    Alone(Criterion),
    #[error("has {0}, which needs {1} beside it")]
    Lacks(Criterion, Criterion),
}

impl Match {
    pub(super) fn new(criteria: BTreeMap<Criterion, Wanted>) -> Result<Self, Senseless> {
        let Some(first) = criteria.keys().next() else { return Err(Senseless::Empty) };
        for criterion in criteria.keys() {
            if let Some(needed) = criterion.needs().filter(|needed| !criteria.contains_key(needed)) {
                return Err(Senseless::Lacks(*criterion, needed));
            }
        }
        if !criteria.keys().any(|criterion| criterion.identifies()) {
            return Err(Senseless::Alone(*first));
        }
        Ok(Self { criteria })
    }

    /// Its criteria, the most specific first; at least one.
    pub fn criteria(&self) -> impl Iterator<Item = (Criterion, &Wanted)> {
        self.criteria.iter().map(|(criterion, wanted)| (*criterion, wanted))
    }

    /// What it scores where it matches.
    pub fn score(&self) -> Score {
        Score(self.criteria.keys().fold(0, |score, criterion| score | criterion.bit()))
    }
}
