//! Reads what the host sends straight into the buffers in which it will leave, without copying a byte of payload
//! where that can be helped. It knows how to read from somewhere, not from where.
//!
//! The kernel hands over up to 64 KiB in one read. A stream's superframes all have headers of the same length and
//! the same segment size, so the next one is expected to be cut as the last one was: the read is scattered so that
//! the first buffer gets the headers and the first segment, each further buffer its segment with room for headers
//! before it. What comes after the last buffer goes to a scratch area, at the place that it would have if the whole
//! superframe lay there. If the expectation held, only headers are still to be written. If not, the rest is
//! gathered in the scratch area and cut from there by copying. What finds no buffer stays there until the next call.

use std::array;
use std::io::IoSliceMut;

use rustix::io::Errno;

use super::frame::{self, MAX_HEADERS};
use super::segment::{self, Segmenter};
use super::vnet::{Gso, VNET_HEADER_SIZE, VnetHeader};
use super::{Counters, FrameBuffer, Transmit};

/// More than the longest frame that Linux hands over: 64 KiB and an Ethernet header with tags.
const SCRATCH: usize = (64 + 4) << 10;

/// Buffers of one read. 64 KiB in segments of 1,448 bytes are 46.
const MAX_BUFFERS: usize = 64;

/// Single frames in a row after which no superframe is expected, so that a host that only acknowledges does not pay
/// for long lists of buffers that nothing goes into.
const PATIENCE: usize = 64;

/// Frames that one call drops at most because they do not fit or make no sense, so that a host that sends nothing else does not keep the
/// caller from its other work.
const MAX_DROPPED: u64 = 256;

/// How a superframe is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    header_len: usize,
    mss: usize,
}

/// How a read is scattered: `first` bytes into the first buffer, then `each` into every other behind `offset`.
#[derive(Debug)]
struct Parts {
    first: usize,
    offset: usize,
    each: usize,
    buffers: usize,
}

/// A superframe in the scratch area, of which some segments still have to go.
#[derive(Debug)]
struct Rest {
    segmenter: Segmenter,
    next: usize,
}

/// The state between reads: what the next superframe is expected to look like, and the rest of the last one.
#[derive(Debug)]
pub struct Scatter {
    scratch: Box<[u8]>,
    expected: Option<Shape>,
    /// The shapes of the last two superframes, the last first: two streams may take turns.
    seen: [Option<Shape>; 2],
    /// Single frames since the last superframe.
    singles: usize,
    rest: Option<Rest>,
    saw_membership_report: bool,
}

impl Default for Scatter {
    fn default() -> Self {
        Self {
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            expected: None,
            seen: [None; 2],
            singles: 0,
            rest: None,
            saw_membership_report: false,
        }
    }
}

impl Scatter {
    /// Whether a multicast membership report was among the frames since the last time this was cleared.
    pub fn saw_membership_report(&self) -> bool {
        self.saw_membership_report
    }

    /// Forgets about membership reports.
    pub fn clear_membership_report(&mut self) {
        self.saw_membership_report = false;
    }

    /// As [`super::EthernetInterface::transmit`] describes it. `read` reads one frame with its header, and gives
    /// `EAGAIN` when there is none; any other error ends the call.
    pub fn transmit<B: FrameBuffer>(
        &mut self,
        free: &mut Vec<B>,
        ready: &mut Vec<B>,
        counters: &mut Counters,
        mut read: impl FnMut(&mut [IoSliceMut<'_>]) -> Result<usize, Errno>,
    ) -> Result<Transmit, Errno> {
        let dropped = |counters: &Counters| counters.transmitted_oversize + counters.transmitted_malformed;
        let enough = dropped(counters) + MAX_DROPPED;
        loop {
            self.send_rest(free, ready, counters);
            if free.is_empty() || dropped(counters) >= enough {
                return Ok(Transmit::NoBuffers);
            }
            match self.read_one(free, ready, counters, &mut read) {
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Transmit::Drained),
                Err(error) => return Err(error),
            }
        }
    }

    /// Cuts what is left of the superframe in the scratch area.
    fn send_rest<B: FrameBuffer>(&mut self, free: &mut Vec<B>, ready: &mut Vec<B>, counters: &mut Counters) {
        let Some(Rest { segmenter, next }) = &mut self.rest else { return };
        while *next < segmenter.segments() {
            let Some(mut buffer) = free.pop() else { return };
            let payload = segmenter.payload(*next);
            let len = segmenter.frame_len(*next);
            let Some(frame) = buffer.space().get_mut(..len) else {
                // Only possible when buffers differ in size; then this segment is lost as by a full queue.
                counters.transmitted_oversize += 1;
                free.push(buffer);
                *next += 1;
                continue;
            };
            frame[segmenter.header_len()..].copy_from_slice(&self.scratch[payload]);
            segmenter.finish(*next, frame);
            push(buffer, len, ready, counters);
            *next += 1;
        }
        self.rest = None;
    }

    fn read_one<B: FrameBuffer>(
        &mut self,
        free: &mut Vec<B>,
        ready: &mut Vec<B>,
        counters: &mut Counters,
        read: &mut impl FnMut(&mut [IoSliceMut<'_>]) -> Result<usize, Errno>,
    ) -> Result<(), Errno> {
        let capacity = free.last_mut().map_or(0, |buffer| buffer.space().len());
        // The first part holds all headers, whatever comes.
        let fits = |first: usize| (MAX_HEADERS..=capacity).contains(&first);
        let shape = self.expected.filter(|shape| fits(shape.header_len + shape.mss));
        let parts = match shape {
            Some(Shape { header_len, mss }) => {
                let wanted = SCRATCH.div_ceil(mss).min(MAX_BUFFERS);
                // A smaller buffer than the first ends the list.
                let sizes = free.iter_mut().rev().map(|buffer| buffer.space().len());
                let usable = sizes.take(wanted).take_while(|&size| size >= header_len + mss).count();
                Parts { first: header_len + mss, offset: header_len, each: mss, buffers: usable }
            }
            None => Parts { first: capacity, offset: 0, each: 0, buffers: 1 },
        };
        let Parts { first, offset, each, buffers } = parts;
        let covered = (first + (buffers - 1) * each).min(SCRATCH);

        let mut header = [0; VNET_HEADER_SIZE];
        let got = {
            let mut header = Some(&mut header[..]);
            let mut spaces = free.iter_mut().rev().take(buffers);
            let mut scratch = Some(&mut self.scratch[covered..]);
            let mut slices: [IoSliceMut<'_>; MAX_BUFFERS + 2] = array::from_fn(|at| {
                IoSliceMut::new(match at {
                    0 => header.take().unwrap_or_default(),
                    1 => spaces.next().map_or(&mut [], |buffer| &mut buffer.space()[..first]),
                    _ => match spaces.next() {
                        Some(buffer) => &mut buffer.space()[offset..offset + each],
                        None => scratch.take().unwrap_or_default(),
                    },
                })
            });
            read(&mut slices[..buffers + 2])?
        };
        let Some(len) = got.checked_sub(VNET_HEADER_SIZE).filter(|&len| len <= SCRATCH) else {
            counters.transmitted_malformed += 1;
            return Ok(());
        };
        let header = VnetHeader::from_bytes(header);

        if header.gso() == Gso::None {
            self.singles += 1;
            if self.singles == PATIENCE {
                self.expected = None;
            }
            if len > capacity {
                counters.transmitted_oversize += 1;
                return Ok(());
            }
            if len > first {
                self.gather(free, &parts, len);
            }
            let Some(buffer) = free.last_mut() else { return Ok(()) };
            let frame = &mut buffer.space()[..len];
            if len > first {
                frame.copy_from_slice(&self.scratch[..len]);
            }
            if len < frame::ETHERNET_HEADER || segment::complete_checksum(&header, frame).is_err() {
                counters.transmitted_malformed += 1;
                return Ok(());
            }
            self.saw_membership_report |= frame::is_membership_report(frame);
            if let Some(buffer) = free.pop() {
                push(buffer, len, ready, counters);
            }
            return Ok(());
        }

        let head_end = first.min(len);
        let segmenter =
            match free.last_mut().map(|buffer| Segmenter::new(&header, &buffer.space()[..head_end], len)) {
                Some(Ok(segmenter)) => segmenter,
                _ => {
                    counters.transmitted_malformed += 1;
                    return Ok(());
                }
            };
        let found = Shape { header_len: segmenter.header_len(), mss: segmenter.mss() };
        if found.header_len + found.mss.min(len - found.header_len) > capacity {
            counters.transmitted_oversize += segmenter.segments() as u64;
            return Ok(());
        }
        counters.transmitted_superframes += 1;
        self.expect_after(found);
        self.singles = 0;
        let mut next = 0;
        if shape == Some(found) {
            while next < segmenter.segments().min(buffers) {
                let Some(mut buffer) = free.pop() else { break };
                let len = segmenter.frame_len(next);
                segmenter.finish(next, &mut buffer.space()[..len]);
                push(buffer, len, ready, counters);
                next += 1;
            }
        } else {
            counters.transmitted_copied += 1;
            self.gather(free, &parts, len);
        }
        if next < segmenter.segments() {
            self.rest = Some(Rest { segmenter, next });
        }
        Ok(())
    }

    /// The same again, or, where two take turns, the other one.
    fn expect_after(&mut self, found: Shape) {
        let [last, before] = self.seen;
        self.expected = if before == Some(found) { last } else { Some(found) };
        self.seen = [Some(found), last];
    }

    /// Collects the first `len` bytes of what was read from the buffers into the scratch area, where the part that
    /// overflowed the buffers already lies in its place.
    fn gather<B: FrameBuffer>(&mut self, free: &mut [B], parts: &Parts, len: usize) {
        let mut at = 0;
        for (index, buffer) in free.iter_mut().rev().take(parts.buffers).enumerate() {
            let (offset, part) = if index == 0 { (0, parts.first) } else { (parts.offset, parts.each) };
            let part = part.min(len - at);
            self.scratch[at..at + part].copy_from_slice(&buffer.space()[offset..offset + part]);
            at += part;
        }
    }
}

fn push<B: FrameBuffer>(mut buffer: B, len: usize, ready: &mut Vec<B>, counters: &mut Counters) {
    buffer.set_len(len);
    counters.transmitted_frames += 1;
    counters.transmitted_bytes += len as u64;
    ready.push(buffer);
}
