//! Characters on a line: how they are framed, and what a receiver with other settings makes of them. It knows no chip.

use std::time::Duration;

use super::LineRate;

/// How characters look, as SET_DATA says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// 7 or 8.
    pub data_bits: u8,
    /// 0 none, 1 odd, 2 even, 3 mark, 4 space.
    pub parity: u8,
    /// Half bits: 2, 3 or 4.
    pub stop_half_bits: u8,
}

impl Default for Format {
    fn default() -> Self {
        Self { data_bits: 8, parity: 0, stop_half_bits: 2 }
    }
}

impl Format {
    /// From SET_DATA's wValue. `None`: the chips have no such format.
    pub(super) fn decode(value: u16) -> Option<Self> {
        let (data_bits, parity, stop) = (value as u8, (value >> 8 & 7) as u8, (value >> 11 & 3) as u8);
        let stop_half_bits = *[2, 3, 4].get(usize::from(stop))?;
        (matches!(data_bits, 7 | 8) && parity <= 4).then_some(Self { data_bits, parity, stop_half_bits })
    }

    fn half_bits(self) -> u32 {
        2 + 2 * u32::from(self.data_bits)
            + if self.parity == 0 { 0 } else { 2 }
            + u32::from(self.stop_half_bits)
    }

    /// How long a character takes.
    pub(super) fn time(self, rate: LineRate) -> Duration {
        rate.half_bits(self.half_bits())
    }
}

/// A character on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Character {
    /// Its data bits.
    pub byte: u8,
    /// Its rate, in baud.
    pub baud: u32,
    /// Its format.
    pub format: Format,
    /// What is wrong with it.
    pub error: Option<CharacterError>,
}

/// What is wrong with a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharacterError {
    /// Its parity bit.
    Parity,
    /// Its stop bit is missing.
    Framing,
    /// It is none: the line was low.
    Break,
}

impl Character {
    /// What a receiver with these settings makes of it: the byte, and its error.
    pub(super) fn read(self, baud: u32, format: Format) -> (u8, Option<CharacterError>) {
        if self.error == Some(CharacterError::Break) {
            return (0, self.error);
        }
        // The tenth bit is sampled in its middle: half a bit off in ten.
        if u64::from(baud.abs_diff(self.baud)) * 20 > u64::from(self.baud) {
            return (self.byte.rotate_left(3) ^ 0x55, Some(CharacterError::Framing));
        }
        let mask = if format.data_bits == 7 { 0x7f } else { 0xff };
        let byte = self.byte & mask;
        let error = self.error.or(match (self.format, format) {
            (theirs, ours) if theirs.data_bits != ours.data_bits => Some(CharacterError::Framing),
            (theirs, ours) if theirs.parity == ours.parity => None,
            // A bit more or less than expected.
            (theirs, ours) if theirs.parity == 0 || ours.parity == 0 => Some(CharacterError::Framing),
            (theirs, ours) => {
                let ones = byte.count_ones();
                (parity_bit(theirs.parity, ones) != parity_bit(ours.parity, ones))
                    .then_some(CharacterError::Parity)
            }
        });
        (byte, error)
    }
}

fn parity_bit(parity: u8, ones: u32) -> bool {
    match parity {
        1 => ones.is_multiple_of(2),
        2 => !ones.is_multiple_of(2),
        3 => true,
        _ => false,
    }
}

/// The modem lines that a port sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pins {
    /// Clear To Send.
    pub cts: bool,
    /// Data Set Ready.
    pub dsr: bool,
    /// Ring Indicator.
    pub ri: bool,
    /// Data Carrier Detect.
    pub dcd: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_with_other_settings_sees_errors() {
        let format = Format::default();
        let sent = Character { byte: b'A', baud: 9600, format, error: None };
        assert_eq!(sent.read(9600, format), (b'A', None));
        assert_eq!(sent.read(9800, format), (b'A', None));
        assert_eq!(sent.read(19_200, format).1, Some(CharacterError::Framing));
        let (even, odd) = (Format { parity: 2, ..format }, Format { parity: 1, ..format });
        assert_eq!(Character { format: even, ..sent }.read(9600, odd), (b'A', Some(CharacterError::Parity)));
        assert_eq!(Character { format: even, ..sent }.read(9600, format).1, Some(CharacterError::Framing));
        assert_eq!(Format::decode(0x1207), Some(Format { data_bits: 7, parity: 2, stop_half_bits: 4 }));
        assert_eq!((Format::decode(5), Format::decode(0x0508), Format::decode(0x1808)), (None, None, None));
    }
}
