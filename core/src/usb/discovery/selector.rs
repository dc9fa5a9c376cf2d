//! How a person names one of the attached devices: by its place or by its ids. It must not look for devices itself.

use std::fmt;
use std::str::FromStr;

use super::Found;
use super::sysfs::Place;

/// What picks a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Its place, as the kernel names it: `1-2.3`.
    Place(String),
    /// idVendor and idProduct: `0525:a4a2`.
    Ids {
        /// idVendor.
        vendor_id: u16,
        /// idProduct.
        product_id: u16,
    },
}

/// The text names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' names no device: say where it is plugged in (1-2.3), or its vendor and product in hexadecimal (0525:a4a2)"
)]
pub struct ParseSelectorError {
    /// What was to be understood.
    pub text: String,
}

impl Selector {
    /// Reads `bus-port.port` or `vid:pid`, the latter as one to four hexadecimal digits each.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, ParseSelectorError> {
        let hexadecimal = |digits: &str| {
            let plain =
                (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
        };
        let ids = |text: &str| {
            let (vendor, product) = text.split_once(':')?;
            Some(Self::Ids { vendor_id: hexadecimal(vendor)?, product_id: hexadecimal(product)? })
        };
        let place = |text: &str| Place::parse(text).map(|_| Self::Place(text.to_owned()));
        let trimmed = text.trim();
        ids(trimmed).or_else(|| place(trimmed)).ok_or_else(|| ParseSelectorError { text: text.to_owned() })
    }

    /// Is this device meant?
    pub fn matches(&self, device: &Found) -> bool {
        match self {
            Self::Place(name) => device.name == *name,
            Self::Ids { vendor_id, product_id } => {
                device.vendor_id == *vendor_id && device.product_id == *product_id
            }
        }
    }
}

impl FromStr for Selector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(name) => f.write_str(name),
            Self::Ids { vendor_id, product_id } => write!(f, "{vendor_id:04x}:{product_id:04x}"),
        }
    }
}

/// A selector picked no device, or more than one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// There is none.
    #[error("no device is attached that is {selector}")]
    NotFound {
        /// What was looked for.
        selector: Selector,
    },
    /// There are several.
    #[error("{} devices are {selector}: {}", names.len(), names.join(", "))]
    Ambiguous {
        /// What was looked for.
        selector: Selector,
        /// The places of all that it picks, in the order of `devices`.
        names: Vec<String>,
    },
}

/// The one device of `devices` that is meant.
///
/// # Errors
/// None is, or several are.
pub fn select<'a>(devices: &'a [Found], selector: &Selector) -> Result<&'a Found, SelectError> {
    let matching: Vec<&Found> = devices.iter().filter(|device| selector.matches(device)).collect();
    match *matching {
        [one] => Ok(one),
        [] => Err(SelectError::NotFound { selector: selector.clone() }),
        _ => Err(SelectError::Ambiguous {
            selector: selector.clone(),
            names: matching.iter().map(|device| device.name.clone()).collect(),
        }),
    }
}
