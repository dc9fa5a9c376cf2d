//! A driver's life: nothing that it began outlives it, and every buffer comes back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use outboard_core::action::{Aborted, Action, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::service::{Context, Driver, Ending, Service};
use outboard_core::usb::{Bulk, Device, In, Interface, Pipe};
use outboard_core::{Error, ErrorKind, Result};

use super::model::*;

/// Reads all the time; fails to start when told so.
struct Reader {
    pipe: Pipe<Bulk, In>,
    read: Action<BufferDescriptor<In>>,
    endings: Endings,
    context: Context<Self>,
    ticks: Rc<Cell<u32>>,
    _interface: Interface,
}

struct Provider {
    device: Device,
    endings: Endings,
    ticks: Rc<Cell<u32>>,
    refuse: bool,
}

impl Reader {
    fn read_complete(&mut self, done: Completion<BufferDescriptor<In>>) {
        self.endings.keep(&done);
        match done.outcome {
            Outcome::Completed(Ok(_)) => {
                self.pipe.async_io(done.buffer, &self.read).expect("the device is there");
            }
            Outcome::Aborted(Aborted::Unplugged) => {
                self.context.fail(Error::new(ErrorKind::Unplugged, "read", "it is gone"));
            }
            _ => {}
        }
    }
}

impl Driver for Reader {
    type Provider = Provider;

    async fn start(context: &Context<Self>, provider: Provider) -> Result<Self> {
        let Provider { device, endings, ticks, refuse } = provider;
        let interface = device.interface(0)?;
        let pipe = interface.pipe::<Bulk, In>(BULK_IN)?;
        let read = context.action(Self::read_complete);
        for packets in 1..=2 {
            pipe.async_io(pipe.buffer(packets * PACKET), &read)?;
        }
        let timer = context.timer(|this: &mut Self| this.ticks.set(this.ticks.get() + 1));
        timer.wake_at(Some(outboard_core::queue::now() + Duration::from_secs(10)));
        let after = Duration::from_secs(20);
        context
            .spawn(tokio::time::sleep(after), |this: &mut Self, ()| this.ticks.set(this.ticks.get() + 100));
        // What ends during the start is told after it.
        settle().await;
        assert_eq!(endings.all(), []);
        if refuse {
            return Err(Error::new(ErrorKind::Malformed, "start", "told to fail"));
        }
        Ok(Self { pipe, read, endings, context: context.clone(), ticks, _interface: interface })
    }
}

async fn provider() -> (Provider, outboard_core::usb::transport::in_process::Plug<Bench>, Device) {
    let (device, plug) = open().await;
    plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![1]));
    let provider =
        Provider { device: device.clone(), endings: Endings::default(), ticks: Rc::default(), refuse: false };
    (provider, plug, device)
}

const DONE: Outcome = Outcome::Completed(Ok(1));

#[test]
fn a_stop_ends_everything_and_tells_the_driver() {
    on_queue(async || {
        let (provider, plug, device) = provider().await;
        let (endings, ticks) = (provider.endings.clone(), provider.ticks.clone());
        let service = Service::<Reader>::start(provider).await.unwrap();
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(endings.outcomes(), [(PACKET, DONE)]);
        assert_eq!(ticks.get(), 1);
        assert_eq!(service.stop().await, Ending::Stopped);
        let cancelled = |n| (n * PACKET, Outcome::Cancelled);
        let mut rest = endings.outcomes().split_off(1);
        rest.sort_by_key(|(capacity, _)| *capacity);
        assert_eq!(rest, [cancelled(1), cancelled(2)]);
        // Its timer, its task and its claim are gone.
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![2]));
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!((ticks.get(), endings.all().len()), (1, 3));
        device.interface(0).unwrap();
    });
}

#[test]
fn a_start_that_fails_leaves_nothing_and_the_device_is_free() {
    on_queue(async || {
        let (mut provider, plug, device) = provider().await;
        provider.refuse = true;
        let (endings, ticks) = (provider.endings.clone(), provider.ticks.clone());
        let error = Service::<Reader>::start(provider).await.unwrap_err();
        assert_eq!(error.to_string(), "start: told to fail");
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!((ticks.get(), endings.all().len()), (0, 0), "there is no driver to tell");
        let interface = device.interface(0).unwrap();
        let pipe = interface.pipe::<Bulk, In>(BULK_IN).unwrap();
        assert_eq!(pipe.in_flight(), 0);
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![7]));
        assert_eq!(pipe.io(pipe.buffer(1)).await.buffer.data(), [7]);
    });
}

#[test]
fn an_unplug_ends_the_service_with_the_drivers_reason() {
    on_queue(async || {
        let (provider, plug, _device) = provider().await;
        let endings = provider.endings.clone();
        let service = Service::<Reader>::start(provider).await.unwrap();
        settle().await;
        plug.unplug();
        let ending = service.ended().await;
        let Ending::Failed(error) = &ending else { panic!("{ending:?}") };
        assert_eq!(error.kind(), ErrorKind::Unplugged);
        assert_eq!(service.stop().await, ending, "the first reason counts");
        let gone = Outcome::Aborted(Aborted::Unplugged);
        let rest = endings.outcomes().split_off(1);
        assert_eq!(rest.len(), 2);
        assert!(rest.iter().all(|(_, outcome)| *outcome == gone));
    });
}

#[test]
fn a_service_that_is_dropped_ends_without_anybody_waiting() {
    on_queue(async || {
        let (provider, plug, device) = provider().await;
        let (endings, ticks) = (provider.endings.clone(), provider.ticks.clone());
        let service = Service::<Reader>::start(provider).await.unwrap();
        settle().await;
        drop(service);
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![2]));
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!((ticks.get(), endings.outcomes()), (0, vec![(PACKET, DONE)]));
        let interface = device.interface(0).unwrap();
        assert_eq!(interface.pipe::<Bulk, In>(BULK_IN).unwrap().in_flight(), 0);
    });
}

/// Has what a test gives it.
struct Held {
    action: Action<BufferDescriptor<In>>,
    device: Option<(Device, Interface, Pipe<Bulk, In>)>,
    seen: Rc<RefCell<Vec<Outcome>>>,
    service: Rc<RefCell<Option<Service<Held>>>>,
}

type Parts = (Device, Rc<RefCell<Vec<Outcome>>>, Rc<RefCell<Option<Service<Held>>>>);

impl Held {
    fn ended(&mut self, done: Completion<BufferDescriptor<In>>) {
        self.seen.borrow_mut().push(done.outcome);
        drop(self.service.take());
    }
}

impl Driver for Held {
    type Provider = Parts;

    async fn start(context: &Context<Self>, (device, seen, service): Parts) -> Result<Self> {
        let interface = device.interface(0)?;
        let pipe = interface.pipe(BULK_IN)?;
        let action = context.action(Self::ended);
        pipe.async_io(pipe.buffer(1), &action)?;
        Ok(Self { action, device: Some((device, interface, pipe)), seen, service })
    }
}

#[test]
fn what_a_look_at_the_driver_sets_off_is_told_at_its_end() {
    on_queue(async || {
        let (device, _plug) = open().await;
        let seen = Rc::default();
        let service = Service::<Held>::start((device, Rc::clone(&seen), Rc::default())).await.unwrap();
        let during = service.with(|driver| {
            // The last handle: its transfers end here and now, while the driver is in use.
            driver.device = None;
            driver.seen.borrow().len()
        });
        assert_eq!(during, Some(0));
        assert_eq!(*seen.borrow(), [Outcome::Cancelled]);
        assert_eq!(service.with(|driver| driver.action.outstanding()), Some(0));
    });
}

#[test]
fn a_handler_may_let_go_of_its_own_service() {
    on_queue(async || {
        let (device, plug) = open().await;
        let parts: Parts = (device, Rc::default(), Rc::default());
        let (seen, slot) = (parts.1.clone(), parts.2.clone());
        *slot.borrow_mut() = Some(Service::<Held>::start(parts).await.unwrap());
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![2]));
        settle().await;
        assert_eq!(*seen.borrow(), [DONE]);
        assert!(slot.borrow().is_none());
    });
}
