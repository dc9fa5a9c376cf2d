//! Outboard at work on a machine without any device: a virtual dongle, its driver in a process of its own, a real network interface in a
//! namespace of its own, and an application's first steps on it. It must not know how any of it is shown.
//!
//! The dongle lives on a thread of this process and speaks USB/IP over one end of a socketpair; the driver has the other end. Serial ports and
//! input devices will be further parts like its network, each with its steps.

mod dhcp;
mod namespace;
mod probe;
mod sys;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use outboard_core::host::TransportKind;
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::registry::{self, Sandbox, State, Vended};
use outboard_core::usb::Speed;
use outboard_core::{Error, ErrorKind, MacAddr, Result};
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions, Link};
use outboard_virtual_devices::host::{Host, HostOptions};
use outboard_virtual_devices::usbip::{Ended, Exports, serve_stream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::supervise::{Access, Asked, Instance, Opened, Outcome, Users};
use crate::trace::Trace;
pub(crate) use dhcp::Lease;
pub(crate) use namespace::Namespace;
pub(crate) use probe::{Page, Ping, Survival, Throughput};

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
    Driver { process: u32, sandbox: Sandbox, restarts: u32 },
    /// The interface was made, or its link changed.
    Interface(Vended),
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
    /// The driver was killed, and a connection did not notice.
    Survived(Survival),
}

/// A running demo.
#[derive(Debug)]
pub(crate) struct Demo {
    instance: JoinHandle<Result<Outcome>>,
    asked: mpsc::Sender<Asked>,
    pictures: UnboundedReceiver<registry::Instance>,
    namespace: Arc<Namespace>,
    duration: Duration,
    /// What was told of the driver last: its process, and its interface.
    told: (Option<u32>, Option<Vended>),
    /// The process that serves now, for the application to do harm to.
    process: Arc<AtomicU32>,
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
        let speed = options.speed;
        let (plugs, sockets) = unbounded_channel::<UnixStream>();
        thread::Builder::new()
            .name("virtual dongle".to_owned())
            .spawn(move || plug_in(sockets, speed))
            .map_err(os("start the virtual dongle"))?;
        // A cable for each process of the driver: what one did to its own is no matter of the next.
        let plug = move || {
            let (ours, theirs) = UnixStream::pair().map_err(os("make the cable"))?;
            let gone =
                |_| Error::new(ErrorKind::Unplugged, "plug the cable in", "the virtual dongle is gone");
            plugs.send(ours).map_err(gone)?;
            let transport = TransportKind::UsbIp { bus_id: "1-1".to_owned() };
            Ok(Opened { transport, fd: theirs.into() })
        };
        let (asked, asks) = mpsc::channel(4);
        let (pictures, shown) = unbounded_channel();
        let instance = Instance {
            driver: "usb-ecm".to_owned(),
            device: DEVICE.to_owned(),
            interface: None,
            access: Access::Own(Box::new(plug)),
            users: Users::of_this_process(),
            trace: options.trace,
            // There is no receiver only when the demo ends.
            report: Box::new(move |instance| drop(pictures.send(instance.clone()))),
            asked: asks,
        };
        let this = Self {
            instance: tokio::task::spawn_local(instance.run()),
            asked,
            pictures: shown,
            namespace: Arc::new(namespace),
            duration: options.duration,
            told: (None, None),
            process: Arc::default(),
            steps: unbounded_channel(),
            probing: false,
        };
        this.tell(Step::Plugged { speed });
        Ok(this)
    }

    /// The next step that is done.
    ///
    /// # Errors
    /// A step failed, or the driver was given up.
    pub(crate) async fn next(&mut self) -> Result<Step> {
        loop {
            tokio::select! {
                biased;
                // There is always a sender: our own.
                Some(step) = self.steps.1.recv() => return step,
                Some(picture) = self.pictures.recv() => self.look(picture)?,
                ended = &mut self.instance => {
                    ended.map_err(|error| Error::new(ErrorKind::Bug, "drive it", error.to_string()))??;
                    return Err(Error::new(ErrorKind::Unplugged, "drive it", "the virtual dongle is gone"));
                }
            }
        }
    }

    fn tell(&self, step: Step) {
        // There is always a receiver: our own.
        let _ = self.steps.0.send(Ok(step));
    }

    /// What is new of the driver: its process, and the interface, which is used as soon as there is a link.
    fn look(&mut self, picture: registry::Instance) -> Result<()> {
        if let (State::Quarantined | State::Waiting, Some(reason)) = (picture.state, &picture.last_error) {
            return Err(Error::new(ErrorKind::Bug, "drive it", reason.clone()));
        }
        if let Some(process) = &picture.process {
            self.process.store(process.id, Ordering::Relaxed);
            // It is worth telling when it is known what holds it back.
            if let Some(sandbox) = process.sandbox
                && self.told.0 != Some(process.id)
            {
                self.told.0 = Some(process.id);
                self.tell(Step::Driver { process: process.id, sandbox, restarts: picture.restarts });
            }
        }
        if picture.vends.is_some() && picture.vends != self.told.1 {
            self.told.1 = picture.vends.clone();
            if let Some(vended) = picture.vends {
                self.interface(vended)?;
            }
        }
        Ok(())
    }

    fn interface(&mut self, vended: Vended) -> Result<()> {
        let Vended::Network { name, mac, link_up, .. } = &vended;
        self.namespace.raise(name)?;
        self.tell(Step::Interface(vended.clone()));
        if *link_up && !self.probing {
            self.probing = true;
            let mac = mac.parse().map_err(|_| {
                Error::new(ErrorKind::Bug, "use the interface", format!("{mac} is no address")).device(DEVICE)
            })?;
            self.probe(name.clone(), mac)?;
        }
        Ok(())
    }

    /// The application: a thread of its own, since its calls wait, and the driver must be listened to meanwhile.
    fn probe(&self, name: String, mac: MacAddr) -> Result<()> {
        let (steps, namespace, duration) = (self.steps.0.clone(), self.namespace.clone(), self.duration);
        let process = self.process.clone();
        let work = move || {
            // A demo that has ended has no ear for it.
            let tell = |step| drop(steps.send(step));
            if let Err(error) = use_network(&name, mac, &namespace, duration, &process, |step| tell(Ok(step)))
            {
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
        // It may have ended by itself.
        if self.asked.send(Asked::Stop).await.is_ok() {
            let _ = self.instance.await;
        }
    }
}

fn use_network(
    name: &str,
    mac: MacAddr,
    namespace: &Namespace,
    duration: Duration,
    process: &AtomicU32,
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
    tell(Step::Survived(probe::survive(host, || process.load(Ordering::Relaxed))?));
    Ok(())
}

/// The device's end: each socket is one life at the bus, between which the host behind it lives on.
fn plug_in(mut sockets: UnboundedReceiver<UnixStream>, speed: Speed) {
    let served = DispatchQueue::run("Virtual dongle", Clock::Real, |_| async move {
        let exports = Exports::new();
        let host = Host::new(&HostOptions::default(), Instant::now());
        let options =
            EcmOptions { link: Link::up(1_000_000_000), flow_control: true, ..EcmOptions::at(speed) };
        exports.add(EcmDongle::new(options, host));
        while let Some(socket) = sockets.recv().await {
            socket.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(socket)?;
            match serve_stream(stream, &exports, |_| ()).await {
                // The driver died in the middle of something, which its process tells better.
                Ok(()) | Err(Ended::Broken(_)) => {}
                Err(ended) => return Err(std::io::Error::other(ended)),
            }
        }
        Ok(())
    });
    if let Err(error) = served.and_then(|served| served) {
        tracing::error!(%error, "the virtual dongle ended");
    }
}
