//! What an administrator gives to Outboard, as text and held against a function: a place, a kind of device, one specimen, or all that a driver is for.
//! It must not know which devices there are, nor where rules are kept.
//!
//! | Text | Means |
//! |---|---|
//! | `1-2.3` | whatever is plugged in there |
//! | `0525:a4a2` | devices of this vendor and product |
//! | `0525:a4a2:SERIAL` | of these the one with this serial number |
//! | `serial=SERIAL` | devices with this serial number |
//! | `driver=usb-ecm` | every function that this driver gets |
//!
//! `#1` behind it means the function of interface 1 alone. In a serial number `%XX` stands for a byte of its UTF-8; `#` and `%` have to be
//! written so. A rule is shown in ASCII without spaces and quotes, so that it can be passed to a shell and put into a file as it is.

use std::fmt;
use std::str::FromStr;

use outboard_core::manifest::{is_name, limit};
use outboard_core::usb::discovery::Selector;

/// Bytes of a rule's text: 126 UTF-16 units are at most 378 bytes of UTF-8, each at most `%XX`, and there is room for what is around.
pub(crate) const MAX_TEXT: usize = 1200;

/// What is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    what: What,
    /// bInterfaceNumber: only the function that it belongs to.
    interface: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// By place or ids.
    Device(Selector),
    /// By serial number, of this product or of any.
    Serial { ids: Option<Selector>, serial: String },
    /// By the driver that it gets.
    Driver(String),
}

/// How much a rule says which function is meant; the larger, the less it can come as a surprise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breadth {
    /// All that a driver is for.
    Driver,
    /// A kind of device.
    Kind,
    /// A specimen, wherever it is plugged in.
    Specimen,
    /// A place.
    Place,
}

/// A function as rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Where its device is plugged in: `1-2.3`.
    pub(crate) port: &'a str,
    /// idVendor.
    pub(crate) vendor_id: u16,
    /// idProduct.
    pub(crate) product_id: u16,
    /// The string of iSerialNumber.
    pub(crate) serial: Option<&'a str>,
    /// The driver that gets it, by its name.
    pub(crate) driver: Option<&'a str>,
    /// Its bInterfaceNumbers.
    pub(crate) interfaces: &'a [u8],
}

impl Rule {
    /// Whether this function is given by it.
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        let is = |selector: &Selector| match selector {
            Selector::Place(port) => subject.port == port,
            Selector::Ids { vendor_id, product_id } => {
                (subject.vendor_id, subject.product_id) == (*vendor_id, *product_id)
            }
        };
        let device = match &self.what {
            What::Device(selector) => is(selector),
            What::Serial { ids, serial } => subject.serial == Some(serial) && ids.as_ref().is_none_or(is),
            What::Driver(name) => subject.driver == Some(name),
        };
        device && self.interface.is_none_or(|number| subject.interfaces.contains(&number))
    }

    /// The driver that it names.
    pub(crate) fn driver(&self) -> Option<&str> {
        match &self.what {
            What::Driver(name) => Some(name),
            What::Device(_) | What::Serial { .. } => None,
        }
    }

    /// How much it says.
    pub(crate) fn breadth(&self) -> Breadth {
        match &self.what {
            What::Device(Selector::Place(_)) => Breadth::Place,
            What::Device(Selector::Ids { .. }) => Breadth::Kind,
            What::Serial { .. } => Breadth::Specimen,
            What::Driver(_) => Breadth::Driver,
        }
    }
}

/// The text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseRuleError {
    /// It is longer than any rule.
    #[error("it has {0} bytes, and a rule at most {MAX_TEXT}")]
    TooLong(usize),
    /// It is nothing at all.
    #[error(
        "'{0}' says nothing that could be given: name a place (1-2.3), vendor and product in hexadecimal (0525:a4a2), these and a serial \
         number (0525:a4a2:SERIAL), serial=SERIAL or driver=NAME"
    )]
    Nothing(String),
    /// What is behind the `#`.
    #[error(
        "'#{0}' names no interface: it must be a number from 0 to 255, such as #1; a # in a serial number is written %23"
    )]
    Interface(String),
    /// The serial number.
    #[error("'{text}' is no serial number: {reason}")]
    Serial {
        /// What was to be understood.
        text: String,
        /// Why it is none.
        reason: &'static str,
    },
    /// The driver's name.
    #[error(
        "'{0}' is no driver's name: these have lower-case letters, digits and hyphens (`outboard drivers` shows those there are)"
    )]
    Driver(String),
}

impl FromStr for Rule {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TEXT {
            return Err(ParseRuleError::TooLong(text.len()));
        }
        let text = text.trim();
        let (what, interface) = match text.rsplit_once('#') {
            None => (text, None),
            Some((what, number)) => {
                let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                let value = plain.then(|| number.parse().ok()).flatten();
                (what, Some(value.ok_or_else(|| ParseRuleError::Interface(shown(number)))?))
            }
        };
        Ok(Self { what: read_what(what)?, interface })
    }
}

fn read_what(text: &str) -> Result<What, ParseRuleError> {
    if let Some(serial) = text.strip_prefix("serial=") {
        return Ok(What::Serial { ids: None, serial: decode(serial)? });
    }
    if let Some(name) = text.strip_prefix("driver=") {
        let name =
            is_name(name).then(|| name.to_owned()).ok_or_else(|| ParseRuleError::Driver(shown(name)))?;
        return Ok(What::Driver(name));
    }
    let nothing = || ParseRuleError::Nothing(shown(text));
    if let Some((second, _)) = text.match_indices(':').nth(1) {
        let ids = Selector::parse(&text[..second]).map_err(|_| nothing())?;
        return Ok(What::Serial { ids: Some(ids), serial: decode(&text[second + 1..])? });
    }
    let selector = Selector::parse(text).map_err(|_| nothing())?;
    match &selector {
        Selector::Place(place) if place.len() > limit::PORT => Err(nothing()),
        _ => Ok(What::Device(selector)),
    }
}

/// What was typed, for a message.
fn shown(text: &str) -> String {
    crate::output::printable(text)
}

fn decode(text: &str) -> Result<String, ParseRuleError> {
    let wrong = |reason| ParseRuleError::Serial { text: shown(text), reason };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match *first {
            b'%' => {
                let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    return Err(wrong("a % is written %25, and %XX stands for a byte in hexadecimal"));
                };
                bytes.push((high * 16 + low) as u8);
                rest = &behind[2..];
            }
            b'#' => return Err(wrong("a # in it is written %23")),
            byte => bytes.push(byte),
        }
    }
    let serial = String::from_utf8(bytes).map_err(|_| wrong("its %XX are no UTF-8"))?;
    match serial.encode_utf16().count() {
        0 => Err(wrong("it is empty")),
        1..=limit::SERIAL_NUMBER => Ok(serial),
        _ => Err(wrong("no device has more than 126 characters")),
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Device(selector) => write!(f, "{selector}")?,
            What::Serial { ids, serial } => {
                match ids {
                    Some(ids) => write!(f, "{ids}:")?,
                    None => f.write_str("serial=")?,
                }
                for byte in serial.bytes() {
                    match byte {
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => write!(f, "{}", char::from(byte))?,
                        b'-' | b'_' | b'.' | b':' | b'+' | b'/' | b'=' | b',' | b'@' => {
                            write!(f, "{}", char::from(byte))?
                        }
                        _ => write!(f, "%{byte:02X}")?,
                    }
                }
            }
            What::Driver(name) => write!(f, "driver={name}")?,
        }
        self.interface.map_or(Ok(()), |number| write!(f, "#{number}"))
    }
}

#[cfg(test)]
mod tests;
