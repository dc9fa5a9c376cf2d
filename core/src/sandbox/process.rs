//! A driver process as its manager holds it: starting, running, ended. It must not know what the process does.

use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::child;
use super::error::{SandboxError, Step};
use super::sys;
use super::{GO, LOADED};

/// A process that was executed and has not yet been let go. It has the system's file system before its eyes, read-only, until
/// [`finish`](Self::finish). Dropped, it is killed.
#[derive(Debug)]
pub struct Starting {
    process: Process,
    gate: OwnedFd,
    in_user_namespace: bool,
}

impl Starting {
    pub(super) fn new(process: Process, gate: OwnedFd, in_user_namespace: bool) -> Self {
        Self { process, gate, in_user_namespace }
    }

    /// Becomes readable when the driver is loaded, or when it has ended: then call [`finish`](Self::finish).
    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.gate.as_fd()
    }

    /// The process, for its number and pidfd.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until [`readiness`](Self::readiness) or the timeout, for callers without an event loop.
    ///
    /// # Errors
    /// At [`Step::Load`]: it took longer.
    pub fn wait_loaded(&self, timeout: std::time::Duration) -> Result<(), SandboxError> {
        let timeout = Timespec::try_from(timeout).map_err(|_| SandboxError::os(Step::Load, Errno::INVAL))?;
        let mut fds = [PollFd::new(&self.gate, PollFlags::IN)];
        match rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))) {
            Ok(0) => Err(SandboxError::os(Step::Load, Errno::TIMEDOUT)),
            Ok(_) => Ok(()),
            Err(errno) => Err(SandboxError::os(Step::Load, errno)),
        }
    }

    /// Takes the file system from the driver and lets it go on. Waits for the driver if it is not [ready](Self::readiness), and for a helper of
    /// our own that enters the driver's mount namespace.
    ///
    /// # Errors
    /// At [`Step::Load`]: the driver ended, or is no driver. Else the step of emptying that failed. The process is killed then.
    pub fn finish(self) -> Result<Process, SandboxError> {
        let mut word = [0; 8];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.gate, &mut word)) {
            Ok(length) if word.get(..length) == Some(LOADED) => {}
            Ok(0) | Err(Errno::CONNRESET) => {
                let reason = "it ended before it was loaded, or closed the gate";
                return Err(SandboxError::new(Step::Load, reason));
            }
            Ok(_) => return Err(SandboxError::new(Step::Load, "it does not know the protocol of the gate")),
            Err(errno) => return Err(SandboxError::os(Step::Load, errno)),
        }
        self.empty_root()?;
        rustix::net::send(&self.gate, GO, rustix::net::SendFlags::NOSIGNAL)
            .map_err(|errno| SandboxError::os(Step::Load, errno))?;
        Ok(self.process)
    }

    fn empty_root(&self) -> Result<(), SandboxError> {
        let channel = |error: std::io::Error| {
            SandboxError::os(Step::Channel, Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let (mut failure, report) = std::io::pipe().map_err(channel)?;
        let pidfd = self.process.pidfd.as_fd();
        let number = report.as_raw_fd();
        let (pid, helper) =
            sys::clone_process(0, || child::empty_root(pidfd, self.in_user_namespace, number))
                .map_err(|errno| SandboxError::os(Step::Clone, errno))?;
        drop(report);
        let mut helper = Process::new(pid, helper);
        let text = read_all(&mut failure).map_err(channel)?;
        match (child::parse_report(&text), helper.wait()?) {
            (Some((step, errno)), _) => Err(SandboxError::os(step, errno)),
            (None, Exit::Code(0)) => Ok(()),
            (None, exit) => Err(SandboxError::new(Step::EnterMounts, format!("the helper {exit}"))),
        }
    }
}

fn read_all(pipe: &mut PipeReader) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(child::REPORT_SIZE);
    pipe.read_to_end(&mut text)?;
    Ok(text)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code; a panic is 101.
    Code(i32),
    /// A signal ended it. An abort is SIGSEGV: the first process of a PID namespace cannot be ended by its own SIGABRT.
    Signal(i32),
}

impl Exit {
    /// Whether it made a system call that it has no business to make: it was broken into, or it lacks an entry in the
    /// [profile](super::Profile).
    pub fn is_violation(self) -> bool {
        self == Self::Signal(libc::SIGSYS)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(libc::SIGSYS) => f.write_str("was killed for a forbidden system call (SIGSYS)"),
            Self::Signal(libc::SIGSEGV) => f.write_str("crashed or aborted (SIGSEGV)"),
            Self::Signal(libc::SIGKILL) => f.write_str("was killed (SIGKILL)"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// A running driver process. Dropped, it is killed and waited for.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    exit: Option<Exit>,
}

impl AsFd for Process {
    /// The pidfd: readable when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Process {
    pub(super) fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, exit: None }
    }

    /// Its number, as the manager and `ps` see it; in its own namespace it is 1.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal, to this process and never to a successor of its number. As the first process of its namespace it ignores all but SIGKILL and
    /// SIGSTOP, unless it handles them.
    ///
    /// # Errors
    /// At [`Step::Wait`]: it has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), SandboxError> {
        pidfd_send_signal(&self.pidfd, signal).map_err(|errno| SandboxError::os(Step::Wait, errno))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// At [`Step::Wait`]: somebody else has waited for it.
    pub fn wait(&mut self) -> Result<Exit, SandboxError> {
        let exit = self.wait_with(WaitIdOptions::EXITED)?;
        exit.ok_or_else(|| SandboxError::new(Step::Wait, "it has not ended"))
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> Result<Option<Exit>, SandboxError> {
        self.wait_with(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    fn wait_with(&mut self, options: WaitIdOptions) -> Result<Option<Exit>, SandboxError> {
        if self.exit.is_none() {
            let ended = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.pidfd.as_fd()), options))
                .map_err(|errno| SandboxError::os(Step::Wait, errno))?;
            self.exit = ended.map(|status| match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, signal) => Exit::Signal(signal.unwrap_or_default()),
            });
        }
        Ok(self.exit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit.is_none() {
            // It fails only if there is nobody any more.
            let _ = self.signal(Signal::KILL);
            let _ = self.wait();
        }
    }
}
