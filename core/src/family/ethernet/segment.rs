//! Cuts what a host hands over in one piece (VIRTIO 1.2, 5.1.6.2) into frames as they go on a wire, and fills in the
//! checksums that it left open. It works on bytes in place and knows neither buffers nor interfaces.
//!
//! A superframe is one set of headers and up to 64 KiB of payload. Each segment gets the headers, with the lengths,
//! the IPv4 identification, the TCP sequence number and flags and the checksums that the kernel's own segmentation
//! would give it.

use super::checksum::Sum;
use super::frame::{self, MAX_HEADERS, be16, be32, flags};
use super::vnet::{Gso, VnetHeader};

/// Why a frame of the host cannot be sent. The kernel makes none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A kind of segmentation that was never offered.
    #[error("gso_type {0} was not offered")]
    GsoType(u8),
    /// Segmentation without the checksum left open, or without a size.
    #[error("gso_size is 0 or the checksum is not left open")]
    Gso,
    /// The headers are cut short, too long, or contradict each other.
    #[error("the headers are cut short, longer than {MAX_HEADERS} bytes, or contradict each other")]
    Headers,
    /// The checksum's place is outside of the frame.
    #[error("csum_start and csum_offset point outside of the frame")]
    Checksum,
}

/// Computes the checksum that was left open in a single frame, whatever it is of.
pub fn complete_checksum(header: &VnetHeader, frame: &mut [u8]) -> Result<(), Malformed> {
    if !header.needs_checksum() {
        return Ok(());
    }
    let range = frame.get_mut(usize::from(header.csum_start)..).ok_or(Malformed::Checksum)?;
    let sum = Sum::of(range).checksum();
    let at = usize::from(header.csum_offset);
    let field = range.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>).ok_or(Malformed::Checksum)?;
    // 0 would mean "no checksum" to UDP, and both forms of zero are the same sum (RFC 768).
    *field = if sum == [0, 0] { [0xff, 0xff] } else { sum };
    Ok(())
}

/// A superframe's headers, ready to be put before any of its segments.
#[derive(Debug, Clone)]
pub struct Segmenter {
    header: [u8; MAX_HEADERS],
    header_len: usize,
    mss: usize,
    payload_len: usize,
    l3: usize,
    l4: usize,
    v6: bool,
    udp: bool,
    /// Sums of all that stays the same; lengths, identification, sequence number and flags are added per segment.
    ip_sum: Sum,
    l4_sum: Sum,
    id: u16,
    sequence: u32,
    tcp_flags: u8,
}

impl Segmenter {
    /// Checks a superframe of `len` bytes that begins with `head`, which holds at least its headers.
    pub fn new(header: &VnetHeader, head: &[u8], len: usize) -> Result<Self, Malformed> {
        let (v6, udp) = match header.gso() {
            Gso::Tcp4 => (false, false),
            Gso::Tcp6 => (true, false),
            Gso::Udp => (frame::network(head).ok_or(Malformed::Headers)?.1 == frame::IPV6, true),
            Gso::None => return Err(Malformed::Gso),
            Gso::Unknown(kind) => return Err(Malformed::GsoType(kind)),
        };
        if header.gso_size == 0 || !header.needs_checksum() {
            return Err(Malformed::Gso);
        }
        let (l3, ethertype) = frame::network(head).ok_or(Malformed::Headers)?;
        let l4 = usize::from(header.csum_start);
        let minimum = if v6 { 40 } else { 20 };
        let wanted = if v6 { frame::IPV6 } else { frame::IPV4 };
        if ethertype != wanted
            || l4 < l3 + minimum
            || usize::from(header.csum_offset) != if udp { 6 } else { 16 }
        {
            return Err(Malformed::Headers);
        }
        // IPv6 may have extension headers between; for IPv4 the header's own length is known.
        if !v6 && usize::from(*head.get(l3).ok_or(Malformed::Headers)? & 0x0f) * 4 != l4 - l3 {
            return Err(Malformed::Headers);
        }
        let l4_len = match udp {
            true => 8,
            false => usize::from(*head.get(l4 + 12).ok_or(Malformed::Headers)? >> 4) * 4,
        };
        let header_len = l4 + l4_len;
        let fixed = if udp { 8 } else { 20 };
        if l4_len < fixed || header_len > MAX_HEADERS || len < header_len {
            return Err(Malformed::Headers);
        }
        // IPv4 counts its own header, IPv6 does not.
        if len - l3 > 0xffff + if v6 { 40 } else { 0 } {
            return Err(Malformed::Headers);
        }
        let whole = u16::try_from(len - l4).map_err(|_| Malformed::Headers)?;

        let mut this = Self {
            header: [0; MAX_HEADERS],
            header_len,
            mss: usize::from(header.gso_size),
            payload_len: len - header_len,
            l3,
            l4,
            v6,
            udp,
            ip_sum: Sum::default(),
            l4_sum: Sum::default(),
            id: 0,
            sequence: 0,
            tcp_flags: 0,
        };
        let copy = this.header.get_mut(..header_len).ok_or(Malformed::Headers)?;
        copy.copy_from_slice(head.get(..header_len).ok_or(Malformed::Headers)?);
        let field = |at| be16(copy, at).ok_or(Malformed::Headers);
        // The host has put the pseudo header's sum for the whole length into the field. Taking the length out of it
        // is right also where a routing header makes the destination another one than the header says.
        let pseudo = field(l4 + if udp { 6 } else { 16 })?;
        if !v6 {
            this.id = field(l3 + 4)?;
            copy[l3 + 2..l3 + 6].fill(0);
            copy[l3 + 10..l3 + 12].fill(0);
            this.ip_sum = Sum::of(&copy[l3..l4]);
        }
        if udp {
            copy[l4 + 4..l4 + 8].fill(0);
        } else {
            this.sequence = be32(copy, l4 + 4).ok_or(Malformed::Headers)?;
            this.tcp_flags = copy[l4 + 13];
            copy[l4 + 4..l4 + 8].fill(0);
            copy[l4 + 13] = 0;
            copy[l4 + 16..l4 + 18].fill(0);
        }
        this.l4_sum = Sum::of(&copy[l4..]).word(pseudo).without(whole);
        Ok(this)
    }

    /// Bytes of headers before every segment's payload.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Bytes of payload of each segment but the last.
    pub fn mss(&self) -> usize {
        self.mss
    }

    /// How many segments there are; a superframe without payload is one.
    pub fn segments(&self) -> usize {
        self.payload_len.div_ceil(self.mss).max(1)
    }

    /// Where the payload of a segment lies in the superframe.
    pub fn payload(&self, segment: usize) -> std::ops::Range<usize> {
        let start = (segment * self.mss).min(self.payload_len);
        let end = (start + self.mss).min(self.payload_len);
        self.header_len + start..self.header_len + end
    }

    /// Bytes of the frame that this segment becomes.
    pub fn frame_len(&self, segment: usize) -> usize {
        self.header_len + self.payload(segment).len()
    }

    /// Writes the headers of a segment whose payload is already in its place, `frame` being exactly
    /// [`frame_len`](Self::frame_len) long.
    #[inline]
    pub fn finish(&self, segment: usize, frame: &mut [u8]) {
        let (l3, l4) = (self.l3, self.l4);
        let (header, payload) = frame.split_at_mut(self.header_len);
        let l4_len = (self.header_len - l4 + payload.len()) as u16;
        let mut sum = self.l4_sum.and(Sum::of(payload)).word(l4_len);
        header.copy_from_slice(&self.header[..self.header_len]);
        if self.v6 {
            // What extension headers there are count as payload (RFC 8200, 3).
            let length = (self.header_len - l3 - 40 + payload.len()) as u16;
            header[l3 + 4..l3 + 6].copy_from_slice(&length.to_be_bytes());
        } else {
            let length = (self.header_len - l3 + payload.len()) as u16;
            let id = self.id.wrapping_add(segment as u16);
            header[l3 + 2..l3 + 4].copy_from_slice(&length.to_be_bytes());
            header[l3 + 4..l3 + 6].copy_from_slice(&id.to_be_bytes());
            header[l3 + 10..l3 + 12].copy_from_slice(&self.ip_sum.word(length).word(id).checksum());
        }
        if self.udp {
            header[l4 + 4..l4 + 6].copy_from_slice(&l4_len.to_be_bytes());
            sum = sum.word(l4_len);
        } else {
            let sequence = self.sequence.wrapping_add((segment * self.mss) as u32);
            let mut tcp_flags = self.tcp_flags;
            if segment != 0 {
                // RFC 3168, 6.1.2: CWR is said once.
                tcp_flags &= !flags::CWR;
            }
            if segment + 1 != self.segments() {
                tcp_flags &= !(flags::FIN | flags::PSH);
            }
            header[l4 + 4..l4 + 8].copy_from_slice(&sequence.to_be_bytes());
            header[l4 + 13] = tcp_flags;
            sum = sum.long(sequence).word(u16::from(tcp_flags));
        }
        let check = match sum.checksum() {
            // 0 would mean "no checksum" (RFC 768).
            [0, 0] if self.udp => [0xff, 0xff],
            check => check,
        };
        let at = l4 + if self.udp { 6 } else { 16 };
        header[at..at + 2].copy_from_slice(&check);
    }
}
