//! A driver in a process of its own, seen from the manager: it is started with a device's descriptor, asks for its family's end, reports, and
//! ends. It must not know what a driver does, nor what the family's end is.
//!
//! The process is this program again (`outboard driver NAME`), with the socket of [`outboard_core::host`] as its standard input.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use outboard_core::host::{
    Ethernet, EthernetStatus, Failure as Refusal, ManagerEnd, ToDriver, ToManager, TransportKind,
};
use outboard_core::{Error, ErrorKind, Result};

use crate::trace::Trace;

/// How long a driver that was told to stop, or that has closed its socket, may take to exit before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often an ending process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A running driver. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct DriverProcess {
    child: Child,
    channel: ManagerEnd,
    device: String,
}

/// What a driver's process does.
#[derive(Debug)]
pub(crate) enum Event {
    /// It asks for a network interface: [`DriverProcess::grant`] or [`DriverProcess::refuse`].
    Vend(Ethernet),
    /// Its interface was started, or has changed.
    Status(EthernetStatus),
    /// It is gone; the reason is its own, if it gave one.
    Ended(Error),
}

impl DriverProcess {
    /// Starts the driver of this name on a device; `fd` is what `transport` says. A trace goes into its file.
    ///
    /// # Errors
    /// System: no process or descriptor could be had.
    pub(crate) fn start(
        driver: &str,
        device: &str,
        transport: TransportKind,
        fd: BorrowedFd<'_>,
        trace: Option<&Trace>,
        generation: u64,
    ) -> Result<Self> {
        let (channel, theirs) = ManagerEnd::pair(generation)?;
        let child = spawn(driver, theirs, generation)
            .map_err(|error| Error::os("start the driver's process", error).device(device))?;
        let this = Self { child, channel, device: device.to_owned() };
        let fds: Vec<_> = [fd].into_iter().chain(trace.map(|trace| trace.file().as_fd())).collect();
        let trace = trace.map(Trace::to_message);
        this.channel.send(&ToDriver::Start { device: device.to_owned(), transport, trace }, &fds)?;
        Ok(this)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What happens next. Dropped, it loses nothing.
    pub(crate) async fn next(&mut self) -> Event {
        match self.channel.receive().await {
            Ok(received) => match received.message {
                ToManager::Vend(vend) => Event::Vend(vend),
                ToManager::Status(status) => Event::Status(status),
                ToManager::Ended(failure) => Event::Ended(failure.error("drive it")),
            },
            // The process ends, or has broken the rules and will be ended.
            Err(error) if error.kind() == ErrorKind::Unplugged => {
                let reason = match self.exited().await {
                    Some(status) => format!("its process ended: {status}"),
                    None => "its process closed its socket and went on; it is killed".to_owned(),
                };
                Event::Ended(Error::new(ErrorKind::Bug, "drive it", reason).device(&*self.device))
            }
            Err(error) => Event::Ended(error.device(&*self.device)),
        }
    }

    /// Gives it the end of the family that it asked for.
    ///
    /// # Errors
    /// Unplugged: it is gone.
    pub(crate) fn grant(&self, fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.channel.send(&ToDriver::Family, fds)
    }

    /// Tells it that it cannot have what it asked for.
    ///
    /// # Errors
    /// Unplugged: it is gone.
    pub(crate) fn refuse(&self, error: &Error) -> Result<()> {
        self.channel.send(&ToDriver::Refused(Refusal::from(error)), &[])
    }

    /// Has it stop, and waits for its end; one that does not stop is killed.
    pub(crate) async fn stop(mut self) {
        // If it cannot be told, it is gone already, or hangs and will be killed.
        if self.channel.send(&ToDriver::Stop, &[]).is_ok() {
            self.exited().await;
        }
    }

    async fn exited(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }
}

fn spawn(driver: &str, socket: OwnedFd, generation: u64) -> std::io::Result<Child> {
    // Not by its path, where an upgrade may have put another program by now.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("outboard");
    command.args(["driver", driver, "--generation", &generation.to_string()]);
    command.stdin(Stdio::from(socket)).stdout(Stdio::null());
    // The terminal's Ctrl-C is for the manager, which stops its drivers in order.
    command.process_group(0);
    command.spawn()
}

impl Drop for DriverProcess {
    fn drop(&mut self) {
        // It fails where the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
