//! Two real threads on one queue: everything arrives, whole and in order, with and without sleeping.

use std::thread;

use super::super::{Consumer, DequeueError, EnqueueError, Producer, Readiness};
use super::pair;

const ENTRIES: u64 = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };

/// Length and content of the n-th entry follow from n.
fn entry(number: u64, buffer: &mut [u8; 256]) -> &[u8] {
    let len = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
    for (place, byte) in buffer[..len].iter_mut().enumerate() {
        *byte = (number as usize + place) as u8;
    }
    &buffer[..len]
}

fn run(
    capacity: usize,
    producer_waits: impl Fn(&mut Producer, usize) + Send + 'static,
    consumer_waits: impl Fn(&mut Consumer),
) {
    let (mut producer, mut consumer) = pair(capacity);
    let sender = thread::spawn(move || {
        let mut buffer = [0; 256];
        for number in 0..ENTRIES {
            let entry = entry(number, &mut buffer);
            while let Err(error) = producer.enqueue(entry) {
                assert!(matches!(error, EnqueueError::Overrun { .. }), "{error}");
                producer_waits(&mut producer, entry.len());
            }
        }
        producer.counters()
    });
    let (mut expected, mut found) = ([0; 256], [0; 256]);
    for number in 0..ENTRIES {
        let len = loop {
            match consumer.dequeue(&mut found) {
                Ok(len) => break len,
                Err(error) => assert_eq!(error, DequeueError::Underrun),
            }
            consumer_waits(&mut consumer);
        };
        assert_eq!(&found[..len], entry(number, &mut expected), "entry {number}");
    }
    let (sent, received) = (sender.join().unwrap(), consumer.counters());
    assert_eq!((sent.entries, sent.bytes), (received.entries, received.bytes));
    assert_eq!(consumer.peek_len(), Err(DequeueError::Underrun));
}

fn sleep_for_room(producer: &mut Producer, len: usize) {
    assert_eq!(producer.wait(len, None), Ok(Readiness::Ready));
}

fn sleep_for_entry(consumer: &mut Consumer) {
    assert_eq!(consumer.wait(None), Ok(Readiness::Ready));
}

#[test]
fn both_sleep_on_a_ring_of_one_entry() {
    run(264, sleep_for_room, sleep_for_entry);
}

#[test]
fn both_sleep_on_a_roomy_ring() {
    run(64 << 10, sleep_for_room, sleep_for_entry);
}

#[test]
fn only_the_consumer_sleeps() {
    run(512, |_, _| thread::yield_now(), sleep_for_entry);
}

#[test]
fn only_the_producer_sleeps() {
    run(512, sleep_for_room, |_| thread::yield_now());
}
