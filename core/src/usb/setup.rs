//! The eight bytes that open every control transfer, and the standard requests. It knows no class's requests.

use super::Direction;
use std::fmt;

/// Who defines a request (USB 2.0, Table 9-2: bits 6..5 of bmRequestType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// USB itself (USB 2.0, 9.4).
    Standard,
    /// The class of the interface or device.
    Class,
    /// The vendor.
    Vendor,
    /// Reserved by the specification.
    Reserved,
}

/// Whom a request is for (USB 2.0, Table 9-2: bits 4..0 of bmRequestType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// The whole device.
    Device,
    /// The interface whose number is in the low byte of wIndex.
    Interface,
    /// The endpoint whose address is in the low byte of wIndex.
    Endpoint,
    /// Something else.
    Other,
    /// A code (4 to 31) that the specification reserves.
    Reserved(u8),
}

/// A setup packet (USB 2.0, 9.3).
///
/// ```
/// use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket, standard};
/// let setup = SetupPacket::new(Direction::In, RequestKind::Standard, Recipient::Device, standard::GET_DESCRIPTOR, 0x0100, 0, 18);
/// assert_eq!(setup.to_bytes(), [0x80, 0x06, 0x00, 0x01, 0x00, 0x00, 0x12, 0x00]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SetupPacket {
    /// bmRequestType: direction, kind, recipient.
    pub request_type: u8,
    /// bRequest: the code of the request.
    pub request: u8,
    /// wValue: as the request defines it.
    pub value: u16,
    /// wIndex: as the request defines it; for an interface or endpoint its number in the low byte.
    pub index: u16,
    /// wLength: bytes of the data stage; for IN the most that the host takes.
    pub length: u16,
}

impl SetupPacket {
    /// A setup packet from its parts. `Recipient::Reserved` keeps the low five bits of its code.
    pub const fn new(
        direction: Direction,
        kind: RequestKind,
        recipient: Recipient,
        request: u8,
        value: u16,
        index: u16,
        length: u16,
    ) -> Self {
        let kind = match kind {
            RequestKind::Standard => 0x00,
            RequestKind::Class => 0x20,
            RequestKind::Vendor => 0x40,
            RequestKind::Reserved => 0x60,
        };
        let recipient = match recipient {
            Recipient::Device => 0,
            Recipient::Interface => 1,
            Recipient::Endpoint => 2,
            Recipient::Other => 3,
            Recipient::Reserved(code) => code & 0x1f,
        };
        Self { request_type: direction.bit() | kind | recipient, request, value, index, length }
    }

    /// The packet as it goes over the bus.
    pub const fn to_bytes(self) -> [u8; 8] {
        let ([v0, v1], [i0, i1], [l0, l1]) =
            (self.value.to_le_bytes(), self.index.to_le_bytes(), self.length.to_le_bytes());
        [self.request_type, self.request, v0, v1, i0, i1, l0, l1]
    }

    /// The packet that these bytes are. Every eight bytes are one.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        let [request_type, request, v0, v1, i0, i1, l0, l1] = bytes;
        Self {
            request_type,
            request,
            value: u16::from_le_bytes([v0, v1]),
            index: u16::from_le_bytes([i0, i1]),
            length: u16::from_le_bytes([l0, l1]),
        }
    }

    /// Which way the data stage goes. Without one (`length` 0) the status stage is always IN.
    pub const fn direction(self) -> Direction {
        Direction::of(self.request_type)
    }

    /// Who defines the request.
    pub const fn kind(self) -> RequestKind {
        match self.request_type >> 5 & 3 {
            0 => RequestKind::Standard,
            1 => RequestKind::Class,
            2 => RequestKind::Vendor,
            _ => RequestKind::Reserved,
        }
    }

    /// Whom the request is for.
    pub const fn recipient(self) -> Recipient {
        match self.request_type & 0x1f {
            0 => Recipient::Device,
            1 => Recipient::Interface,
            2 => Recipient::Endpoint,
            3 => Recipient::Other,
            code => Recipient::Reserved(code),
        }
    }
}

impl fmt::Display for SetupPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_type, request, value, index, length } = self;
        write!(
            f,
            "bmRequestType {request_type:#04x}, bRequest {request:#04x}, wValue {value:#06x}, wIndex {index:#06x}, wLength {length}"
        )
    }
}

/// bRequest of the standard requests (USB 2.0, Table 9-4; USB 3.2, Table 9-5).
pub mod standard {
    /// Two bytes of state (USB 2.0, 9.4.5).
    pub const GET_STATUS: u8 = 0;
    /// Clears a feature, such as an endpoint's halt (USB 2.0, 9.4.1).
    pub const CLEAR_FEATURE: u8 = 1;
    /// Sets a feature (USB 2.0, 9.4.9).
    pub const SET_FEATURE: u8 = 3;
    /// Gives the device its address (USB 2.0, 9.4.6).
    pub const SET_ADDRESS: u8 = 5;
    /// Reads a descriptor: type and index in wValue, language in wIndex (USB 2.0, 9.4.3).
    pub const GET_DESCRIPTOR: u8 = 6;
    /// Changes a descriptor; rarely supported (USB 2.0, 9.4.8).
    pub const SET_DESCRIPTOR: u8 = 7;
    /// Reads the active bConfigurationValue (USB 2.0, 9.4.2).
    pub const GET_CONFIGURATION: u8 = 8;
    /// Selects a configuration by its bConfigurationValue (USB 2.0, 9.4.7).
    pub const SET_CONFIGURATION: u8 = 9;
    /// Reads an interface's alternate setting (USB 2.0, 9.4.4).
    pub const GET_INTERFACE: u8 = 10;
    /// Selects an interface's alternate setting (USB 2.0, 9.4.10).
    pub const SET_INTERFACE: u8 = 11;
    /// An isochronous endpoint's frame number (USB 2.0, 9.4.11).
    pub const SYNCH_FRAME: u8 = 12;
    /// Exit latencies (USB 3.2, 9.4.12).
    pub const SET_SEL: u8 = 48;
    /// Isochronous delay (USB 3.2, 9.4.11).
    pub const SET_ISOCH_DELAY: u8 = 49;

    /// Feature selector of CLEAR_FEATURE: an endpoint is halted (USB 2.0, Table 9-6).
    pub const ENDPOINT_HALT: u16 = 0;
    /// Feature selector: the device may wake the host (USB 2.0, Table 9-6).
    pub const DEVICE_REMOTE_WAKEUP: u16 = 1;
    /// Feature selector of an interface: function suspend (USB 3.2, Table 9-7).
    pub const FUNCTION_SUSPEND: u16 = 0;
    /// Feature selector: the device may ask for the link state U1 (USB 3.2, Table 9-7).
    pub const U1_ENABLE: u16 = 48;
    /// Feature selector: the device may ask for the link state U2 (USB 3.2, Table 9-7).
    pub const U2_ENABLE: u16 = 49;
    /// Feature selector: the device may tell its latency tolerance (USB 3.2, Table 9-7).
    pub const LTM_ENABLE: u16 = 50;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_eight_bytes_survive(bytes: [u8; 8]) {
            let setup = SetupPacket::from_bytes(bytes);
            prop_assert_eq!(setup.to_bytes(), bytes);
            let again = SetupPacket::new(
                setup.direction(), setup.kind(), setup.recipient(), setup.request, setup.value, setup.index, setup.length,
            );
            prop_assert_eq!(again, setup);
        }
    }
}
