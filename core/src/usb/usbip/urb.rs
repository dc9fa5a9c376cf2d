//! The second part of a connection: transfers and their ends, each a header of 48 bytes and perhaps data. Sans-I/O: headers in, headers
//! out; who reads and writes the data counts its bytes by [`Submit::data_length`] and [`Returned::actual_length`].

use super::{BadMessage, put_u32, u32_at};
use crate::usb::{Direction, SetupPacket, TransferError};

/// Bytes of every header.
pub const HEADER: usize = 48;

/// The most bytes that one transfer may have: what usbfs takes in one piece, and more than any driver here asks for.
pub const MOST_DATA: u32 = 16 << 20;

/// `command` (usbip_protocol.rst, "USBIP_CMD_SUBMIT" and following).
mod command {
    pub(super) const CMD_SUBMIT: u32 = 1;
    pub(super) const CMD_UNLINK: u32 = 2;
    pub(super) const RET_SUBMIT: u32 = 3;
    pub(super) const RET_UNLINK: u32 = 4;
}

/// `transfer_flags`: those of the kernel's URB that mean something on the wire (include/linux/usb.h).
pub mod flags {
    /// URB_SHORT_NOT_OK: an IN transfer that is shorter than asked for is an error.
    pub const SHORT_NOT_OK: u32 = 0x01;
    /// URB_ZERO_PACKET: end an OUT transfer on a packet's boundary with an empty packet.
    pub const ZERO_PACKET: u32 = 0x40;
    /// URB_DIR_IN: the kernel's own note of the direction.
    pub const DIR_IN: u32 = 0x200;
}

/// `status`: negative error numbers of Linux, whatever the machines are.
mod status {
    pub(super) const ENOENT: i32 = -2;
    pub(super) const ENODEV: i32 = -19;
    pub(super) const EPIPE: i32 = -32;
    pub(super) const ETIME: i32 = -62;
    pub(super) const EPROTO: i32 = -71;
    pub(super) const EOVERFLOW: i32 = -75;
    pub(super) const EILSEQ: i32 = -84;
    pub(super) const ECONNRESET: i32 = -104;
    pub(super) const ESHUTDOWN: i32 = -108;
    pub(super) const ETIMEDOUT: i32 = -110;
    pub(super) const EREMOTEIO: i32 = -121;
}

/// A transfer error as the `status` of a returned transfer.
pub const fn status_of(error: TransferError) -> i32 {
    match error {
        TransferError::Stall => status::EPIPE,
        TransferError::Fault => status::EPROTO,
        TransferError::Overflow => status::EOVERFLOW,
        TransferError::Unplugged => status::ESHUTDOWN,
        TransferError::Cancelled => status::ECONNRESET,
        TransferError::TimedOut => status::ETIMEDOUT,
        TransferError::Refused(number) if number > 0 => -number,
        TransferError::Refused(_) => status::EPROTO,
    }
}

/// A returned transfer's `status` as a result. A short transfer is none of our errors.
///
/// # Errors
/// The transfer failed.
pub const fn result_of(status: i32) -> Result<(), TransferError> {
    match status {
        0 | status::EREMOTEIO => Ok(()),
        status::EPIPE => Err(TransferError::Stall),
        status::EPROTO | status::EILSEQ | status::ETIME => Err(TransferError::Fault),
        status::EOVERFLOW => Err(TransferError::Overflow),
        status::ENODEV | status::ESHUTDOWN => Err(TransferError::Unplugged),
        status::ENOENT | status::ECONNRESET => Err(TransferError::Cancelled),
        status::ETIMEDOUT => Err(TransferError::TimedOut),
        // A positive status means nothing; the most negative number has no positive one.
        other if other < 0 && other != i32::MIN => Err(TransferError::Refused(-other)),
        _ => Err(TransferError::Fault),
    }
}

/// USBIP_CMD_SUBMIT: a transfer for the device. For OUT its data follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submit {
    /// Names the transfer until it is returned; never 0, and used once.
    pub seqnum: u32,
    /// The number that the import answered with: busnum << 16 | devnum.
    pub devid: u32,
    /// Which way the data goes.
    pub direction: Direction,
    /// The endpoint's number, 0 to 15.
    pub endpoint: u8,
    /// See [`flags`].
    pub flags: u32,
    /// transfer_buffer_length: bytes that follow (OUT) or are asked for (IN); at most [`MOST_DATA`].
    pub length: u32,
    /// The endpoint's interval; only periodic transfers have one.
    pub interval: u32,
    /// For endpoint 0; zeros otherwise.
    pub setup: SetupPacket,
}

impl Submit {
    /// bEndpointAddress.
    pub const fn address(&self) -> u8 {
        self.endpoint | self.direction.bit()
    }

    /// Bytes of data that follow the header.
    pub const fn data_length(&self) -> usize {
        match self.direction {
            Direction::Out => self.length as usize,
            Direction::In => 0,
        }
    }

    /// As it goes over the wire.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = header(command::CMD_SUBMIT, self.seqnum, self.devid);
        put_u32(&mut bytes, 12, u32::from(self.direction == Direction::In));
        put_u32(&mut bytes, 16, self.endpoint.into());
        put_u32(&mut bytes, 20, self.flags);
        put_u32(&mut bytes, 24, self.length);
        // start_frame (28) and number_of_packets (32) are for isochronous transfers.
        put_u32(&mut bytes, 36, self.interval);
        bytes[40..].copy_from_slice(&self.setup.to_bytes());
        bytes
    }
}

/// What the client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// USBIP_CMD_SUBMIT.
    Submit(Submit),
    /// USBIP_CMD_UNLINK: end a transfer early.
    Unlink {
        /// Names this message for its answer.
        seqnum: u32,
        /// As in [`Submit::devid`].
        devid: u32,
        /// The transfer that is to end.
        victim: u32,
    },
}

impl Command {
    /// Reads a header.
    ///
    /// # Errors
    /// A field is out of its range, or the transfer is isochronous.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, BadMessage> {
        let (seqnum, devid) = (u32_at(bytes, 4), u32_at(bytes, 8));
        if seqnum == 0 {
            return Err(BadMessage::new("seqnum", "is 0, which names nothing"));
        }
        match u32_at(bytes, 0) {
            command::CMD_SUBMIT => {
                let direction = direction(bytes)?;
                let endpoint = match u32_at(bytes, 16) {
                    number @ 0..=15 => number as u8,
                    number => return Err(BadMessage::new("ep", format!("is {number}; 0 to 15 exist"))),
                };
                let packets = u32_at(bytes, 32);
                if packets != 0 && packets != u32::MAX {
                    let reason = format!("is {packets}; isochronous transfers are not supported");
                    return Err(BadMessage::new("number_of_packets", reason));
                }
                Ok(Self::Submit(Submit {
                    seqnum,
                    devid,
                    direction,
                    endpoint,
                    flags: u32_at(bytes, 20),
                    length: length(bytes, "transfer_buffer_length")?,
                    interval: u32_at(bytes, 36),
                    setup: SetupPacket::from_bytes([
                        bytes[40], bytes[41], bytes[42], bytes[43], bytes[44], bytes[45], bytes[46],
                        bytes[47],
                    ]),
                }))
            }
            command::CMD_UNLINK => Ok(Self::Unlink { seqnum, devid, victim: u32_at(bytes, 20) }),
            other => Err(unknown(other)),
        }
    }

    /// As it goes over the wire.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        match self {
            Self::Submit(submit) => submit.to_bytes(),
            Self::Unlink { seqnum, devid, victim } => {
                let mut bytes = header(command::CMD_UNLINK, *seqnum, *devid);
                put_u32(&mut bytes, 20, *victim);
                bytes
            }
        }
    }
}

/// USBIP_RET_SUBMIT: the end of a transfer. For IN its data follows; which transfer is IN, only who submitted it knows: servers leave
/// the direction out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    /// The transfer.
    pub seqnum: u32,
    /// See [`result_of`].
    pub status: i32,
    /// Bytes that moved; at most [`MOST_DATA`].
    pub actual_length: u32,
}

/// What the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// USBIP_RET_SUBMIT.
    Returned(Returned),
    /// USBIP_RET_UNLINK: the answer to an unlink. If the transfer had not ended it never will be returned, and `status` is -ECONNRESET;
    /// 0 means that it was returned before.
    Unlinked {
        /// Of the unlink, not of its victim.
        seqnum: u32,
        /// Whether it came in time.
        status: i32,
    },
}

impl Reply {
    /// The status of an unlink that came in time.
    pub const UNLINKED: i32 = status::ECONNRESET;

    /// Reads a header.
    ///
    /// # Errors
    /// A field is out of its range.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, BadMessage> {
        let (seqnum, status) = (u32_at(bytes, 4), u32_at(bytes, 20).cast_signed());
        match u32_at(bytes, 0) {
            command::RET_SUBMIT => Ok(Self::Returned(Returned {
                seqnum,
                status,
                actual_length: length(bytes, "actual_length")?,
            })),
            command::RET_UNLINK => Ok(Self::Unlinked { seqnum, status }),
            other => Err(unknown(other)),
        }
    }

    /// As it goes over the wire.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let (command, seqnum, status) = match *self {
            Self::Returned(Returned { seqnum, status, .. }) => (command::RET_SUBMIT, seqnum, status),
            Self::Unlinked { seqnum, status } => (command::RET_UNLINK, seqnum, status),
        };
        let mut bytes = header(command, seqnum, 0);
        put_u32(&mut bytes, 20, status.cast_unsigned());
        if let Self::Returned(returned) = self {
            put_u32(&mut bytes, 24, returned.actual_length);
        }
        bytes
    }
}

fn header(command: u32, seqnum: u32, devid: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    put_u32(&mut bytes, 0, command);
    put_u32(&mut bytes, 4, seqnum);
    put_u32(&mut bytes, 8, devid);
    bytes
}

fn direction(bytes: &[u8; HEADER]) -> Result<Direction, BadMessage> {
    match u32_at(bytes, 12) {
        0 => Ok(Direction::Out),
        1 => Ok(Direction::In),
        other => Err(BadMessage::new("direction", format!("is {other}; it is 0 or 1"))),
    }
}

fn length(bytes: &[u8; HEADER], field: &'static str) -> Result<u32, BadMessage> {
    match u32_at(bytes, 24) {
        length if length <= MOST_DATA => Ok(length),
        length => Err(BadMessage::new(field, format!("is {length}; at most {MOST_DATA} bytes are taken"))),
    }
}

fn unknown(command: u32) -> BadMessage {
    BadMessage::new("command", format!("is {command:#x}, which is not one of this direction"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_submit_has_the_layout_of_the_protocols_description() {
        let submit = Submit {
            seqnum: 0x0d05,
            devid: 0x0001_000f,
            direction: Direction::In,
            endpoint: 0,
            flags: flags::DIR_IN,
            length: 64,
            interval: 4,
            setup: SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 0x40, 0]),
        };
        let words = [1, 0x0d05, 0x0001_000f, 1, 0, 0x200, 64, 0, 0, 4, 0x8006_0001, 0x0000_4000_u32];
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        assert_eq!(submit.to_bytes()[..], bytes);
        assert_eq!((submit.address(), submit.data_length()), (0x80, 0));
    }

    #[test]
    fn what_is_out_of_range_names_its_field() {
        let with = |words: [u32; 12]| {
            let mut bytes = [0; HEADER];
            for (at, word) in words.into_iter().enumerate() {
                put_u32(&mut bytes, at * 4, word);
            }
            bytes
        };
        let command = |words| Command::parse(&with(words)).unwrap_err().field;
        assert_eq!(command([3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "command");
        assert_eq!(command([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "seqnum");
        assert_eq!(command([1, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]), "direction");
        assert_eq!(command([1, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]), "ep");
        assert_eq!(command([1, 1, 0, 0, 1, 0, u32::MAX, 0, 0, 0, 0, 0]), "transfer_buffer_length");
        assert_eq!(command([1, 1, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0]), "number_of_packets");
        let reply = |words| Reply::parse(&with(words)).unwrap_err().field;
        assert_eq!(reply([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "command");
        assert_eq!(reply([3, 1, 0, 0, 0, 0, MOST_DATA + 1, 0, 0, 0, 0, 0]), "actual_length");
    }

    #[test]
    fn statuses_come_back_as_what_they_were() {
        use TransferError as E;
        for error in
            [E::Stall, E::Fault, E::Overflow, E::Unplugged, E::Cancelled, E::TimedOut, E::Refused(12)]
        {
            assert_eq!(result_of(status_of(error)), Err(error));
        }
        assert_eq!(result_of(0), Ok(()));
        for nonsense in [1, i32::MAX, i32::MIN] {
            assert_eq!(result_of(nonsense), Err(E::Fault));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(words: [u32; 12], first in 0..6u32, small: bool) {
            let mut bytes = [0; HEADER];
            for (at, word) in words.into_iter().enumerate() {
                put_u32(&mut bytes, at * 4, if small && at != 5 { word % 20 } else { word });
            }
            put_u32(&mut bytes, 0, first);
            if let Ok(command) = Command::parse(&bytes) {
                prop_assert_eq!(Command::parse(&command.to_bytes()), Ok(command));
            }
            if let Ok(reply) = Reply::parse(&bytes) {
                prop_assert_eq!(Reply::parse(&reply.to_bytes()), Ok(reply));
            }
        }
    }
}
