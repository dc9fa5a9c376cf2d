//! A driver in a process of its own, seen from the manager: it is started contained, gets a device and the interface that it is to vend, locks itself
//! down, says how the interface has to be, reports, and ends. It must not know what a driver does, nor what becomes of its end.
//!
//! The process is this program again (`outboard driver NAME`), in the containment of [`outboard_core::sandbox`], with the socket of
//! [`outboard_core::host`] as its only descriptor at the start.

use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use outboard_core::family::ethernet::tap::TapFds;
use outboard_core::host::{
    Ethernet, EthernetStatus, Failure as Refusal, HANG, ManagerEnd, ToDriver, ToManager, TransportKind,
};
use outboard_core::registry::Sandbox;
use outboard_core::sandbox::{Exit, Identity, Limits, Process, Program, SandboxError};
use outboard_core::{Error, ErrorKind, Result, source};
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::heartbeat::{self, Pulse};
use crate::trace::Trace;

/// How long a driver that was told to stop, or that has closed its socket, may take to exit before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a driver may take until it is loaded, and from then until it serves: devices that answer slowly take their time.
const START: Duration = Duration::from_secs(60);

/// Which driver is to be started, and as whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    /// Its name: `usb-ecm`.
    pub(crate) driver: &'a str,
    /// The device, as errors and `ps` name it.
    pub(crate) device: &'a str,
    /// Tags its messages.
    pub(crate) generation: u64,
    /// The user that it runs as; `None`: the manager's own, which cannot give another one.
    pub(crate) identity: Option<Identity>,
    /// It will write a trace.
    pub(crate) traces: bool,
}

/// What it is to drive, and what it is to vend.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// What `fd` is.
    pub(crate) transport: TransportKind,
    /// The device.
    pub(crate) fd: BorrowedFd<'a>,
    /// The interface by which the function was matched.
    pub(crate) interface: Option<u8>,
    /// How the interface was when the last process died.
    pub(crate) resumes: Option<EthernetStatus>,
    /// The network interface.
    pub(crate) tap: TapFds,
    /// Where its transfers are written to.
    pub(crate) trace: Option<&'a Trace>,
}

/// A driver's process. Dropped, it is killed and waited for.
#[derive(Debug)]
pub(crate) struct DriverProcess {
    process: Process,
    /// Readable when it has ended.
    end: AsyncFd<OwnedFd>,
    channel: ManagerEnd,
    log: Option<PipeReader>,
    device: String,
    pulse: Pulse,
}

/// What a driver's process does.
#[derive(Debug)]
pub(crate) enum Event {
    /// It has given up what it does not need.
    LockedDown(Sandbox),
    /// Its network interface has to be like this: [`DriverProcess::grant`] or [`DriverProcess::refuse`].
    Vend(Ethernet),
    /// Its interface was started, or has changed.
    Status(EthernetStatus),
    /// It is gone, or will be when this value is dropped.
    Ended(End),
}

/// How a driver's process ended.
#[derive(Debug)]
pub(crate) struct End {
    /// What is to be said of it.
    pub(crate) error: Error,
    /// What kind of an end it was.
    pub(crate) how: How,
}

/// Kinds of ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It gave a reason of its own.
    Reported,
    /// Its process ended by itself, or by a signal.
    Exited(Exit),
    /// It gave no sign of life.
    Hung,
    /// It said what it must not, or closed its socket and went on.
    Lied,
}

impl DriverProcess {
    /// Starts the process; it waits for its [`Job`].
    ///
    /// # Errors
    /// Each names the step of the containment that failed.
    pub(crate) async fn start(who: Who<'_>) -> Result<Self> {
        let os = |operation: &'static str| {
            move |error: std::io::Error| Error::os(operation, error).device(who.device)
        };
        let contained = |error: SandboxError| {
            Error::new(ErrorKind::System, "start the driver's process", error.to_string()).device(who.device)
        };
        let (channel, theirs) = ManagerEnd::pair(who.generation)?;
        let (log, stderr) = std::io::pipe().map_err(os("make the driver's log"))?;
        let mut program = Program::this()
            .map_err(contained)?
            .title(&format!("outboard: {} {}", who.driver, who.device))
            .argument("driver")
            .argument(who.driver)
            .argument("--generation")
            .argument(&who.generation.to_string())
            .stderr(stderr)
            .pass(theirs);
        if let Ok(filter) = std::env::var("OUTBOARD_LOG") {
            program = program.variable("OUTBOARD_LOG", &filter);
        }
        if who.traces {
            program = program.limits(Limits { file_size: u64::MAX, ..Limits::default() });
        }
        program = match who.identity {
            Some(identity) => program.identity(identity),
            None => program.keep_user(),
        };
        let starting = program.spawn().map_err(contained)?;
        let loaded = async {
            let gate = source::watch(starting.readiness().try_clone_to_owned()?, Interest::READABLE)?;
            gate.readable().await.map(drop)
        };
        tokio::time::timeout(START, loaded)
            .await
            .map_err(|_| Error::new(ErrorKind::TimedOut, "start the driver's process", "it does not load"))?
            .map_err(os("watch the driver's process"))?;
        let process = starting.finish().map_err(contained)?;
        let pulse = Pulse::new(process.pid());
        let end = process.as_fd().try_clone_to_owned().and_then(|fd| source::watch(fd, Interest::READABLE));
        let end = end.map_err(os("watch the driver's process"))?;
        Ok(Self { process, end, channel, log: Some(log), device: who.device.to_owned(), pulse })
    }

    /// Gives it what to do. Only once.
    ///
    /// # Errors
    /// Bug: it has ended while it waited.
    pub(crate) fn give(&mut self, job: Job<'_>) -> Result<()> {
        let TapFds { tun, link: [a, b, c] } = &job.tap;
        let mut fds = vec![job.fd, tun.as_fd(), a.as_fd(), b.as_fd(), c.as_fd()];
        fds.extend(job.trace.map(|trace| trace.file().as_fd()));
        let start = ToDriver::Start {
            device: self.device.clone(),
            transport: job.transport,
            interface: job.interface,
            resumes: job.resumes,
            trace: job.trace.map(Trace::to_message),
        };
        self.pulse.expect_within(START);
        self.channel.send(&start, &fds).map_err(|error| match error.kind() {
            ErrorKind::Unplugged => {
                let reason = "its process ended before it had anything to do";
                Error::new(ErrorKind::Bug, "drive it", reason).device(&*self.device)
            }
            _ => error,
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// What it logs, once.
    pub(crate) fn take_log(&mut self) -> Option<PipeReader> {
        self.log.take()
    }

    /// What happens next. Dropped, it loses nothing.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            let received = tokio::select! {
                biased;
                // What it said before it ended says more than how it ended.
                received = self.channel.receive() => received,
                _ = self.end.readable() => match self.channel.try_receive() {
                    Ok(Some(received)) => Ok(received),
                    _ => return Event::Ended(self.exited()),
                },
                () = self.pulse.due() => match self.pulse.look() {
                    heartbeat::Verdict::Alive => continue,
                    heartbeat::Verdict::Hangs(reason) => {
                        let error = Error::new(ErrorKind::TimedOut, "drive it", reason).device(&*self.device);
                        return Event::Ended(End { error, how: How::Hung });
                    }
                },
            };
            let message = match received {
                Ok(received) => received.message,
                Err(error) if error.kind() == ErrorKind::Unplugged => {
                    return Event::Ended(self.hung_up().await);
                }
                Err(error) => {
                    return Event::Ended(End { error: error.device(&*self.device), how: How::Lied });
                }
            };
            match message {
                ToManager::Alive => self.pulse.felt(),
                ToManager::LockedDown(sandbox) => return Event::LockedDown(sandbox),
                ToManager::Vend(vend) => return Event::Vend(vend),
                ToManager::Status(status) => {
                    self.pulse.felt();
                    self.pulse.expect_within(HANG);
                    return Event::Status(status);
                }
                ToManager::Ended(failure) => {
                    return Event::Ended(End { error: failure.error("drive it"), how: How::Reported });
                }
            }
        }
    }

    /// Its socket is closed: it ends, or has ended.
    async fn hung_up(&mut self) -> End {
        if tokio::time::timeout(PATIENCE, self.end.readable()).await.is_ok() {
            return self.exited();
        }
        let reason = "its process closed its socket and went on; it is killed";
        End { error: Error::new(ErrorKind::Bug, "drive it", reason).device(&*self.device), how: How::Lied }
    }

    fn exited(&mut self) -> End {
        let (reason, how) = match self.process.wait() {
            Ok(exit) => (format!("its process {exit}"), How::Exited(exit)),
            Err(error) => (format!("its process is lost: {error}"), How::Lied),
        };
        End { error: Error::new(ErrorKind::Bug, "drive it", reason).device(&*self.device), how }
    }

    /// Tells it that the interface is as it asked.
    ///
    /// # Errors
    /// Unplugged: it is gone.
    pub(crate) fn grant(&self) -> Result<()> {
        self.channel.send(&ToDriver::Family, &[])
    }

    /// Tells it that it cannot have what it asked for.
    ///
    /// # Errors
    /// Unplugged: it is gone.
    pub(crate) fn refuse(&self, error: &Error) -> Result<()> {
        self.channel.send(&ToDriver::Refused(Refusal::from(error)), &[])
    }

    /// Has it stop, and waits for its end; one that does not stop is killed.
    pub(crate) async fn stop(self) {
        // If it cannot be told, it is gone already, or hangs and will be killed.
        if self.channel.send(&ToDriver::Stop, &[]).is_ok() {
            let began = Instant::now();
            if tokio::time::timeout(PATIENCE, self.end.readable()).await.is_err() {
                tracing::warn!(device = self.device, waited = ?began.elapsed(), "the driver did not stop; it is killed");
            }
        }
    }

    /// Kills it, as a fence before a successor: afterwards nothing of it touches the device or the interface.
    pub(crate) fn kill(mut self) {
        let _gone_already = self.process.signal(Signal::KILL);
        let _ = self.process.wait();
    }
}
