//! FTDI's chips as a host sees them: descriptors, every request, divisors, FIFOs of their real size, time on the line, latency timer, event
//! character, modem lines and line errors. It must not know any driver: its constants are its own.
//!
//! Time is passed in. A line moves on character by character, at the rate that the host programmed, also between two questions of the host:
//! what a host controller would have fetched meanwhile, because a transfer was waiting, counts as fetched.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use outboard_core::usb::transport::in_process::{DeviceModel, Handshake};
//! use outboard_virtual_devices::ftdi::{FtdiChip, FtdiOptions, Kind, Wiring};
//!
//! let mut chip = FtdiChip::new(FtdiOptions::new(Kind::R));
//! chip.wire(0, Wiring::Loopback);
//! let begin = Instant::now();
//! chip.configured(1, begin);
//! assert_eq!(chip.packet_out(0x02, b"hello", begin), Handshake::Ack(()));
//! // Five characters at 9600 baud take 5.2 ms, and the latency timer 16.
//! let mut packet = [0; 64];
//! assert_eq!(chip.packet_in(0x81, &mut packet, begin + Duration::from_millis(17)), Handshake::Ack(7));
//! assert_eq!(&packet[2..7], b"hello");
//! ```

mod bits;
mod chip;
mod descriptors;
mod divisor;
mod frame;
mod uart;

pub use chip::FtdiChip;
pub use divisor::{BadDivisor, LineRate};
pub use frame::{Character, CharacterError, Format, Pins};
use outboard_core::usb::Speed;
pub use uart::{Fault, Flow, Uart};

/// Which chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// FT8U100AX.
    Sio,
    /// FT232BM.
    Bm,
    /// FT232R.
    R,
    /// FT230X.
    X,
    /// FT232H.
    H,
    /// FT2232H.
    H2,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Sio, Self::Bm, Self::R, Self::X, Self::H, Self::H2];

    /// bcdDevice.
    pub const fn version(self) -> u16 {
        match self {
            // Anything below 2.00.
            Self::Sio => 0x0110,
            Self::Bm => 0x0400,
            Self::R => 0x0600,
            Self::X => 0x1000,
            Self::H => 0x0900,
            Self::H2 => 0x0700,
        }
    }

    /// idProduct that FTDI gives it.
    pub const fn product(self) -> u16 {
        match self {
            Self::Sio => 0x8372,
            Self::Bm | Self::R => 0x6001,
            Self::X => 0x6015,
            Self::H => 0x6014,
            Self::H2 => 0x6010,
        }
    }

    /// Serial ports.
    pub const fn ports(self) -> usize {
        if matches!(self, Self::H2) { 2 } else { 1 }
    }

    /// How it is attached.
    pub const fn speed(self) -> Speed {
        if self.is_fast() { Speed::High } else { Speed::Full }
    }

    /// wMaxPacketSize of its endpoints.
    pub const fn packet_size(self) -> usize {
        if self.is_fast() { 512 } else { 64 }
    }

    const fn is_fast(self) -> bool {
        matches!(self, Self::H | Self::H2)
    }

    /// Bytes that it holds on their way (to the line, to the host).
    pub const fn fifos(self) -> (usize, usize) {
        match self {
            Self::Sio => (128, 128),
            Self::Bm => (128, 384),
            Self::R => (128, 256),
            Self::X => (512, 512),
            Self::H => (1024, 1024),
            Self::H2 => (4096, 4096),
        }
    }

    /// Whether the latency timer can be set.
    pub const fn has_latency_timer(self) -> bool {
        !matches!(self, Self::Sio)
    }

    /// As people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sio => "FT8U100AX",
            Self::Bm => "FT232BM",
            Self::R => "FT232R USB UART",
            Self::X => "FT230X Basic UART",
            Self::H => "Single RS232-HS",
            Self::H2 => "Dual RS232-HS",
        }
    }
}

/// What the chip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FtdiOptions {
    /// Which chip.
    pub kind: Kind,
    /// idVendor and idProduct.
    pub id: (u16, u16),
    /// iSerialNumber's text.
    pub serial: Option<String>,
    /// iProduct's text.
    pub product: String,
    /// bcdDevice, if it is to be another than the kind's.
    pub version: Option<u16>,
    /// wMaxPacketSize, if it is to be another than the kind's.
    pub packet_size: Option<u16>,
    /// Packets that a host's controller which asks all the time has transfers for: so many count as fetched between two looks at the chip.
    /// Linux's ftdi_sio has two transfers of 512 bytes.
    pub fetch_ahead: usize,
}

impl FtdiOptions {
    /// A chip as FTDI sells it.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            id: (0x0403, kind.product()),
            serial: Some("VIRTUAL1".into()),
            product: kind.name().into(),
            version: None,
            packet_size: None,
            // Eight transfers of 4 KiB at full speed, sixteen of 16 KiB at high speed.
            fetch_ahead: 512,
        }
    }
}

/// What is on a port's pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// What is sent is kept for [`FtdiChip::take_sent`], and what comes is put there by [`FtdiChip::receive`].
    Outside,
    /// A loop-back plug: TXD to RXD, RTS to CTS, DTR to DSR and DCD.
    Loopback,
    /// A null-modem cable to this other port of the chip. It has to be wired back.
    Port(usize),
}
