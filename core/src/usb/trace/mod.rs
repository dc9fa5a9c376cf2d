//! Traces: what passes between a driver and its device, in a file that Wireshark and tshark read. The format is that of usbmon, the kernel's
//! own monitor, in pcapng with times in nanoseconds.
//!
//! ```no_run
//! # use outboard_core::usb::{Device, trace::{self, Address, Options, TraceFile}, transport::{Transport, record::Recorded}};
//! # async fn open(transport: impl Transport + 'static) -> outboard_core::Result<Device> {
//! let options = Options { address: Address { bus: 1, device: 4 }, ..Options::default() };
//! let trace = TraceFile::create("dongle.pcapng".as_ref(), transport.info(), &options)?;
//! Device::open(Recorded::new(transport, trace)).await
//! # }
//! ```
//!
//! # What is in it
//!
//! Each request that is submitted gives a record 'S', its end a record 'C', and one that the transport does not take a record 'E' instead, as in
//! usbmon. Selecting a configuration or an alternate setting and clearing a halt are the control transfers that they are on the bus.
//!
//! The file begins with exchanges that are not on the bus now: the system read the descriptors before, and without them a reader knows no
//! classes. They bear a comment that says so. The descriptors of the configuration that is active come last, and again when another one is
//! selected: a reader believes what it saw last.
//!
//! # Where it differs from usbmon
//!
//! - It sees the requests of one driver, not of the bus: no hub, no enumeration, no other program. A reset of the port is requests to the hub, and
//!   what follows it is the kernel's own restoration of the device; neither is seen here. Requests that are in flight then end as cancelled.
//! - A completion has the time at which the driver's queue took it, which is later than the interrupt by what it waited.
//! - The times are those of a monotonic clock that was set when the trace began: they never go back, and do not follow when the clock of the
//!   machine is set.
//! - URB ids are small numbers. The flags have only the direction and URB_ZERO_PACKET, not what the kernel adds for itself.
//! - Requests that end early have the status -ENOENT, whoever ended them. At an unplug it is -ESHUTDOWN, where usbmon also has -EPROTO or
//!   others first.
//! - What usbfs does not pass on is here only: a request that it refuses (of a device that is gone), SET_CONFIGURATION of the configuration
//!   that is active. What the kernel does of its own accord is not here: it selects alternate setting 0 of an interface that is given back.
//!
//! # What is secret
//!
//! A trace holds what went over the bus: keystrokes, traffic. [`Payload::None`] leaves the data of all transfers out but for descriptors, strings
//! among them; that a transfer happened, when, how long it was and what it asked for stays.

mod file;
pub mod pcapng;
mod tracer;
pub mod usbmon;

use std::str::FromStr;

pub use file::TraceFile;
pub use tracer::{LONGEST, Tracer};

/// How much of the data of transfers is kept. Setup packets and descriptors always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// All of it, up to [`LONGEST`] bytes of each transfer.
    #[default]
    All,
    /// Nothing.
    None,
    /// The first so many bytes of each transfer.
    First(usize),
}

impl Payload {
    /// The most bytes of a transfer.
    const fn most(self) -> usize {
        match self {
            Self::First(bytes) if bytes < LONGEST => bytes,
            Self::All | Self::First(_) => LONGEST,
            Self::None => 0,
        }
    }
}

impl FromStr for Payload {
    type Err = ParsePayloadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            number => number.parse().map(Self::First).map_err(|_| ParsePayloadError),
        }
    }
}

/// A text is no [`Payload`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("say all, none, or a number of bytes")]
pub struct ParsePayloadError;

/// Where on the system's buses a device is. A trace names it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Address {
    /// The bus.
    pub bus: u16,
    /// The device's address on it, 1 to 127.
    pub device: u8,
}

/// How to trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// What the device is called in the trace.
    pub address: Address,
    /// How much of the data is kept.
    pub payload: Payload,
}

#[cfg(test)]
mod tests;
