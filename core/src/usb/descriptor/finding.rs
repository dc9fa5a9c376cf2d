//! What is wrong with descriptors: findings, which are tolerated, and malformations, which are not. It knows no bytes.

use crate::{Error, ErrorKind};
use std::fmt;

/// Something in the descriptors that the specification does not allow and that was tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// bConfigurationValue of the configuration it is in.
    pub configuration: Option<u8>,
    /// bInterfaceNumber of the interface it is in.
    pub interface: Option<u8>,
    /// bAlternateSetting of the alternate setting it is in.
    pub alternate: Option<u8>,
    /// bEndpointAddress of the endpoint it is in, as the device said it.
    pub endpoint: Option<u8>,
    /// The field, as its specification spells it.
    pub field: &'static str,
    /// What is odd about it, and what was made of it.
    pub oddity: Oddity,
}

/// What is odd, and what was made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// It says one number and there are others; those that are there count.
    Differs {
        /// What the device says.
        declared: u32,
        /// What is there.
        found: u32,
    },
    /// It is outside what is allowed; another value is used.
    Replaced {
        /// What the device says.
        declared: u32,
        /// What is used.
        used: u32,
    },
    /// It is outside what is allowed and was kept. Whoever needs it has to look.
    Invalid {
        /// What the device says.
        value: u32,
    },
    /// Bits that are reserved have the wrong value; they are ignored.
    ReservedBits {
        /// The bits that are wrong.
        bits: u32,
    },
    /// There was one already; this one is left out.
    Duplicate,
    /// It names something that cannot be; the descriptor is left out.
    Unusable {
        /// What the device says.
        value: u32,
    },
    /// The descriptor is too short for what it is; it is left out.
    TooShort {
        /// Its bLength.
        length: u8,
        /// What it needs at least.
        needed: u8,
    },
    /// The bytes from here on are no descriptors (bLength below 2 or past the end); they are left out.
    Garbage {
        /// How many bytes.
        bytes: u32,
    },
    /// There are more than are kept; the rest is left out.
    TooMany {
        /// How many are kept.
        limit: u32,
    },
    /// A descriptor that does not belong here; it is left out.
    Misplaced {
        /// Its bDescriptorType.
        kind: u8,
    },
    /// One that should be there is not.
    Missing {
        /// Its number, where it has one.
        number: u32,
    },
    /// Numbers do not ascend from 0 without gaps, as they should; they are used as they are.
    Unordered,
    /// There were more findings than are kept.
    MoreFindings,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Differs { declared, found } => write!(f, "says {declared}, but there are {found}"),
            Self::Replaced { declared, used } => {
                write!(f, "is {declared}, which is not allowed; {used} is used")
            }
            Self::Invalid { value } => write!(f, "is {value}, which is not allowed"),
            Self::ReservedBits { bits } => write!(f, "has reserved bits wrong ({bits:#x}); ignored"),
            Self::Duplicate => f.write_str("is there twice; the second is left out"),
            Self::Unusable { value } => write!(f, "is {value:#04x}, which cannot be; left out"),
            Self::TooShort { length, needed } => {
                write!(f, "is {length}, too short for {needed} bytes; left out")
            }
            Self::Garbage { bytes } => write!(f, "is wrong; the {bytes} bytes from there on are left out"),
            Self::TooMany { limit } => write!(f, "is beyond the {limit} that are kept; left out"),
            Self::Misplaced { kind } => write!(f, "{kind:#04x} does not belong here; left out"),
            Self::Missing { number } => write!(f, "{number} is missing"),
            Self::Unordered => f.write_str("does not ascend from 0 without gaps"),
            Self::MoreFindings => f.write_str("have more faults than are listed"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Place { separator: "" };
        if let Some(configuration) = self.configuration {
            place.write(f, format_args!("configuration {configuration}"))?;
        }
        place.interface(f, self.interface, self.alternate)?;
        place.endpoint(f, self.endpoint)?;
        place.end(f)?;
        write!(f, "{} {}", self.field, self.oddity)
    }
}

/// Something that nothing sensible can be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// bInterfaceNumber of the interface it is in.
    pub interface: Option<u8>,
    /// bEndpointAddress of the endpoint it is in.
    pub endpoint: Option<u8>,
    /// The field, as its specification spells it.
    pub field: &'static str,
    /// What is wrong with the field; reads on from its name ("is 0, ...").
    pub reason: String,
}

impl Malformed {
    /// This field is wrong, for this reason, which reads on from the field's name ("is 0, ...").
    pub fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { interface: None, endpoint: None, field, reason: reason.into() }
    }

    /// Names the interface.
    #[must_use]
    pub fn interface(mut self, number: u8) -> Self {
        self.interface = Some(number);
        self
    }

    /// Names the endpoint.
    #[must_use]
    pub fn endpoint(mut self, address: u8) -> Self {
        self.endpoint = Some(address);
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Place { separator: "" };
        place.interface(f, self.interface, None)?;
        place.endpoint(f, self.endpoint)?;
        place.end(f)?;
        write!(f, "{} {}", self.field, self.reason)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        let mut error =
            Self::new(ErrorKind::Malformed, "read the descriptors", malformed.reason).field(malformed.field);
        if let Some(number) = malformed.interface {
            error = error.interface(number);
        }
        if let Some(address) = malformed.endpoint {
            error = error.endpoint(address);
        }
        error
    }
}

struct Place {
    separator: &'static str,
}

impl Place {
    fn write(&mut self, f: &mut fmt::Formatter<'_>, part: fmt::Arguments<'_>) -> fmt::Result {
        write!(f, "{}{part}", self.separator)?;
        self.separator = ", ";
        Ok(())
    }

    fn interface(
        &mut self,
        f: &mut fmt::Formatter<'_>,
        number: Option<u8>,
        alternate: Option<u8>,
    ) -> fmt::Result {
        match (number, alternate) {
            (Some(number), Some(alternate)) => {
                self.write(f, format_args!("interface {number} alternate {alternate}"))
            }
            (Some(number), None) => self.write(f, format_args!("interface {number}")),
            _ => Ok(()),
        }
    }

    fn endpoint(&mut self, f: &mut fmt::Formatter<'_>, address: Option<u8>) -> fmt::Result {
        match address {
            Some(address) => self.write(f, format_args!("endpoint {address:#04x}")),
            None => Ok(()),
        }
    }

    fn end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.separator.is_empty() { "" } else { ": " })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformation_becomes_an_error_with_the_same_place() {
        let malformed = Malformed::new("wMaxPacketSize", "is 0").interface(1).endpoint(0x82);
        assert_eq!(malformed.to_string(), "interface 1, endpoint 0x82: wMaxPacketSize is 0");
        let error = Error::from(malformed).device("1-2");
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert_eq!(
            error.to_string(),
            "1-2, interface 1, endpoint 0x82: read the descriptors: wMaxPacketSize is 0"
        );
    }

    #[test]
    fn a_finding_names_its_place() {
        let finding = Finding {
            configuration: Some(1),
            interface: Some(2),
            alternate: Some(0),
            endpoint: None,
            field: "bNumEndpoints",
            oddity: Oddity::Differs { declared: 3, found: 2 },
        };
        assert_eq!(
            finding.to_string(),
            "configuration 1, interface 2 alternate 0: bNumEndpoints says 3, but there are 2"
        );
    }
}
