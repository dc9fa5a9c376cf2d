//! Any sequence of operations, with any faults: each submission ends once, with its buffer, and those of a pipe in their order.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use outboard_core::action::{Action, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::usb::transport::fault::{Faulty, Injection, Rule};
use outboard_core::usb::transport::in_process::InProcess;
use outboard_core::usb::transport::record::{Log, Recorded, What};
use outboard_core::usb::{Bulk, Device, In, Out, Pipe};
use proptest::prelude::*;

use super::model::*;

#[derive(Debug, Clone)]
enum Step {
    Read(u8),
    Write(u8),
    Say(u8),
    Busy(bool),
    StallDevice(bool),
    AbortIn,
    AbortOut,
    ClearIn,
    ClearOut,
    CancelActions,
    Wait(u16),
    Select(u8),
    GiveBackAndRetake,
    Unplug,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..5).prop_map(Step::Read),
        6 => (0u8..200).prop_map(Step::Write),
        6 => (0u8..65).prop_map(Step::Say),
        2 => any::<bool>().prop_map(Step::Busy),
        1 => any::<bool>().prop_map(Step::StallDevice),
        1 => Just(Step::AbortIn),
        1 => Just(Step::AbortOut),
        2 => Just(Step::ClearIn),
        2 => Just(Step::ClearOut),
        1 => Just(Step::CancelActions),
        3 => (1u16..3000).prop_map(Step::Wait),
        1 => (0u8..3).prop_map(Step::Select),
        1 => Just(Step::GiveBackAndRetake),
        1 => Just(Step::Unplug),
    ]
}

fn injection() -> impl Strategy<Value = Injection> {
    prop_oneof![
        3 => Just(Injection::Stall),
        3 => Just(Injection::Fault),
        3 => (0usize..70).prop_map(Injection::Short),
        3 => (any::<u8>(), 0usize..70).prop_map(|(mask, offset)| Injection::Corrupt { mask, offset }),
        3 => (0u64..5000).prop_map(|ms| Injection::Delay(Duration::from_millis(ms))),
        1 => Just(Injection::Unplug),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let endpoint = prop_oneof![Just(None), Just(Some(BULK_IN)), Just(Some(BULK_OUT)), Just(Some(0))];
    (endpoint, 1u64..12, any::<bool>(), injection()).prop_map(|(endpoint, nth, repeat, injection)| Rule {
        endpoint,
        nth,
        repeat,
        injection,
    })
}

/// Which submissions are out, by the capacity that each buffer has alone, and how each ended.
#[derive(Default)]
struct Ledger {
    out: Vec<usize>,
    ended: Vec<(usize, Outcome)>,
}

type Shared = Rc<RefCell<Ledger>>;

fn action<D: outboard_core::usb::PipeDirection>(ledger: &Shared) -> Action<BufferDescriptor<D>> {
    let ledger = ledger.clone();
    Action::new(move |done: Completion<BufferDescriptor<D>>| {
        let mut ledger = ledger.borrow_mut();
        let capacity = done.buffer.capacity();
        let at = ledger.out.iter().position(|out| *out == capacity);
        let at = at.unwrap_or_else(|| panic!("{capacity} ended twice, or was never submitted"));
        // What completed did so in the order of submission; only what was ended early may overtake.
        let overtaken = ledger.out[..at].iter().any(|out| out % 2 == capacity % 2);
        assert!(!overtaken || !matches!(done.outcome, Outcome::Completed(_)), "{capacity} overtook");
        ledger.out.remove(at);
        ledger.ended.push((capacity, done.outcome));
    })
}

/// A new capacity: odd for OUT, even for IN, so that each buffer is known.
fn tag(n: &mut usize, base: usize, odd: bool) -> usize {
    *n += 1;
    base + 2 * *n + usize::from(odd)
}

async fn play(steps: Vec<Step>, rules: Vec<Rule>) -> (Shared, usize, Log) {
    let (transport, plug) = InProcess::new("1-2", Bench::default());
    let (transport, injector) = Faulty::new(transport);
    let log = Log::default();
    let device = Device::open(Recorded::new(transport, log.clone())).await.unwrap();
    rules.into_iter().for_each(|rule| injector.add(rule));
    let ledger = Shared::default();
    let (mut read, mut write) = (action::<In>(&ledger), action::<Out>(&ledger));
    let mut interface = device.interface(0).ok();
    let (mut submitted, mut n) = (0, 0);
    for step in steps {
        let input: Option<Pipe<Bulk, In>> = interface.as_ref().and_then(|it| it.pipe(BULK_IN).ok());
        let output: Option<Pipe<Bulk, Out>> = interface.as_ref().and_then(|it| it.pipe(BULK_OUT).ok());
        match step {
            Step::Read(packets) => {
                let Some(pipe) = input else { continue };
                let capacity = tag(&mut n, usize::from(packets) * 1024, false);
                ledger.borrow_mut().out.push(capacity);
                let taken = pipe.async_io(BufferDescriptor::heap(capacity), &read);
                submitted += usize::from(taken.is_ok());
                if let Err(rejected) = taken {
                    assert_eq!(rejected.buffer.capacity(), capacity);
                    ledger.borrow_mut().out.pop();
                }
            }
            Step::Write(len) => {
                let Some(pipe) = output else { continue };
                let capacity = tag(&mut n, 1024, true);
                let mut buffer = BufferDescriptor::heap(capacity);
                buffer.set_len(usize::from(len));
                ledger.borrow_mut().out.push(capacity);
                let taken = pipe.async_io(buffer, &write);
                submitted += usize::from(taken.is_ok());
                if let Err(rejected) = taken {
                    assert_eq!(rejected.buffer.capacity(), capacity);
                    ledger.borrow_mut().out.pop();
                }
            }
            Step::Say(len) => plug.with(|model| {
                model.say.entry(BULK_IN).or_default().push_back(vec![len; usize::from(len)]);
            }),
            Step::Busy(busy) => plug.with(|model| {
                model.busy.clear();
                model.busy.extend(busy.then_some(BULK_OUT));
            }),
            Step::StallDevice(input) => {
                let endpoint = if input { BULK_IN } else { BULK_OUT };
                plug.with(|model| model.stall.insert(endpoint));
            }
            Step::AbortIn => {
                if let Some(pipe) = input {
                    pipe.abort().await;
                    assert_eq!(pipe.in_flight(), 0);
                }
            }
            Step::AbortOut => {
                if let Some(pipe) = output {
                    pipe.abort().await;
                    assert_eq!(pipe.in_flight(), 0);
                }
            }
            Step::ClearIn => {
                if let Some(pipe) = input {
                    let _ = pipe.clear_stall().await;
                }
            }
            Step::ClearOut => {
                if let Some(pipe) = output {
                    let _ = pipe.clear_stall().await;
                }
            }
            Step::CancelActions => {
                read.cancel().await;
                write.cancel().await;
                assert!(ledger.borrow().out.is_empty(), "cancelled, and not over");
                (read, write) = (action(&ledger), action(&ledger));
            }
            Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
            Step::Select(alternate) => {
                if let Some(interface) = &interface {
                    let _ = interface.select_alternate(alternate).await;
                }
            }
            Step::GiveBackAndRetake => {
                drop(interface.take());
                // Until they have ended, those of before could still complete: order is of one pipe.
                settle().await;
                interface = device.interface(0).ok();
            }
            Step::Unplug => plug.unplug(),
        }
    }
    drop((interface, device));
    settle().await;
    (ledger, submitted, log)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_submission_ends_once_with_its_buffer(
        steps in proptest::collection::vec(step(), 0..60),
        rules in proptest::collection::vec(rule(), 0..6),
    ) {
        let (ledger, submitted, log) = on_queue(|| play(steps, rules));
        let ledger = ledger.borrow();
        prop_assert_eq!(&ledger.out, &Vec::<usize>::new());
        prop_assert_eq!(ledger.ended.len(), submitted);
        // The transport's own contract: what was submitted and not rejected completed once, before its token was used again.
        let mut out = std::collections::HashSet::new();
        for entry in log.entries() {
            match entry.what {
                What::Submitted(..) => prop_assert!(out.insert(entry.token), "a token in use was given out"),
                What::Rejected(..) | What::Completed(..) => prop_assert!(out.remove(&entry.token)),
                What::Cancelled => {}
            }
        }
        prop_assert!(out.is_empty());
    }
}
