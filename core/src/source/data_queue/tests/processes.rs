//! A queue between two processes: its parts go over a socket, and when the consumer is killed in the middle of its work
//! another one takes its place without a loss.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use super::super::{Consumer, DequeueError, EnqueueError, Parts, Producer, Readiness};

const ENTRIES: u64 = 20_000;
/// The first consumer is killed when so many have been sent.
const KILLED_AT: u64 = 5_000;
/// An entry of 8 bytes takes 16.
const CAPACITY: usize = 1024;
/// Far more than a consumer that lives can take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells this program that it is the other process.
const PEER: &str = "OUTBOARD_TEST_DATA_QUEUE_PEER";

fn send(socket: &UnixStream, parts: &Parts) {
    let fds = [&parts.memory, &parts.data_available, &parts.space_available].map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(b"q")], &mut control, SendFlags::empty());
    assert_eq!(sent, Ok(1));
}

fn receive(socket: &UnixStream) -> Parts {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .unwrap();
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let [memory, data_available, space_available] = fds.try_into().unwrap();
    Parts { memory, data_available, space_available }
}

/// This program again, as the consumer. It says nothing until it has seen the empty entry that is the last.
fn consumer(parts: &Parts) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "source::data_queue::tests::processes::other_end"])
        .env(PEER, "1")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    send(&ours, parts);
    (child, ours)
}

#[test]
#[ignore = "the other process of a_killed_consumer_is_replaced_without_a_loss"]
fn other_end() {
    if std::env::var_os(PEER).is_none() {
        return;
    }
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut consumer = Consumer::from_parts(receive(&socket)).unwrap();
    let (mut first, mut next) = (None, 0);
    loop {
        let mut bytes = [0; 8];
        match consumer.dequeue(&mut bytes) {
            Ok(0) => break,
            Ok(len) => {
                assert_eq!(len, 8);
                let number = u64::from_ne_bytes(bytes);
                assert_eq!(number, *first.get_or_insert(number) + next);
                next += 1;
            }
            Err(DequeueError::Underrun) => assert_eq!(consumer.wait(None), Ok(Readiness::Ready)),
            Err(error) => panic!("{error}"),
        }
    }
    socket.write_all(&first.unwrap().to_ne_bytes()).unwrap();
    socket.write_all(&next.to_ne_bytes()).unwrap();
}

fn enqueue(producer: &mut Producer, entry: &[u8]) {
    while let Err(error) = producer.enqueue(entry) {
        assert!(matches!(error, EnqueueError::Overrun { .. }), "{error}");
        assert_eq!(producer.wait(entry.len(), Some(PATIENCE)), Ok(Readiness::Ready), "the consumer hangs");
    }
}

#[test]
fn a_killed_consumer_is_replaced_without_a_loss() {
    let parts = Parts::create(CAPACITY).unwrap();
    let mut producer = Producer::from_parts(parts.try_clone().unwrap()).unwrap();

    let (mut child, _socket) = consumer(&parts);
    for number in 0..KILLED_AT {
        enqueue(&mut producer, &number.to_ne_bytes());
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let (mut child, mut socket) = consumer(&parts);
    for number in KILLED_AT..ENTRIES {
        enqueue(&mut producer, &number.to_ne_bytes());
    }
    enqueue(&mut producer, &[]);
    let mut words = [[0; 8]; 2];
    socket.read_exact(words.as_flattened_mut()).unwrap();
    assert!(child.wait().unwrap().success());
    let [first, count] = words.map(u64::from_ne_bytes);
    // Without a gap, from one that was still in the ring to the last.
    assert!((KILLED_AT - CAPACITY as u64 / 16..=KILLED_AT).contains(&first), "{first}");
    assert_eq!(first + count, ENTRIES);
}
