//! The USB/IP protocol as bytes and types, for both sides (Linux Documentation/usb/usbip_protocol.rst, version 1.1.1). It knows no
//! socket, no clock and no device; nothing that it reads is trusted.
//!
//! A connection begins with one operation ([`operation`]): a list of the exported devices, after which it ends, or the import of one,
//! after which it carries that device's transfers ([`urb`]). All numbers are big endian.

pub mod operation;
pub mod urb;

use super::Speed;

/// The port that servers listen on.
pub const PORT: u16 = 3240;

/// What is wrong with a peer's bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct BadMessage {
    /// The field, as the protocol spells it.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl BadMessage {
    /// `reason` goes on after the name of the field: "is 7; 1 to 4 are known".
    pub fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

/// `speed` of an exported device: the kernel's `enum usb_device_speed` (include/uapi/linux/usb/ch9.h).
pub const fn speed_code(speed: Speed) -> u32 {
    match speed {
        Speed::Low => 1,
        Speed::Full => 2,
        Speed::High => 3,
        Speed::Super => 5,
        Speed::SuperPlus => 6,
    }
}

/// The speed with this code; an unknown one (0) is taken for full speed, which every device can do.
pub const fn speed_of(code: u32) -> Option<Speed> {
    match code {
        1 => Some(Speed::Low),
        0 | 2 => Some(Speed::Full),
        // 4 is wireless USB, whose packets are those of high speed.
        3 | 4 => Some(Speed::High),
        5 => Some(Speed::Super),
        6 => Some(Speed::SuperPlus),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
