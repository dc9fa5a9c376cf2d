//! A driver on a virtual device with an interface in memory, and a ledger of everything that was lent to the transport.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use outboard_core::buffer::RawBuffer;
use outboard_core::family::ethernet::memory::{MemoryHost, MemoryInterface};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::Service;
use outboard_core::usb::transfer::{Done, Token, TransferError, Urb};
use outboard_core::usb::transport::in_process::{DeviceModel, InProcess, Plug};
use outboard_core::usb::transport::{DeviceInfo, Reaped, Transport};
use outboard_core::usb::{Device, Direction};
use outboard_core::{Error, Result};
use outboard_usb_ecm::{EcmDriver, EcmStatus, Provider, Vended};
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions};
use outboard_virtual_devices::wire::Tester;

/// The station of the faultless dongle.
pub(crate) const STATION: [u8; 6] = [0x52, 0x54, 0x00, 0xe0, 0xcc, 0x01];

/// Runs a test in virtual time.
pub(crate) fn run<F: Future>(main: impl FnOnce() -> F) -> F::Output {
    DispatchQueue::run("test", Clock::Virtual, |_| main()).unwrap()
}

/// A frame of this many bytes to this destination.
pub(crate) fn frame(destination: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame = [&destination[..], &[2, 0, 0, 0, 0, 9], &[0x88, 0xb5]].concat();
    frame.extend((14..length).map(|at| at as u8));
    frame
}

/// Waits until it is so, a minute of virtual time at most.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not come to be: {what}");
}

/// What a transport was lent and asked for.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    claims: Rc<RefCell<BTreeSet<u8>>>,
    out: Rc<Cell<i64>>,
}

/// Keeps the ledger in front of a transport.
struct Counted<T> {
    inner: T,
    ledger: Ledger,
    _alive: Rc<()>,
}

impl<T: Transport> Counted<T> {
    fn came_back(&self, count: usize) {
        self.ledger.out.set(self.ledger.out.get() - count as i64);
    }
}

impl<T: Transport> Transport for Counted<T> {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn submit(&mut self, urb: Urb) -> Result<(), (TransferError, Urb)> {
        self.inner.submit(urb)?;
        self.ledger.out.set(self.ledger.out.get() + 1);
        Ok(())
    }

    fn cancel(&mut self, token: Token) {
        self.inner.cancel(token);
    }

    fn poll_reap(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Poll<Reaped> {
        let before = done.len();
        let reaped = self.inner.poll_reap(context, done);
        self.came_back(done.len() - before);
        reaped
    }

    fn abandon(&mut self, done: &mut Vec<Done>) {
        let before = done.len();
        self.inner.abandon(done);
        self.came_back(done.len() - before);
    }

    fn allocate(&mut self, direction: Direction, capacity: usize, count: usize) -> Vec<RawBuffer> {
        self.inner.allocate(direction, capacity, count)
    }

    fn claim(&mut self, interface: u8) -> Result<()> {
        self.inner.claim(interface)?;
        assert!(self.ledger.claims.borrow_mut().insert(interface), "claimed twice");
        Ok(())
    }

    fn release(&mut self, interface: u8) {
        self.inner.release(interface);
        assert!(self.ledger.claims.borrow_mut().remove(&interface), "released without a claim");
    }
}

/// A device that is plugged in, and what is left of it.
pub(crate) struct Plugged<M> {
    pub(crate) plug: Plug<M>,
    ledger: Ledger,
    alive: Weak<()>,
}

impl<M> Plugged<M> {
    /// Nothing of the device is left on the driver's side.
    pub(crate) fn assert_all_given_back(&self, what: &str) {
        assert_eq!(self.ledger.out.get(), 0, "{what}: transfers did not come back");
        assert_eq!(*self.ledger.claims.borrow(), BTreeSet::new(), "{what}: interfaces are still claimed");
        assert_eq!(self.alive.strong_count(), 0, "{what}: somebody holds the device");
    }
}

/// A driver that runs.
pub(crate) struct Rig<M> {
    pub(crate) service: Service<EcmDriver<MemoryInterface>>,
    pub(crate) host: MemoryHost,
    pub(crate) vended: Vended,
    pub(crate) device: Plugged<M>,
}

/// Plugs a model in and starts the driver on it.
pub(crate) async fn start<M: DeviceModel + 'static>(model: M) -> Result<Rig<M>, (Error, Plugged<M>)> {
    let (transport, plug) = InProcess::new("1-1", model);
    start_plugged(transport, plug).await
}

/// The same for a model that is in the transport already, which may have been wrapped.
pub(crate) async fn start_plugged<M: DeviceModel + 'static>(
    transport: impl Transport + 'static,
    plug: Plug<M>,
) -> Result<Rig<M>, (Error, Plugged<M>)> {
    let (ledger, alive) = (Ledger::default(), Rc::new(()));
    let device = Plugged { plug, ledger: ledger.clone(), alive: Rc::downgrade(&alive) };
    let transport = Counted { inner: transport, ledger, _alive: alive };
    let (interface, host) = MemoryInterface::new("ecm0");
    let vended = Rc::new(RefCell::new(None));
    let keep = vended.clone();
    let started = async {
        let opened = Device::open(transport).await?;
        let provider = Provider::new(opened, move |vended| {
            *keep.borrow_mut() = Some(vended.clone());
            Ok(interface)
        });
        Service::start(provider).await
    };
    match started.await {
        Ok(service) => {
            let vended = vended.take().expect("a driver that starts has made its interface");
            Ok(Rig { service, host, vended, device })
        }
        Err(error) => Err((error, device)),
    }
}

/// The driver on a dongle with these options.
pub(crate) async fn start_dongle(options: EcmOptions) -> Rig<EcmDongle<Tester>> {
    match start(EcmDongle::new(options, Tester::new())).await {
        Ok(rig) => rig,
        Err((error, _)) => panic!("it does not start: {error}"),
    }
}

impl<M: DeviceModel + 'static> Rig<M> {
    pub(crate) fn status(&self) -> EcmStatus {
        self.service.with(|driver| driver.status()).expect("it runs")
    }

    pub(crate) async fn until_carrier(&self, up: bool) {
        until("carrier", || self.host.carrier() == up).await;
    }

    /// Stops the driver and checks that nothing is left.
    pub(crate) async fn stop(self, what: &str) {
        self.service.stop().await;
        self.device.assert_all_given_back(what);
    }
}

impl Rig<EcmDongle<Tester>> {
    pub(crate) fn dongle<R>(&self, change: impl FnOnce(&mut EcmDongle<Tester>) -> R) -> R {
        self.device.plug.with(change)
    }

    /// The device sends this and the host gets that.
    pub(crate) async fn expect_received(&self, sent: Vec<u8>, expected: Vec<u8>) {
        self.dongle(|dongle| dongle.wire_mut().push(sent));
        let mut received = None;
        until("a frame reaches the host", || {
            received = self.host.received();
            received.is_some()
        })
        .await;
        assert_eq!(received, Some(expected));
    }

    /// The host sends this and the device has it on its wire.
    pub(crate) async fn expect_sent(&self, sent: Vec<u8>) {
        self.host.send(sent.clone());
        let mut taken = None;
        until("a frame reaches the wire", || {
            taken = self.dongle(|dongle| dongle.wire_mut().take());
            taken.is_some()
        })
        .await;
        assert_eq!(taken, Some(sent));
    }

    /// Frames pass both ways, and the device has nothing to complain of.
    pub(crate) async fn expect_works(&self) {
        self.until_carrier(true).await;
        self.expect_received(frame(self.station(), 100), frame(self.station(), 100)).await;
        self.expect_sent(frame([2, 0, 0, 0, 0, 9], 100)).await;
        self.dongle(|dongle| assert_eq!((dongle.faults(), dongle.unfinished()), (&[][..], 0)));
    }

    fn station(&self) -> [u8; 6] {
        self.dongle(|dongle| dongle.station().octets())
    }
}
