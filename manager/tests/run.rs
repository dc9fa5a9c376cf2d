//! `outboard run` over a virtual dongle at a USB/IP server: the interface outlives its driver, whatever becomes of the driver's process, and nothing is
//! left behind in the end.
//!
//! Needs root and /dev/net/tun. Without them the test says that it is skipped; with CI=true it fails instead.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

const OUTBOARD: &str = env!("CARGO_BIN_EXE_outboard");
/// Longer than anything here may take on the most loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Killed with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace with a server and a manager in it, and a folder for what they write.
struct Machine {
    holder: Running,
    folder: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("outboard-run-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let ready = folder.join("ready");
        let script = format!("ip link set lo up && touch {} && exec sleep 3600", ready.display());
        let mut command = Command::new("unshare");
        let holder = Running(command.args(["--net", "sh", "-c", &script]).spawn().unwrap());
        let this = Self { holder, folder };
        until("the namespace is ready", || ready.exists().then_some(()));
        this
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.holder.0.id().to_string(), program]).args(arguments);
        command.env("OUTBOARD_SOCKET", self.folder.join("control"));
        command
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Running {
        let output = File::create(self.folder.join(name)).unwrap();
        let errors = output.try_clone().unwrap();
        let mut command = self.command(OUTBOARD, arguments);
        Running(command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap())
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    fn output(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {text}{errors}{}", self.said("manager"));
        text
    }

    /// The one driver, as `outboard tree --json` tells; `None`: there is none yet.
    fn driver(&self) -> Option<Value> {
        let output = self.command(OUTBOARD, &["tree", "--json"]).output().unwrap();
        let registry: Value = serde_json::from_slice(&output.stdout).ok()?;
        let driver = registry["devices"][0]["functions"][0]["holder"]["outboard"].clone();
        (!driver.is_null()).then_some(driver)
    }

    /// The driver's process once it serves, with a link, and is not `not`.
    fn serving(&self, not: Option<u64>) -> u64 {
        until("a driver serves", || {
            let driver = self.driver()?;
            let process = driver["process"]["id"].as_u64().filter(|id| Some(*id) != not)?;
            let up = driver["vends"]["network"]["link_up"] == true && driver["state"] == "running";
            up.then_some(process)
        })
    }

    fn index(&self) -> String {
        self.output("ip", &["-o", "link", "show", "ecm0"]).split(':').next().unwrap_or_default().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(process: u64, signal: Signal) {
    kill_process(Pid::from_raw(process as i32).unwrap(), signal).unwrap();
}

#[test]
fn an_interface_outlives_its_driver() {
    if !geteuid().is_root() || File::options().write(true).open("/dev/net/tun").is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "it takes root and /dev/net/tun");
        return eprintln!("SKIPPED an_interface_outlives_its_driver: it takes root and /dev/net/tun");
    }
    let machine = Machine::new();
    let _server = machine.start("server", &["virtual", "ecm"]);
    until("the server listens", || machine.said("server").contains("Listening").then_some(()));
    let root = machine.folder.display().to_string();
    let mut manager = machine.start("manager", &["run", "--root", &root, "--usbip", "usbip://127.0.0.1/1-1"]);

    let first = machine.serving(None);
    let line = std::fs::read_to_string(format!("/proc/{first}/cmdline")).unwrap();
    assert!(line.starts_with("outboard: usb-ecm usbip://127.0.0.1/1-1\0"), "{line:?}");
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_ascii_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!((&*field("Seccomp:"), &*field("NoNewPrivs:")), ("2", "1"), "{status}");
    assert_eq!(field("CapEff:").trim_start_matches('0'), "");
    assert_ne!(field("Uid:"), "0");

    machine.output("ip", &["address", "add", "10.0.2.100/24", "dev", "ecm0"]);
    machine.output("ip", &["link", "set", "ecm0", "up"]);
    let index = machine.index();
    let ping = || machine.output("ping", &["-c", "3", "-i", "0.2", "-W", "20", "10.0.2.1"]);
    ping();

    kill(first, Signal::KILL);
    let second = machine.serving(Some(first));
    ping();
    kill(second, Signal::STOP);
    let third = machine.serving(Some(second));
    ping();
    machine.output(OUTBOARD, &["restart", "usbip://127.0.0.1/1-1"]);
    let fourth = machine.serving(Some(third));
    ping();
    assert_eq!(machine.index(), index, "it is the same interface");
    let driver = machine.driver().unwrap();
    assert_eq!(driver["restarts"], 3);
    assert!(driver["last_error"].as_str().is_some_and(|error| error.contains("stopped")), "{driver}");
    assert!(machine.output(OUTBOARD, &["status", "usbip://127.0.0.1/1-1"]).contains("system calls"));

    kill(u64::from(manager.0.id()), Signal::TERM);
    let status = manager.0.wait().unwrap();
    assert!(status.success(), "{status}\n{}", machine.said("manager"));
    assert!(!machine.output("ip", &["link"]).contains("ecm0"));
    let line = std::fs::read_to_string(format!("/proc/{fourth}/cmdline")).unwrap_or_default();
    assert!(!line.contains("usb-ecm"), "the driver is left behind");
    assert!(!machine.folder.join("control").exists(), "the socket is left behind");
}
