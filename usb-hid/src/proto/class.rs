//! The HID class: its descriptor (HID 1.11, 6.2.1) and its requests (7.2) as setup packets. It sends nothing.

use outboard_core::usb::descriptor::{Extra, Malformed, RawDescriptor};
use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket};

/// bInterfaceClass (HID 1.11, 4.1).
pub const INTERFACE_CLASS: u8 = 0x03;
/// bInterfaceSubClass: the device can also send the boot protocol's reports (HID 1.11, 4.2).
pub const SUBCLASS_BOOT: u8 = 1;

/// bDescriptorType of the class's descriptors (HID 1.11, 7.1).
pub mod kind {
    /// HID (HID 1.11, 6.2.1).
    pub const HID: u8 = 0x21;
    /// Report (HID 1.11, 6.2.2).
    pub const REPORT: u8 = 0x22;
    /// Physical (HID 1.11, 6.2.3).
    pub const PHYSICAL: u8 = 0x23;
}

/// What bInterfaceProtocol says a boot device is (HID 1.11, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootProtocol {
    /// A keyboard (HID 1.11, B.1).
    Keyboard,
    /// A mouse (HID 1.11, B.2).
    Mouse,
}

impl BootProtocol {
    /// From an interface's subclass and protocol; `None` if it has no boot protocol.
    pub const fn of(subclass: u8, protocol: u8) -> Option<Self> {
        match (subclass, protocol) {
            (SUBCLASS_BOOT, 1) => Some(Self::Keyboard),
            (SUBCLASS_BOOT, 2) => Some(Self::Mouse),
            _ => None,
        }
    }
}

/// The HID descriptor (HID 1.11, 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HidDescriptor {
    /// bcdHID.
    pub version: u16,
    /// bCountryCode (HID 1.11, 6.2.1); 0 for most.
    pub country: u8,
    /// wDescriptorLength of the report descriptor, in bytes; never 0.
    pub report_length: u16,
}

impl HidDescriptor {
    /// Finds it among an interface's class descriptors and reads it.
    ///
    /// # Errors
    /// If there is none, or it names no report descriptor.
    pub fn find(extra: &Extra) -> Result<Self, Malformed> {
        let raw = extra.iter().find(|raw| raw.kind() == kind::HID);
        raw.map_or_else(|| Err(Malformed::new("HID descriptor", "is missing")), Self::parse)
    }

    /// Reads it. Which of the named descriptors is the report descriptor may be anywhere in the list; those that bLength does not cover do
    /// not count.
    ///
    /// # Errors
    /// If it is too short, or names no report descriptor with a length.
    pub fn parse(raw: RawDescriptor<'_>) -> Result<Self, Malformed> {
        let (Some(version), Some(country), Some(count)) = (raw.u16(2), raw.u8(4), raw.u8(5)) else {
            return Err(Malformed::new("bLength", format!("is {}, too short for 9 bytes", raw.length())));
        };
        let report = (0..usize::from(count)).map_while(|n| Some((raw.u8(6 + 3 * n)?, raw.u16(7 + 3 * n)?)));
        let report = { report }.find(|(kind, length)| *kind == kind::REPORT && *length > 0);
        let Some((_, report_length)) = report else {
            return Err(Malformed::new("wDescriptorLength", "names no report descriptor"));
        };
        Ok(Self { version, country, report_length })
    }

    /// The content behind bDescriptorType, for the device side and tests.
    pub fn to_content(self) -> [u8; 7] {
        let ([v0, v1], [l0, l1]) = (self.version.to_le_bytes(), self.report_length.to_le_bytes());
        [v0, v1, self.country, 1, kind::REPORT, l0, l1]
    }
}

/// bRequest (HID 1.11, 7.2).
pub mod code {
    /// Get_Report (HID 1.11, 7.2.1).
    pub const GET_REPORT: u8 = 0x01;
    /// Get_Idle (HID 1.11, 7.2.3).
    pub const GET_IDLE: u8 = 0x02;
    /// Get_Protocol (HID 1.11, 7.2.5).
    pub const GET_PROTOCOL: u8 = 0x03;
    /// Set_Report (HID 1.11, 7.2.2).
    pub const SET_REPORT: u8 = 0x09;
    /// Set_Idle (HID 1.11, 7.2.4).
    pub const SET_IDLE: u8 = 0x0a;
    /// Set_Protocol (HID 1.11, 7.2.6).
    pub const SET_PROTOCOL: u8 = 0x0b;
}

/// What a report is for; its number is the high byte of wValue (HID 1.11, 7.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReportKind {
    /// From the device, unasked.
    Input,
    /// To the device.
    Output,
    /// Settings, both ways, on request.
    Feature,
}

impl ReportKind {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Input, Self::Output, Self::Feature];

    /// Its number in requests.
    pub const fn number(self) -> u8 {
        match self {
            Self::Input => 1,
            Self::Output => 2,
            Self::Feature => 3,
        }
    }
}

/// Which reports a boot device sends (HID 1.11, 7.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Those that the specification fixes.
    Boot,
    /// Those of its report descriptor.
    Report,
}

/// Reads the report descriptor (HID 1.11, 7.1.1): the standard Get_Descriptor, but of the interface.
pub const fn get_report_descriptor(interface: u8, length: u16) -> SetupPacket {
    let (kind, code) = (RequestKind::Standard, outboard_core::usb::standard::GET_DESCRIPTOR);
    let value = (kind::REPORT as u16) << 8;
    SetupPacket::new(Direction::In, kind, Recipient::Interface, code, value, interface as u16, length)
}

/// Get_Report (HID 1.11, 7.2.1). `id` is 0 if reports have no numbers; `length` counts the number's byte if there is one.
pub const fn get_report(interface: u8, kind: ReportKind, id: u8, length: u16) -> SetupPacket {
    setup(Direction::In, code::GET_REPORT, (kind.number() as u16) << 8 | id as u16, interface, length)
}

/// Set_Report (HID 1.11, 7.2.2). As with [`get_report`], a numbered report begins with its number in the data stage as well.
pub const fn set_report(interface: u8, kind: ReportKind, id: u8, length: u16) -> SetupPacket {
    setup(Direction::Out, code::SET_REPORT, (kind.number() as u16) << 8 | id as u16, interface, length)
}

/// Set_Idle (HID 1.11, 7.2.4): how often an unchanged report is sent again, in 4 ms; 0 for never. `id` 0 means all reports.
pub const fn set_idle(interface: u8, duration: u8, id: u8) -> SetupPacket {
    setup(Direction::Out, code::SET_IDLE, (duration as u16) << 8 | id as u16, interface, 0)
}

/// Set_Protocol (HID 1.11, 7.2.6), for boot devices only.
pub const fn set_protocol(interface: u8, protocol: Protocol) -> SetupPacket {
    let value = match protocol {
        Protocol::Boot => 0,
        Protocol::Report => 1,
    };
    setup(Direction::Out, code::SET_PROTOCOL, value, interface, 0)
}

const fn setup(direction: Direction, code: u8, value: u16, interface: u8, length: u16) -> SetupPacket {
    let recipient = Recipient::Interface;
    SetupPacket::new(direction, RequestKind::Class, recipient, code, value, interface as u16, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_usbhid_sends_them() {
        assert_eq!(get_report_descriptor(1, 65).to_bytes(), [0x81, 6, 0, 0x22, 1, 0, 65, 0]);
        assert_eq!(set_idle(0, 0, 0).to_bytes(), [0x21, 0x0a, 0, 0, 0, 0, 0, 0]);
        assert_eq!(set_protocol(2, Protocol::Report).to_bytes(), [0x21, 0x0b, 1, 0, 2, 0, 0, 0]);
        assert_eq!(get_report(0, ReportKind::Feature, 7, 3).to_bytes(), [0xa1, 1, 7, 3, 0, 0, 3, 0]);
        assert_eq!(set_report(0, ReportKind::Output, 0, 1).to_bytes(), [0x21, 9, 0, 2, 0, 0, 1, 0]);
        assert_eq!(BootProtocol::of(1, 1), Some(BootProtocol::Keyboard));
        assert_eq!((BootProtocol::of(0, 1), BootProtocol::of(1, 0)), (None, None));
    }

    #[test]
    fn the_descriptor_may_name_others_before_the_report_descriptor() {
        let mut extra = Extra::new();
        extra.append(kind::HID, &[0x11, 1, 33, 2, kind::PHYSICAL, 9, 0, kind::REPORT, 65, 0]);
        let found = HidDescriptor::find(&extra).unwrap();
        assert_eq!(found, HidDescriptor { version: 0x111, country: 33, report_length: 65 });
        let mut again = Extra::new();
        again.append(kind::HID, &found.to_content());
        assert_eq!(HidDescriptor::find(&again), Ok(found));
    }

    #[test]
    fn a_descriptor_that_names_none_is_refused() {
        for content in [
            &[0x11, 1, 0, 255][..],
            &[0x11, 1, 0, 1, kind::REPORT, 0, 0],
            &[0x11],
            &[0x11, 1, 0, 1, kind::REPORT, 9],
        ] {
            let mut extra = Extra::new();
            extra.append(kind::HID, content);
            assert!(HidDescriptor::find(&extra).is_err(), "{content:?}");
        }
        assert!(HidDescriptor::find(&Extra::new()).is_err());
    }
}
