//! Merges TCP segments of one flow that follow each other within a batch, so that the host takes them in one piece.
//! It works on frames in their buffers and hands slices to a writer; it knows no interface.
//!
//! Merged is only what the kernel's own receive offload (GRO) would merge, by the same rules: the result, cut again,
//! gives the same frames, so that a bridge or router behind the interface cannot tell either. The checksums of what
//! is merged were verified. The one freedom is GRO's too: identifications of datagrams that must not be fragmented
//! mean nothing (RFC 6864, 4.1), and may all be equal.

use std::io::IoSlice;

use super::FrameBuffer;
use super::checksum::{self, Sum};
use super::frame::{self, Class, TcpFrame, flags};
use super::vnet::{GSO_ECN, NEEDS_CSUM, VNET_HEADER_SIZE, VnetHeader};

/// Segments that are merged at most.
pub const MAX_SEGMENTS: usize = 64;

/// Flows that may be open at the same time; another one closes one of them, which only costs its merging.
const MAX_FLOWS: usize = 8;

/// The kernel takes a smaller segment size for this one.
const MIN_MSS: usize = 8;

/// What one write consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Frames that it was made of.
    pub frames: usize,
    /// Bytes that they had together.
    pub bytes: usize,
}

/// Merges batches of frames.
#[derive(Debug, Default)]
pub struct Coalescer {
    flows: [Flow; MAX_FLOWS],
    /// The flow that has to make room for the next one.
    oldest: usize,
}

/// Segments that belong together, and what the next one has to look like.
#[derive(Debug)]
struct Flow {
    frames: [usize; MAX_SEGMENTS],
    /// 0 means that this place is free.
    count: usize,
    tcp: TcpFrame,
    mss: usize,
    /// Bytes from the IP header to the end of the last segment.
    len: usize,
    next_sequence: u32,
    /// What is added to the IPv4 identification from segment to segment; known from the second one on.
    id_step: u16,
    first_is_intact: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            frames: [0; MAX_SEGMENTS],
            count: 0,
            tcp: TcpFrame { l3: 0, l4: 0, payload: 0, v6: false },
            mss: 0,
            len: 0,
            next_sequence: 0,
            id_step: 0,
            first_is_intact: false,
        }
    }
}

/// Whether a segment was added to a flow.
enum Merge {
    Added,
    /// Added, and nothing may follow.
    Last,
    /// It does not continue the flow.
    Not,
    /// Its checksum is wrong: nobody may merge it with anything.
    Broken,
}

impl Coalescer {
    /// Merges what can be merged of `frames` and calls `write` for each result with its slices, the
    /// [`VnetHeader`] first. Every frame is written once; the order within a flow is
    /// kept. Headers of merged frames are changed.
    pub fn run<B: FrameBuffer>(&mut self, frames: &mut [B], mut write: impl FnMut(&[IoSlice<'_>], Group)) {
        for at in 0..frames.len() {
            match frame::classify(frames[at].frame()) {
                Class::Other => write_single(frames[at].frame(), &mut write),
                Class::Barrier => {
                    self.flush(frames, &mut write);
                    write_single(frames[at].frame(), &mut write);
                }
                Class::Tcp(tcp) => self.segment(frames, at, tcp, &mut write),
            }
        }
        self.flush(frames, &mut write);
    }

    fn flush<B: FrameBuffer>(&mut self, frames: &mut [B], write: &mut impl FnMut(&[IoSlice<'_>], Group)) {
        for flow in &mut self.flows {
            flow.close(frames, write);
        }
    }

    fn segment<B: FrameBuffer>(
        &mut self,
        frames: &mut [B],
        at: usize,
        tcp: TcpFrame,
        write: &mut impl FnMut(&[IoSlice<'_>], Group),
    ) {
        if let Some(flow) = self.flows.iter_mut().find(|flow| flow.is_same(frames, at, &tcp)) {
            match flow.merge(frames, at, &tcp) {
                Merge::Added => return,
                Merge::Last => return flow.close(frames, write),
                Merge::Not => flow.close(frames, write),
                Merge::Broken => {
                    flow.close(frames, write);
                    return write_single(frames[at].frame(), write);
                }
            }
        }
        let frame = frames[at].frame();
        let mss = frame.len() - tcp.payload;
        let tcp_flags = frame[tcp.l4 + 13];
        // What asks to be delivered at once, and what opens or ends a connection, begins nothing.
        if mss < MIN_MSS || tcp_flags & (flags::FIN | flags::SYN | flags::RST | flags::PSH | flags::URG) != 0
        {
            return write_single(frame, write);
        }
        let place = match self.flows.iter().position(|flow| flow.count == 0) {
            Some(place) => place,
            None => {
                let place = self.oldest;
                self.oldest = (place + 1) % MAX_FLOWS;
                self.flows[place].close(frames, write);
                place
            }
        };
        let frame = frames[at].frame();
        let flow = &mut self.flows[place];
        flow.frames[0] = at;
        flow.count = 1;
        flow.tcp = tcp;
        flow.mss = mss;
        flow.len = frame.len() - tcp.l3;
        flow.next_sequence = sequence(frame, &tcp).wrapping_add(mss as u32);
        flow.first_is_intact = false;
    }
}

fn sequence(frame: &[u8], tcp: &TcpFrame) -> u32 {
    let at = tcp.l4 + 4;
    u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

fn id(frame: &[u8], l3: usize) -> u16 {
    u16::from_be_bytes([frame[l3 + 4], frame[l3 + 5]])
}

/// Calls `write` for each frame, as [`Coalescer::run`] does when there is nothing to merge.
pub fn singly<B: FrameBuffer>(frames: &[B], mut write: impl FnMut(&[IoSlice<'_>], Group)) {
    for frame in frames {
        write_single(frame.frame(), &mut write);
    }
}

fn write_single(frame: &[u8], write: &mut impl FnMut(&[IoSlice<'_>], Group)) {
    // Without flags: the kernel verifies the checksum itself, if it comes to that.
    let group = Group { frames: 1, bytes: frame.len() };
    write(&[IoSlice::new(&[0; VNET_HEADER_SIZE]), IoSlice::new(frame)], group);
}

impl Flow {
    /// Whether a segment is of this flow: everything up to the network header, the addresses and the ports agree.
    #[inline]
    fn is_same<B: FrameBuffer>(&self, frames: &[B], at: usize, tcp: &TcpFrame) -> bool {
        if self.count == 0 || self.tcp.l4 != tcp.l4 || self.tcp.l3 != tcp.l3 || self.tcp.v6 != tcp.v6 {
            return false;
        }
        let (a, b) = (frames[self.frames[0]].frame(), frames[at].frame());
        let (l3, l4) = (tcp.l3, tcp.l4);
        let addresses = if tcp.v6 { l3 + 8..l3 + 40 } else { l3 + 12..l3 + 20 };
        a[l4..l4 + 4] == b[l4..l4 + 4] && a[addresses.clone()] == b[addresses] && a[..l3] == b[..l3]
    }

    fn merge<B: FrameBuffer>(&mut self, frames: &[B], at: usize, tcp: &TcpFrame) -> Merge {
        let (a, b) = (frames[self.frames[0]].frame(), frames[at].frame());
        let len = b.len() - tcp.payload;
        if len == 0
            || len > self.mss
            || sequence(b, tcp) != self.next_sequence
            || self.len + len > 0xffff
            || self.count == MAX_SEGMENTS
            || self.tcp.payload != tcp.payload
            || !same_headers(a, b, tcp)
        {
            return Merge::Not;
        }
        let mut id_step = 0;
        if !tcp.v6 {
            let distance = id(b, tcp.l3).wrapping_sub(id(a, tcp.l3));
            let atomic = b[tcp.l3 + 6] & 0x40 != 0;
            id_step = if self.count > 1 { self.id_step } else { distance };
            if distance != id_step.wrapping_mul(self.count as u16)
                || !(id_step == 1 || atomic && id_step == 0)
            {
                return Merge::Not;
            }
        }
        if !tcp.is_intact(b) {
            return Merge::Broken;
        }
        if !self.first_is_intact {
            if !tcp.is_intact(a) {
                return Merge::Not;
            }
            self.first_is_intact = true;
        }
        self.id_step = id_step;
        self.frames[self.count] = at;
        self.count += 1;
        self.len += len;
        self.next_sequence = self.next_sequence.wrapping_add(len as u32);
        if len < self.mss || b[tcp.l4 + 13] & (flags::PSH | flags::FIN) != 0 {
            Merge::Last
        } else {
            Merge::Added
        }
    }

    /// Writes what is merged so far and frees the place.
    fn close<B: FrameBuffer>(&mut self, frames: &mut [B], write: &mut impl FnMut(&[IoSlice<'_>], Group)) {
        let count = std::mem::take(&mut self.count);
        match count {
            0 => return,
            1 => return write_single(frames[self.frames[0]].frame(), write),
            _ => {}
        }
        let chain = &self.frames[..count];
        let TcpFrame { l3, l4, payload, v6 } = self.tcp;
        let last_flags = frames[chain[count - 1]].frame()[l4 + 13] & (flags::PSH | flags::FIN);

        let first = frames[chain[0]].frame_mut();
        let length_at = if v6 { l3 + 4 } else { l3 + 2 };
        let length = (if v6 { self.len - 40 } else { self.len }) as u16;
        if !v6 {
            let old = u16::from_be_bytes([first[l3 + 2], first[l3 + 3]]);
            let check = checksum::update([first[l3 + 10], first[l3 + 11]], old, length);
            first[l3 + 10..l3 + 12].copy_from_slice(&check);
        }
        first[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        first[l4 + 13] |= last_flags;
        let pseudo: Sum = self.tcp.pseudo_header(first, self.len - (l4 - l3));
        first[l4 + 16..l4 + 18].copy_from_slice(&pseudo.partial());

        let ecn = if first[l4 + 13] & flags::CWR != 0 { GSO_ECN } else { 0 };
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: if v6 { 4 } else { 1 } | ecn,
            hdr_len: payload as u16,
            gso_size: self.mss as u16,
            csum_start: l4 as u16,
            csum_offset: 16,
        }
        .to_bytes();
        let mut slices = [IoSlice::new(&[]); MAX_SEGMENTS + 1];
        slices[0] = IoSlice::new(&header);
        slices[1] = IoSlice::new(frames[chain[0]].frame());
        for (slice, &at) in slices[2..].iter_mut().zip(&chain[1..]) {
            *slice = IoSlice::new(&frames[at].frame()[payload..]);
        }
        let bytes = l3 + self.len + (count - 1) * payload;
        write(&slices[..count + 1], Group { frames: count, bytes });
    }
}

/// Whether all fields of the headers agree that have to: all but lengths, identification, checksums, the sequence
/// number and what may differ in the first or last segment.
#[inline]
fn same_headers(a: &[u8], b: &[u8], tcp: &TcpFrame) -> bool {
    let TcpFrame { l3, l4, payload, v6 } = *tcp;
    let network = if v6 {
        // Version, traffic class and flow label; hop limit.
        a[l3..l3 + 4] == b[l3..l3 + 4] && a[l3 + 7] == b[l3 + 7]
    } else {
        // Type of service; DF; time to live.
        a[l3 + 1] == b[l3 + 1] && a[l3 + 6..l3 + 9] == b[l3 + 6..l3 + 9]
    };
    let differ = a[l4 + 13] ^ b[l4 + 13];
    network
        && differ & !(flags::CWR | flags::FIN | flags::PSH) == 0
        && b[l4 + 13] & flags::CWR == 0
        // Acknowledgement, header length; window; urgent pointer and options.
        && a[l4 + 8..l4 + 13] == b[l4 + 8..l4 + 13]
        && a[l4 + 14..l4 + 16] == b[l4 + 14..l4 + 16]
        && a[l4 + 18..payload] == b[l4 + 18..payload]
}
