//! The chips, told apart by bcdDevice, and what differs between them. It knows no request.

use std::fmt;

/// A chip's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chip {
    /// FT8U100AX, the first one.
    Sio,
    /// FT8U232AM.
    Am,
    /// FT232BM, FT245BM.
    Bm,
    /// FT2232C, FT2232D.
    C,
    /// FT232R, FT245R.
    R,
    /// FT230X, FT231X, FT234X.
    X,
    /// FT232H.
    H,
    /// FT2232H.
    H2,
    /// FT4232H.
    H4,
    /// FT4232HA, for cars.
    H4A,
    /// FT232HP and FT233HP, with USB power delivery.
    Hp,
    /// FT2232HP and FT2233HP.
    Hp2,
    /// FT4232HP and FT4233HP.
    Hp4,
}

impl Chip {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Sio,
        Self::Am,
        Self::Bm,
        Self::C,
        Self::R,
        Self::X,
        Self::H,
        Self::H2,
        Self::H4,
        Self::H4A,
        Self::Hp,
        Self::Hp2,
        Self::Hp4,
    ];

    /// The chip with this bcdDevice. A version that nobody knows is taken for a chip of its time.
    ///
    /// An FT232BM without an EEPROM says the AM's version and no serial number: whether it answers GET_LATENCY_TIMER tells them apart, see
    /// [`may_be_bm`](Self::may_be_bm).
    pub const fn of(bcd_device: u16) -> Self {
        match bcd_device {
            0..=0x01ff => Self::Sio,
            0x0200..=0x03ff => Self::Am,
            0x0400..=0x04ff => Self::Bm,
            0x0500..=0x05ff => Self::C,
            0x0600..=0x06ff => Self::R,
            0x0700..=0x07ff => Self::H2,
            0x0800..=0x08ff => Self::H4,
            0x0900..=0x0fff => Self::H,
            0x1000..=0x10ff => Self::X,
            0x2800 => Self::Hp2,
            0x2900 => Self::Hp4,
            0x3000 => Self::Hp2,
            0x3100 => Self::Hp4,
            0x3200 | 0x3300 => Self::Hp,
            0x3600 => Self::H4A,
            _ => Self::Hp,
        }
    }

    /// Whether a chip of this description may be an FT232BM all the same, so that GET_LATENCY_TIMER has to be asked.
    pub const fn may_be_bm(bcd_device: u16, has_serial: bool) -> bool {
        matches!(bcd_device, 0x0200..=0x03ff) && !has_serial
    }

    /// Whether its clock has the 120 MHz branch of the high-speed chips (AN_120: 12 MBd at most).
    pub const fn is_high_speed(self) -> bool {
        matches!(self, Self::H | Self::H2 | Self::H4 | Self::H4A | Self::Hp | Self::Hp2 | Self::Hp4)
    }

    /// Whether wIndex names the channel even on the first port: all but the full-speed chips with one port.
    pub const fn has_channels(self) -> bool {
        !matches!(self, Self::Sio | Self::Am | Self::Bm | Self::R | Self::X)
    }

    /// Ports.
    pub const fn ports(self) -> u8 {
        match self {
            Self::Sio | Self::Am | Self::Bm | Self::R | Self::X | Self::H | Self::Hp => 1,
            Self::C | Self::H2 | Self::Hp2 => 2,
            Self::H4 | Self::H4A | Self::Hp4 => 4,
        }
    }

    /// Whether the latency timer can be set; otherwise it is 16 ms, on the SIO 40 ms.
    pub const fn has_latency_timer(self) -> bool {
        !matches!(self, Self::Sio | Self::Am)
    }

    /// Whether each packet to it begins with a byte of length and port.
    pub const fn frames_packets(self) -> bool {
        matches!(self, Self::Sio)
    }

    /// Bytes that it holds of what the host sends and the line has not taken.
    pub const fn transmit_fifo(self) -> usize {
        match self {
            Self::Sio | Self::Am | Self::Bm | Self::C | Self::R => 128,
            Self::X => 512,
            Self::H | Self::Hp => 1024,
            Self::H2 | Self::Hp2 => 4096,
            Self::H4 | Self::H4A | Self::Hp4 => 2048,
        }
    }

    /// As people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sio => "FT8U100AX",
            Self::Am => "FT8U232AM",
            Self::Bm => "FT232BM",
            Self::C => "FT2232D",
            Self::R => "FT232R",
            Self::X => "FT230X",
            Self::H => "FT232H",
            Self::H2 => "FT2232H",
            Self::H4 => "FT4232H",
            Self::H4A => "FT4232HA",
            Self::Hp => "FT232HP",
            Self::Hp2 => "FT2232HP",
            Self::Hp4 => "FT4232HP",
        }
    }
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_name_chips() {
        let rows = [
            (0x0200, Chip::Am),
            (0x0400, Chip::Bm),
            (0x0500, Chip::C),
            (0x0600, Chip::R),
            (0x0700, Chip::H2),
            (0x0800, Chip::H4),
            (0x0900, Chip::H),
            (0x1000, Chip::X),
            (0x2800, Chip::Hp2),
            (0x2900, Chip::Hp4),
            (0x3000, Chip::Hp2),
            (0x3100, Chip::Hp4),
            (0x3200, Chip::Hp),
            (0x3300, Chip::Hp),
            (0x3600, Chip::H4A),
            (0x0100, Chip::Sio),
        ];
        for (version, chip) in rows {
            assert_eq!(Chip::of(version), chip, "{version:04x}");
        }
        for version in 0..=0xffff {
            // No version is beyond it.
            let _ = Chip::of(version);
        }
        assert!(
            Chip::may_be_bm(0x0200, false)
                && !Chip::may_be_bm(0x0200, true)
                && !Chip::may_be_bm(0x0400, false)
        );
    }
}
