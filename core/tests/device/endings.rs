//! Every submission ends exactly once, with its buffer, whatever happens to it.

use std::cell::RefCell;
use std::rc::Rc;

use outboard_core::ErrorKind;
use outboard_core::action::{Aborted, Action, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::usb::transport::in_process::Plug;
use outboard_core::usb::{Bulk, Device, In, Interface, Interrupt, Out, Pipe, TransferError};

use super::model::*;

const UNPLUGGED: Outcome = Outcome::Aborted(Aborted::Unplugged);

/// Two IN transfers and one OUT transfer that wait for the device.
struct Waiting {
    device: Device,
    plug: Plug<Bench>,
    interface: Interface,
    input: Pipe<Bulk, In>,
    output: Pipe<Bulk, Out>,
    action_in: Action<BufferDescriptor<In>>,
    endings: Endings,
}

async fn waiting() -> Waiting {
    let (device, plug) = open().await;
    plug.with(|model| model.busy.insert(BULK_OUT));
    let interface = device.interface(0).unwrap();
    let (input, output) = (interface.pipe(BULK_IN).unwrap(), interface.pipe(BULK_OUT).unwrap());
    let endings = Endings::default();
    let (action_in, action_out) = (endings.action(), endings.action());
    for packets in [1, 2] {
        input.async_io(input.buffer(packets * PACKET), &action_in).unwrap();
    }
    output.async_io(BufferDescriptor::from(&[7; 10][..]), &action_out).unwrap();
    settle().await;
    assert_eq!(endings.all(), [], "the device is busy");
    assert_eq!((input.in_flight(), output.in_flight(), action_in.outstanding()), (2, 1, 2));
    Waiting { device, plug, interface, input, output, action_in, endings }
}

fn sorted(mut outcomes: Vec<(usize, Outcome)>) -> Vec<(usize, Outcome)> {
    outcomes.sort_by_key(|(capacity, _)| *capacity);
    outcomes
}

fn all(outcome: Outcome) -> Vec<(usize, Outcome)> {
    [10, PACKET, 2 * PACKET].map(|capacity| (capacity, outcome)).to_vec()
}

#[test]
fn completed_when_the_device_answers() {
    on_queue(async || {
        let w = waiting().await;
        w.plug.with(|model| {
            model.busy.clear();
            model.say.entry(BULK_IN).or_default().extend([vec![1; 5], vec![2; PACKET], vec![]]);
        });
        settle().await;
        let seen = w.endings.all();
        let data: Vec<_> = seen.iter().map(|seen| (seen.capacity, seen.data.clone(), seen.outcome)).collect();
        let done = |n| Outcome::Completed(Ok(n));
        assert_eq!(
            data,
            [
                (10, vec![7; 10], done(10)),
                (PACKET, vec![1; 5], done(5)),
                (2 * PACKET, vec![2; PACKET], done(PACKET))
            ]
        );
        assert_eq!((w.input.in_flight(), w.action_in.outstanding()), (0, 0));
    });
}

#[test]
fn stalled_until_the_halt_is_cleared() {
    on_queue(async || {
        let w = waiting().await;
        w.plug.with(|model| model.stall.insert(BULK_IN));
        settle().await;
        let stall = Outcome::Completed(Err(TransferError::Stall));
        assert_eq!(w.endings.outcomes(), [(PACKET, stall), (2 * PACKET, stall)]);
        // Halted: the next ends the same way, and only after the clear does data flow.
        let done = w.input.io(w.input.buffer(3 * PACKET)).await;
        assert_eq!((done.outcome, done.buffer.capacity()), (stall, 3 * PACKET));
        w.input.clear_stall().await.unwrap();
        w.plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![9]));
        let done = w.input.io(done.buffer).await;
        assert_eq!((done.outcome, done.buffer.data()), (Outcome::Completed(Ok(1)), &[9][..]));
        assert_eq!(w.output.in_flight(), 1, "the other endpoint is not disturbed");
    });
}

#[test]
fn cancelled_when_the_pipe_is_aborted() {
    on_queue(async || {
        let w = waiting().await;
        w.input.abort().await;
        // Resolved after the handlers.
        assert_eq!(
            w.endings.outcomes(),
            [(2 * PACKET, Outcome::Cancelled), (PACKET, Outcome::Cancelled)],
            "the newest first, so that none begins when the one before it ends"
        );
        assert_eq!(w.output.in_flight(), 1);
        // The pipe and the action live on.
        w.plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![1]));
        w.input.async_io(w.input.buffer(3 * PACKET), &w.action_in).unwrap();
        settle().await;
        assert_eq!(w.endings.outcomes()[2..], [(3 * PACKET, Outcome::Completed(Ok(1)))]);
        w.input.abort().await;
        assert_eq!(w.endings.all().len(), 3, "an abort of nothing tells nobody");
    });
}

#[test]
fn cancelled_with_their_action_which_then_takes_nothing_more() {
    on_queue(async || {
        let w = waiting().await;
        w.action_in.cancel().await;
        assert_eq!(
            w.endings.outcomes(),
            [(2 * PACKET, Outcome::Cancelled), (PACKET, Outcome::Cancelled)],
            "the newest first, so that none begins when the one before it ends"
        );
        let rejected = w.input.async_io(w.input.buffer(5 * PACKET), &w.action_in).unwrap_err();
        assert_eq!((rejected.error.kind(), rejected.buffer.capacity()), (ErrorKind::Cancelled, 5 * PACKET));
        assert_eq!(
            rejected.error.to_string(),
            "1-2, interface 0, endpoint 0x81: submit a transfer: the action was cancelled"
        );
        w.plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![1]));
        settle().await;
        assert_eq!(w.endings.all().len(), 2);
        assert_eq!(w.output.in_flight(), 1);
    });
}

#[test]
fn cancelled_when_the_interface_is_given_back() {
    on_queue(async || {
        let w = waiting().await;
        drop(w.interface);
        settle().await;
        assert_eq!(sorted(w.endings.outcomes()), all(Outcome::Cancelled));
        let rejected = w.input.async_io(w.input.buffer(PACKET), &w.action_in).unwrap_err();
        assert_eq!(
            rejected.error.to_string(),
            "1-2, interface 0, endpoint 0x81: submit a transfer: the pipe is stale: its interface was given back"
        );
        // Taken again, its old pipes stay stale.
        let again = w.device.interface(0).unwrap();
        let rejected = w.input.async_io(rejected.buffer, &w.action_in).unwrap_err();
        assert_eq!(rejected.error.kind(), ErrorKind::NotFound);
        let fresh = again.pipe::<Bulk, In>(BULK_IN).unwrap();
        fresh.async_io(rejected.buffer, &w.action_in).unwrap();
        assert_eq!(fresh.in_flight(), 1);
    });
}

#[test]
fn cancelled_when_the_last_handle_of_the_device_goes() {
    on_queue(async || {
        let Waiting { device, plug: _plug, interface, input, output, endings, action_in } = waiting().await;
        drop((device, interface));
        settle().await;
        assert_eq!(sorted(endings.outcomes()), all(Outcome::Cancelled), "with the interface");
        // What has been submitted and not begun ends in the drop itself.
        let (device, _plug) = open().await;
        let interface = device.interface(0).unwrap();
        let late = interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        late.async_io(late.buffer(4 * PACKET), &action_in).unwrap();
        drop((late, interface, device, input, output));
        assert_eq!(endings.outcomes()[3..], [(4 * PACKET, Outcome::Cancelled)]);
    });
}

#[test]
fn aborted_when_the_queue_ends() {
    let kept: Rc<RefCell<Option<Waiting>>> = Rc::default();
    let endings = on_queue({
        let kept = kept.clone();
        async move || {
            let w = waiting().await;
            let endings = w.endings.clone();
            // It outlives the queue.
            *kept.borrow_mut() = Some(w);
            endings
        }
    });
    assert_eq!(sorted(endings.outcomes()), all(Outcome::Aborted(Aborted::QueueEnded)));
    let w = kept.take().unwrap();
    assert!(w.device.is_gone());
    let rejected = w.input.async_io(w.input.buffer(PACKET), &w.action_in).unwrap_err();
    assert_eq!(rejected.error.kind(), ErrorKind::Unplugged);
    drop(w);
    assert_eq!(endings.all().len(), 3);
}

#[test]
fn a_handler_may_do_anything_when_the_queue_ends() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::new(RefCell::new(Vec::<(Interface, Rc<Pipe<Bulk, In>>)>::new()));
    on_queue({
        let (told, kept) = (told.clone(), kept.clone());
        async move || {
            let (device, _plug) = open().await;
            let interface = device.interface(0).unwrap();
            let pipe = Rc::new(interface.pipe::<Bulk, In>(BULK_IN).unwrap());
            let action = Action::new({
                let (pipe, told) = (Rc::downgrade(&pipe), told.clone());
                move |done: outboard_core::action::Completion<BufferDescriptor<In>>| {
                    told.borrow_mut().push(done.outcome);
                    let again: Action<_> = Action::new(|_| panic!("it was not taken"));
                    let pipe = pipe.upgrade().unwrap();
                    assert!(pipe.async_io(done.buffer, &again).is_err());
                    let _ = outboard_core::queue::now();
                    // A timer needs the queue's tasks, which are on their way out.
                    let timer = outboard_core::source::TimerSource::new(|| panic!("the queue has ended"));
                    timer.wake_at(Some(outboard_core::queue::now()));
                }
            });
            pipe.async_io(pipe.buffer(PACKET), &action).unwrap();
            kept.borrow_mut().push((interface, pipe));
        }
    });
    assert_eq!(*told.borrow(), [Outcome::Aborted(Aborted::QueueEnded)]);
}

#[test]
#[should_panic(expected = "a driver's bug, on purpose")]
fn a_panic_in_a_handler_ends_the_queue() {
    on_queue(async || {
        let (device, plug) = open().await;
        let interface = device.interface(0).unwrap();
        let pipe = interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        let action = Action::new(|_| panic!("a driver's bug, on purpose"));
        pipe.async_io(pipe.buffer(1), &action).unwrap();
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![1]));
        std::future::pending::<()>().await;
    });
}

#[test]
fn aborted_when_the_device_is_unplugged() {
    on_queue(async || {
        let w = waiting().await;
        w.plug.unplug();
        w.device.gone().await;
        // Told by then.
        assert_eq!(sorted(w.endings.outcomes()), all(UNPLUGGED));
        assert!(w.device.is_gone());
        let rejected = w.input.async_io(w.input.buffer(PACKET), &w.action_in).unwrap_err();
        assert_eq!(
            rejected.error.to_string(),
            "1-2, interface 0, endpoint 0x81: submit a transfer: the device is gone"
        );
        assert_eq!(w.interface.select_alternate(1).await.unwrap_err().kind(), ErrorKind::Unplugged);
        assert_eq!(w.input.clear_stall().await.unwrap_err().kind(), ErrorKind::Unplugged);
        w.input.abort().await;
        w.action_in.cancel().await;
        let done = w.output.io(BufferDescriptor::from(&[1, 2][..])).await;
        assert_eq!(
            (done.outcome, done.buffer.data()),
            (Outcome::Completed(Err(TransferError::Unplugged)), &[1, 2][..])
        );
        drop((w.interface, w.input, w.output, w.device));
        assert_eq!(w.endings.all().len(), 3);
    });
}

/// At each point of an ordinary life, the plug is pulled just before.
#[test]
fn an_unplug_in_any_state_ends_everything_once() {
    for state in 0..7 {
        on_queue(async || {
            let w = waiting().await;
            let at = |n| {
                if n == state {
                    w.plug.unplug();
                }
            };
            at(0);
            let abort = w.input.abort();
            at(1);
            abort.await;
            at(2);
            let _ = w.output.clear_stall().await;
            let select = w.interface.select_alternate(1);
            at(3);
            let _ = select.await;
            at(4);
            let cancel = w.action_in.cancel();
            at(5);
            cancel.await;
            at(6);
            w.device.gone().await;
            let outcomes = sorted(w.endings.outcomes());
            assert_eq!(outcomes.len(), 3, "state {state}: {outcomes:?}");
            for ((capacity, outcome), wanted) in outcomes.into_iter().zip([10, PACKET, 2 * PACKET]) {
                assert_eq!(capacity, wanted, "state {state}");
                assert!(matches!(outcome, Outcome::Cancelled | UNPLUGGED), "state {state}: {outcome:?}");
            }
        });
    }
}

#[test]
fn cancelled_when_another_alternate_setting_is_selected() {
    on_queue(async || {
        let w = waiting().await;
        w.interface.select_alternate(1).await.unwrap();
        assert_eq!(sorted(w.endings.outcomes()), all(Outcome::Cancelled));
        assert_eq!(w.plug.with(|model| model.selected.clone()), [(0, 1)]);
        let rejected = w.input.async_io(w.input.buffer(PACKET), &w.action_in).unwrap_err();
        assert_eq!(
            rejected.error.to_string(),
            "1-2, interface 0, endpoint 0x81: submit a transfer: the pipe is stale: an alternate setting was selected, or the interface taken anew, since it was opened"
        );
        assert_eq!(w.interface.pipe::<Bulk, In>(BULK_IN).unwrap().max_packet_size(), 32);
    });
}

#[test]
fn a_pipe_opened_while_the_setting_changes_is_stale() {
    on_queue(async || {
        let w = waiting().await;
        let early = {
            let mut select = std::pin::pin!(w.interface.select_alternate(1));
            let begun = std::future::poll_fn(|context| {
                std::task::Poll::Ready(select.as_mut().poll(context).is_pending())
            });
            assert!(begun.await, "it waits for the device");
            let early = w.interface.pipe::<Interrupt, In>(INTERRUPT_IN).unwrap();
            select.await.unwrap();
            early
        };
        assert_eq!(w.interface.alternate(), 1);
        let rejected = early.async_io(early.buffer(16), &w.action_in).unwrap_err();
        assert_eq!(rejected.error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_refused_setting_leaves_the_old_one_and_its_new_pipes_work() {
    on_queue(async || {
        let w = waiting().await;
        w.plug.with(|model| model.fixed = true);
        let error = w.interface.select_alternate(1).await.unwrap_err();
        assert_eq!(error.to_string(), "1-2, interface 0: select the alternate setting: the endpoint stalled");
        assert_eq!(w.interface.alternate(), 0);
        let missing = w.interface.select_alternate(9).await.unwrap_err();
        assert_eq!(
            missing.to_string(),
            "1-2, interface 0: select the alternate setting: configuration 1 has no such alternate setting (9)"
        );
        let pipe = w.interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        w.plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![3]));
        let done = pipe.io(pipe.buffer(PACKET)).await;
        assert_eq!(done.outcome, Outcome::Completed(Ok(1)));
    });
}
