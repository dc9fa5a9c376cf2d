//! The queue against a `VecDeque` with a count of bytes: any sequence of operations gives the same results.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{DequeueError, EnqueueError, Readiness};
use super::{pair, readable};

#[derive(Debug, Clone)]
enum Operation {
    Enqueue(Vec<u8>),
    /// Pieces, and how much more is reserved than they need.
    EnqueueWith(Vec<Vec<u8>>, usize),
    Dequeue(usize),
    Peek(usize, usize),
    ConsumerWaits,
    ProducerWaits(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let bytes = |max| vec(any::<u8>(), 0..max);
    prop_oneof![
        4 => bytes(140usize).prop_map(Operation::Enqueue),
        2 => (vec(bytes(30), 0..5), 0..20usize).prop_map(|(pieces, more)| Operation::EnqueueWith(pieces, more)),
        5 => (0..140usize).prop_map(Operation::Dequeue),
        1 => (0..140usize, 0..140usize).prop_map(|(offset, len)| Operation::Peek(offset, len)),
        1 => Just(Operation::ConsumerWaits),
        1 => (0..140usize).prop_map(Operation::ProducerWaits),
    ]
}

const CAPACITY: usize = 128;

fn size(len: usize) -> usize {
    8 + len.next_multiple_of(8)
}

/// What enqueueing `limit` bytes must give.
fn expected(model: &VecDeque<Vec<u8>>, limit: usize) -> Result<(), EnqueueError> {
    let used: usize = model.iter().map(|entry| size(entry.len())).sum();
    let (needed, free) = (size(limit), CAPACITY - used);
    if limit > CAPACITY - 8 {
        Err(EnqueueError::TooLarge { len: limit, max: CAPACITY - 8 })
    } else if needed > free {
        Err(EnqueueError::Overrun { needed, free })
    } else {
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_sequence_behaves_as_the_model(operations in vec(operation(), 0..200)) {
        let (mut producer, mut consumer) = pair(CAPACITY);
        let mut model = VecDeque::<Vec<u8>>::new();
        let mut consumer_sleeps = false;
        let mut producer_sleeps = None;
        for operation in operations {
            match operation {
                Operation::Enqueue(bytes) => {
                    let expected = expected(&model, bytes.len());
                    prop_assert_eq!(producer.enqueue(&bytes), expected);
                    if expected.is_ok() {
                        model.push_back(bytes);
                    }
                }
                Operation::EnqueueWith(pieces, more) => {
                    let bytes = pieces.concat();
                    let expected = expected(&model, bytes.len() + more);
                    let result = producer.enqueue_with(bytes.len() + more, |entry| {
                        pieces.iter().for_each(|piece| entry.write(piece).unwrap());
                        assert_eq!(entry.left(), more);
                    });
                    prop_assert_eq!(result, expected);
                    if expected.is_ok() {
                        model.push_back(bytes);
                    }
                }
                Operation::Dequeue(len) => {
                    let mut buffer = vec![0; len];
                    match consumer.dequeue(&mut buffer) {
                        Ok(len) => prop_assert_eq!(&buffer[..len], &model.pop_front().unwrap()[..]),
                        Err(DequeueError::Underrun) => prop_assert!(model.is_empty()),
                        Err(DequeueError::BufferTooSmall { needed }) => {
                            prop_assert!(needed > len);
                            prop_assert_eq!(needed, model[0].len());
                        }
                        Err(error) => prop_assert!(false, "{}", error),
                    }
                }
                Operation::Peek(offset, len) => match consumer.peek() {
                    Ok(entry) => {
                        prop_assert_eq!(entry.len(), model[0].len());
                        let mut part = vec![0; len];
                        let copied = entry.copy_from(offset, &mut part);
                        let rest = model[0].get(offset..).unwrap_or_default();
                        prop_assert_eq!(&part[..copied], &rest[..rest.len().min(len)]);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, DequeueError::Underrun);
                        prop_assert!(model.is_empty());
                    }
                },
                Operation::ConsumerWaits => {
                    consumer_sleeps = consumer.prepare_wait() == Ok(Readiness::Wait);
                    prop_assert_eq!(consumer_sleeps, model.is_empty());
                }
                Operation::ProducerWaits(len) => {
                    let result = producer.prepare_wait(len);
                    match expected(&model, len) {
                        Ok(()) => prop_assert_eq!(result, Ok(Readiness::Ready)),
                        Err(EnqueueError::Overrun { .. }) => prop_assert_eq!(result, Ok(Readiness::Wait)),
                        Err(error) => prop_assert_eq!(result, Err(error)),
                    }
                    producer_sleeps = (result == Ok(Readiness::Wait)).then_some(len);
                }
            }
            // Who sleeps, and could go on, has been told.
            prop_assert!(!consumer_sleeps || model.is_empty() || readable(consumer.event_fd()));
            if let Some(len) = producer_sleeps {
                prop_assert!(expected(&model, len).is_err() || readable(producer.event_fd()));
            }
        }
    }
}
