//! A client on a queue, its server on a thread, and transfers by hand. It must not know what a test is about.

use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use outboard_core::buffer::RawBuffer;
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::usb::transfer::{Done, Operation, Token, TransferError, Urb};
use outboard_core::usb::transport::usbip::UsbIp;
use outboard_core::usb::transport::{Reaped, Transport};
use outboard_core::usb::{Direction, TransferType};

use crate::peer::{Over, Peer};

/// Runs `client` on a queue, with the other end of the socket in the hands of `server`, which sends at most `budget` bytes. The server's
/// script may end early, with the connection.
pub(crate) fn play_within<R>(
    budget: usize,
    server: impl FnOnce(&mut Peer) -> Result<(), Over> + Send + 'static,
    client: impl AsyncFnOnce(std::os::fd::OwnedFd) -> R,
) -> R {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server: JoinHandle<()> = std::thread::spawn(move || {
        let mut peer = Peer::new(theirs, budget);
        let _ended_early = server(&mut peer);
    });
    let result = DispatchQueue::run("client", Clock::Real, |_| client(ours.into())).unwrap();
    server.join().expect("the script held");
    result
}

/// The same without a budget, after an import that went well. The server goes after the client, to whom nothing more may be said.
pub(crate) fn play<R>(
    server: impl FnOnce(&mut Peer) -> Result<(), Over> + Send + 'static,
    client: impl AsyncFnOnce(UsbIp) -> R,
) -> R {
    let server = |peer: &mut Peer| {
        peer.ready()?;
        server(peer)?;
        peer.silence()
    };
    play_within(usize::MAX, server, async |fd| {
        client(UsbIp::import(fd, "3-1.2", "far/3-1.2").await.unwrap()).await
    })
}

/// A bulk or (endpoint 3) interrupt transfer: IN for as many bytes as `data` has, OUT with these.
pub(crate) fn urb(token: u32, endpoint: u8, data: &[u8]) -> Urb {
    let mut buffer = RawBuffer::heap(data.len());
    if Direction::of(endpoint) == Direction::Out {
        buffer.space_mut().copy_from_slice(data);
        buffer.set_len(data.len());
    }
    let transfer_type = if endpoint & 0x0f == 3 { TransferType::Interrupt } else { TransferType::Bulk };
    let operation = Operation::Transfer { endpoint, transfer_type, request: data.len(), zero_packet: true };
    Urb { token: Token(token), operation, buffer }
}

/// Something on endpoint 0 without data.
pub(crate) fn command(token: u32, operation: Operation) -> Urb {
    Urb { token: Token(token), operation, buffer: RawBuffer::heap(0) }
}

/// What a test wants to know of an end: token, how, and the data that is in the buffer.
pub(crate) type End = (u32, Result<usize, TransferError>, Vec<u8>);

fn end(done: Done) -> End {
    let buffer = done.urb.buffer;
    (done.urb.token.0, done.status, buffer.space()[..buffer.len()].to_vec())
}

/// The next batch; `Gone` with what it returned.
pub(crate) async fn reap(client: &mut UsbIp) -> (Reaped, Vec<End>) {
    let mut done = Vec::with_capacity(128);
    let reaped = poll_fn(|context| client.poll_reap(context, &mut done)).await;
    (reaped, done.into_iter().map(end).collect())
}

/// Exactly so many ends, from as many batches as it takes.
pub(crate) async fn ends(client: &mut UsbIp, count: usize) -> Vec<End> {
    let mut all = Vec::new();
    while all.len() < count {
        let (reaped, ends) = reap(client).await;
        all.extend(ends);
        assert_eq!(reaped, Reaped::Some, "{all:?}, {:?}", client.fate());
    }
    assert_eq!(all.len(), count, "{all:?}");
    all
}

/// The connection is lost: everything that is out ends so.
pub(crate) async fn gone(client: &mut UsbIp) -> Vec<End> {
    let mut all = Vec::new();
    loop {
        let (reaped, ends) = reap(client).await;
        all.extend(ends);
        if reaped == Reaped::Gone {
            return all;
        }
    }
}

/// Takes one turn, in which nothing ends.
pub(crate) async fn flush(client: &mut UsbIp) {
    let mut done = Vec::new();
    poll_fn(|context| {
        assert!(client.poll_reap(context, &mut done).is_pending(), "{done:?}");
        std::task::Poll::Ready(())
    })
    .await;
}

pub(crate) fn submit(client: &mut UsbIp, urb: Urb) {
    client.submit(urb).unwrap();
}
