//! Tests of the data queue: its promises one by one here, its interleavings, its peers and its model below.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SealFlags};

use super::*;

mod hostile;
mod loom;
mod model;
mod processes;
mod threads;

fn pair(capacity: usize) -> (Producer, Consumer) {
    let (producer, parts) = create(capacity).unwrap();
    (producer, Consumer::from_parts(parts).unwrap())
}

fn readable(fd: impl AsFd) -> bool {
    rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
}

#[test]
fn entries_come_out_as_they_went_in() {
    let (mut producer, mut consumer) = pair(64);
    let mut buffer = [0xee; 64];
    // Lengths around a word, over many rounds of the ring, so that entries wrap at every word.
    for round in 0..100u8 {
        for len in [0, 1, 7, 8, 9, 15, 16, 17, 55, 56] {
            let entry: Vec<u8> = (0..len).map(|byte| byte ^ round).collect();
            producer.enqueue(&entry).unwrap();
            assert_eq!(consumer.peek_len(), Ok(entry.len()));
            assert_eq!(consumer.dequeue(&mut buffer), Ok(entry.len()));
            assert_eq!(buffer[..entry.len()], entry);
        }
    }
    assert_eq!(consumer.dequeue(&mut buffer), Err(DequeueError::Underrun));
    let (sent, received) = (producer.counters(), consumer.counters());
    assert_eq!((sent.entries, sent.refused), (1000, 0));
    assert_eq!((received.entries, received.bytes, received.refused), (1000, sent.bytes, 1));
}

#[test]
fn an_overrun_loses_nothing_and_is_counted() {
    let (mut producer, mut consumer) = pair(64);
    producer.enqueue(&[1; 24]).unwrap();
    producer.enqueue(&[2; 16]).unwrap();
    assert_eq!(producer.enqueue(&[3; 8]), Err(EnqueueError::Overrun { needed: 16, free: 8 }));
    assert_eq!(producer.counters().refused, 1);
    let mut buffer = [0; 24];
    assert_eq!(consumer.dequeue(&mut buffer), Ok(24));
    producer.enqueue(&[3; 8]).unwrap();
    assert_eq!(consumer.dequeue(&mut buffer), Ok(16));
    assert_eq!(buffer[..16], [2; 16]);
    assert_eq!(consumer.dequeue(&mut buffer), Ok(8));
    assert_eq!(buffer[..8], [3; 8]);
}

#[test]
fn what_can_never_fit_is_no_overrun() {
    let (mut producer, mut consumer) = pair(64);
    assert_eq!((producer.capacity(), producer.max_entry()), (64, 56));
    assert_eq!(producer.enqueue(&[0; 57]), Err(EnqueueError::TooLarge { len: 57, max: 56 }));
    assert_eq!(producer.prepare_wait(usize::MAX), Err(EnqueueError::TooLarge { len: usize::MAX, max: 56 }));
    assert_eq!(producer.counters().refused, 0);
    producer.enqueue(&[9; 56]).unwrap();
    assert_eq!(consumer.dequeue(&mut [0; 56]), Ok(56));
}

#[test]
fn a_small_buffer_leaves_the_entry() {
    let (mut producer, mut consumer) = pair(64);
    producer.enqueue(b"four").unwrap();
    let mut buffer = [0; 4];
    assert_eq!(consumer.dequeue(&mut buffer[..3]), Err(DequeueError::BufferTooSmall { needed: 4 }));
    assert_eq!(consumer.dequeue(&mut buffer), Ok(4));
    assert_eq!(&buffer, b"four");
}

#[test]
fn peeking_copies_any_part_and_keeps_the_entry() {
    let (mut producer, mut consumer) = pair(64);
    // The entry that is looked at wraps.
    producer.enqueue(&[0; 24]).unwrap();
    consumer.peek().unwrap().consume();
    let bytes: Vec<u8> = (1..=45).collect();
    producer.enqueue(&bytes).unwrap();
    let entry = consumer.peek().unwrap();
    assert_eq!(entry.len(), 45);
    for offset in 0..=50usize {
        for len in 0..=50 {
            let mut part = vec![0; len];
            let copied = entry.copy_from(offset, &mut part);
            assert_eq!(copied, len.min(45usize.saturating_sub(offset)));
            assert_eq!(part[..copied], bytes[offset.min(45)..][..copied]);
            assert!(part[copied..].iter().all(|&byte| byte == 0));
        }
    }
    assert_eq!(entry.copy_from(usize::MAX, &mut [0; 4]), 0);
    assert_eq!(consumer.peek_len(), Ok(45));
    consumer.peek().unwrap().consume();
    assert_eq!(consumer.peek_len(), Err(DequeueError::Underrun));
}

#[test]
fn an_entry_is_as_long_as_what_was_written() {
    let (mut producer, mut consumer) = pair(64);
    let mut buffer = [0; 64];
    for _ in 0..20 {
        let result = producer.enqueue_with(20, |entry| {
            entry.write(b"abc").unwrap();
            entry.write(b"").unwrap();
            entry.write(b"defghijkl").unwrap();
            assert_eq!(entry.left(), 8);
            assert_eq!(entry.write(&[0; 9]), Err(EntryFull { len: 9, left: 8 }));
            entry.write(b"m").unwrap();
            "done"
        });
        assert_eq!(result, Ok("done"));
        let len = consumer.dequeue(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"abcdefghijklm");
    }
}

#[test]
fn a_panic_while_writing_leaves_no_entry() {
    let (mut producer, mut consumer) = pair(64);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        producer.enqueue_with(16, |entry| {
            entry.write(&[1; 9]).unwrap();
            panic!("in the middle");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(consumer.peek_len(), Err(DequeueError::Underrun));
    producer.enqueue(b"next").unwrap();
    assert_eq!(consumer.peek_len(), Ok(4));
}

#[test]
fn only_a_sleeper_is_woken_and_only_once() {
    let (mut producer, mut consumer) = pair(4096);
    // Opening woke both, in case a predecessor had died before its signal.
    assert_eq!(consumer.prepare_wait(), Ok(Readiness::Wait));
    assert!(!readable(consumer.event_fd()));
    for _ in 0..10 {
        producer.enqueue(b"entry").unwrap();
    }
    assert!(readable(consumer.event_fd()));
    assert_eq!(producer.counters().wakeups, 1);
    assert_eq!(consumer.prepare_wait(), Ok(Readiness::Ready));
    // Awake: 10 entries later it has still not asked to be woken.
    while consumer.dequeue(&mut [0; 8]).is_ok() {}
    producer.enqueue(b"entry").unwrap();
    assert!(!readable(consumer.event_fd()));
    assert_eq!(consumer.prepare_wait(), Ok(Readiness::Ready));
    assert_eq!(producer.counters().wakeups, 1);
}

#[test]
fn a_refused_producer_is_woken_when_its_entry_fits() {
    let (mut producer, mut consumer) = pair(64);
    for _ in 0..4 {
        producer.enqueue(&[7; 8]).unwrap();
    }
    // 24 bytes take 4 words: room for them is there after two entries.
    assert_eq!(producer.prepare_wait(24), Ok(Readiness::Wait));
    for woken in [false, true, true] {
        consumer.peek().unwrap().consume();
        assert_eq!(readable(producer.event_fd()), woken);
    }
    assert_eq!(consumer.counters().wakeups, 1);
    assert_eq!(producer.prepare_wait(24), Ok(Readiness::Ready));
    producer.enqueue(&[8; 24]).unwrap();
}

#[test]
fn waiting_ends_with_its_time() {
    let (mut producer, mut consumer) = pair(64);
    assert_eq!(consumer.wait(Some(Duration::from_millis(1))), Ok(Readiness::Wait));
    producer.enqueue(&[0; 56]).unwrap();
    assert_eq!(consumer.wait(Some(Duration::ZERO)), Ok(Readiness::Ready));
    assert_eq!(producer.wait(0, Some(Duration::from_millis(1))), Ok(Readiness::Wait));
}

#[test]
fn a_successor_goes_on_where_the_predecessor_stopped() {
    let parts = Parts::create(64).unwrap();
    let mut producer = Producer::from_parts(parts.try_clone().unwrap()).unwrap();
    let mut consumer = Consumer::from_parts(parts.try_clone().unwrap()).unwrap();
    let mut buffer = [0; 8];
    producer.enqueue(b"1").unwrap();
    producer.enqueue(b"2").unwrap();
    consumer.dequeue(&mut buffer).unwrap();
    // It dies while it looks at an entry.
    assert_eq!(consumer.peek_len(), Ok(1));
    drop((producer, consumer));

    let mut consumer = Consumer::from_parts(parts.try_clone().unwrap()).unwrap();
    let mut producer = Producer::from_parts(parts).unwrap();
    assert!(readable(consumer.event_fd()) && readable(producer.event_fd()));
    producer.enqueue(b"3").unwrap();
    for expected in [b'2', b'3'] {
        consumer.dequeue(&mut buffer).unwrap();
        assert_eq!(buffer[0], expected);
    }
    assert_eq!(consumer.peek_len(), Err(DequeueError::Underrun));
}

#[test]
fn capacity_is_rounded_up_and_bounded() {
    assert_eq!(pair(0).1.capacity(), MIN_CAPACITY);
    assert_eq!(pair(65).1.max_entry(), 120);
    for capacity in [MAX_CAPACITY + 1, usize::MAX] {
        let error = Parts::create(capacity).unwrap_err();
        assert_eq!((error.kind(), error.field_name()), (ErrorKind::Unsupported, Some("capacity")));
    }
}

/// A memfd as a peer may send it.
fn memory(size: u64, seals: SealFlags) -> OwnedFd {
    let fd = rustix::fs::memfd_create("peer", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, size).unwrap();
    rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
    fd
}

#[test]
fn foreign_parts_are_refused_by_name() {
    let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let refused = |change: &dyn Fn(&mut Parts), field: Option<&str>| {
        let mut parts = Parts::create(64).unwrap();
        change(&mut parts);
        let clone = parts.try_clone().unwrap();
        for error in [Producer::from_parts(clone).unwrap_err(), Consumer::from_parts(parts).unwrap_err()] {
            assert_eq!(error.field_name(), field, "{error}");
            assert_eq!(error.kind(), if field.is_some() { ErrorKind::Malformed } else { ErrorKind::Refused });
        }
    };
    let put = |parts: &Parts, at: u64, value: u64| {
        assert_eq!(rustix::io::pwrite(&parts.memory, &value.to_ne_bytes(), at).unwrap(), 8);
    };
    refused(&|parts| parts.memory = memory(384 + 64, SealFlags::SHRINK | SealFlags::GROW), Some("memory"));
    refused(&|parts| parts.memory = memory(384 + 64, SealFlags::SHRINK | SealFlags::SEAL), Some("memory"));
    for size in [0, 1, 383, 384, 384 + 32, 384 + 63, 384 + 96, 384 + (2 << 30), i64::MAX as u64] {
        refused(&|parts| parts.memory = memory(size, sealed), Some("memory"));
    }
    refused(&|parts| parts.memory = memory(384 + 64, sealed), Some("magic"));
    // Sealed against writing as well: it cannot be mapped.
    refused(&|parts| parts.memory = memory(384 + 64, sealed | SealFlags::WRITE), None);
    refused(&|parts| parts.memory = std::fs::File::open("/dev/zero").unwrap().into(), Some("memory"));
    refused(&|parts| put(parts, 0, 1), Some("magic"));
    refused(&|parts| put(parts, 8, 2), Some("version"));

    let blocking = || rustix::event::eventfd(0, EventfdFlags::empty()).unwrap();
    let pipe = || rustix::pipe::pipe().unwrap().1;
    let epoll = || rustix::event::epoll::create(rustix::event::epoll::CreateFlags::empty()).unwrap();
    refused(&|parts| parts.data_available = blocking(), Some("data_available"));
    refused(&|parts| parts.space_available = blocking(), Some("space_available"));
    refused(&|parts| parts.data_available = pipe(), Some("data_available"));
    refused(&|parts| parts.space_available = epoll(), Some("space_available"));
}

#[test]
fn a_peer_cannot_change_the_size() {
    let parts = Parts::create(64).unwrap();
    for size in [0, 384, 384 + 128] {
        assert_eq!(rustix::fs::ftruncate(&parts.memory, size), Err(rustix::io::Errno::PERM));
    }
    assert!(rustix::fs::fcntl_add_seals(&parts.memory, SealFlags::WRITE).is_err());
}

#[test]
fn an_event_that_lost_o_nonblock_does_not_stop_a_reader() {
    let (producer, parts) = create(64).unwrap();
    let mut consumer = Consumer::from_parts(parts.try_clone().unwrap()).unwrap();
    rustix::fs::fcntl_setfl(&parts.data_available, rustix::fs::OFlags::empty()).unwrap();
    // The first empties the event, the second would block on an empty one.
    assert_eq!(consumer.prepare_wait(), Ok(Readiness::Wait));
    assert_eq!(consumer.prepare_wait(), Ok(Readiness::Wait));
    drop(producer);
}
