//! The eventfd by which one end wakes the other. The peer holds the same open file description, and so it can change
//! its count and its flags at any time; nothing here relies on either. It knows nothing of the ring.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags};

use super::error::Corruption;
use crate::{Error, ErrorKind, Result};

/// `ANON_INODE_FS_MAGIC` of linux/magic.h: what an eventfd lies on.
const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;

pub(super) fn create() -> Result<OwnedFd> {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| Error::os("create the data queue's event", errno.into()))
}

/// One event of a data queue.
#[derive(Debug)]
pub(super) struct Event(OwnedFd);

impl Event {
    /// Takes a descriptor that came from somewhere else, if it is an eventfd that does not block. `field` names it.
    pub(super) fn adopt(fd: OwnedFd, field: &'static str) -> Result<Self> {
        const OPERATION: &str = "open the data queue";
        let os = |errno: Errno| Error::os(OPERATION, errno.into()).field(field);
        let malformed = |reason| Error::new(ErrorKind::Malformed, OPERATION, reason).field(field);
        if rustix::fs::fstatfs(&fd).map_err(os)?.f_type as u64 != ANON_INODE_FS_MAGIC {
            return Err(malformed("is not an eventfd"));
        }
        if !rustix::fs::fcntl_getfl(&fd).map_err(os)?.contains(OFlags::NONBLOCK) {
            return Err(malformed("is an eventfd that blocks"));
        }
        // Of the files of this kind only an eventfd takes 8 bytes; 0 leaves its count alone and never blocks.
        match rustix::io::write(&fd, &[0; 8]) {
            Ok(8) => Ok(Self(fd)),
            _ => Err(malformed("is not an eventfd")),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Makes the event readable.
    pub(super) fn signal(&self) -> Result<(), Corruption> {
        match rustix::io::write(&self.0, &1u64.to_ne_bytes()) {
            // A count that cannot grow is one that the peer has not read yet: it is awake.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(Corruption::Event { os: errno.raw_os_error() }),
        }
    }

    /// Makes the event unreadable until it is signalled again.
    pub(super) fn clear(&self) -> Result<(), Corruption> {
        let mut count = [0; 8];
        // Not read(2): the peer can take O_NONBLOCK off.
        let read = rustix::io::preadv2(
            &self.0,
            &mut [IoSliceMut::new(&mut count)],
            u64::MAX,
            ReadWriteFlags::NOWAIT,
        );
        match read {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(Corruption::Event { os: errno.raw_os_error() }),
        }
    }

    /// Sleeps until the event is readable or the deadline has passed; false if it has passed. Without one it may
    /// sleep for ever.
    pub(super) fn sleep(&self, deadline: Option<Instant>) -> Result<bool, Corruption> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // More than poll can wait for is as good as no limit.
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match rustix::event::poll(&mut [PollFd::new(&self.0, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) if left == Some(Duration::ZERO) => return Ok(false),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(Corruption::Event { os: errno.raw_os_error() }),
            }
        }
    }
}
