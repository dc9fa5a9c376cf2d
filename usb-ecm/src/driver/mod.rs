//! The driver: it wires the [`machine`](crate::machine) to the pipes of a device and to a network interface. Protocol and policy are
//! not here, and it does not know what kind of interface it serves.
//!
//! The data path (`data_path`) is apart from control (this file) and from the start (`start`).

mod control;
mod data_path;
mod start;
mod status;

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;

use outboard_core::family::ethernet::EthernetInterface;
use outboard_core::service::{Context, Driver};
use outboard_core::source::TimerSource;
use outboard_core::usb::{Device, Interface, Speed};
use outboard_core::{Error, MacAddr, Result, queue};

use crate::machine::{LinkSpeed, Machine};
use crate::proto::function::EcmFunction;
use crate::proto::request;
use crate::proto::statistics::{self, Statistic};
use control::Notifications;
use data_path::DataPath;
pub use data_path::{BATCH, DEPTH_FULL_SPEED, DEPTH_HIGH_SPEED, DEPTH_SUPER_SPEED, MEMORY};
pub use status::{Drops, EcmStatus, Notice, Notices, StatusLine};

/// What an [`EcmDriver`] drives and serves.
pub struct Provider<E> {
    device: Device,
    interface: Option<u8>,
    resumes: Option<LinkSpeed>,
    vend: Vend<E>,
    watch: Watch,
}

type Vend<E> = Box<dyn FnOnce(Vended) -> Pin<Box<dyn Future<Output = Result<E>>>>>;
type Watch = Box<dyn FnMut(&str, &EcmStatus)>;

/// What is known of the function when its interface has to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vended {
    /// The station address.
    pub mac: MacAddr,
    /// The device named no usable address: `mac` is locally administered, and stable for the device.
    pub mac_is_made_up: bool,
    /// The MTU to begin with, in bytes of payload: 1500, or less if the device's frames are shorter.
    pub mtu: u32,
    /// The largest MTU that the device's frames allow (wMaxSegmentSize less the header).
    pub max_mtu: u32,
    /// The speed of the bus.
    pub speed: Speed,
    /// Where the device is plugged in (`1-2.3`).
    pub device: String,
    /// The device's own name, if it has one; safe to show.
    pub product: Option<String>,
    /// bInterfaceNumber of the communications interface.
    pub control_interface: u8,
}

impl<E: EthernetInterface + 'static> Provider<E> {
    /// `vend` makes the network interface, once its address and MTU are known; what it cannot make ends the start.
    pub fn new(device: Device, vend: impl FnOnce(&Vended) -> Result<E> + 'static) -> Self {
        Self::new_waiting(device, |vended| std::future::ready(vend(&vended)))
    }

    /// The same where making it takes time, such as another process's answer.
    pub fn new_waiting<F>(device: Device, vend: impl FnOnce(Vended) -> F + 'static) -> Self
    where
        F: Future<Output = Result<E>> + 'static,
    {
        let vend = Box::new(|vended| Box::pin(vend(vended)) as Pin<Box<dyn Future<Output = Result<E>>>>);
        Self { device, interface: None, resumes: None, vend, watch: Box::new(|_, _| ()) }
    }

    /// Drives the function that this interface belongs to, and no other of the device; without this, the best one is chosen.
    #[must_use]
    pub fn of_interface(mut self, interface: Option<u8>) -> Self {
        self.interface = interface;
        self
    }

    /// Takes over from a driver that died while there was this link: it stays up, until the device says otherwise.
    #[must_use]
    pub fn resuming(mut self, link: Option<LinkSpeed>) -> Self {
        self.resumes = link;
        self
    }

    /// `watch` is told the interface's name and the status when the driver has started, and whenever link, speed, address or MTU change.
    #[must_use]
    pub fn watched(mut self, watch: impl FnMut(&str, &EcmStatus) + 'static) -> Self {
        self.watch = Box::new(watch);
        self
    }
}

/// Drives one ECM function.
pub struct EcmDriver<E: EthernetInterface> {
    context: Context<Self>,
    device: Device,
    function: EcmFunction,
    control: Rc<Interface>,
    /// `None`: the control interface has the bulk endpoints too.
    data: Option<Rc<Interface>>,
    machine: Machine,
    path: DataPath<E>,
    notifications: Option<Notifications>,
    timer: Rc<TimerSource>,
    wish_timer: Rc<TimerSource>,
    status: EcmStatus,
    watch: Watch,
}

impl<E: EthernetInterface + 'static> Driver for EcmDriver<E> {
    type Provider = Provider<E>;

    async fn start(context: &Context<Self>, provider: Provider<E>) -> Result<Self> {
        start::start(context, provider).await
    }
}

impl<E: EthernetInterface + 'static> EcmDriver<E> {
    /// What the driver serves, and how it is doing. Costs no allocation.
    pub fn status(&self) -> EcmStatus {
        let mut status = self.status;
        status.traffic = *self.path.interface.counters();
        status.drops = self.path.drops;
        status.recoveries = self.machine.recoveries();
        status.last_recovery = self.machine.last_recovery();
        status.bad_notifications = self.machine.bad_notifications();
        status
    }

    /// The network interface.
    pub fn interface(&self) -> &E {
        &self.path.interface
    }

    /// The function that is driven.
    pub fn function(&self) -> &EcmFunction {
        &self.function
    }

    /// Asks the device for the counters that it offers (bmEthernetStatistics); none for most devices. What it offers and then refuses
    /// is left out.
    ///
    /// # Errors
    /// Unplugged, TimedOut.
    pub fn statistics(&self) -> impl Future<Output = Result<Vec<(Statistic, u32)>>> + use<E> {
        let (control, offered) = (self.control.clone(), self.function.statistics);
        async move {
            let mut values = Vec::new();
            for statistic in statistics::offered(offered) {
                match control.request_in(request::statistic(control.number(), statistic)).await {
                    Ok(answer) => {
                        values.extend(request::statistic_value(&answer).map(|value| (statistic, value)))
                    }
                    Err(error) if control::is_final(&error) => return Err(error),
                    Err(_) => {}
                }
            }
            Ok(values)
        }
    }

    fn fail(&mut self, error: Error) {
        self.path.stop_receiving();
        self.context.fail(error);
    }

    /// Tells the watcher, if what it is interested in has changed.
    fn tell(&mut self, status: EcmStatus) {
        if self.status != status {
            self.status = status;
            let status = self.status();
            (self.watch)(self.path.interface.name(), &status);
        }
    }

    fn now() -> std::time::Instant {
        queue::now()
    }
}

impl<E: EthernetInterface> fmt::Debug for EcmDriver<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcmDriver")
            .field("device", &self.device)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for Provider<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("device", &self.device).finish_non_exhaustive()
    }
}
