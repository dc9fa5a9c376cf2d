//! The shared memory of a data queue: made, sealed, checked and mapped. The only file of the data queue with `unsafe`;
//! it knows where words lie and not what they mean.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::layout::{Field, HEADER_BYTES, MAGIC, MAX_CAPACITY, MIN_CAPACITY, VERSION, WORD};
use super::ring::Memory;
use crate::{Error, ErrorKind, Result};

/// Without these a peer can shorten the file and so have us killed by SIGBUS, or take the seals off again.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// `TMPFS_MAGIC` of linux/magic.h: what a memfd lies on. One of huge pages (hugetlbfs) can run out of them when a page is
/// first touched, which is a SIGBUS as well.
const TMPFS_MAGIC: u64 = 0x0102_1994;

const OPEN: &str = "open the data queue";
const CREATE: &str = "create the data queue";

/// Makes sealed memory for entries of `capacity` bytes, a power of two, and writes the header.
pub(super) fn create(capacity: usize) -> Result<OwnedFd> {
    let os = |errno: Errno| Error::os(CREATE, errno.into());
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know NOEXEC_SEAL; newer ones may insist on it (vm.memfd_noexec).
    let fd = match rustix::fs::memfd_create(c"outboard-data-queue", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(c"outboard-data-queue", flags),
        other => other,
    }
    .map_err(os)?;
    let size = (HEADER_BYTES + capacity) as u64;
    rustix::fs::ftruncate(&fd, size).map_err(os)?;
    // Memory that is not there is an error here and not a signal later.
    rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, size).map_err(os)?;
    rustix::fs::fcntl_add_seals(&fd, SEALS).map_err(os)?;
    let mapping = Mapping::map(fd.as_fd(), capacity).map_err(os)?;
    mapping.field(Field::Version).store(VERSION, Ordering::Relaxed);
    mapping.field(Field::Magic).store(MAGIC, Ordering::Release);
    Ok(fd)
}

/// Checks memory that came from somewhere else, and maps it.
pub(super) fn open(fd: BorrowedFd<'_>) -> Result<Mapping> {
    let os = |errno: Errno| Error::os(OPEN, errno.into());
    let malformed = |field, reason: String| Error::new(ErrorKind::Malformed, OPEN, reason).field(field);

    // Seals first: once they are there, what is read of the size stays true.
    let seals = match rustix::fs::fcntl_get_seals(fd) {
        Err(Errno::INVAL) => return Err(malformed("memory", "is not a memfd".into())),
        other => other.map_err(os)?,
    };
    if !seals.contains(SEALS) {
        return Err(malformed("memory", format!("lacks seals, it has {seals:?} and needs {SEALS:?}")));
    }
    let file_system = rustix::fs::fstatfs(fd).map_err(os)?.f_type as u64;
    if file_system != TMPFS_MAGIC {
        return Err(malformed(
            "memory",
            format!("lies on file system {file_system:#x}, not on plain memory"),
        ));
    }
    let size = rustix::fs::fstat(fd).map_err(os)?.st_size;
    let capacity = usize::try_from(size).ok().and_then(|size| size.checked_sub(HEADER_BYTES)).unwrap_or(0);
    if !capacity.is_power_of_two() || !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
        let reason = format!(
            "has {size} bytes; it needs {HEADER_BYTES} and a power of two from {MIN_CAPACITY} to {MAX_CAPACITY}"
        );
        return Err(malformed("memory", reason));
    }
    let mapping = Mapping::map(fd, capacity).map_err(os)?;
    let magic = mapping.field(Field::Magic).load(Ordering::Acquire);
    if magic != MAGIC {
        return Err(malformed("magic", format!("is {magic:#018x}: this is not a data queue")));
    }
    let version = mapping.field(Field::Version).load(Ordering::Relaxed);
    if version != VERSION {
        return Err(malformed("version", format!("is {version}; this program speaks {VERSION}")));
    }
    Ok(mapping)
}

/// The mapped memory; unmapped on drop.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<AtomicU64>,
    /// Of the entries, in words: a power of two.
    capacity_words: usize,
}

// SAFETY: the mapping belongs to the process and not to a thread, and all access to it is atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared references give out nothing but atomics.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file that is known to have, for ever, a header and `capacity` bytes after it.
    fn map(fd: BorrowedFd<'_>, capacity: usize) -> Result<Self, Errno> {
        // SAFETY: the kernel picks the address, so no mapping of ours is replaced.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                HEADER_BYTES + capacity,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::FAULT)?;
        Ok(Self { base, capacity_words: capacity / WORD })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped, and every reference into it borrows `self`.
        let unmapped = unsafe {
            rustix::mm::munmap(self.base.as_ptr().cast(), HEADER_BYTES + self.capacity_words * WORD)
        };
        debug_assert!(unmapped.is_ok(), "munmap of the data queue: {unmapped:?}");
    }
}

impl Memory for Mapping {
    type Word = AtomicU64;

    fn field(&self, field: Field) -> &AtomicU64 {
        // SAFETY: layout.rs asserts that every field lies in the header, which is mapped, readable and writable as long
        // as `self` lives, page-aligned, and whose file cannot shrink; any bytes are a valid AtomicU64. The other
        // process may write at any time, which is why nothing but atomics is ever made of this memory.
        unsafe { self.base.add(field as usize).as_ref() }
    }

    fn data(&self) -> &[AtomicU64] {
        // SAFETY: as for `field`; `capacity_words` words after the header are mapped, at most MAX_CAPACITY bytes.
        unsafe {
            std::slice::from_raw_parts(self.base.add(HEADER_BYTES / WORD).as_ptr(), self.capacity_words)
        }
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}
