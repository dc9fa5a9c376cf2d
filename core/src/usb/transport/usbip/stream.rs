//! A connected stream socket on a queue: its options, and the reads and writes of the first messages, each as a whole and in time. It must
//! not know what they mean.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendFlags, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::loss::Loss;
use crate::source;

/// A TCP peer that is silent for so long is asked whether it is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// It is asked again after so long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// And so many times.
const KEEPALIVE_PROBES: u32 = 3;
/// Data that is not acknowledged for so long means that the peer is gone: as long as the probes take.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(25);

/// A socket that does not wait, registered with the event loop of the calling thread's queue.
pub(super) type Stream = AsyncFd<OwnedFd>;

/// Prepares a connected stream socket.
pub(super) fn prepare(fd: OwnedFd) -> io::Result<Stream> {
    let status = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, status | OFlags::NONBLOCK)?;
    if matches!(sockopt::socket_domain(&fd)?, AddressFamily::INET | AddressFamily::INET6) {
        // What we write is complete: waiting for more would only add to the latency.
        sockopt::set_tcp_nodelay(&fd, true)?;
        // A cable that was pulled makes no sound.
        sockopt::set_socket_keepalive(&fd, true)?;
        sockopt::set_tcp_keepidle(&fd, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_keepintvl(&fd, KEEPALIVE_INTERVAL)?;
        sockopt::set_tcp_keepcnt(&fd, KEEPALIVE_PROBES)?;
        sockopt::set_tcp_user_timeout(&fd, ACKNOWLEDGEMENT.as_millis() as u32)?;
    }
    source::sys::watch(fd, Interest::READABLE | Interest::WRITABLE)
}

/// Writes pieces, as many as the socket takes now.
pub(super) fn write(fd: &OwnedFd, pieces: &[io::IoSlice<'_>]) -> Result<usize, Errno> {
    // No signal: whether SIGPIPE is ignored is the program's affair.
    rustix::net::sendmsg(fd, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
}

/// Writes all of `bytes`.
pub(super) async fn write_all(stream: &Stream, mut bytes: &[u8]) -> Result<(), Loss> {
    while !bytes.is_empty() {
        let mut ready = stream.writable().await.map_err(system)?;
        match write(stream.get_ref(), &[io::IoSlice::new(bytes)]) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(lost(error)),
        }
    }
    Ok(())
}

/// Reads exactly `N` bytes, and none of what follows them.
pub(super) async fn read<const N: usize>(stream: &Stream) -> Result<[u8; N], Loss> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let mut ready = stream.readable().await.map_err(system)?;
        match rustix::io::read(stream.get_ref(), &mut bytes[filled..]) {
            Ok(0) if filled == 0 => return Err(Loss::Closed),
            Ok(0) => return Err(Loss::Cut),
            Ok(count) => filled += count,
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(lost(error)),
        }
    }
    Ok(bytes)
}

/// `exchange` within `limit`, by the queue's clock.
pub(super) async fn in_time<T>(
    limit: Duration,
    exchange: impl Future<Output = Result<T, Loss>>,
) -> Result<T, Loss> {
    tokio::time::timeout(limit, exchange).await.unwrap_or(Err(Loss::Unanswered))
}

/// What an error of the socket means.
pub(super) fn lost(error: Errno) -> Loss {
    match error {
        // The peer closed while we were writing; a reset has a number of its own.
        Errno::PIPE => Loss::Closed,
        error => Loss::System(error.raw_os_error()),
    }
}

fn system(error: io::Error) -> Loss {
    Loss::System(error.raw_os_error().unwrap_or(0))
}
