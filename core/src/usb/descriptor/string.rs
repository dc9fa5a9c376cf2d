//! String descriptors: UTF-16LE to text that is safe to show, and back (USB 2.0, 9.6.7). It asks no device for them.

use super::{Malformed, Oddity, kind};

/// A string descriptor's text, with what was wrong about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StringDescriptor {
    /// The text up to the first NUL, where Linux ends it too. Unpaired surrogates and control characters are U+FFFD,
    /// so it may be printed on a terminal.
    pub text: String,
    /// What was tolerated: the field and what is odd, at most four.
    pub findings: Vec<(&'static str, Oddity)>,
}

/// The languages that a device has strings in: string descriptor 0 (USB 2.0, Table 9-15).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Languages {
    /// wLANGID in the device's order; 0x0409 is US English. At most 126.
    pub ids: Vec<u16>,
    /// What was tolerated.
    pub findings: Vec<(&'static str, Oddity)>,
}

/// The most code units in a string descriptor: (255 - 2) / 2.
const MOST_UNITS: usize = 126;

impl StringDescriptor {
    /// Reads the answer to GET_DESCRIPTOR for a string.
    ///
    /// # Errors
    /// If it is no string descriptor or shorter than two bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (units, mut findings) = units(bytes)?;
        let mut odd = 0u32;
        let text = char::decode_utf16(units.take_while(|unit| *unit != 0))
            .map(|decoded| match decoded {
                Ok(char) if !char.is_control() && !is_bidirectional(char) => char,
                _ => {
                    odd += 1;
                    char::REPLACEMENT_CHARACTER
                }
            })
            .collect();
        if odd > 0 {
            findings.push(("bString", Oddity::Invalid { value: odd }));
        }
        Ok(Self { text, findings })
    }
}

impl Languages {
    /// Reads the answer to GET_DESCRIPTOR for string 0.
    ///
    /// # Errors
    /// If it is no string descriptor or shorter than two bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (units, mut findings) = units(bytes)?;
        let ids: Vec<u16> = units.collect();
        if ids.is_empty() {
            findings.push(("wLANGID", Oddity::Missing { number: 0 }));
        }
        Ok(Self { ids, findings })
    }

    /// The language to ask for: US English if there, else the first; without any 0x0409, as Linux does.
    pub fn preferred(&self) -> u16 {
        const US_ENGLISH: u16 = 0x0409;
        if self.ids.contains(&US_ENGLISH) {
            US_ENGLISH
        } else {
            self.ids.first().copied().unwrap_or(US_ENGLISH)
        }
    }
}

/// Formatting characters that turn the text around, by which a device could make its name look like another's.
fn is_bidirectional(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

type Findings = Vec<(&'static str, Oddity)>;

fn units(bytes: &[u8]) -> Result<(impl Iterator<Item = u16>, Findings), Malformed> {
    let &[length, kind, ref content @ ..] = bytes else {
        let reason = format!("is missing: {} bytes are there", bytes.len());
        return Err(Malformed::new("bLength of a string descriptor", reason));
    };
    if kind != kind::STRING {
        return Err(Malformed::new("bDescriptorType", format!("is {kind:#04x}, not a string's (0x03)")));
    }
    if length < 2 {
        let reason = format!("is {length}; it has at least 2 bytes");
        return Err(Malformed::new("bLength of a string descriptor", reason));
    }
    let mut findings = Vec::new();
    let declared = usize::from(length) - 2;
    if declared > content.len() {
        let found = bytes.len() as u32;
        findings.push(("bLength", Oddity::Differs { declared: length.into(), found }));
    }
    let content = &content[..declared.min(content.len())];
    let (pairs, rest) = content.as_chunks::<2>();
    if !rest.is_empty() {
        findings.push(("bLength", Oddity::Garbage { bytes: 1 }));
    }
    Ok((pairs.iter().map(|pair| u16::from_le_bytes(*pair)), findings))
}

/// A string descriptor for the device side; text beyond 126 UTF-16 code units is cut off.
pub fn encode_string(text: &str) -> Vec<u8> {
    encode(text.encode_utf16())
}

/// String descriptor 0 for the device side; beyond 126 languages are cut off.
pub fn encode_languages(ids: &[u16]) -> Vec<u8> {
    encode(ids.iter().copied())
}

fn encode(units: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut bytes = vec![0, kind::STRING];
    bytes.extend(units.take(MOST_UNITS).flat_map(u16::to_le_bytes));
    bytes[0] = bytes.len() as u8;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn oddities_are_tolerated_and_told() {
        let parse = |bytes: &[u8]| StringDescriptor::parse(bytes).unwrap();
        assert_eq!(parse(&[6, 3, b'A', 0, b'B', 0]).text, "AB");
        assert_eq!(parse(&[8, 3, b'A', 0, 0, 0, b'B', 0]).text, "A");
        let cut = parse(&[10, 3, b'A', 0]);
        assert_eq!((cut.text.as_str(), cut.findings.len()), ("A", 1));
        let odd = parse(&[5, 3, b'A', 0, b'B']);
        assert_eq!((odd.text.as_str(), odd.findings.len()), ("A", 1));
        assert_eq!(parse(&[8, 3, 0x1b, 0, 0x00, 0xd8, b'B', 0]).text, "\u{fffd}\u{fffd}B");
        assert_eq!(parse(&[2, 3]), StringDescriptor::default());
    }

    #[test]
    fn what_is_no_string_is_refused() {
        for bytes in [&[][..], &[4], &[4, 2, 0, 0], &[0, 3], &[1, 3, 0]] {
            assert!(StringDescriptor::parse(bytes).is_err(), "{bytes:?}");
            assert!(Languages::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_language_is_chosen() {
        assert_eq!(Languages::parse(&encode_languages(&[0x0407, 0x0409])).unwrap().preferred(), 0x0409);
        assert_eq!(Languages::parse(&encode_languages(&[0x0407])).unwrap().preferred(), 0x0407);
        assert_eq!(Languages::parse(&[2, 3]).unwrap().preferred(), 0x0409);
    }

    proptest! {
        #[test]
        fn any_bytes_give_printable_text(bytes: Vec<u8>) {
            if let Ok(string) = StringDescriptor::parse(&bytes) {
                prop_assert!(!string.text.chars().any(char::is_control));
                prop_assert!(string.text.chars().count() <= MOST_UNITS);
            }
            let _ = Languages::parse(&bytes);
        }

        #[test]
        fn text_survives(text in "[a-zA-Z0-9 äß€𝄞]{0,60}") {
            let parsed = StringDescriptor::parse(&encode_string(&text)).unwrap();
            prop_assert_eq!(parsed, StringDescriptor { text, findings: Vec::new() });
        }
    }
}
