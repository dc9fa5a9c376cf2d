//! Buffers that a pipe can transfer. A buffer moves into the pipe while it is in flight and comes back with every
//! outcome, so nobody can touch memory that the device is writing. It must not know pipes or transports.
//!
//! DriverKit's `IOBufferMemoryDescriptor`. The direction is part of the type; the memory is either ordinary heap memory
//! or a piece of a mapping that the kernel transfers from and to without copying (usbfs).

pub mod sys;

use std::fmt;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};

use crate::family::ethernet::FrameBuffer;
use crate::usb::{Direction, In, Out, PipeDirection};
use sys::MappedSlice;

/// Memory of either origin, before it has a direction. Transports deal in these.
pub struct RawBuffer {
    memory: Memory,
    len: usize,
    mark: u64,
}

enum Memory {
    /// Filled in up to its length, which is the buffer's capacity.
    Heap(BytesMut),
    Mapped(MappedSlice),
}

impl RawBuffer {
    /// A zeroed buffer on the heap; empty, with room for `capacity` bytes.
    pub fn heap(capacity: usize) -> Self {
        Self { memory: Memory::Heap(BytesMut::zeroed(capacity)), len: 0, mark: 0 }
    }

    /// Part of a transport's mapping; empty.
    pub fn mapped(slice: MappedSlice) -> Self {
        Self { memory: Memory::Mapped(slice), len: 0, mark: 0 }
    }

    /// All of the memory, whatever of it is in use.
    pub fn space(&self) -> &[u8] {
        match &self.memory {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(slice) => slice.as_slice(),
        }
    }

    /// All of the memory, to write into.
    pub fn space_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(slice) => slice.as_mut_slice(),
        }
    }

    /// Bytes in use.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No byte is in use.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.space().len()
    }

    /// Sets how many bytes are in use; at most the capacity.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.capacity());
    }
}

impl fmt::Debug for RawBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.memory {
            Memory::Heap(_) => "heap",
            Memory::Mapped(_) => "mapped",
        };
        write!(f, "RawBuffer({origin}, {} of {})", self.len, self.capacity())
    }
}

/// A buffer for transfers in direction `D`: [`Out`] carries its length's bytes to the device, [`In`] offers its
/// capacity to the device and comes back with the length that arrived.
pub struct BufferDescriptor<D: PipeDirection> {
    raw: RawBuffer,
    direction: PhantomData<D>,
}

impl<D: PipeDirection> BufferDescriptor<D> {
    /// A buffer on the heap, which every transport takes; [`Pipe::buffer`](crate::usb::Pipe::buffer) gives what the
    /// pipe's transport moves best.
    pub fn heap(capacity: usize) -> Self {
        Self::from_raw(RawBuffer::heap(capacity))
    }

    pub(crate) fn from_raw(raw: RawBuffer) -> Self {
        Self { raw, direction: PhantomData }
    }

    pub(crate) fn into_raw(self) -> RawBuffer {
        self.raw
    }

    /// Bytes in use.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// No byte is in use.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.raw.capacity()
    }

    /// The bytes in use.
    pub fn data(&self) -> &[u8] {
        &self.raw.space()[..self.raw.len()]
    }

    /// The bytes in use, to edit.
    pub fn data_mut(&mut self) -> &mut [u8] {
        let len = self.raw.len();
        &mut self.raw.space_mut()[..len]
    }

    /// The whole capacity, to write into; [`set_len`](Self::set_len) says how much of it counts.
    pub fn space_mut(&mut self) -> &mut [u8] {
        self.raw.space_mut()
    }

    /// Sets how many bytes are in use; at most the capacity.
    pub fn set_len(&mut self, len: usize) {
        self.raw.set_len(len);
    }

    /// The owner's mark; 0 at first.
    pub fn mark(&self) -> u64 {
        self.raw.mark
    }

    /// Marks the buffer with a number that stays with it through transfers, such as its place in a sequence.
    pub fn set_mark(&mut self, mark: u64) {
        self.raw.mark = mark;
    }

    /// The direction that the type names.
    pub const fn direction(&self) -> Direction {
        D::DIRECTION
    }

    /// The bytes in use, without copying where the memory allows it. The capacity goes with them.
    pub fn into_bytes(self) -> Bytes {
        let len = self.raw.len;
        match self.raw.memory {
            Memory::Heap(mut bytes) => {
                bytes.truncate(len);
                bytes.freeze()
            }
            Memory::Mapped(slice) => Bytes::from_owner(slice).slice(..len),
        }
    }
}

impl BufferDescriptor<Out> {
    /// Replaces the contents by `data`; `false`, and nothing done, if it does not fit.
    #[must_use]
    pub fn fill(&mut self, data: &[u8]) -> bool {
        let Some(space) = self.raw.space_mut().get_mut(..data.len()) else { return false };
        space.copy_from_slice(data);
        self.raw.set_len(data.len());
        true
    }
}

impl<D: PipeDirection> From<BytesMut> for BufferDescriptor<D> {
    /// Takes the bytes over without copying: all of them are in use, and they are the capacity.
    fn from(bytes: BytesMut) -> Self {
        let len = bytes.len();
        Self::from_raw(RawBuffer { memory: Memory::Heap(bytes), len, mark: 0 })
    }
}

impl From<Bytes> for BufferDescriptor<Out> {
    /// Takes the bytes over, without copying if nobody else holds them.
    fn from(bytes: Bytes) -> Self {
        BytesMut::from(bytes).into()
    }
}

impl From<&[u8]> for BufferDescriptor<Out> {
    fn from(bytes: &[u8]) -> Self {
        BytesMut::from(bytes).into()
    }
}

impl BufferDescriptor<In> {
    /// A heap buffer whose contents are `data`, as a transfer would leave it. For tests.
    pub fn received(data: &[u8]) -> Self {
        BytesMut::from(data).into()
    }
}

/// A transfer buffer holds one frame, so a family moves frames straight into and out of it.
impl<D: PipeDirection> FrameBuffer for BufferDescriptor<D> {
    fn frame(&self) -> &[u8] {
        self.data()
    }

    fn frame_mut(&mut self) -> &mut [u8] {
        self.data_mut()
    }

    fn space(&mut self) -> &mut [u8] {
        self.space_mut()
    }

    fn set_len(&mut self, len: usize) {
        self.raw.set_len(len);
    }
}

impl<D: PipeDirection> fmt::Debug for BufferDescriptor<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferDescriptor<{:?}>({:?})", D::DIRECTION, self.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_and_out_without_copying() {
        let bytes = BytesMut::from(&b"frame"[..]);
        let at = bytes.as_ptr();
        let buffer = BufferDescriptor::<Out>::from(bytes);
        assert_eq!((buffer.len(), buffer.capacity(), buffer.mark()), (5, 5, 0));
        let bytes = buffer.into_bytes();
        assert_eq!((&bytes[..], bytes.as_ptr()), (&b"frame"[..], at));
    }

    #[test]
    fn a_length_never_passes_the_capacity() {
        let mut buffer = BufferDescriptor::<In>::heap(8);
        buffer.set_len(9);
        assert_eq!(buffer.len(), 8);
        let mut buffer = BufferDescriptor::<Out>::heap(4);
        assert!(buffer.fill(b"four"));
        assert!(!buffer.fill(b"five5"));
        assert_eq!(buffer.data(), b"four");
    }

    #[test]
    fn a_mapped_buffer_outlives_the_other_pieces_of_its_mapping() {
        let pieces = sys::Mapping::anonymous(4096).unwrap().pieces(1024);
        assert_eq!(pieces.len(), 4);
        let mut last = None;
        for (n, piece) in pieces.into_iter().enumerate() {
            let mut buffer = BufferDescriptor::<Out>::from_raw(RawBuffer::mapped(piece));
            assert!(buffer.fill(&[n as u8; 1024]));
            last = Some(buffer.into_bytes());
        }
        assert_eq!(last.unwrap()[..], [3; 1024]);
    }
}
