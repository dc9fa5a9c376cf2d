//! The vocabulary of a serial line: settings, modem lines, errors. It knows no end and no device.

use std::fmt;

/// Bits of a character without start, parity and stop bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataBits {
    /// 5.
    Five = 5,
    /// 6.
    Six = 6,
    /// 7.
    Seven = 7,
    /// 8.
    Eight = 8,
}

/// The parity bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parity {
    /// There is none.
    None,
    /// The number of ones with it is odd.
    Odd,
    /// The number of ones with it is even.
    Even,
    /// Always 1.
    Mark,
    /// Always 0.
    Space,
}

/// How long the line rests after a character, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopBits {
    /// 1.
    One,
    /// 1.5.
    OneAndHalf,
    /// 2.
    Two,
}

/// How a receiver that cannot keep up stops the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowControl {
    /// Not at all.
    None,
    /// By RTS, which is the other side's CTS.
    RtsCts,
    /// By DTR, which is the other side's DSR.
    DtrDsr,
    /// By characters.
    XonXoff {
        /// Goes on.
        xon: u8,
        /// Stops.
        xoff: u8,
    },
}

/// How characters are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineSettings {
    /// Bits a second; 0 drops DTR and RTS and leaves the rate (termios B0).
    pub baud: u32,
    /// Bits of a character.
    pub data_bits: DataBits,
    /// The parity bit.
    pub parity: Parity,
    /// The rest after a character.
    pub stop_bits: StopBits,
    /// Flow control.
    pub flow: FlowControl,
    /// What ends a line, if the reader waits for lines: the device then sends up to it at once.
    pub line_end: Option<u8>,
}

impl LineSettings {
    /// 8 data bits, no parity, one stop bit, no flow control.
    pub const fn new(baud: u32) -> Self {
        Self {
            baud,
            data_bits: DataBits::Eight,
            parity: Parity::None,
            stop_bits: StopBits::One,
            flow: FlowControl::None,
            line_end: None,
        }
    }

    /// Half bits that one character takes, from its start bit to its last stop bit: 20 for 8N1.
    pub const fn half_bits(&self) -> u32 {
        let parity = if matches!(self.parity, Parity::None) { 0 } else { 2 };
        let stop = match self.stop_bits {
            StopBits::One => 2,
            StopBits::OneAndHalf => 3,
            StopBits::Two => 4,
        };
        2 + 2 * self.data_bits as u32 + parity + stop
    }
}

impl fmt::Display for LineSettings {
    /// As people write it: `115200 8N1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Odd => 'O',
            Parity::Even => 'E',
            Parity::Mark => 'M',
            Parity::Space => 'S',
        };
        let stop = match self.stop_bits {
            StopBits::One => "1",
            StopBits::OneAndHalf => "1.5",
            StopBits::Two => "2",
        };
        write!(f, "{} {}{parity}{stop}", self.baud, self.data_bits as u8)
    }
}

/// What became of line settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// What was asked for.
    pub asked: LineSettings,
    /// The rate that the line has, in bits a second, rounded.
    pub baud: u32,
    /// The rate that was asked for is beyond what the device can do within a receiver's tolerance; `baud` is the nearest that it can.
    pub clamped: bool,
    /// The device cannot do the rest (data bits, parity, stop bits, flow control); it stayed as it was.
    pub refused: bool,
}

/// The modem lines that the other side sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ModemInputs {
    /// Clear To Send.
    pub cts: bool,
    /// Data Set Ready.
    pub dsr: bool,
    /// Ring Indicator.
    pub ri: bool,
    /// Data Carrier Detect.
    pub dcd: bool,
}

/// The modem lines that this side sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ModemOutputs {
    /// Data Terminal Ready.
    pub dtr: bool,
    /// Request To Send.
    pub rts: bool,
}

/// Errors of received characters, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineErrors {
    /// Characters that came before those before them were fetched; lost.
    pub overrun: u64,
    /// The parity bit was wrong.
    pub parity: u64,
    /// There was no stop bit.
    pub framing: u64,
    /// Breaks.
    pub breaks: u64,
}

impl LineErrors {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.overrun += other.overrun;
        self.parity += other.parity;
        self.framing += other.framing;
        self.breaks += other.breaks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_print_as_people_write_them_and_know_their_length() {
        let settings = LineSettings::new(115_200);
        assert_eq!((settings.to_string().as_str(), settings.half_bits()), ("115200 8N1", 20));
        let old = LineSettings {
            data_bits: DataBits::Five,
            parity: Parity::Even,
            stop_bits: StopBits::OneAndHalf,
            ..LineSettings::new(50)
        };
        assert_eq!((old.to_string().as_str(), old.half_bits()), ("50 5E1.5", 17));
    }
}
