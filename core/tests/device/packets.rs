//! How transfers are cut into packets, in which order they end, and what is said of a batch.

use std::cell::RefCell;
use std::rc::Rc;

use outboard_core::action::{Action, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::queue::DispatchQueue;
use outboard_core::usb::{Bulk, In, Interrupt, Out, TransferError};

use super::model::*;

#[test]
fn a_transfer_that_ends_on_a_packets_boundary_is_ended_by_an_empty_packet() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let pipe = interface.pipe::<Bulk, Out>(BULK_OUT).unwrap();
        let heard = |plug: &outboard_core::usb::transport::in_process::Plug<Bench>| {
            let packets = plug.with(|model| model.heard.remove(&BULK_OUT)).unwrap_or_default();
            packets.into_iter().map(|packet| packet.len()).collect::<Vec<_>>()
        };
        for (len, packets) in [
            (0, vec![0]),
            (1, vec![1]),
            (63, vec![63]),
            (64, vec![64, 0]),
            (65, vec![64, 1]),
            (128, vec![64, 64, 0]),
            (200, vec![64, 64, 64, 8]),
        ] {
            let done = pipe.io(BufferDescriptor::from(&vec![1; len][..])).await;
            assert_eq!(done.outcome, Outcome::Completed(Ok(len)));
            assert_eq!(heard(&plug), packets, "{len} bytes");
        }
        // Unterminated, the boundary is not marked.
        let endings = Endings::default();
        let action = endings.action();
        for (len, packets) in [(64, vec![64]), (128, vec![64, 64]), (65, vec![64, 1]), (0, vec![0])] {
            pipe.async_io_unterminated(BufferDescriptor::from(&vec![1; len][..]), &action).unwrap();
            settle().await;
            assert_eq!(heard(&plug), packets, "{len} bytes");
        }
        assert_eq!(endings.all().len(), 4);
    });
}

#[test]
fn in_buffers_are_of_whole_packets_and_ask_for_whole_packets() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let pipe = interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        for (asked, given) in [(0, 64), (1, 64), (64, 64), (65, 128), (1514, 1536)] {
            assert_eq!(pipe.buffer(asked).capacity(), given);
            assert!(pipe.buffers(asked, 3).iter().all(|buffer| buffer.capacity() == given));
        }
        assert_eq!(interface.pipe::<Interrupt, In>(INTERRUPT_IN).unwrap().buffer(1).capacity(), 16);
        assert_eq!(interface.pipe::<Bulk, Out>(BULK_OUT).unwrap().buffer(5).capacity(), 5);
        // 100 bytes hold one packet: the device may fill it, and the next one is not begun.
        plug.with(|model| model.say.entry(BULK_IN).or_default().extend([vec![1; 64], vec![2; 64]]));
        let done = pipe.io(BufferDescriptor::heap(100)).await;
        assert_eq!((done.outcome, done.buffer.data()), (Outcome::Completed(Ok(64)), &[1; 64][..]));
        // A buffer that is smaller than a packet takes what fits, and says so when more came.
        let done = pipe.io(BufferDescriptor::heap(10)).await;
        assert_eq!(done.outcome, Outcome::Completed(Err(TransferError::Overflow)));
        assert_eq!(done.buffer.data(), [2; 10]);
    });
}

#[test]
fn a_transfer_of_many_packets_ends_without_another_event() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let pipe = interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        // More than the port moves in a turn.
        const PACKETS: usize = 10_000;
        plug.with(|model| {
            model.say.entry(BULK_IN).or_default().extend((0..PACKETS).map(|n| vec![n as u8; PACKET]))
        });
        let io = pipe.io(pipe.buffer(PACKETS * PACKET));
        let done = tokio::time::timeout(std::time::Duration::from_secs(1), io).await.expect("it ends");
        assert_eq!(done.outcome, Outcome::Completed(Ok(PACKETS * PACKET)));
        assert_eq!(done.buffer.data()[PACKET * (PACKETS - 1)], (PACKETS - 1) as u8);
    });
}

#[test]
fn what_ended_together_is_told_in_order_with_more_on_all_but_the_last() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let bulk = interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        let interrupt = interface.pipe::<Interrupt, In>(INTERRUPT_IN).unwrap();
        let endings = Endings::default();
        let (first, second) = (endings.action(), endings.action());
        for packets in 1..=3 {
            bulk.async_io(bulk.buffer(packets * PACKET), &first).unwrap();
        }
        // Another action on the same pipe is of the same batch.
        bulk.async_io(bulk.buffer(4 * PACKET), &second).unwrap();
        interrupt.async_io(interrupt.buffer(16), &second).unwrap();
        plug.with(|model| {
            model.say.entry(BULK_IN).or_default().extend((1..=4).map(|n| vec![n]));
            model.say.entry(INTERRUPT_IN).or_default().push_back(vec![5]);
        });
        settle().await;
        let seen: Vec<_> = endings.all().into_iter().map(|seen| (seen.data[0], seen.more)).collect();
        assert_eq!(seen, [(1, true), (2, true), (3, true), (4, false), (5, false)]);
    });
}

#[test]
fn a_handler_may_submit_and_abort_from_within_and_never_runs_inside_itself() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let pipe = Rc::new(interface.pipe::<Bulk, In>(BULK_IN).unwrap());
        let depth = Rc::new(RefCell::new(0));
        let seen = Rc::new(RefCell::new(Vec::new()));
        let slot: Rc<RefCell<Option<Action<BufferDescriptor<In>>>>> = Rc::default();
        let action = Action::new({
            let (pipe, depth, seen, slot) = (pipe.clone(), depth.clone(), seen.clone(), slot.clone());
            move |done: Completion<BufferDescriptor<In>>| {
                assert_eq!(depth.replace(1), 0, "inside itself");
                let n = done.buffer.data()[0];
                seen.borrow_mut().push(n);
                if n < 100 {
                    let action = slot.borrow();
                    pipe.async_io(done.buffer, action.as_ref().unwrap()).unwrap();
                }
                depth.replace(0);
            }
        });
        *slot.borrow_mut() = Some(action.clone());
        plug.with(|model| model.say.entry(BULK_IN).or_default().extend((1..=100).map(|n| vec![n])));
        pipe.async_io(pipe.buffer(PACKET), &action).unwrap();
        settle().await;
        assert!(seen.borrow().iter().copied().eq(1..=100));
        // The cycle through the action ends with it.
        slot.take();
    });
}

#[test]
fn a_device_that_always_has_something_leaves_the_queue_to_others() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let pipe = Rc::new(interface.pipe::<Bulk, Out>(BULK_OUT).unwrap());
        let slot: Rc<RefCell<Option<Action<BufferDescriptor<Out>>>>> = Rc::default();
        let sent = Rc::new(RefCell::new(0));
        let action = Action::new({
            let (pipe, slot, sent) = (pipe.clone(), slot.clone(), sent.clone());
            move |done: Completion<BufferDescriptor<Out>>| {
                *sent.borrow_mut() += 1;
                assert!(*sent.borrow() < 1_000_000, "nobody else got a turn");
                if let Some(action) = slot.borrow().as_ref() {
                    pipe.async_io(done.buffer, action).unwrap();
                }
            }
        });
        *slot.borrow_mut() = Some(action.clone());
        pipe.async_io(BufferDescriptor::from(&[1][..]), &action).unwrap();
        let (send, receive) = tokio::sync::oneshot::channel();
        let queue = DispatchQueue::current().unwrap();
        queue.dispatch_async(move || send.send(()).unwrap()).unwrap();
        receive.await.unwrap();
        slot.take();
        settle().await;
        assert_eq!(pipe.in_flight(), 0);
        drop(plug);
    });
}
