//! `outboard demo` from begin to end, as root and as an ordinary user: what it says must be so, and nothing may be left behind.
//!
//! Needs /dev/net/tun, and root or user namespaces. Without them the tests say that they are skipped; with CI=true they fail instead.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

const OUTBOARD: &str = env!("CARGO_BIN_EXE_outboard");
/// outboard --help: a right is missing.
const RIGHT: i32 = 7;

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(OUTBOARD);
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

/// Says that a test does not run, if it is for want of a right; where nothing may be skipped, that is a failure.
fn skipped(test: &str, output: &Output) -> bool {
    let missing = output.status.code() == Some(RIGHT);
    if missing {
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
        eprintln!("SKIPPED {test}: {reason}");
    }
    missing
}

fn check(output: &Output, bits: u64) {
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    assert_eq!(errors, "");
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["device"]["speed_bits_per_second"], bits);
    assert_eq!((&shown["interface"]["link_up"], &shown["interface"]["mtu"]), (&true.into(), &1500.into()));
    assert_eq!(shown["lease"]["server"], "10.0.2.1");
    assert_eq!(shown["ping"]["answered"], shown["ping"]["sent"]);
    assert_eq!(
        (&shown["page"]["status"], &shown["page"]["title"]),
        (&200.into(), &"Virtual ECM dongle".into())
    );
    for direction in ["tcp_to_device", "tcp_from_device"] {
        assert!(shown[direction]["bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{shown}");
    }
    assert_eq!(shown["crash"]["killed"], 5);
    assert!(shown["crash"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{shown}");
    assert!(shown["driver"]["system_calls"].as_u64().is_some_and(|calls| calls <= 20), "{shown}");
    let process = shown["driver"]["process"].as_u64().unwrap();
    assert!(!is_driver(process), "the driver's process is left behind");
}

/// The number may be another program's by now.
fn is_driver(process: u64) -> bool {
    let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.contains("driver\0usb-ecm")
}

/// The drivers that this process has started and that live: one serves, the other is its successor, which waits.
fn drivers(manager: u32) -> Vec<u64> {
    let is_child = |process: u64| {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
        fields.nth(1).and_then(|parent| parent.parse().ok()) == Some(manager)
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|process| is_child(*process) && is_driver(*process)).collect()
}

#[test]
fn every_step_is_done_at_every_speed() {
    for (speed, bits) in [("full", 12_000_000), ("high", 480_000_000), ("super", 5_000_000_000)] {
        let output = demo(&["--json", "--seconds", "1", "--speed", speed]).output().unwrap();
        if skipped("every_step_is_done_at_every_speed", &output) {
            return;
        }
        check(&output, bits);
    }
}

/// Root becomes nobody for this one; anybody else is an ordinary user already.
#[test]
fn an_ordinary_user_sees_the_same() {
    let copy = Copy::new("user");
    let mut command = demo(&["--json", "--seconds", "1"]);
    if geteuid().is_root() {
        // The build folder may be closed to others.
        command = Command::new(&copy.program);
        command.args(["demo", "--json", "--seconds", "1"]).uid(65534).gid(65534).current_dir("/");
    }
    let output = command.output().unwrap();
    if !skipped("an_ordinary_user_sees_the_same", &output) {
        check(&output, 480_000_000);
    }
}

/// The program where everybody can read it; gone with the value.
struct Copy {
    folder: PathBuf,
    program: PathBuf,
}

impl Copy {
    fn new(name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("outboard-demo-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("outboard");
        std::fs::copy(OUTBOARD, &program).unwrap();
        for path in [&folder, &program] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder, program }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A demo that stays for a person; killed with the value.
struct Running {
    child: Child,
    /// What it still says has to be read.
    output: BufReader<ChildStdout>,
    driver: Option<u64>,
}

impl Running {
    /// Returns when there is something to try.
    fn start() -> Self {
        let mut command = demo(&["--seconds", "1"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut driver, mut line) = (None, String::new());
        // It ends early where a right is missing.
        while !line.contains("curl http://") && {
            line.clear();
            output.read_line(&mut line).unwrap() > 0
        } {
            if let Some((_, rest)) = line.trim_end().split_once("usb-ecm in process ") {
                driver = rest.split(':').next().and_then(|process| process.parse().ok());
            }
        }
        Self { child, output, driver }
    }

    fn end(mut self) -> Output {
        std::io::copy(&mut self.output, &mut std::io::sink()).unwrap();
        let errors = self.child.stderr.take().unwrap();
        let status = self.child.wait().unwrap();
        let stderr = std::io::read_to_string(errors).unwrap().into_bytes();
        Output { status, stdout: Vec::new(), stderr }
    }
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let running = Running::start();
    if running.driver.is_none() {
        skipped("ctrl_c_leaves_nothing_behind", &running.end());
        return;
    }
    let drivers = drivers(running.child.id());
    assert!(!drivers.is_empty());
    kill_process(Pid::from_child(&running.child), Signal::INT).unwrap();
    let output = running.end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!drivers.into_iter().any(is_driver));
}

#[test]
fn a_driver_that_dies_is_replaced() {
    let running = Running::start();
    if running.driver.is_none() {
        skipped("a_driver_that_dies_is_replaced", &running.end());
        return;
    }
    let before = drivers(running.child.id());
    for driver in &before {
        // One may be gone by itself by now: the demo kills some too.
        let _ = kill_process(Pid::from_raw(*driver as i32).unwrap(), Signal::KILL);
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while drivers(running.child.id()).into_iter().all(|driver| before.contains(&driver)) {
        assert!(std::time::Instant::now() < end, "there is no successor");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&running.child), Signal::INT).unwrap();
    let output = running.end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_trace_holds_the_drivers_transfers_and_overwrites_nothing() {
    let copy = Copy::new("trace");
    let path = copy.folder.join("demo.pcapng");
    let arguments = ["--json", "--seconds", "1", "--trace-payload", "none", "--trace"];
    let traced = |path: &Path| demo(&arguments).arg(path).output().unwrap();
    let output = traced(&path);
    if skipped("a_trace_holds_the_drivers_transfers_and_overwrites_nothing", &output) {
        return;
    }
    check(&output, 480_000_000);
    let trace = std::fs::read(&path).unwrap();
    // pcapng's Section Header Block; thousands of transfers with a header of 64 bytes follow.
    assert_eq!(trace[..4], 0x0a0d_0d0a_u32.to_le_bytes());
    assert!(trace.len() > 64 * 1000, "{}", trace.len());
    let again = traced(&path);
    assert_eq!(again.status.code(), Some(8), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(std::fs::read(&path).unwrap().len(), trace.len());
}

#[test]
fn a_reader_that_leaves_early_is_nobodys_loss() {
    let mut child =
        demo(&["--once", "--seconds", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    if !skipped("a_reader_that_leaves_early_is_nobodys_loss", &output) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The driver's half is of no use to a person, and says so.
#[test]
fn the_drivers_half_names_the_right_command() {
    let output = Command::new(OUTBOARD)
        .args(["driver", "usb-ecm", "--generation", "1"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("outboard attach"), "{errors}");
}
