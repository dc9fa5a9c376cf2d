//! The driver: it wires the [`machine`](crate::machine) to the pipes of one port of a chip and to a serial port of the host. Protocol and
//! policy are not here, and it does not know what kind of end it serves.
//!
//! A chip with several ports has one driver each, on the same [`Device`]: interfaces are claimed one by one, so that another program
//! may have the other channel, as MPSSE for example.
//!
//! The data path (`data_path`) is apart from control (`control`) and from the start (`start`).

mod control;
mod data_path;
mod start;
mod status;

use std::fmt;
use std::rc::Rc;

use outboard_core::family::serial::{Applied, Request, SerialPort};
use outboard_core::service::{Context, Driver};
use outboard_core::source::TimerSource;
use outboard_core::usb::{Device, Interface};
use outboard_core::{Error, Result, queue};

use crate::machine::{Machine, Overlay};
use crate::proto::chip::Chip;
use crate::proto::function::Port;
use crate::proto::request::BitMode;
use data_path::DataPath;
pub use data_path::{READS_FULL_SPEED, READS_HIGH_SPEED, WRITE_LIMIT, WRITES};
pub use start::Adapter;
pub use status::{FtdiStatus, StatusLine};

/// What an [`FtdiDriver`] drives and serves.
pub struct Provider<P> {
    adapter: Adapter,
    port: Port,
    vend: Vend<P>,
    watch: Watch,
    overlay: Overlay,
}

type Vend<P> = Box<dyn FnOnce(&Vended) -> Result<P>>;
type Watch = Box<dyn FnMut(&str, &FtdiStatus)>;

/// What is known of a port when its end on the host has to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vended {
    /// A file's name that is the same after every replug: `ttyFTDI-` and the serial number or, without one, the place; and the interface of a
    /// chip that has several.
    pub name: String,
    /// The chip.
    pub chip: Chip,
    /// The serial number, if it has one; safe to show.
    pub serial: Option<String>,
    /// The device's own name, if it has one; safe to show.
    pub product: Option<String>,
    /// Where the device is plugged in (`1-2.3`).
    pub device: String,
    /// bInterfaceNumber.
    pub interface: u8,
}

impl<P: SerialPort> Provider<P> {
    /// One of the adapter's ports. `vend` makes the host's end once its name is known; what it cannot make ends the start.
    pub fn new(adapter: &Adapter, port: Port, vend: impl FnOnce(&Vended) -> Result<P> + 'static) -> Self {
        let watch = Box::new(|_: &str, _: &FtdiStatus| ());
        Self { adapter: adapter.clone(), port, vend: Box::new(vend), watch, overlay: Overlay::default() }
    }

    /// `watch` is told the port's name and the status when the driver has started, and whenever it is opened, closed or set.
    #[must_use]
    pub fn watched(mut self, watch: impl FnMut(&str, &FtdiStatus) + 'static) -> Self {
        self.watch = Box::new(watch);
        self
    }

    /// Settings that hold whatever the host asks for.
    #[must_use]
    pub fn with(mut self, overlay: Overlay) -> Self {
        self.overlay = overlay;
        self
    }
}

/// Drives one port of a chip.
pub struct FtdiDriver<P: SerialPort> {
    context: Context<Self>,
    device: Device,
    interface: Rc<Interface>,
    chip: Chip,
    ids: Port,
    machine: Machine,
    path: DataPath<P>,
    timer: Rc<TimerSource>,
    watch: Watch,
    /// What the watcher knows.
    told: Option<FtdiStatus>,
    applied: Option<Applied>,
}

impl<P: SerialPort + 'static> Driver for FtdiDriver<P> {
    type Provider = Provider<P>;

    async fn start(context: &Context<Self>, provider: Provider<P>) -> Result<Self> {
        start::start(context, provider).await
    }
}

impl<P: SerialPort + 'static> FtdiDriver<P> {
    /// What the driver serves, and how it is doing. Costs no allocation.
    pub fn status(&self) -> FtdiStatus {
        let mut traffic = *self.path.port.counters();
        traffic.received_unread += self.path.unread();
        FtdiStatus {
            chip: self.chip,
            open: self.machine.is_open(),
            settings: self.machine.settings(),
            applied: self.applied,
            outputs: self.machine.lines(),
            inputs: self.machine.inputs(),
            traffic,
            line: *self.machine.counters(),
            faults: self.path.faults,
            recoveries: self.machine.recoveries(),
            refused: self.machine.refused(),
        }
    }

    /// The host's end.
    pub fn port(&self) -> &P {
        &self.path.port
    }

    /// Asks for something as the host would: a break, modem lines, a purge.
    pub fn ask(&mut self, request: Request) {
        self.machine.handle_request(request, Self::now());
        self.serve();
    }

    /// Changes settings that hold whatever the host asks for.
    pub fn set_overlay(&mut self, overlay: Overlay) {
        let overlay = Overlay { latency: overlay.latency.map(|latency| latency.max(1)), ..overlay };
        self.machine.set_overlay(overlay, Self::now());
        self.serve();
    }

    /// Makes the pins something else than a serial port; `mask` has a bit for each that is an output. [`BitMode::Reset`] makes them one
    /// again.
    ///
    /// # Errors
    /// Stalled: the chip cannot do it. Unplugged, TimedOut.
    pub fn set_bit_mode(&self, mode: BitMode, mask: u8) -> impl Future<Output = Result<()>> + use<P> {
        let (device, setup) = (self.device.clone(), self.ids.channel.set_bit_mode(mode, mask));
        async move { device.request_out(setup, &[]).await }
    }

    /// The levels of the pins, whatever they are used for.
    ///
    /// # Errors
    /// Stalled: the chip cannot do it. Unplugged, TimedOut. Malformed: the answer is empty.
    pub fn read_pins(&self) -> impl Future<Output = Result<u8>> + use<P> {
        let (device, setup) = (self.device.clone(), self.ids.channel.read_pins());
        async move {
            let answer = device.request_in(setup).await?;
            let empty =
                || Error::new(outboard_core::ErrorKind::Malformed, "read the pins", "the answer is empty");
            answer.first().copied().ok_or_else(|| empty().device(device.name()))
        }
    }

    fn fail(&mut self, error: Error) {
        self.path.stop();
        self.context.fail(error);
    }

    /// Tells the watcher, if what it is interested in has changed.
    fn tell(&mut self) {
        let status = self.status();
        if self.told.is_none_or(|told| status.is_news(&told)) {
            self.told = Some(status);
            (self.watch)(self.path.port.name(), &status);
        }
    }

    fn now() -> std::time::Instant {
        queue::now()
    }
}

impl<P: SerialPort> fmt::Debug for FtdiDriver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FtdiDriver")
            .field("device", &self.device)
            .field("interface", &self.ids.interface)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for Provider<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("adapter", &self.adapter)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
