//! The life of one driver: process after process on the same function and the same network interface. It must not know how devices come and go.
//!
//! A successor is kept ready: a process that is loaded and contained and waits for its job, so that a recovery takes a message and the start of the
//! device, not the start of a program. The fence between two processes is the end of the first: it is killed and waited for, and with it go its
//! claims on the device, before the device is opened afresh.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use outboard_core::registry::{self, Sandbox, State};
use outboard_core::sandbox::{Exit, Identities, Identity};
use outboard_core::{Error, ErrorKind, Result};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::access::Access;
use super::ladder::{Cause, End, Ladder, Next};
use super::log;
use super::network::Network;
use crate::driver_process::{self, DriverProcess, Event, How, Job, Who};
use crate::trace::Trace;

/// How often a young interface is looked after.
const CARE: Duration = Duration::from_millis(500);
/// The wait before a lost connection to a server is tried again, and the longest that it doubles to.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What somebody wants of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Another try now, with all that was held against it forgotten; a process that serves is replaced.
    Restart,
    /// The end.
    Stop,
}

/// Why a life ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Somebody wanted it.
    Stopped,
    /// The device is gone.
    Unplugged,
}

/// What the lives of all drivers share.
#[derive(Debug, Clone)]
pub(crate) struct Users(Option<Rc<RefCell<Identities>>>);

impl Users {
    /// A user for each process, if this process may give one.
    pub(crate) fn of_this_process() -> Self {
        // Root of a user namespace has no users to give but those that are mapped; one line for one user is what an ordinary user can have.
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let whole =
            map.split_ascii_whitespace().nth(2).and_then(|count| count.parse().ok()) == Some(u32::MAX);
        let gives = rustix::process::geteuid().is_root() && whole;
        Self(gives.then(Rc::default))
    }

    fn take(&self) -> Result<Option<User>> {
        let Some(all) = &self.0 else { return Ok(None) };
        let identity = all.borrow_mut().take().ok_or_else(|| {
            Error::new(ErrorKind::System, "start the driver's process", "every user for drivers is taken")
        })?;
        Ok(Some(User { identity, all: all.clone() }))
    }
}

/// A user of one process, given back with the value.
#[derive(Debug)]
struct User {
    identity: Identity,
    all: Rc<RefCell<Identities>>,
}

impl Drop for User {
    fn drop(&mut self) {
        self.all.borrow_mut().give_back(self.identity);
    }
}

/// A process, and who it is. The order of the fields is that of their end: the user is free when the process was waited for.
#[derive(Debug)]
struct Running {
    process: DriverProcess,
    user: Option<User>,
    generation: u64,
}

/// One driver on one function.
pub(crate) struct Instance {
    /// Its name: `usb-ecm`.
    pub(crate) driver: String,
    /// The device's.
    pub(crate) device: String,
    /// The interface by which the function was matched.
    pub(crate) interface: Option<u8>,
    pub(crate) access: Access,
    pub(crate) users: Users,
    pub(crate) trace: Option<Trace>,
    /// Told how it is doing, whenever that changes.
    pub(crate) report: Box<dyn FnMut(&registry::Instance)>,
    /// What somebody wants.
    pub(crate) asked: mpsc::Receiver<Asked>,
}

/// What is between two processes.
enum Interval {
    /// The next one, after this time.
    After(Duration),
    /// Somebody has to ask.
    Quarantine,
    End(Outcome),
}

/// What became of a process.
enum Served {
    Ended { end: driver_process::End, served: Option<Instant> },
    Asked(Asked),
}

impl Instance {
    /// How it is shown before it has done anything.
    pub(crate) fn begun(&self) -> registry::Instance {
        registry::Instance {
            state: State::Starting,
            process: None,
            vends: None,
            restarts: 0,
            last_error: None,
            since: SystemTime::now(),
            last_recovery: None,
        }
    }

    /// Lives until the device is gone or somebody wants an end; then gives the device back.
    ///
    /// # Errors
    /// The network interface cannot be made: there is nothing to live for.
    pub(crate) async fn run(mut self) -> Result<Outcome> {
        let mut network = Network::make("ecm%d").map_err(|error| error.device(&*self.device))?;
        let outcome = self.live(&mut network).await;
        self.access.give_back();
        Ok(outcome)
    }

    async fn live(&mut self, network: &mut Network) -> Outcome {
        let mut shown = self.begun();
        (self.report)(&shown);
        let mut ladder = Ladder::new();
        let mut generation = 0;
        let mut spare: Option<JoinHandle<Result<Running>>> = None;
        let mut ended: Option<Instant> = None;
        let mut reconnect = RECONNECT.0;
        let mut tries = 0;
        loop {
            let (served, opened) = match self.begin(network, &mut spare, &mut generation).await {
                Ok(mut running) => {
                    shown.process = Some(registry::Process {
                        id: running.process.id(),
                        user: running.user.as_ref().map(|user| user.identity.id()),
                        generation: running.generation,
                        sandbox: None,
                    });
                    (self.report)(&shown);
                    let served =
                        self.serve(&mut running, network, &mut shown, ended, &mut spare, generation).await;
                    match served {
                        Served::Asked(_) => {
                            shown.state = State::Stopping;
                            (self.report)(&shown);
                            running.process.stop().await;
                        }
                        // The fence.
                        Served::Ended { .. } => running.process.kill(),
                    }
                    (served, true)
                }
                Err(error) => {
                    let end = driver_process::End { error, how: How::Reported };
                    (Served::Ended { end, served: None }, false)
                }
            };
            shown.process = None;
            let now = Instant::now();
            let interval = match served {
                Served::Asked(Asked::Stop) => Interval::End(Outcome::Stopped),
                Served::Asked(Asked::Restart) => {
                    ladder.reset();
                    ended = Some(now);
                    Interval::After(Duration::ZERO)
                }
                Served::Ended { end, served } => {
                    if served.is_some() {
                        (tries, reconnect) = (0, RECONNECT.0);
                        ended = Some(now);
                    }
                    if opened && self.access.may_be_late(&end.error, tries).await {
                        tries += 1;
                        continue;
                    }
                    let interval = self.judge(&end, served, opened, &mut ladder, &mut reconnect, now);
                    self.tell(&interval, &end.error);
                    shown.last_error = Some(end.error.to_string());
                    interval
                }
            };
            let wait = match interval {
                Interval::End(outcome) => return outcome,
                Interval::After(wait) => Some(wait),
                Interval::Quarantine => None,
            };
            shown.restarts += 1;
            shown.state = match wait {
                Some(Duration::ZERO) => State::Starting,
                Some(_) => State::Waiting,
                None => State::Quarantined,
            };
            if wait != Some(Duration::ZERO) {
                network.leave_alone();
                shown.vends = network.vended();
            }
            (self.report)(&shown);
            match self.pause(wait).await {
                Some(Asked::Stop) => return Outcome::Stopped,
                Some(Asked::Restart) => ladder.reset(),
                None => {}
            }
            shown.state = State::Starting;
        }
    }

    /// A process with its job: the spare one, or a new one.
    async fn begin(
        &mut self,
        network: &Network,
        spare: &mut Option<JoinHandle<Result<Running>>>,
        generation: &mut u64,
    ) -> Result<Running> {
        if let Some(ready) = spare.take()
            && let Ok(Ok(running)) = ready.await
        {
            *generation = running.generation;
            match self.give(running, network).await {
                // It may have ended while it waited, by the hand of somebody who tidies up.
                Err(error) if error.kind() == ErrorKind::Bug => {}
                result => return result,
            }
        }
        *generation += 1;
        let running = start(
            self.driver.clone(),
            self.device.clone(),
            self.users.clone(),
            self.trace.is_some(),
            *generation,
        );
        self.give(running.await?, network).await
    }

    async fn give(&mut self, mut running: Running, network: &Network) -> Result<Running> {
        let opened = self.access.open().await?;
        use std::os::fd::AsFd;
        running.process.give(Job {
            transport: opened.transport,
            fd: opened.fd.as_fd(),
            interface: self.interface,
            resumes: network.left_as(),
            tap: network.lend()?,
            trace: self.trace.as_ref(),
        })?;
        Ok(running)
    }

    /// Listens to a process until it ends or somebody wants something.
    async fn serve(
        &mut self,
        running: &mut Running,
        network: &mut Network,
        shown: &mut registry::Instance,
        ended: Option<Instant>,
        spare: &mut Option<JoinHandle<Result<Running>>>,
        generation: u64,
    ) -> Served {
        let mut served = None;
        let broken = |error: Error, how| driver_process::End { error, how };
        if let Some(log) = running.process.take_log() {
            tokio::task::spawn_local(log::pass_on(log, self.device.clone(), running.generation));
        }
        let mut care = tokio::time::interval(CARE);
        loop {
            let event = tokio::select! {
                biased;
                asked = self.asked.recv() => return Served::Asked(asked.unwrap_or(Asked::Stop)),
                event = running.process.next() => event,
                _ = care.tick(), if network.needs_care() => {
                    network.care();
                    continue;
                }
            };
            match event {
                Event::LockedDown(sandbox) => locked(shown, sandbox),
                Event::Vend(wanted) => {
                    let answered = match network.shape(wanted) {
                        Ok(()) => running.process.grant(),
                        Err(error) => running.process.refuse(&error),
                    };
                    // What cannot be answered has ended, and says so next.
                    let _ = answered;
                    continue;
                }
                Event::Status(status) => {
                    if let Err(error) = network.reported(status) {
                        let end = broken(error.device(&*self.device), How::Lied);
                        return Served::Ended { end, served };
                    }
                    if served.is_none() {
                        served = Some(Instant::now());
                        shown.state = State::Running;
                        shown.last_recovery = ended.map(|ended| ended.elapsed()).or(shown.last_recovery);
                        if spare.is_none() {
                            let (driver, device) = (self.driver.clone(), self.device.clone());
                            let next = start(
                                driver,
                                device,
                                self.users.clone(),
                                self.trace.is_some(),
                                generation + 1,
                            );
                            *spare = Some(tokio::task::spawn_local(next));
                        }
                    }
                    shown.vends = network.vended();
                }
                Event::Ended(end) => return Served::Ended { end, served },
            }
            (self.report)(shown);
        }
    }

    /// What follows an end.
    fn judge(
        &self,
        end: &driver_process::End,
        served: Option<Instant>,
        opened: bool,
        ladder: &mut Ladder,
        reconnect: &mut Duration,
        now: Instant,
    ) -> Interval {
        let gone = matches!(end.error.kind(), ErrorKind::Unplugged | ErrorKind::NotFound)
            && end.how == How::Reported;
        match self.access {
            // A server that is away is nobody's failure, for however long.
            Access::Remote { .. } if gone || !opened => {
                let wait = *reconnect;
                *reconnect = (wait * 2).min(RECONNECT.1);
                return Interval::After(wait);
            }
            Access::Local(_) | Access::Own(_) if gone => return Interval::End(Outcome::Unplugged),
            _ => {}
        }
        let served_for = served.map_or(Duration::ZERO, |since| now.duration_since(since));
        let cause = match end.how {
            How::Exited(exit) if exit.is_violation() => Cause::Violation,
            // What we kill ourselves has another name.
            How::Exited(Exit::Signal(9)) => Cause::Killed,
            How::Exited(_) => Cause::Crashed,
            How::Hung => Cause::Hung,
            How::Lied => Cause::Violation,
            How::Reported if served.is_none() => Cause::NeverServed,
            How::Reported => Cause::Failed,
        };
        match ladder.ended(End { cause, served: served.is_some(), served_for }, now.into_std()) {
            Next::After(wait) => Interval::After(wait),
            Next::Quarantine => Interval::Quarantine,
        }
    }

    fn tell(&self, interval: &Interval, error: &Error) {
        let device = &*self.device;
        match interval {
            Interval::End(_) => tracing::info!(device, %error, "the device is gone"),
            // Nobody on top of it notices.
            Interval::After(Duration::ZERO) => {
                tracing::info!(device, %error, "the driver ended; a successor takes over")
            }
            Interval::After(wait) => {
                tracing::warn!(device, %error, ?wait, "the driver ended and is started again")
            }
            Interval::Quarantine => {
                tracing::error!(device, %error, "the driver ended too often; `outboard restart` tries again")
            }
        }
    }

    /// Waits for so long, or for somebody; `None`: the time is over.
    async fn pause(&mut self, wait: Option<Duration>) -> Option<Asked> {
        let over = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            asked = self.asked.recv() => Some(asked.unwrap_or(Asked::Stop)),
            () = over => None,
        }
    }
}

fn locked(shown: &mut registry::Instance, sandbox: Sandbox) {
    if let Some(process) = &mut shown.process {
        process.sandbox = Some(sandbox);
    }
}

async fn start(
    driver: String,
    device: String,
    users: Users,
    traces: bool,
    generation: u64,
) -> Result<Running> {
    let user = users.take()?;
    let identity = user.as_ref().map(|user| user.identity);
    let who = Who { driver: &driver, device: &device, generation, identity, traces };
    let process = DriverProcess::start(who).await?;
    Ok(Running { process, user, generation })
}
