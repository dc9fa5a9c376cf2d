//! Peers that break the queue: every field set to values that no honest peer writes, random bytes, and a thread that
//! scribbles while the other end works. They end in `Corrupt` or in entries, and never otherwise.

use std::os::fd::AsFd;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::layout::{Field, entry_head};
use super::super::ring::Memory;
use super::super::sys::{self, Mapping};
use super::super::{Consumer, Corruption, DequeueError, EnqueueError, Parts, Producer};

struct Rig {
    producer: Producer,
    consumer: Consumer,
    /// The peer's view.
    memory: Mapping,
}

/// Eight words, with an entry of 8 bytes consumed and one waiting: indices are write 4, read 2.
fn rig() -> Rig {
    let parts = Parts::create(64).unwrap();
    let memory = sys::open(parts.memory.as_fd()).unwrap();
    let mut producer = Producer::from_parts(parts.try_clone().unwrap()).unwrap();
    let mut consumer = Consumer::from_parts(parts).unwrap();
    producer.enqueue(&[1; 8]).unwrap();
    consumer.dequeue(&mut [0; 8]).unwrap();
    producer.enqueue(&[2; 8]).unwrap();
    Rig { producer, consumer, memory }
}

impl Rig {
    fn set(&self, field: Field, value: u64) {
        self.memory.field(field).store(value, Ordering::Relaxed);
    }
}

#[test]
fn a_wrong_write_index_is_corrupt() {
    // Less than what was seen, the same without a wrap, or more than fits.
    for found in [0, 1, 11, 1 << 32, 1 << 63, u64::MAX] {
        let mut rig = rig();
        rig.set(Field::WriteIndex, found);
        let corruption = Corruption::WriteIndex { found, read: 2, capacity: 8 };
        assert_eq!(rig.consumer.peek_len(), Err(DequeueError::Corrupt(corruption)));
        // Repaired or not: this end is closed.
        rig.set(Field::WriteIndex, 4);
        assert_eq!(rig.consumer.dequeue(&mut [0; 8]), Err(DequeueError::Corrupt(corruption)));
        assert_eq!(rig.consumer.prepare_wait(), Err(corruption));
        assert_eq!(rig.consumer.counters().entries, 1);
    }
}

#[test]
fn a_wrong_read_index_is_corrupt() {
    for found in [7, 1 << 32, 1 << 63, u64::MAX] {
        let mut rig = rig();
        // Room that is known of is used; only then is the index looked at.
        rig.producer.enqueue(&[3; 8]).unwrap();
        rig.set(Field::ReadIndex, found);
        let corruption = Corruption::ReadIndex { found, write: 6, capacity: 8 };
        assert_eq!(rig.producer.enqueue(&[4; 56]), Err(EnqueueError::Corrupt(corruption)));
        rig.set(Field::ReadIndex, 6);
        assert_eq!(rig.producer.enqueue(&[]), Err(EnqueueError::Corrupt(corruption)));
        assert_eq!(rig.producer.prepare_wait(0), Err(EnqueueError::Corrupt(corruption)));
    }
}

#[test]
fn a_read_index_that_goes_back_is_corrupt() {
    let mut rig = rig();
    // The producer has seen 2.
    assert!(matches!(rig.producer.enqueue(&[0; 56]), Err(EnqueueError::Overrun { .. })));
    rig.set(Field::ReadIndex, 1);
    let corruption = Corruption::ReadIndex { found: 1, write: 4, capacity: 8 };
    assert_eq!(rig.producer.enqueue(&[0; 56]), Err(EnqueueError::Corrupt(corruption)));
}

#[test]
fn a_write_index_that_goes_back_is_corrupt() {
    let mut rig = rig();
    assert_eq!(rig.consumer.dequeue(&mut [0; 8]), Ok(8));
    rig.set(Field::WriteIndex, 3);
    let corruption = Corruption::WriteIndex { found: 3, read: 4, capacity: 8 };
    assert_eq!(rig.consumer.peek_len(), Err(DequeueError::Corrupt(corruption)));
}

#[test]
fn a_wrong_entry_head_is_corrupt() {
    let heads = [
        (0, Corruption::EntryStamp { index: 2, found: 0 }),
        (entry_head(10, 8), Corruption::EntryStamp { index: 2, found: 10 }),
        (entry_head(2, 9), Corruption::EntryLength { index: 2, found: 9, available: 8 }),
        (entry_head(2, u32::MAX), Corruption::EntryLength { index: 2, found: u32::MAX, available: 8 }),
    ];
    for (head, corruption) in heads {
        let mut rig = rig();
        rig.memory.data()[2].store(head, Ordering::Relaxed);
        assert_eq!(rig.consumer.dequeue(&mut [0; 64]), Err(DequeueError::Corrupt(corruption)));
    }
}

#[test]
fn a_length_is_read_once() {
    let mut rig = rig();
    assert_eq!(rig.consumer.peek_len(), Ok(8));
    rig.memory.data()[2].store(entry_head(2, u32::MAX), Ordering::Relaxed);
    assert_eq!(rig.consumer.peek_len(), Ok(8));
    assert_eq!(rig.consumer.dequeue(&mut [0; 8]), Ok(8));
}

#[test]
fn a_wrong_mark_is_reported_by_the_next_call() {
    for found in [7, 1 << 62] {
        let mut rig = rig();
        rig.set(Field::WakeMark, found);
        assert_eq!(rig.producer.enqueue(&[3; 8]), Ok(()));
        let corruption = Corruption::WakeMark { found, write: 6 };
        assert_eq!(rig.producer.enqueue(&[]), Err(EnqueueError::Corrupt(corruption)));
    }
    for found in [13, 1 << 62] {
        let mut rig = rig();
        rig.set(Field::SpaceMark, found);
        assert_eq!(rig.consumer.dequeue(&mut [0; 8]), Ok(8));
        let corruption = Corruption::SpaceMark { found, read: 4 };
        assert_eq!(rig.consumer.peek_len(), Err(DequeueError::Corrupt(corruption)));
    }
}

#[test]
fn indices_that_make_no_sense_are_refused_on_opening() {
    for (write, read) in [(9, 0), (0, 1), (u64::MAX, 7)] {
        let parts = Parts::create(64).unwrap();
        let memory = sys::open(parts.memory.as_fd()).unwrap();
        memory.field(Field::WriteIndex).store(write, Ordering::Relaxed);
        memory.field(Field::ReadIndex).store(read, Ordering::Relaxed);
        assert!(Producer::from_parts(parts.try_clone().unwrap()).is_err());
        assert!(Consumer::from_parts(parts).is_err());
    }
}

/// The body of a fuzz target, with nothing but the public interface: three bytes are an operation. Through the descriptors alone a peer writes into the memory
/// while both ends work; no result but a valid one is possible.
fn data_queue(data: &[u8]) {
    let parts = Parts::create(64).unwrap();
    let memory = parts.memory.try_clone().unwrap();
    let mut producer = Producer::from_parts(parts.try_clone().unwrap()).unwrap();
    let mut consumer = Consumer::from_parts(parts.try_clone().unwrap()).unwrap();
    let mut buffer = [0; 80];
    let (mut sick_producer, mut sick_consumer) = (None, None);
    for operation in data.as_chunks::<3>().0 {
        let [what, where_, value] = *operation;
        match what % 8 {
            0..=1 => {
                let result = producer.enqueue(&buffer[..usize::from(value) % 64]);
                if let Err(EnqueueError::Corrupt(corruption)) = result {
                    assert_eq!(*sick_producer.get_or_insert(corruption), corruption);
                } else if sick_producer.is_some() {
                    panic!("recovered from {sick_producer:?}: {result:?}");
                }
            }
            2..=3 => {
                let result = consumer.dequeue(&mut buffer[..usize::from(value) % 64]);
                if let Err(DequeueError::Corrupt(corruption)) = result {
                    assert_eq!(*sick_consumer.get_or_insert(corruption), corruption);
                } else if sick_consumer.is_some() {
                    panic!("recovered from {sick_consumer:?}: {result:?}");
                }
            }
            4 => {
                if let Ok(entry) = consumer.peek() {
                    assert!(entry.len() <= 56);
                    let (offset, len) = (usize::from(where_), usize::from(value) % 80);
                    let copied = entry.copy_from(offset, &mut buffer[..len]);
                    assert_eq!(copied, entry.len().saturating_sub(offset).min(len));
                }
            }
            5 => {
                let _ = (consumer.prepare_wait(), producer.prepare_wait(usize::from(value)));
            }
            6 => {
                // An index or a mark, around those that are in use.
                let field = [Field::WriteIndex, Field::SpaceMark, Field::ReadIndex, Field::WakeMark]
                    [usize::from(where_) % 4];
                let word = u64::from(value).wrapping_sub(8).to_ne_bytes();
                rustix::io::pwrite(&memory, &word, field as u64 * 8).unwrap();
            }
            _ => {
                // Any byte of the fields and of the entries.
                let at = 128 + (u64::from(where_) << 1);
                if at < 384 + 64 {
                    rustix::io::pwrite(&memory, &[value], at).unwrap();
                }
            }
        }
    }
    // Whoever opens it now gets it or is told why not.
    let _ = (Producer::from_parts(parts.try_clone().unwrap()), Consumer::from_parts(parts));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn random_operations_and_bytes_do_no_harm(data in vec(any::<u8>(), 0..300)) {
        data_queue(&data);
    }
}

/// xorshift64: the next random number.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// While `work` goes on, another thread writes numbers into the fields and the entries: random ones, and ones near what
/// is there. `work` is called with fresh queues, many times.
fn scribbled(work: impl Fn(&mut Producer, &mut Consumer)) {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..200 {
        let Rig { mut producer, mut consumer, memory } = rig();
        let done = AtomicBool::new(false);
        let begin = Barrier::new(2);
        let mut state = random(&mut seed);
        thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                while !done.load(Ordering::Relaxed) {
                    let choice = random(&mut state);
                    let word = match choice % 8 {
                        0 => memory.field(Field::WriteIndex),
                        1 => memory.field(Field::SpaceMark),
                        2 => memory.field(Field::ReadIndex),
                        3 => memory.field(Field::WakeMark),
                        _ => &memory.data()[(choice >> 8) as usize % 8],
                    };
                    let value = match (choice >> 16) % 4 {
                        0 => random(&mut state),
                        _ => word.load(Ordering::Relaxed).wrapping_add((choice >> 24) % 5).wrapping_sub(2),
                    };
                    word.store(value, Ordering::Relaxed);
                }
            });
            begin.wait();
            // Told to end also if `work` panics.
            let result =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut producer, &mut consumer)));
            done.store(true, Ordering::Relaxed);
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

/// Calls after which an end that has not failed is let off.
const CALLS: usize = 20_000;

#[test]
fn a_consumer_survives_a_scribbler() {
    let corrupt = AtomicBool::new(false);
    scribbled(|_, consumer| {
        let mut buffer = [0; 64];
        for call in 0..CALLS {
            let result = if call % 3 == 0 { consumer.peek_len() } else { consumer.dequeue(&mut buffer) };
            match result {
                Ok(len) => assert!(len <= 56),
                Err(DequeueError::Underrun) => {
                    let _ = consumer.prepare_wait();
                }
                Err(DequeueError::BufferTooSmall { needed }) => panic!("{needed} bytes in a ring of 64"),
                Err(DequeueError::Corrupt(corruption)) => {
                    assert_eq!(consumer.peek_len(), Err(DequeueError::Corrupt(corruption)));
                    corrupt.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    });
    assert!(corrupt.into_inner(), "the scribbler never hit");
}

#[test]
fn a_producer_survives_a_scribbler() {
    let corrupt = AtomicBool::new(false);
    scribbled(|producer, _| {
        for call in 0..CALLS {
            match producer.enqueue(&[0x55; 56][..call % 57]) {
                Ok(()) => {}
                Err(EnqueueError::Overrun { needed, free }) => {
                    assert!(free < needed && needed <= 64);
                    let _ = producer.prepare_wait(call % 57);
                }
                Err(error @ EnqueueError::TooLarge { .. }) => panic!("{error}"),
                Err(EnqueueError::Corrupt(corruption)) => {
                    assert_eq!(producer.enqueue(&[]), Err(EnqueueError::Corrupt(corruption)));
                    corrupt.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    });
    assert!(corrupt.into_inner(), "the scribbler never hit");
}
