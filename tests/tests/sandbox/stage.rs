//! What the tests share: skipping, users, starting the subject, a network namespace, and what the hostile driver is given.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use outboard_core::family::ethernet::EthernetInterface;
use outboard_core::family::ethernet::tap::{Tap, TapOptions};
use outboard_core::sandbox::{Exit, FIRST_PASSED, Identities, Identity, Limits, Process, Program};
use outboard_tests::sandbox::Scene;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

/// Longer than anything here may take, on a machine with much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SUBJECT: &str = env!("CARGO_BIN_EXE_sandbox-subject");

/// Whether the test can run. Where it cannot, it says so; where nothing may be skipped, that is a failure.
pub(crate) fn can_run(test: &str) -> bool {
    let reason = if !rustix::process::geteuid().is_root() {
        "not root".to_owned()
    } else if let Err(error) = std::fs::metadata("/dev/net/tun") {
        format!("/dev/net/tun: {error}; modprobe tun")
    } else {
        return true;
    };
    skip(test, &reason);
    false
}

/// Says that a test does not run, and why; where nothing may be skipped, that is a failure.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
    eprintln!("SKIPPED {test}: {reason}");
}

/// A user that no other driver of this program has.
pub(crate) fn identity() -> Identity {
    static IDENTITIES: Mutex<Option<Identities>> = Mutex::new(None);
    let mut identities = IDENTITIES.lock().unwrap();
    identities.get_or_insert_default().take().expect("there are users enough")
}

/// The subject, with a user of its own.
pub(crate) fn subject(arguments: &[&str]) -> Program {
    let program =
        Program::open(Path::new(SUBJECT)).unwrap().title("outboard: subject 1-2").identity(identity());
    arguments.iter().fold(program, |program, argument| program.argument(argument))
}

/// Starts a program and lets it go on.
pub(crate) fn start(program: Program) -> Result<Process, outboard_core::sandbox::SandboxError> {
    let starting = program.spawn()?;
    starting.wait_loaded(PATIENCE)?;
    starting.finish()
}

/// Starts the subject, waits for its end, and gives what it wrote to stderr.
pub(crate) fn run_to_end(program: Program) -> (Exit, String) {
    let (mut log, theirs) = std::io::pipe().unwrap();
    let mut process = start(program.stderr(theirs)).unwrap();
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    (process.wait().unwrap(), text)
}

/// A process of root's that waits, with eight bytes to look at.
pub(crate) struct Victim {
    child: Child,
    _stdin: ChildStdin,
    address: usize,
}

impl Victim {
    fn new() -> Self {
        let mut child =
            Command::new(SUBJECT).arg("victim").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { _stdin: child.stdin.take().unwrap(), child, address: line.trim().parse().unwrap() }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The place of the crime: what the hostile driver is given, and what it may want to reach.
pub(crate) struct Stage {
    pub(crate) victim: Victim,
    pub(crate) tap: Tap,
    listener: TcpListener,
    socket_name: String,
    _abstract_socket: UnixListener,
    program: OwnedFd,
    directory: OwnedFd,
    terminal: OwnedFd,
    _terminal_master: OwnedFd,
}

/// The descriptors of one attempt, on both sides.
pub(crate) struct Props {
    /// In the order of [`Scene`]'s numbers.
    pub(crate) theirs: Vec<OwnedFd>,
    pub(crate) report: File,
    _socket: UnixStream,
}

impl Stage {
    /// In a network namespace of the calling thread's own.
    pub(crate) fn new() -> Self {
        #[expect(
            deprecated,
            reason = "only the network namespace is left, which no borrowed descriptor minds"
        )]
        rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|status| status.success()), "ip(8) brings the loopback up; install iproute2");
        let socket_name = format!("outboard-sandbox-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&socket_name).unwrap();
        let program = rustix::fs::memfd_create("program", MemfdFlags::CLOEXEC).unwrap();
        let program = File::from(program);
        std::io::copy(&mut File::open(SUBJECT).unwrap(), &mut &program).unwrap();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        Self {
            victim: Victim::new(),
            tap: Tap::create(&TapOptions { name: "obhostile%d".into(), ..TapOptions::default() }).unwrap(),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            socket_name,
            _abstract_socket: UnixListener::bind_addr(&abstract_name).unwrap(),
            program: program.into(),
            directory: rustix::fs::open(
                "/",
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .unwrap(),
            terminal,
            _terminal_master: master,
        }
    }

    /// Fresh ends, and duplicates of what lasts.
    pub(crate) fn props(&self) -> Props {
        let (report, verdict) = std::io::pipe().unwrap();
        let (socket, their_socket) = UnixStream::pair().unwrap();
        // Something that can be taken in.
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let passed = [self.directory.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&passed)));
        sendmsg(&socket, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();

        let netlink = rustix::net::socket_with(
            rustix::net::AddressFamily::NETLINK,
            rustix::net::SocketType::RAW,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let copy = |fd: &OwnedFd| fd.try_clone().unwrap();
        let theirs = vec![
            verdict.into(),
            self.tap.readiness().unwrap().try_clone_to_owned().unwrap(),
            netlink,
            copy(&self.terminal),
            their_socket.into(),
            copy(&self.program),
            copy(&self.directory),
        ];
        Props { theirs, report: OwnedFd::from(report).into(), _socket: socket }
    }

    fn scene(&self, numbers: &[i32], cpu_time: i64) -> String {
        let [report, tun, netlink, terminal, socket, program, directory] = *numbers else {
            unreachable!("a scene has seven descriptors")
        };
        let scene = Scene {
            report,
            tun,
            netlink,
            terminal,
            socket,
            program,
            directory,
            parent: rustix::process::getpid().as_raw_nonzero().get(),
            victim: self.victim.child.id() as i32,
            victim_address: self.victim.address,
            port: self.listener.local_addr().unwrap().port(),
            socket_name: self.socket_name.clone(),
            interface: self.tap.name().to_owned(),
            cpu_time,
        };
        serde_json::to_string(&scene).unwrap()
    }

    /// Tries it without any sandbox, as root.
    pub(crate) fn uncontained(&self, index: usize) -> (Exit, String) {
        use std::os::unix::process::ExitStatusExt;
        let Props { theirs, mut report, _socket } = self.props();
        for fd in &theirs {
            fcntl_setfd(fd, FdFlags::empty()).unwrap();
        }
        let numbers: Vec<_> = theirs.iter().map(AsRawFd::as_raw_fd).collect();
        let mut child = Command::new(SUBJECT)
            .args(["attempt", "control", &index.to_string(), &self.scene(&numbers, 2)])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        drop(theirs);
        let mut verdict = String::new();
        report.read_to_string(&mut verdict).unwrap();
        let status = child.wait().unwrap();
        (status.code().map_or_else(|| Exit::Signal(status.signal().unwrap()), Exit::Code), verdict)
    }

    /// Tries it as a driver that was started contained, and then is locked down or not.
    pub(crate) fn contained(&self, layer: &str, index: usize) -> (Exit, String) {
        let Props { theirs, mut report, _socket } = self.props();
        let numbers: Vec<_> = (FIRST_PASSED..).take(theirs.len()).collect();
        let program = subject(&["attempt", layer, &index.to_string(), &self.scene(&numbers, 60)])
            .limits(Limits { cpu_time: Some(1), ..Limits::default() });
        let program = theirs.into_iter().fold(program, Program::pass);
        let (exit, log) = run_to_end(program);
        let mut verdict = String::new();
        report.read_to_string(&mut verdict).unwrap();
        (exit, if verdict.is_empty() { log } else { verdict })
    }
}
