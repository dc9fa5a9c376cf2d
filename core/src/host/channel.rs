//! The socket that messages go over. It must not know their meaning.

use std::cell::Cell;
use std::io::{IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;

use super::message::{MOST_BYTES, MOST_FDS, ToDriver, ToManager, decode, encode};
use crate::{Error, ErrorKind, Result, source};

/// The manager's end.
pub type ManagerEnd = Channel<ToDriver, ToManager>;
/// The driver's end.
pub type DriverEnd = Channel<ToManager, ToDriver>;

/// One end of the conversation with one process: `S` is sent, `R` is received.
#[derive(Debug)]
pub struct Channel<S, R> {
    socket: OwnedFd,
    generation: u64,
    /// Neither side passes descriptors any more, so that `read` and `write` do.
    plain: Cell<bool>,
    kinds: PhantomData<fn(S) -> R>,
}

/// A message, and the descriptors that came with it.
#[derive(Debug)]
pub struct Received<R> {
    /// What was said.
    pub message: R,
    /// At most [`MOST_FDS`]; closed if nobody takes them.
    pub fds: Vec<OwnedFd>,
}

impl ManagerEnd {
    /// The manager's end, and the socket for the process of this generation.
    ///
    /// # Errors
    /// System: no descriptors are left.
    pub fn pair(generation: u64) -> Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .map_err(|error| Error::os("make the socket to a driver", error.into()))?;
        Ok((Self { socket: ours, generation, plain: Cell::new(false), kinds: PhantomData }, theirs))
    }
}

impl DriverEnd {
    /// The driver's end, on the socket that the process was started with.
    pub fn new(socket: OwnedFd, generation: u64) -> Self {
        Self { socket, generation, plain: Cell::new(false), kinds: PhantomData }
    }

    /// From now on only `read` and `write` are called on the socket, as a driver that is locked down may. Descriptors that come are closed.
    pub fn without_descriptors(&self) {
        self.plain.set(true);
    }
}

impl<S: Serialize, R: DeserializeOwned> Channel<S, R> {
    /// Says something, with descriptors; both sides keep theirs.
    ///
    /// # Errors
    /// Unplugged: the other side is gone. Busy: it does not listen, and its queue is full.
    pub fn send(&self, message: &S, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let mut bytes = [0; MOST_BYTES];
        let length = encode(message, self.generation, &mut bytes)?;
        if self.plain.get() && fds.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&self.socket, &bytes[..length]));
            return written.map(drop).map_err(unsent);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            let reason = format!("{} descriptors were to be passed; {MOST_FDS} can be", fds.len());
            return Err(Error::new(ErrorKind::Bug, "write a message", reason));
        }
        let slices = [IoSlice::new(&bytes[..length])];
        loop {
            match sendmsg(&self.socket, &slices, &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(unsent(error)),
            }
        }
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// Unplugged: the other side is gone. Malformed: it broke the rules, and nothing that follows can be trusted.
    pub fn try_receive(&self) -> Result<Option<Received<R>>> {
        if self.plain.get() {
            return self.try_read();
        }
        let mut bytes = [0; MOST_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let received = loop {
            match recvmsg(&self.socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::CONNRESET) => return Err(gone("read a message")),
                Err(error) => return Err(Error::os("read a message", error.into())),
            }
        };
        let mut fds = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                fds.extend(passed);
            }
        }
        // No message is empty, so this is the end.
        if received.bytes == 0 {
            return Err(gone("read a message"));
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            let reason = format!("has more than {MOST_BYTES} bytes or {MOST_FDS} descriptors");
            return Err(Error::new(ErrorKind::Malformed, "read a message", reason).field("message"));
        }
        let message = decode(&bytes[..received.bytes], self.generation)?;
        Ok(Some(Received { message, fds }))
    }

    /// Waits for the next message and lets nothing else on this thread run meanwhile: for a driver that starts, and has nothing else to do.
    ///
    /// # Errors
    /// As [`try_receive`](Self::try_receive); TimedOut.
    pub fn receive_within(&self, limit: Duration) -> Result<Received<R>> {
        let end = std::time::Instant::now() + limit;
        loop {
            if let Some(received) = self.try_receive()? {
                return Ok(received);
            }
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                let reason = format!("nothing came within {} s", limit.as_secs());
                return Err(Error::new(ErrorKind::TimedOut, "read a message", reason));
            }
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::os("wait for a message", error.into())),
            }
        }
    }

    /// Without `recvmsg`: a byte of room more tells a message that is too long.
    fn try_read(&self) -> Result<Option<Received<R>>> {
        let mut bytes = [0; MOST_BYTES + 1];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.socket, &mut bytes)) {
            Ok(0) | Err(Errno::CONNRESET) => Err(gone("read a message")),
            Ok(length) if length > MOST_BYTES => {
                let reason = format!("has more than {MOST_BYTES} bytes");
                Err(Error::new(ErrorKind::Malformed, "read a message", reason).field("message"))
            }
            Ok(length) => {
                let message = decode(&bytes[..length], self.generation)?;
                Ok(Some(Received { message, fds: Vec::new() }))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(Error::os("read a message", error.into())),
        }
    }

    /// The same for a queue: it resolves with the next message. Dropped, it loses none.
    ///
    /// # Errors
    /// As [`try_receive`](Self::try_receive).
    pub async fn receive(&self) -> Result<Received<R>> {
        let watched = self
            .socket
            .try_clone()
            .and_then(|socket| source::watch(socket, Interest::READABLE))
            .map_err(|error| Error::os("watch the socket", error))?;
        loop {
            let mut ready = watched.readable().await.map_err(|error| Error::os("watch the socket", error))?;
            if let Some(received) = self.try_receive()? {
                return Ok(received);
            }
            ready.clear_ready();
        }
    }
}

fn unsent(error: Errno) -> Error {
    match error {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => gone("write a message"),
        Errno::AGAIN => Error::new(ErrorKind::Busy, "write a message", "the other side does not listen"),
        error => Error::os("write a message", error.into()),
    }
}

fn gone(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unplugged, operation, "the other side is gone")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::host::TransportKind;

    fn pair() -> (ManagerEnd, DriverEnd) {
        let (manager, socket) = ManagerEnd::pair(3).unwrap();
        (manager, DriverEnd::new(socket, 3))
    }

    #[test]
    fn a_message_brings_its_descriptors() {
        let (manager, driver) = pair();
        assert!(driver.try_receive().unwrap().is_none());
        let (read, write) = std::io::pipe().unwrap();
        let start = ToDriver::Start {
            device: "1-1".into(),
            transport: TransportKind::UsbIp { bus_id: "1-1".into() },
            interface: None,
            resumes: None,
            trace: None,
        };
        manager.send(&start, &[read.as_fd()]).unwrap();
        manager.send(&ToDriver::Stop, &[]).unwrap();
        drop(read);
        let mut received = driver.receive_within(Duration::from_secs(10)).unwrap();
        assert_eq!(received.message, start);
        let mut passed = File::from(received.fds.pop().unwrap());
        rustix::io::write(&write, b"x").unwrap();
        drop(write);
        let mut text = String::new();
        passed.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        let stop = driver.try_receive().unwrap().unwrap();
        assert_eq!((stop.message, stop.fds.len()), (ToDriver::Stop, 0));
        drop(manager);
        assert_eq!(driver.try_receive().unwrap_err().kind(), ErrorKind::Unplugged);
        assert_eq!(
            driver
                .send(&ToManager::Vend(crate::host::Ethernet { mac: crate::MacAddr::ZERO, mtu: 0 }), &[])
                .unwrap_err()
                .kind(),
            ErrorKind::Unplugged
        );
    }

    #[test]
    fn a_driver_that_is_locked_down_is_understood_and_understands() {
        let (manager, driver) = pair();
        driver.without_descriptors();
        assert!(driver.try_receive().unwrap().is_none());
        let null = File::open("/dev/null").unwrap();
        manager.send(&ToDriver::Family, &[null.as_fd()]).unwrap();
        let received = driver.try_receive().unwrap().unwrap();
        assert_eq!((received.message, received.fds.len()), (ToDriver::Family, 0));
        driver.send(&ToManager::Alive, &[]).unwrap();
        assert_eq!(manager.try_receive().unwrap().unwrap().message, ToManager::Alive);
        rustix::io::write(&manager.socket, &[1; MOST_BYTES + 1]).unwrap();
        assert_eq!(driver.try_receive().unwrap_err().kind(), ErrorKind::Malformed);
        drop(manager);
        assert_eq!(driver.try_receive().unwrap_err().kind(), ErrorKind::Unplugged);
        assert_eq!(driver.send(&ToManager::Alive, &[]).unwrap_err().kind(), ErrorKind::Unplugged);
    }

    #[test]
    fn what_breaks_the_rules_is_refused_and_leaks_nothing() {
        let (manager, driver) = pair();
        let null = File::open("/dev/null").unwrap();
        let raw = |bytes: &[u8], count: usize| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let fds = vec![null.as_fd(); count];
            assert!(fds.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
            sendmsg(&driver.socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty()).unwrap();
        };
        for (bytes, fds) in [(&[0xff; MOST_BYTES + 1][..], 0), (&[1, 3, 0], 16), (&[9; 40], 4)] {
            let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            raw(bytes, fds);
            let before = open();
            assert_eq!(manager.try_receive().unwrap_err().kind(), ErrorKind::Malformed);
            // Other tests of this process open and close files meanwhile; sixteen more would show.
            assert!(open() < before + 4);
        }
        let mut sent = 0;
        let flood = loop {
            match manager.send(&ToDriver::Family, &[]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(flood.kind() == ErrorKind::Busy && sent > 0, "{flood} after {sent}");
    }
}
