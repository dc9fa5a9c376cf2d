//! Memory mappings cut into transfer buffers. It knows `mmap` and pointers and must not know USB.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// A mapping that lives as long as any of its pieces.
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is plain memory that belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: `&Mapping` gives no access to the memory; pieces do, and they never overlap.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of what `fd` offers at offset 0: for usbfs, memory that transfers use without copying.
    ///
    /// # Errors
    /// The kernel's: usually `ENOMEM` (its limit `usbfs_memory_mb` is reached) or `EINVAL`.
    pub fn of_device(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe {
            mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)?
        };
        Self::new(start.cast(), len)
    }

    /// Maps zeroed memory of no file.
    ///
    /// # Errors
    /// The kernel's, usually `ENOMEM`.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        // SAFETY: as above.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?
        };
        Self::new(start.cast(), len)
    }

    fn new(start: *mut u8, len: usize) -> io::Result<Self> {
        let start = NonNull::new(start).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, len })
    }

    /// Cuts the whole mapping into pieces of `size` bytes; a rest that is smaller is left unused.
    pub fn pieces(self, size: usize) -> Vec<MappedSlice> {
        let count = self.len.checked_div(size).unwrap_or(0);
        let mapping = Arc::new(self);
        (0..count)
            .map(|n| {
                // SAFETY: `n * size + size <= len`, so the piece lies inside the mapping.
                let start = unsafe { mapping.start.add(n * size) };
                MappedSlice { start, len: size, _mapping: mapping.clone() }
            })
            .collect()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by us, and no piece is left that could point into it: each holds the mapping.
        // A failure would mean that the range is not ours; there is nothing to do about it here.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A piece of a mapping, owned by whoever holds it. While a transfer is in flight the transport holds it, so no slice
/// exists when the kernel writes.
pub struct MappedSlice {
    start: NonNull<u8>,
    len: usize,
    _mapping: Arc<Mapping>,
}

// SAFETY: the piece owns its range of plain memory alone.
unsafe impl Send for MappedSlice {}
// SAFETY: `&MappedSlice` only reads.
unsafe impl Sync for MappedSlice {}

impl MappedSlice {
    /// The piece without what is beyond `len` bytes, which stays unused.
    #[must_use]
    pub fn shortened(mut self, len: usize) -> Self {
        self.len = self.len.min(len);
        self
    }

    /// The memory.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: inside a live mapping, initialised by the kernel (zeroed), and no other piece covers it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The memory, to write into.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for MappedSlice {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}
