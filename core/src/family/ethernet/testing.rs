//! What tests, fuzz targets and benchmarks of this family share: a buffer on the heap, frames with every header
//! right, and the properties that must hold for any bytes. No product code uses it.

use std::io::IoSliceMut;

use rustix::io::Errno;

use super::checksum::Sum;
use super::coalesce::Coalescer;
use super::frame::{self, Class};
use super::scatter::Scatter;
use super::vnet::{NEEDS_CSUM, VNET_HEADER_SIZE, VnetHeader};
use super::{Counters, FrameBuffer, Transmit};

/// A frame on the heap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VecBuffer {
    space: Vec<u8>,
    len: usize,
}

impl VecBuffer {
    /// An empty buffer of this capacity.
    pub fn new(capacity: usize) -> Self {
        Self { space: vec![0; capacity], len: 0 }
    }
}

impl From<Vec<u8>> for VecBuffer {
    fn from(frame: Vec<u8>) -> Self {
        Self { len: frame.len(), space: frame }
    }
}

impl FrameBuffer for VecBuffer {
    fn frame(&self) -> &[u8] {
        &self.space[..self.len]
    }

    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.space[..self.len]
    }

    fn space(&mut self) -> &mut [u8] {
        &mut self.space
    }

    fn set_len(&mut self, len: usize) {
        assert!(len <= self.space.len());
        self.len = len;
    }
}

/// The network layer of a test frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A TCP connection whose segments a test wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpTemplate {
    /// VLAN tags, 0 to 2.
    pub tags: usize,
    /// IPv4 or IPv6.
    pub family: Family,
    /// Bytes of TCP options, a multiple of 4.
    pub options: usize,
    /// Sequence number of the connection's first byte.
    pub sequence: u32,
    /// Source port; another one is another flow.
    pub port: u16,
    /// TCP flags.
    pub flags: u8,
    /// IPv4 identification.
    pub id: u16,
    /// IPv4 DF.
    pub atomic: bool,
}

impl Default for TcpTemplate {
    fn default() -> Self {
        Self {
            tags: 0,
            family: Family::V4,
            options: 0,
            sequence: 0xffff_f000,
            port: 40000,
            flags: 0x10,
            id: 0xfffe,
            atomic: true,
        }
    }
}

impl TcpTemplate {
    /// Where the network header begins.
    pub fn l3(&self) -> usize {
        14 + 4 * self.tags
    }

    /// Where the TCP header begins.
    pub fn l4(&self) -> usize {
        self.l3() + if self.family == Family::V4 { 20 } else { 40 }
    }

    /// Bytes of all headers.
    pub fn header_len(&self) -> usize {
        self.l4() + 20 + self.options
    }

    /// The frame with this payload, `offset` bytes after the connection's first byte, complete.
    pub fn frame(&self, offset: u32, payload: &[u8]) -> Vec<u8> {
        let (mut frame, pseudo) = self.headers(offset, payload);
        let l4 = self.l4();
        let check = pseudo.and(Sum::of(&frame[l4..])).checksum();
        frame[l4 + 16..l4 + 18].copy_from_slice(&check);
        frame
    }

    /// A superframe with this payload as a host hands it over, to be cut into segments of `mss` bytes.
    pub fn superframe(&self, payload: &[u8], mss: u16) -> (VnetHeader, Vec<u8>) {
        let (mut frame, pseudo) = self.headers(0, payload);
        let l4 = self.l4();
        frame[l4 + 16..l4 + 18].copy_from_slice(&pseudo.partial());
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: if self.family == Family::V4 { 1 } else { 4 } | self.flags & 0x80,
            hdr_len: self.header_len() as u16,
            gso_size: mss,
            csum_start: l4 as u16,
            csum_offset: 16,
        };
        (header, frame)
    }

    fn headers(&self, offset: u32, payload: &[u8]) -> (Vec<u8>, Sum) {
        let mut frame = vec![0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x52, 0x54, 0, 0x65, 0x43, 0x21];
        for tag in 0..self.tags {
            frame.extend(if tag + 1 == self.tags { [0x81, 0, 0, 5] } else { [0x88, 0xa8, 0, 9] });
        }
        let tcp_len = (20 + self.options + payload.len()) as u16;
        let l3 = self.l3();
        match self.family {
            Family::V4 => {
                frame.extend([0x08, 0x00, 0x45, 0x02]);
                frame.extend((tcp_len + 20).to_be_bytes());
                frame.extend(self.id.to_be_bytes());
                frame.extend([if self.atomic { 0x40 } else { 0 }, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
                let check = Sum::of(&frame[l3..l3 + 20]).checksum();
                frame[l3 + 10..l3 + 12].copy_from_slice(&check);
            }
            Family::V6 => {
                frame.extend([0x86, 0xdd, 0x60, 0x21, 0x23, 0x45]);
                frame.extend(tcp_len.to_be_bytes());
                frame.extend([6, 64]);
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
            }
        }
        let addresses = match self.family {
            Family::V4 => &frame[l3 + 12..l3 + 20],
            Family::V6 => &frame[l3 + 8..l3 + 40],
        };
        let pseudo = Sum::of(addresses).word(6).word(tcp_len);
        frame.extend(self.port.to_be_bytes());
        frame.extend(5201_u16.to_be_bytes());
        frame.extend(self.sequence.wrapping_add(offset).to_be_bytes());
        frame.extend([1, 2, 3, 4, ((5 + self.options / 4) << 4) as u8, self.flags, 0x20, 0, 0, 0, 0, 0]);
        frame.extend((0..self.options).map(|at| if at < 2 { 1 } else { at as u8 }));
        frame.extend(payload);
        (frame, pseudo)
    }
}

/// Puts one superframe or frame through a [`Scatter`] that has seen `before` already and gets `step` buffers at a
/// time, and gives the frames that come out.
pub fn cut(
    scatter: &mut Scatter,
    header: &VnetHeader,
    frame: &[u8],
    step: usize,
    capacity: usize,
) -> Vec<Vec<u8>> {
    let mut wire = header.to_bytes().to_vec();
    wire.extend(frame);
    let mut left = Some(wire);
    let mut counters = Counters::default();
    let mut frames = Vec::new();
    loop {
        let mut free: Vec<_> = (0..step.max(1)).map(|_| VecBuffer::new(capacity)).collect();
        let mut ready = Vec::with_capacity(free.len());
        let read = |slices: &mut [IoSliceMut<'_>]| read_into(slices, left.take().as_deref());
        let end = scatter.transmit(&mut free, &mut ready, &mut counters, read);
        frames.extend(ready.iter().map(|buffer| buffer.frame().to_vec()));
        if end != Ok(Transmit::NoBuffers) {
            return frames;
        }
    }
}

/// What reading from a TAP does: one frame over all slices, the rest lost.
pub fn read_into(slices: &mut [IoSliceMut<'_>], frame: Option<&[u8]>) -> Result<usize, Errno> {
    let mut rest = frame.ok_or(Errno::AGAIN)?;
    let whole = rest.len();
    for slice in slices {
        let (now, later) = rest.split_at(slice.len().min(rest.len()));
        slice[..now.len()].copy_from_slice(now);
        rest = later;
    }
    Ok(whole - rest.len())
}

/// Merges a batch and gives what would be written: header and frame of each.
pub fn merge(frames: &[Vec<u8>]) -> Vec<(VnetHeader, Vec<u8>)> {
    let mut buffers: Vec<VecBuffer> = frames.iter().cloned().map(VecBuffer::from).collect();
    let mut written = Vec::new();
    Coalescer::default().run(&mut buffers, |slices, _| {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let (header, frame) = bytes.split_first_chunk::<VNET_HEADER_SIZE>().expect("a header comes first");
        written.push((VnetHeader::from_bytes(*header), frame.to_vec()));
    });
    written
}

/// Body of a fuzz target: the first bytes are a header, the rest a frame that the host sends. Nothing may panic, and
/// what comes out fits its buffer.
pub fn fuzz_segment(data: &[u8]) {
    let Some((header, frame)) = data.split_first_chunk::<VNET_HEADER_SIZE>() else { return };
    let header = VnetHeader::from_bytes(*header);
    let mut scatter = Scatter::default();
    // A second time, when the first has set the expectation.
    for (step, capacity) in [(3, 1600), (64, 1600), (7, 200)] {
        for frame in cut(&mut scatter, &header, frame, step, capacity) {
            assert!(frame.len() <= capacity);
        }
    }
}

/// Body of a fuzz target: a batch of frames from the device, each behind its length. What is written, cut again, must
/// be the frames that came in, in the order of each flow.
pub fn fuzz_coalesce(data: &[u8]) {
    let mut frames = Vec::new();
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (frame, tail) = tail.split_at(usize::from(u16::from_le_bytes(*length)).min(tail.len()));
        frames.push(frame.to_vec());
        rest = tail;
    }
    assert_lossless(&frames);
}

/// Asserts that merging these frames and cutting the result gives the same frames, in any order.
pub fn assert_lossless(frames: &[Vec<u8>]) {
    let mut out = Vec::new();
    for (header, frame) in merge(frames) {
        if header.gso_type == 0 {
            out.push(frame);
        } else {
            out.extend(cut(&mut Scatter::default(), &header, &frame, 64, 1 << 16));
        }
    }
    let mut expected: Vec<_> = frames.iter().map(|frame| without_atomic_id(frame)).collect();
    let mut out: Vec<_> = out.iter().map(|frame| without_atomic_id(frame)).collect();
    expected.sort();
    out.sort();
    assert_eq!(expected, out);
}

/// The identification of an IPv4 datagram that must not be fragmented means nothing and may change (RFC 6864, 4.1);
/// a checksum of 0 and of 0xffff are the same.
fn without_atomic_id(frame: &[u8]) -> Vec<u8> {
    let class = frame::classify(frame);
    let mut frame = frame.to_vec();
    if let Some((l3, frame::IPV4)) = frame::network(&frame)
        && let Some(header) = frame.get_mut(l3..l3 + 20)
    {
        if header[6] & 0x40 != 0 {
            header[4..6].fill(0);
            header[10..12].fill(0);
        }
        zero(&mut header[10..12]);
    }
    if let Class::Tcp(tcp) = class {
        zero(&mut frame[tcp.l4 + 16..tcp.l4 + 18]);
    }
    frame
}

fn zero(check: &mut [u8]) {
    if check == [0xff, 0xff] {
        check.fill(0);
    }
}
