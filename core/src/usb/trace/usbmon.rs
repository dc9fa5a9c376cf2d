//! The header that usbmon puts before each record of its binary interface, in the form that its memory mapping has (Linux,
//! Documentation/usb/usbmon.rst, `struct usbmon_packet`; drivers/usb/mon/mon_bin.c). It knows no file and no transport.

use crate::usb::{Direction, Speed, TransferType};

/// Bytes of a header; the data follows.
pub const LENGTH: usize = 64;

/// LINKTYPE_USB_LINUX_MMAPPED of tcpdump's registry: packets that begin with this header, in the file's byte order.
pub const LINK_TYPE: u16 = 220;

/// What a record is about.
pub mod event {
    /// A request was submitted.
    pub const SUBMIT: u8 = b'S';
    /// It ended.
    pub const COMPLETE: u8 = b'C';
    /// It was not accepted.
    pub const ERROR: u8 = b'E';
}

/// [`Header::setup_flag`] of records that have no setup packet; 0 says that there is one.
pub const NO_SETUP: u8 = b'-';

/// [`Header::data_flag`]: why there is no data. 0 says that there is some, or that nothing was to be transferred.
pub mod no_data {
    /// It is yet to come.
    pub const IN: u8 = b'<';
    /// It was in the record of the submission.
    pub const OUT: u8 = b'>';
    /// There was some, and it was not captured. usbmon means memory that it cannot read, we mean that nobody wants it.
    pub const NOT_CAPTURED: u8 = b'D';
    /// [`ERROR`](super::event::ERROR) has none.
    pub const ERROR: u8 = b'E';
}

/// [`Header::status`] of a submission: -EINPROGRESS.
pub const IN_PROGRESS: i32 = -115;

/// Bits of [`Header::flags`] (include/linux/usb.h).
pub mod flag {
    /// URB_ZERO_PACKET: a transfer that fills its last packet is ended by an empty one.
    pub const ZERO_PACKET: u32 = 0x0040;
    /// URB_DIR_IN: the data goes to the host.
    pub const DIRECTION_IN: u32 = 0x0200;
}

/// A header. There is none that has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Names the request from its submission to its end; another may have it afterwards.
    pub id: u64,
    /// One of [`event`].
    pub event: u8,
    /// See [`transfer_code`].
    pub transfer_type: u8,
    /// Number and, in bit 7, direction of the endpoint. For control transfers the direction of the data stage; OUT if there is none.
    pub endpoint: u8,
    /// The device's address on its bus.
    pub device: u8,
    /// The bus.
    pub bus: u16,
    /// 0: `setup` is a setup packet.
    pub setup_flag: u8,
    /// 0: there is data, unless `length` is 0; else one of [`no_data`].
    pub data_flag: u8,
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Microseconds of the second.
    pub microseconds: i32,
    /// 0 or a negative error number of Linux (Documentation/driver-api/usb/error-codes.rst).
    pub status: i32,
    /// Bytes that are to be transferred, or were.
    pub length: u32,
    /// Bytes of data behind the header.
    pub captured: u32,
    /// The setup packet of a control transfer (USB 2.0, 9.3), at its submission only.
    pub setup: [u8; 8],
    /// Interrupt and isochronous: time between two transfers, in frames (low and full speed) or microframes.
    pub interval: i32,
    /// Isochronous only.
    pub start_frame: i32,
    /// Of [`flag`].
    pub flags: u32,
    /// Isochronous only.
    pub descriptors: u32,
}

impl Header {
    /// The header in little-endian order.
    pub fn to_bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8] = self.event;
        bytes[9] = self.transfer_type;
        bytes[10] = self.endpoint;
        bytes[11] = self.device;
        bytes[12..14].copy_from_slice(&self.bus.to_le_bytes());
        bytes[14] = self.setup_flag;
        bytes[15] = self.data_flag;
        bytes[16..24].copy_from_slice(&self.seconds.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.microseconds.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.status.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.length.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.captured.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.setup);
        bytes[48..52].copy_from_slice(&self.interval.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.start_frame.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.flags.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.descriptors.to_le_bytes());
        bytes
    }

    /// The header that these bytes are, in little-endian order: what [`to_bytes`](Self::to_bytes) writes, and what the kernel of a
    /// little-endian machine does.
    pub fn from_bytes(bytes: &[u8; LENGTH]) -> Self {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let long = |at: usize| {
            let ([a, b, c, d], [e, f, g, h]) = (word(at), word(at + 4));
            [a, b, c, d, e, f, g, h]
        };
        Self {
            id: u64::from_le_bytes(long(0)),
            event: bytes[8],
            transfer_type: bytes[9],
            endpoint: bytes[10],
            device: bytes[11],
            bus: u16::from_le_bytes([bytes[12], bytes[13]]),
            setup_flag: bytes[14],
            data_flag: bytes[15],
            seconds: i64::from_le_bytes(long(16)),
            microseconds: i32::from_le_bytes(word(24)),
            status: i32::from_le_bytes(word(28)),
            length: u32::from_le_bytes(word(32)),
            captured: u32::from_le_bytes(word(36)),
            setup: long(40),
            interval: i32::from_le_bytes(word(48)),
            start_frame: i32::from_le_bytes(word(52)),
            flags: u32::from_le_bytes(word(56)),
            descriptors: u32::from_le_bytes(word(60)),
        }
    }
}

/// [`Header::transfer_type`]: not in the order of USB's bmAttributes, but in that of the kernel's pipes.
pub const fn transfer_code(transfer_type: TransferType) -> u8 {
    match transfer_type {
        TransferType::Isochronous => 0,
        TransferType::Interrupt => 1,
        TransferType::Control => 2,
        TransferType::Bulk => 3,
    }
}

/// [`Header::endpoint`].
pub const fn endpoint(number: u8, direction: Direction) -> u8 {
    number & 0x0f | direction.bit()
}

/// [`Header::interval`] of an interrupt endpoint whose descriptor says `interval`: as the kernel rounds it (`usb_submit_urb`).
pub const fn interval(interval: u8, speed: Speed) -> i32 {
    let (wanted, most) = match speed {
        // In frames. Controllers keep no schedule of more.
        Speed::Low | Speed::Full => (interval as u32, 128),
        // In microframes, as a power of 2 (USB 2.0, Table 9-13).
        Speed::High => (exponential(interval), 1024 * 8),
        Speed::Super | Speed::SuperPlus => (exponential(interval), 1 << 15),
    };
    if wanted == 0 {
        return 0;
    }
    let rounded = 1 << wanted.ilog2();
    if rounded < most { rounded } else { most }
}

const fn exponential(interval: u8) -> u32 {
    match interval {
        0 => 1,
        1..=16 => 1 << (interval - 1),
        _ => 1 << 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_to_the_byte() {
        let header = Header {
            id: 0xffff_8881_0203_0405,
            event: event::SUBMIT,
            transfer_type: transfer_code(TransferType::Control),
            endpoint: endpoint(0, Direction::In),
            device: 7,
            bus: 0x0102,
            setup_flag: 0,
            data_flag: no_data::IN,
            seconds: 0x6500_0000,
            microseconds: 999_999,
            status: IN_PROGRESS,
            length: 18,
            captured: 0,
            setup: [0x80, 6, 0, 1, 0, 0, 18, 0],
            interval: 32,
            start_frame: 1,
            flags: flag::DIRECTION_IN,
            descriptors: 2,
        };
        #[rustfmt::skip]
        let expected = [
            0x05, 0x04, 0x03, 0x02, 0x81, 0x88, 0xff, 0xff,
            b'S', 2, 0x80, 7, 0x02, 0x01, 0, b'<',
            0, 0, 0, 0x65, 0, 0, 0, 0,
            0x3f, 0x42, 0x0f, 0, 0x8d, 0xff, 0xff, 0xff,
            18, 0, 0, 0, 0, 0, 0, 0,
            0x80, 6, 0, 1, 0, 0, 18, 0,
            32, 0, 0, 0, 1, 0, 0, 0,
            0, 2, 0, 0, 2, 0, 0, 0,
        ];
        assert_eq!(header.to_bytes(), expected);
        assert_eq!(Header::from_bytes(&expected), header);
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes: [u8; LENGTH]) {
            prop_assert_eq!(Header::from_bytes(&bytes).to_bytes(), bytes);
        }
    }

    #[test]
    fn intervals_are_rounded_as_the_kernel_does() {
        for (value, speed, expected) in [
            (0, Speed::Full, 0),
            (1, Speed::Full, 1),
            (32, Speed::Full, 32),
            (100, Speed::Full, 64),
            (255, Speed::Low, 128),
            (1, Speed::High, 1),
            (9, Speed::High, 256),
            (14, Speed::High, 8192),
            (16, Speed::High, 8192),
            (255, Speed::High, 8192),
            (16, Speed::Super, 32768),
        ] {
            assert_eq!(interval(value, speed), expected, "{value} at {speed}");
        }
    }
}
