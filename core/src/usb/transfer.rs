//! The vocabulary of transfers between a [`Device`](super::Device) and its transport. It knows neither.

use super::{SetupPacket, TransferType};
use crate::buffer::RawBuffer;

/// How a transfer failed at the device or on the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The endpoint answered STALL. A bulk or interrupt endpoint stays halted until it is cleared.
    #[error("the endpoint stalled")]
    Stall,
    /// CRC, bit stuffing, no answer: trouble on the bus. On many controllers the first sign of an unplug.
    #[error("the bus failed under the transfer")]
    Fault,
    /// The device sent more than was asked for (babble).
    #[error("the device sent more than the buffer holds")]
    Overflow,
    /// The device is gone.
    #[error("the device is gone")]
    Unplugged,
    /// Ended before the device completed it.
    #[error("the transfer was cancelled")]
    Cancelled,
    /// The device did not answer in time.
    #[error("the device did not answer in time")]
    TimedOut,
    /// The transport cannot take it: no memory, a limit, an endpoint that it does not know. Has the system's error number,
    /// or 0.
    #[error("the system refused the transfer (error {0})")]
    Refused(i32),
}

impl TransferError {
    /// The kind that the control plane sorts this under.
    pub fn kind(self) -> crate::ErrorKind {
        use crate::ErrorKind as K;
        match self {
            Self::Stall => K::Stalled,
            Self::Fault | Self::Overflow => K::Faulted,
            Self::Unplugged => K::Unplugged,
            Self::Cancelled => K::Cancelled,
            Self::TimedOut => K::TimedOut,
            Self::Refused(_) => K::System,
        }
    }

    /// The same as an error of the control plane, during `operation`; the caller names the place.
    pub fn during(self, operation: &'static str) -> crate::Error {
        match self {
            Self::Refused(number) if number != 0 => {
                crate::Error::os(operation, std::io::Error::from_raw_os_error(number))
            }
            _ => crate::Error::new(self.kind(), operation, self.to_string()),
        }
    }
}

/// Names a request in flight; chosen by the submitter, never reused while it is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u32);

/// What a transport is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A bulk or interrupt transfer. OUT sends the buffer's length; IN asks for `request` bytes.
    Transfer {
        /// bEndpointAddress.
        endpoint: u8,
        /// Bulk or interrupt.
        transfer_type: TransferType,
        /// IN: how many bytes to ask for.
        request: usize,
        /// OUT: end with a zero-length packet if the length is a multiple of wMaxPacketSize (USB 2.0, 5.8.3).
        zero_packet: bool,
    },
    /// A control transfer on endpoint 0. The buffer holds the data stage alone.
    Control(SetupPacket),
    /// SET_CONFIGURATION (USB 2.0, 9.4.7).
    SetConfiguration(u8),
    /// SET_INTERFACE (USB 2.0, 9.4.10).
    SetInterface {
        /// bInterfaceNumber.
        interface: u8,
        /// bAlternateSetting.
        alternate: u8,
    },
    /// CLEAR_FEATURE(ENDPOINT_HALT) (USB 2.0, 9.4.5), and the host's toggle with it.
    ClearHalt {
        /// bEndpointAddress.
        endpoint: u8,
    },
    /// A reset of the port; the device keeps its address and configuration, and its claimed interfaces their alternate settings. What is
    /// still in flight ends early.
    Reset,
}

impl Operation {
    /// The endpoint that a transfer is for; `None` for everything on endpoint 0.
    pub fn endpoint(&self) -> Option<u8> {
        match self {
            Self::Transfer { endpoint, .. } => Some(*endpoint),
            _ => None,
        }
    }
}

/// A request on its way, with the buffer that it owns while it is out.
#[derive(Debug)]
pub struct Urb {
    /// Whose it is.
    pub token: Token,
    /// What to do.
    pub operation: Operation,
    /// Where the data is or goes.
    pub buffer: RawBuffer,
}

/// A request that ended: for transfers, with the number of bytes that moved.
#[derive(Debug)]
pub struct Done {
    /// The request; for IN, the buffer's length is what arrived, also when an error followed it.
    pub urb: Urb,
    /// How it ended.
    pub status: Result<usize, TransferError>,
}
