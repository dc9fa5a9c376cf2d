//! Outboard at work on a machine without any device: a virtual dongle, its driver in a process of its own, a real network interface in a
//! namespace of its own, and an application's first steps on it. It must not know how any of it is shown.
//!
//! The dongle lives on a thread of this process and speaks USB/IP over one end of a socketpair; the driver has the other end. Serial ports and
//! input devices will be further parts like [`network`](Demo::network), each with its steps.

mod dhcp;
mod namespace;
mod probe;
mod sys;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use outboard_core::family::ethernet::tap::{Tap, TapFds, TapOptions};
use outboard_core::host::{Ethernet, EthernetStatus, TransportKind};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::usb::Speed;
use outboard_core::{Error, ErrorKind, MacAddr, Result};
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions, Link};
use outboard_virtual_devices::host::{Host, HostOptions};
use outboard_virtual_devices::usbip::{Ended, Exports, serve_stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::driver_process::{DriverProcess, Event};
use crate::trace::Trace;
pub(crate) use dhcp::Lease;
pub(crate) use namespace::Namespace;
pub(crate) use probe::{Page, Ping, Throughput};

/// What names the device.
const DEVICE: &str = "virtual-1";
/// Echo requests of the ping.
const PINGS: u16 = 5;

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) speed: Speed,
    /// Of each throughput measurement.
    pub(crate) duration: Duration,
    pub(crate) trace: Option<Trace>,
}

/// What was done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// The device is plugged in.
    Plugged { speed: Speed },
    /// The driver's process runs.
    Driver { process: u32 },
    /// The interface was made, or its link changed.
    Interface { name: String, status: EthernetStatus },
    /// DHCP gave an address, and the interface has it.
    Leased(Lease),
    /// The host answers.
    Pinged(Ping),
    /// Its page was fetched.
    Fetched(Page),
    /// Bytes went to the device.
    Sent(Throughput),
    /// Bytes came from the device, and all were right.
    Received(Throughput),
}

/// A running demo.
#[derive(Debug)]
pub(crate) struct Demo {
    driver: DriverProcess,
    namespace: Arc<Namespace>,
    duration: Duration,
    /// The interface and the descriptors that keep it, once it was made.
    interface: Option<(String, TapFds)>,
    steps: (UnboundedSender<Result<Step>>, UnboundedReceiver<Result<Step>>),
    /// The application's steps have begun.
    probing: bool,
}

impl Demo {
    /// Plugs the device in and starts its driver. On a queue.
    ///
    /// # Errors
    /// System: no process, thread or descriptor could be had.
    pub(crate) fn start(options: Options, namespace: Namespace) -> Result<Self> {
        let os = |operation: &'static str| move |error| Error::os(operation, error);
        let (ours, theirs) = UnixStream::pair().map_err(os("make the cable"))?;
        let speed = options.speed;
        thread::Builder::new()
            .name("virtual dongle".to_owned())
            .spawn(move || plug_in(ours, speed))
            .map_err(os("start the virtual dongle"))?;
        let transport = TransportKind::UsbIp { bus_id: "1-1".to_owned() };
        let driver =
            DriverProcess::start("usb-ecm", DEVICE, transport, theirs.as_fd(), options.trace.as_ref(), 1)?;
        let this = Self {
            driver,
            namespace: Arc::new(namespace),
            duration: options.duration,
            interface: None,
            steps: unbounded_channel(),
            probing: false,
        };
        this.tell(Step::Plugged { speed });
        this.tell(Step::Driver { process: this.driver.id() });
        Ok(this)
    }

    /// The next step that is done.
    ///
    /// # Errors
    /// A step failed, or the driver ended.
    pub(crate) async fn next(&mut self) -> Result<Step> {
        loop {
            tokio::select! {
                biased;
                // There is always a sender: our own.
                Some(step) = self.steps.1.recv() => return step,
                event = self.driver.next() => self.network(event)?,
            }
        }
    }

    fn tell(&self, step: Step) {
        // There is always a receiver: our own.
        let _ = self.steps.0.send(Ok(step));
    }

    /// The network's part: makes the interface that the driver asks for, and begins to use it when there is a link.
    fn network(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Vend(wanted) => match self.make_interface(wanted) {
                Ok(fds) => {
                    let [a, b, c] = &fds.1.link;
                    self.driver.grant(&[&fds.1.tun, a, b, c].map(OwnedFd::as_fd))?;
                    self.interface = Some(fds);
                    Ok(())
                }
                Err(error) => {
                    self.driver.refuse(&error)?;
                    Err(error)
                }
            },
            Event::Status(status) => {
                let Some((name, _)) = &self.interface else {
                    let reason = "the driver reports an interface that it never asked for";
                    return Err(Error::new(ErrorKind::Bug, "read a message", reason).device(DEVICE));
                };
                self.tell(Step::Interface { name: name.clone(), status });
                if status.link_up && !self.probing {
                    self.probing = true;
                    self.probe(name.clone(), status.mac)?;
                }
                Ok(())
            }
            Event::Ended(error) => Err(error),
        }
    }

    fn make_interface(&self, wanted: Ethernet) -> Result<(String, TapFds)> {
        let options = TapOptions { mac: Some(wanted.mac), mtu: Some(wanted.mtu), ..TapOptions::default() };
        let tap = Tap::create(&options)?;
        let name = outboard_core::family::ethernet::EthernetInterface::name(&tap).to_owned();
        self.namespace.raise(&name)?;
        Ok((name, tap.into_fds()))
    }

    /// The application: a thread of its own, since its calls wait, and the driver must be listened to meanwhile.
    fn probe(&self, name: String, mac: MacAddr) -> Result<()> {
        let (steps, namespace, duration) = (self.steps.0.clone(), self.namespace.clone(), self.duration);
        let work = move || {
            // A demo that has ended has no ear for it.
            let tell = |step| drop(steps.send(step));
            if let Err(error) = use_network(&name, mac, &namespace, duration, |step| tell(Ok(step))) {
                tell(Err(error));
            }
        };
        thread::Builder::new()
            .name("application".to_owned())
            .spawn(work)
            .map(drop)
            .map_err(|error| Error::os("start the application", error))
    }

    /// What a person puts before a command to run it where the interface is.
    pub(crate) fn command_prefix(&self) -> String {
        self.namespace.command_prefix()
    }

    /// Ends the driver; the device, the interface and the namespace go with what is left.
    pub(crate) async fn stop(self) {
        self.driver.stop().await;
    }
}

fn use_network(
    name: &str,
    mac: MacAddr,
    namespace: &Namespace,
    duration: Duration,
    tell: impl Fn(Step),
) -> Result<()> {
    let lease = dhcp::ask(name, mac)?;
    namespace.set_address(name, lease.address, lease.prefix)?;
    tell(Step::Leased(lease));
    let host = lease.server;
    tell(Step::Pinged(probe::ping(host, PINGS)?));
    tell(Step::Fetched(probe::fetch(host)?));
    tell(Step::Sent(probe::send(host, duration)?));
    tell(Step::Received(probe::receive(host, duration)?));
    Ok(())
}

/// The device's end: it is unplugged when the driver hangs up.
fn plug_in(socket: UnixStream, speed: Speed) {
    let served = DispatchQueue::run("Virtual dongle", Clock::Real, |_| async move {
        let exports = Exports::new();
        let host = Host::new(&HostOptions::default(), Instant::now());
        let options =
            EcmOptions { link: Link::up(1_000_000_000), flow_control: true, ..EcmOptions::at(speed) };
        exports.add(EcmDongle::new(options, host));
        socket.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(socket)?;
        match serve_stream(stream, &exports, |_| ()).await {
            // The driver died in the middle of something, which its process tells better.
            Ok(()) | Err(Ended::Broken(_)) => Ok(()),
            Err(ended) => Err(std::io::Error::other(ended)),
        }
    });
    if let Err(error) = served.and_then(|served| served) {
        tracing::error!(%error, "the virtual dongle ended");
    }
}
