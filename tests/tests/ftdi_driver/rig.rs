//! A driver on a virtual chip with a port in memory.

use std::time::Duration;

use outboard_core::Result;
use outboard_core::family::serial::memory::{MemoryApplication, MemoryPort};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::Service;
use outboard_core::usb::Device;
use outboard_core::usb::transport::in_process::{DeviceModel, InProcess, Plug};
use outboard_usb_serial_ftdi::driver::Adapter;
use outboard_usb_serial_ftdi::machine::Overlay;
use outboard_usb_serial_ftdi::{FtdiDriver, FtdiStatus, Provider};
use outboard_virtual_devices::ftdi::{FtdiChip, FtdiOptions, Kind, Wiring};

/// Runs a test in virtual time.
pub(crate) fn run<F: Future>(main: impl FnOnce() -> F) -> F::Output {
    DispatchQueue::run("test", Clock::Virtual, |_| main()).unwrap()
}

/// Waits until it is so, two minutes of virtual time at most.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..120_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not come to be: {what}");
}

/// Lets this much virtual time pass.
pub(crate) async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// A driver that runs on one port.
pub(crate) struct Rig<M> {
    pub(crate) service: Service<FtdiDriver<MemoryPort>>,
    pub(crate) host: MemoryApplication,
    pub(crate) plug: Plug<M>,
    pub(crate) adapter: Adapter,
}

/// Plugs a model in and starts the driver on its port `at`.
pub(crate) async fn start<M: DeviceModel + 'static>(model: M, at: usize, overlay: Overlay) -> Result<Rig<M>> {
    let (transport, plug) = InProcess::new("1-1", model);
    let adapter = Adapter::open(Device::open(transport).await?).await?;
    start_port(adapter, plug, at, overlay).await
}

/// Starts the driver on a port of a device that is open.
pub(crate) async fn start_port<M>(
    adapter: Adapter,
    plug: Plug<M>,
    at: usize,
    overlay: Overlay,
) -> Result<Rig<M>> {
    let (port, host) = MemoryPort::new("port");
    let provider = Provider::new(&adapter, adapter.ports[at], move |_| Ok(port)).with(overlay);
    let service = Service::start(provider).await?;
    Ok(Rig { service, host, plug, adapter })
}

/// The driver on a chip with a loop-back plug.
pub(crate) async fn looped(kind: Kind) -> Rig<FtdiChip> {
    wired(kind, Wiring::Loopback).await
}

/// The driver on a chip with this on its first port.
pub(crate) async fn wired(kind: Kind, wiring: Wiring) -> Rig<FtdiChip> {
    let mut chip = FtdiChip::new(FtdiOptions::new(kind));
    chip.wire(0, wiring);
    match start(chip, 0, Overlay::default()).await {
        Ok(rig) => rig,
        Err(error) => panic!("it does not start: {error}"),
    }
}

impl<M> Rig<M> {
    pub(crate) fn status(&self) -> FtdiStatus {
        self.service.with(|driver| driver.status()).expect("it runs")
    }

    /// The settings that were asked for last have taken effect.
    pub(crate) async fn until_applied(&self, count: usize) {
        until("settings are applied", || self.host.applied().len() >= count).await;
    }

    /// So many bytes have been read.
    pub(crate) async fn until_read(&self, count: usize) -> Vec<u8> {
        until("bytes reach the application", || self.host.read_len() >= count).await;
        self.host.take_read()
    }
}

impl Rig<FtdiChip> {
    pub(crate) fn chip<R>(&self, change: impl FnOnce(&mut FtdiChip) -> R) -> R {
        self.plug.with(change)
    }

    /// The chip has nothing to complain of.
    pub(crate) fn assert_faultless(&self) {
        self.chip(|chip| assert_eq!((chip.port(0).faults(), chip.port(0).lost()), (&[][..], 0)));
    }
}

/// Bytes that differ from their neighbours.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8 ^ (at / 251) as u8).collect()
}
