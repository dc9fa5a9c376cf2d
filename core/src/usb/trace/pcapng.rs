//! Blocks of a pcapng file (draft-ietf-opsawg-pcapng), appended to a buffer. It must not know what the packets are, where the bytes go, or
//! what time it is.
//!
//! The crate `pcap-file` was weighed for this: it takes a packet as one slice, so that header and data would be copied together first,
//! serializes each block twice to learn its length, and in its last release (2.0) ignores `if_tsresol`. What is needed here are four blocks.

/// Block types (draft-ietf-opsawg-pcapng, 11.1).
mod block {
    pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
    pub(super) const INTERFACE_STATISTICS: u32 = 5;
    pub(super) const ENHANCED_PACKET: u32 = 6;
}

/// Option codes, each of its block (draft-ietf-opsawg-pcapng, 3.5 and 4).
mod option {
    pub(super) const COMMENT: u16 = 1;
    pub(super) const SHB_HARDWARE: u16 = 2;
    pub(super) const SHB_OS: u16 = 3;
    pub(super) const SHB_USER_APPLICATION: u16 = 4;
    pub(super) const IF_NAME: u16 = 2;
    pub(super) const IF_DESCRIPTION: u16 = 3;
    pub(super) const IF_SPEED: u16 = 8;
    pub(super) const IF_TSRESOL: u16 = 9;
    pub(super) const ISB_START_TIME: u16 = 2;
    pub(super) const ISB_END_TIME: u16 = 3;
    pub(super) const ISB_RECEIVED: u16 = 4;
    pub(super) const ISB_DROPPED: u16 = 5;
}

/// The byte order is the section's own; readers tell it by this (draft-ietf-opsawg-pcapng, 4.1). All is written little-endian.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// if_tsresol: times count units of 10^-9 s.
const NANOSECONDS: u8 = 9;

/// Bytes of text in an option, at most.
const LONGEST_TEXT: usize = 1024;

/// What wrote a file, and where; each may be empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Section<'a> {
    /// The machine, such as `x86_64`.
    pub hardware: &'a str,
    /// The operating system, such as `Linux 6.1.0`.
    pub os: &'a str,
    /// The program.
    pub application: &'a str,
}

/// Where packets come from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interface<'a> {
    /// LINKTYPE_ of tcpdump's registry.
    pub link_type: u16,
    /// Its name on its machine.
    pub name: &'a str,
    /// A few words more; may be empty.
    pub description: &'a str,
    /// Signalling rate, in bits per second.
    pub bits_per_second: u64,
}

/// A packet. Its bytes are `header` and `data`, one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Nanoseconds since 1970, UTC.
    pub time: u64,
    /// What comes first.
    pub header: &'a [u8],
    /// What of the data is kept.
    pub data: &'a [u8],
    /// How long the data was.
    pub data_length: u32,
    /// A remark for the reader; may be empty.
    pub comment: &'a str,
}

/// What an interface counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// When it began, in nanoseconds since 1970, UTC.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Packets that there were.
    pub received: u64,
    /// Packets that are not in the file.
    pub dropped: u64,
}

/// Section Header Block (4.1). Every file begins with one.
pub fn section(out: &mut Vec<u8>, section: &Section<'_>) {
    block(out, block::SECTION_HEADER, |out| {
        out.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0; its length is not known before the end.
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        text(out, option::SHB_HARDWARE, section.hardware);
        text(out, option::SHB_OS, section.os);
        text(out, option::SHB_USER_APPLICATION, section.application);
        end_of_options(out);
    });
}

/// Interface Description Block (4.2): packets of interface 0 follow, with times in nanoseconds.
pub fn interface(out: &mut Vec<u8>, interface: &Interface<'_>) {
    block(out, block::INTERFACE_DESCRIPTION, |out| {
        out.extend_from_slice(&interface.link_type.to_le_bytes());
        // Reserved; then the most that is kept of a packet, of which 0 says nothing.
        out.extend_from_slice(&[0; 6]);
        text(out, option::IF_NAME, interface.name);
        text(out, option::IF_DESCRIPTION, interface.description);
        option(out, option::IF_SPEED, &interface.bits_per_second.to_le_bytes());
        option(out, option::IF_TSRESOL, &[NANOSECONDS]);
        end_of_options(out);
    });
}

/// Enhanced Packet Block (4.3), of interface 0.
pub fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let length = |data: u32| data.saturating_add(packet.header.len() as u32).to_le_bytes();
    let kept = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
    block(out, block::ENHANCED_PACKET, |out| {
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&halves(packet.time));
        out.extend_from_slice(&length(kept));
        out.extend_from_slice(&length(packet.data_length.max(kept)));
        out.extend_from_slice(packet.header);
        out.extend_from_slice(packet.data);
        pad(out, packet.header.len() + packet.data.len());
        if !packet.comment.is_empty() {
            text(out, option::COMMENT, packet.comment);
            end_of_options(out);
        }
    });
}

/// Interface Statistics Block (4.6), of interface 0.
pub fn statistics(out: &mut Vec<u8>, statistics: &Statistics) {
    block(out, block::INTERFACE_STATISTICS, |out| {
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&halves(statistics.end));
        option(out, option::ISB_START_TIME, &halves(statistics.start));
        option(out, option::ISB_END_TIME, &halves(statistics.end));
        option(out, option::ISB_RECEIVED, &statistics.received.to_le_bytes());
        option(out, option::ISB_DROPPED, &statistics.dropped.to_le_bytes());
        end_of_options(out);
    });
}

/// A block's frame: type, length, body, the length again (3.1). The body's parts are all padded to 32 bits.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = ((out.len() - start + 4) as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out[start + 4..start + 8].copy_from_slice(&length);
}

/// A time as these blocks have it: the upper 32 bits, then the lower.
fn halves(time: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&((time >> 32) as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&(time as u32).to_le_bytes());
    bytes
}

/// An option (3.5); `value` is short.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn text(out: &mut Vec<u8>, code: u16, value: &str) {
    if !value.is_empty() {
        option(out, code, &value.as_bytes()[..value.floor_char_boundary(LONGEST_TEXT)]);
    }
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

fn pad(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&[0; 3][..length.next_multiple_of(4) - length]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        // Blocks are appended: what is there stays.
        let mut out = vec![0xee];
        write(&mut out);
        assert_eq!(out.remove(0), 0xee);
        out
    }

    #[test]
    fn a_section_header_to_the_byte() {
        let bytes =
            written(|out| section(out, &Section { hardware: "x86_64", os: "", application: "Outboard" }));
        #[rustfmt::skip]
        let expected = [
            0x0a, 0x0d, 0x0d, 0x0a, 56, 0, 0, 0,
            0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            2, 0, 6, 0, b'x', b'8', b'6', b'_', b'6', b'4', 0, 0,
            4, 0, 8, 0, b'O', b'u', b't', b'b', b'o', b'a', b'r', b'd',
            0, 0, 0, 0,
            56, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn an_interface_description_to_the_byte() {
        let bytes = written(|out| {
            let described =
                Interface { link_type: 220, name: "1-2", description: "d", bits_per_second: 480_000_000 };
            interface(out, &described);
        });
        #[rustfmt::skip]
        let expected = [
            1, 0, 0, 0, 60, 0, 0, 0,
            220, 0, 0, 0, 0, 0, 0, 0,
            2, 0, 3, 0, b'1', b'-', b'2', 0,
            3, 0, 1, 0, b'd', 0, 0, 0,
            8, 0, 8, 0, 0x00, 0x38, 0x9c, 0x1c, 0, 0, 0, 0,
            9, 0, 1, 0, 9, 0, 0, 0,
            0, 0, 0, 0,
            60, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_packet_to_the_byte() {
        let bytes = written(|out| {
            let time = 0x0102_0304_0506_0708;
            packet(out, &Packet { time, header: &[0xaa; 4], data: &[1, 2, 3], data_length: 9, comment: "" });
        });
        #[rustfmt::skip]
        let expected = [
            6, 0, 0, 0, 40, 0, 0, 0,
            0, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5,
            7, 0, 0, 0, 13, 0, 0, 0,
            0xaa, 0xaa, 0xaa, 0xaa, 1, 2, 3, 0,
            40, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_comment_follows_the_bytes() {
        let bytes = written(|out| {
            packet(out, &Packet { time: 1, header: &[0xaa; 4], data: &[], data_length: 0, comment: "why" });
        });
        #[rustfmt::skip]
        let expected = [
            6, 0, 0, 0, 48, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
            4, 0, 0, 0, 4, 0, 0, 0,
            0xaa, 0xaa, 0xaa, 0xaa,
            1, 0, 3, 0, b'w', b'h', b'y', 0,
            0, 0, 0, 0,
            48, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn statistics_to_the_byte() {
        let counted = Statistics { start: 1, end: 2 << 32 | 3, received: 4, dropped: 5 };
        let bytes = written(|out| statistics(out, &counted));
        #[rustfmt::skip]
        let expected = [
            5, 0, 0, 0, 76, 0, 0, 0,
            0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0,
            2, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0,
            3, 0, 8, 0, 2, 0, 0, 0, 3, 0, 0, 0,
            4, 0, 8, 0, 4, 0, 0, 0, 0, 0, 0, 0,
            5, 0, 8, 0, 5, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0,
            76, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ü".repeat(LONGEST_TEXT);
        let long = format!("x{long}");
        let bytes = written(|out| section(out, &Section { hardware: &long, ..Section::default() }));
        assert_eq!(bytes[26..28], 1023u16.to_le_bytes());
        assert_eq!(std::str::from_utf8(&bytes[28..28 + 1023]).map(|text| text.chars().count()), Ok(512));
    }
}
