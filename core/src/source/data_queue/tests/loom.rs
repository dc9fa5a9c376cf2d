//! The ring over loom's atomics: all interleavings, and all values that a weakly ordered machine may let a load see.
//! Lost wakeups show as loom's deadlock. Each check has a twin in which the ring is broken on purpose, and which must fail.

use std::sync::atomic::Ordering;

use ::loom::model::Builder;
use ::loom::sync::atomic::{AtomicU64, fence};
use ::loom::sync::{Arc, Condvar, Mutex};
use ::loom::thread;

use super::super::layout::Field;
use super::super::ring::{Consumer, Memory, Producer, Word};
use super::super::{DequeueError, EnqueueError, Readiness};

/// What to leave out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    Fences,
    Release,
}

#[derive(Debug)]
struct LoomWord(AtomicU64, Without);

impl LoomWord {
    fn order(&self, order: Ordering) -> Ordering {
        if self.1 == Without::Release { Ordering::Relaxed } else { order }
    }
}

impl Word for LoomWord {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(self.order(order))
    }

    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, self.order(order));
    }
}

#[derive(Debug)]
struct LoomMemory {
    fields: [LoomWord; 4],
    data: Vec<LoomWord>,
    without: Without,
}

impl Memory for Arc<LoomMemory> {
    type Word = LoomWord;

    fn field(&self, field: Field) -> &LoomWord {
        let place = [Field::WriteIndex, Field::SpaceMark, Field::ReadIndex, Field::WakeMark];
        &self.fields[place.iter().position(|&other| other == field).unwrap()]
    }

    fn data(&self) -> &[LoomWord] {
        &self.data
    }

    fn fence(&self) {
        // In their place something that orders less, so that only what they are for is missing.
        fence(if self.without == Without::Fences { Ordering::AcqRel } else { Ordering::SeqCst });
    }
}

/// An eventfd.
#[derive(Debug, Default)]
struct Event {
    signalled: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn signal(&self) {
        *self.signalled.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn clear(&self) {
        *self.signalled.lock().unwrap() = false;
    }

    fn sleep(&self) {
        let mut signalled = self.signalled.lock().unwrap();
        while !*signalled {
            signalled = self.changed.wait(signalled).unwrap();
        }
    }
}

struct Ends {
    producer: Producer<Arc<LoomMemory>>,
    consumer: Consumer<Arc<LoomMemory>>,
    data: Arc<Event>,
    space: Arc<Event>,
}

/// A ring of so many words. Its indices start near the wrap of 64 bits, which no run would reach.
fn ends(words: usize, without: Without) -> Ends {
    let start = u64::MAX - 1;
    let word = |value| LoomWord(AtomicU64::new(value), without);
    let memory = Arc::new(LoomMemory {
        fields: [word(start), word(start), word(start), word(start)],
        data: (0..words).map(|_| word(0)).collect(),
        without,
    });
    Ends {
        producer: Producer::adopt(memory.clone()).unwrap(),
        consumer: Consumer::adopt(memory).unwrap(),
        data: Arc::new(Event::default()),
        space: Arc::new(Event::default()),
    }
}

fn enqueue(producer: &mut Producer<Arc<LoomMemory>>, entry: &[u8], data: &Event) -> Result<(), EnqueueError> {
    let mut writer = producer.reserve(entry.len())?;
    writer.write(entry).unwrap();
    let len = writer.finish();
    if producer.publish(len) {
        data.signal();
    }
    Ok(())
}

fn dequeue(
    consumer: &mut Consumer<Arc<LoomMemory>>,
    buffer: &mut [u8],
    space: &Event,
) -> Result<usize, DequeueError> {
    let len = consumer.front()?;
    assert_eq!(consumer.copy(0, &mut buffer[..len]), len);
    if consumer.release() {
        space.signal();
    }
    Ok(len)
}

/// One thread sends all entries in order, waiting for room; the other receives them, waiting for entries. All must
/// arrive whole, once, in order, with nobody left asleep.
fn transfer(words: usize, entries: &'static [&'static [u8]], bound: Option<usize>, without: Without) {
    let mut model = Builder::new();
    model.preemption_bound = bound;
    model.max_branches = 10_000;
    model.check(move || {
        let Ends { mut producer, mut consumer, data, space } = ends(words, without);
        let sender = {
            let (data, space) = (data.clone(), space.clone());
            thread::spawn(move || {
                for entry in entries {
                    while let Err(error) = enqueue(&mut producer, entry, &data) {
                        assert!(matches!(error, EnqueueError::Overrun { .. }), "{error}");
                        space.clear();
                        if producer.arm(entry.len()).unwrap() == Readiness::Wait {
                            space.sleep();
                        }
                    }
                }
                assert_eq!(producer.check(), Ok(()));
            })
        };
        for entry in entries {
            let mut buffer = [0; 16];
            let len = loop {
                match dequeue(&mut consumer, &mut buffer, &space) {
                    Ok(len) => break len,
                    Err(error) => assert_eq!(error, DequeueError::Underrun),
                }
                data.clear();
                if consumer.arm().unwrap() == Readiness::Wait {
                    data.sleep();
                }
            };
            assert_eq!(&buffer[..len], *entry);
        }
        assert_eq!(consumer.front(), Err(DequeueError::Underrun));
        sender.join().unwrap();
    });
}

/// The two of them fill the ring, so the second waits for the first to leave.
const TWO: &[&[u8]] = &[b"first---", b"second"];

/// Many rounds of a ring of 4 words, with an empty entry, one that ends with its word, and one that takes all.
const FOUR: &[&[u8]] = &[b"12345678", b"", b"1234567890", b"ab"];

/// Without optimisation loom takes minutes, so only the interleavings with few preemptions are taken then.
const fn bound(optimised: Option<usize>, otherwise: usize) -> Option<usize> {
    if cfg!(debug_assertions) { Some(otherwise) } else { optimised }
}

#[test]
fn loom_two_entries_pass_through_a_ring_of_one() {
    transfer(2, TWO, bound(None, 3), Without::Nothing);
}

#[test]
fn loom_four_entries_pass_through_a_small_ring() {
    transfer(4, FOUR, bound(Some(3), 2), Without::Nothing);
}

/// Consumer arms, producer enqueues: nothing else happens that could wake it.
fn armed_consumer(without: Without) {
    ::loom::model(move || {
        let Ends { mut producer, mut consumer, data, space } = ends(2, without);
        // A new queue is armed; one that an entry went through is not.
        enqueue(&mut producer, b"before", &data).unwrap();
        dequeue(&mut consumer, &mut [0; 8], &space).unwrap();
        let sender = {
            let data = data.clone();
            thread::spawn(move || enqueue(&mut producer, b"wake up", &data).unwrap())
        };
        data.clear();
        if consumer.arm().unwrap() == Readiness::Wait {
            data.sleep();
        }
        assert_eq!(consumer.front(), Ok(7));
        sender.join().unwrap();
    });
}

/// Producer arms, consumer takes: nothing else happens that could wake it.
fn armed_producer(without: Without) {
    ::loom::model(move || {
        let Ends { mut producer, mut consumer, data, space } = ends(2, without);
        enqueue(&mut producer, b"full", &data).unwrap();
        let receiver = {
            let space = space.clone();
            thread::spawn(move || dequeue(&mut consumer, &mut [0; 8], &space).unwrap())
        };
        space.clear();
        if producer.arm(8).unwrap() == Readiness::Wait {
            space.sleep();
        }
        enqueue(&mut producer, b"12345678", &data).unwrap();
        receiver.join().unwrap();
    });
}

#[test]
fn loom_an_armed_consumer_is_always_woken() {
    armed_consumer(Without::Nothing);
}

#[test]
fn loom_an_armed_producer_is_always_woken() {
    armed_producer(Without::Nothing);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_without_fences_a_consumer_sleeps_for_ever() {
    armed_consumer(Without::Fences);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_without_fences_a_producer_sleeps_for_ever() {
    armed_producer(Without::Fences);
}

#[test]
#[should_panic(expected = "Corrupt")]
fn loom_without_release_and_acquire_entries_are_torn() {
    transfer(2, TWO, bound(None, 3), Without::Release);
}
