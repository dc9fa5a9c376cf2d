//! The manager's side: what to start, and how it is contained. The steps that the new process itself takes are in [`child`](super::child).

use std::ffi::CString;
use std::io::{PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::child::{self, Plan, REPORT_SIZE};
use super::error::{SandboxError, Step};
use super::limits::{Identity, Limits};
use super::process::{Process, Starting};
use super::sys::{self, Strings};
use super::{DEBUGGABLE_VARIABLE, FIRST_PASSED, MAX_PASSED, PASSED_VARIABLE};

/// What a driver is put into apart from the file system, which is emptied after it is loaded.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// A program to be started as a driver, contained from its first instruction on.
///
/// It is started with nothing: no environment, no descriptor but those given here, no user but its own, no capability, no network, no other
/// process in sight. What it still sees is the file system, read-only, because its loader needs its libraries; that goes as soon as it says
/// that it is loaded ([`inherit`](super::inherit)), before it is given leave to go on.
///
/// Started by a user who is not root, the driver is put into a user namespace as well. It then runs as that user, and keeps the user's
/// supplementary groups, which only root can drop.
#[derive(Debug)]
pub struct Program {
    executable: OwnedFd,
    title: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    stderr: Option<OwnedFd>,
    passed: Vec<OwnedFd>,
    identity: Option<Identity>,
    keeps_user: bool,
    limits: Limits,
    debuggable: bool,
}

impl Program {
    /// The program that is running, also if its file has been replaced since.
    ///
    /// # Errors
    /// At [`Step::OpenProgram`]: /proc is not mounted.
    pub fn this() -> Result<Self, SandboxError> {
        Self::open(Path::new("/proc/self/exe"))
    }

    /// A program by its path. No script: those have no file to read themselves from.
    ///
    /// # Errors
    /// At [`Step::OpenProgram`].
    pub fn open(path: &Path) -> Result<Self, SandboxError> {
        let executable = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| SandboxError::os(Step::OpenProgram, errno))?;
        let title = path.file_name().map_or(&b"driver"[..], OsStrExt::as_bytes);
        Ok(Self {
            executable,
            title: text(title),
            arguments: Vec::new(),
            environment: Vec::new(),
            stderr: None,
            passed: Vec::new(),
            identity: None,
            keeps_user: false,
            limits: Limits::default(),
            debuggable: false,
        })
    }

    /// What `ps` shows in place of the program's name: `outboard: usb-ecm 1-2`. The arguments follow it there.
    #[must_use]
    pub fn title(mut self, title: &str) -> Self {
        self.title = text(title.as_bytes());
        self
    }

    /// An argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(text(argument.as_bytes()));
        self
    }

    /// A variable of the environment, which is empty otherwise.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push(text(format!("{name}={value}").as_bytes()));
        self
    }

    /// Where the driver writes its log and its panics; a pipe or a socket, since it can write no file. Nowhere without this.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<OwnedFd>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// A descriptor that the driver gets; they are numbered from [`FIRST_PASSED`] in the order of the calls.
    #[must_use]
    pub fn pass(mut self, fd: impl Into<OwnedFd>) -> Self {
        self.passed.push(fd.into());
        self
    }

    /// The user that it runs as. Needed by root, and of no effect for others.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Runs it as the caller, in a user namespace of its own, as is done for callers who are not root: for one who is root only in a user
    /// namespace, and has no other user to give.
    #[must_use]
    pub fn keep_user(mut self) -> Self {
        self.keeps_user = true;
        self
    }

    /// Other resource limits than the default.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets the driver leave core dumps, and its own user attach a debugger. Root can attach gdb without this.
    #[must_use]
    pub fn debuggable(mut self, debuggable: bool) -> Self {
        self.debuggable = debuggable;
        self
    }

    /// Starts it. Returns when the program has been executed; it then waits, loaded or about to be, for [`Starting::finish`].
    ///
    /// The driver dies with the **thread** that calls this (PR_SET_PDEATHSIG), which should be one that lasts.
    ///
    /// # Errors
    /// Each names its [`Step`], also of those that the new process takes. Nothing is left of the process then.
    pub fn spawn(self) -> Result<Starting, SandboxError> {
        let is_root = rustix::process::geteuid().is_root() && !self.keeps_user;
        if is_root && self.identity.is_none() {
            let reason = "root must give the driver a user of its own";
            return Err(SandboxError::new(Step::Identity, reason));
        }
        if self.passed.len() > MAX_PASSED as usize {
            return Err(SandboxError::new(
                Step::Descriptors,
                format!("more than {MAX_PASSED} cannot be passed"),
            ));
        }
        let channel = |errno| SandboxError::os(Step::Channel, errno);
        let null =
            rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(channel)?;
        let (gate, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(channel)?;
        let (failure, report) =
            std::io::pipe().map_err(|error| channel(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;

        let stderr = self.stderr.as_ref().unwrap_or(&null);
        let standard = [null.as_raw_fd(), null.as_raw_fd(), stderr.as_raw_fd(), theirs.as_raw_fd()];
        let mut sources: Vec<RawFd> =
            standard.into_iter().chain(self.passed.iter().map(AsRawFd::as_raw_fd)).collect();
        let variables = self.variables();
        let arguments =
            Strings::new(std::iter::once(&*self.title).chain(self.arguments.iter().map(CString::as_c_str)));
        let environment = Strings::new(variables.iter().map(|variable| variable.as_c_str()));
        let user_map = child::UserMap::of_caller();
        let plan = Plan {
            executable: self.executable.as_raw_fd(),
            report: report.as_raw_fd(),
            sources: &mut sources,
            arguments: &arguments,
            environment: &environment,
            limits: &self.limits.resources(self.debuggable),
            identity: self.identity.filter(|_| is_root),
            user_map: (!is_root).then_some(&user_map),
        };
        let namespaces = NAMESPACES | if is_root { 0 } else { libc::CLONE_NEWUSER };
        let (pid, pidfd) = sys::clone_process(namespaces, || child::run(plan))
            .map_err(|errno| SandboxError::os(Step::Clone, errno))?;
        drop(report);
        let process = Process::new(pid, pidfd);
        // From here on, whatever fails ends the process with `process`.
        read_report(failure)?;
        Ok(Starting::new(process, gate, !is_root))
    }

    fn variables(&self) -> Vec<CString> {
        let mut variables = self.environment.clone();
        variables.push(text(format!("{PASSED_VARIABLE}={}", self.passed.len()).as_bytes()));
        if self.debuggable {
            variables.push(text(format!("{DEBUGGABLE_VARIABLE}=1").as_bytes()));
        }
        variables
    }

    /// The number that the descriptor of the next [`pass`](Self::pass) will have in the driver.
    pub fn next_number(&self) -> RawFd {
        FIRST_PASSED + self.passed.len() as RawFd
    }
}

/// What the child said before it became the program; nothing if it did.
fn read_report(mut failure: PipeReader) -> Result<(), SandboxError> {
    let mut report = Vec::with_capacity(REPORT_SIZE);
    failure.read_to_end(&mut report).map_err(|error| {
        SandboxError::os(Step::Channel, Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })?;
    match child::parse_report(&report) {
        None => Ok(()),
        Some((step, errno)) => Err(SandboxError::os(step, errno)),
    }
}

/// A string for exec; what follows a null byte cannot be passed and is left out.
fn text(bytes: &[u8]) -> CString {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    CString::new(bytes).unwrap_or_default()
}
