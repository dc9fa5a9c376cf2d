//! `outboard run` on a machine with real USB: usb-net is given, taken, driven, its driver killed and stopped under a checked transfer, unplugged and
//! plugged in again, and taken back by the kernel.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::usb_net::{HOST, LENGTH, PRODUCT, VENDOR, connect, mbits, plug, reach};
use crate::lab::context::Context;
use crate::lab::run::{output, run as command};
use crate::lab::stream;
use crate::lab::sysfs::{wait_for, wait_until};
use crate::lab::usb_device::UsbDevice;

/// Longer than anything that the manager does takes on an emulated machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// Drivers that are killed under the transfer.
const KILLS: u32 = 10;
/// The time between two kills.
const BETWEEN: Duration = Duration::from_secs(1);

pub(crate) fn run(context: &mut Context) -> Result<()> {
    command("modprobe tun")?;
    plug(context)?;
    let result = Manager::start(&context.settings.outboard).and_then(|manager| manage(context, manager));
    let _absent = context.monitor("device_del dongle");
    result
}

fn manage(context: &Context, mut manager: Manager) -> Result<()> {
    let device = UsbDevice::wait(VENDOR, PRODUCT)?;
    let ids = format!("{VENDOR:04x}:{PRODUCT:04x}");
    wait_until("the manager to see the device", PATIENCE, || manager.device(&device.port).is_some())?;
    // The kernel's own driver may have it, or its other configuration is selected: either way it is not Outboard's.
    std::thread::sleep(Duration::from_secs(3));
    ensure!(manager.driver(&device.port).is_none(), "it was taken without being given");

    manager.ask(&["give", &ids])?;
    let first = manager.serving(&device.port, None)?;
    let facts = std::fs::read_to_string(format!("/proc/{}/status", first.process))?;
    ensure!(facts.contains("Seccomp:\t2") && facts.contains("CapEff:\t0000000000000000"), "{facts}");
    let index = command(&format!("cat /sys/class/net/{}/ifindex", first.interface))?;
    connect(&first.interface)?;
    let peer = SocketAddr::from((HOST, context.settings.peer_port));
    let start = Instant::now();
    stream::take(TcpStream::connect(peer)?, LENGTH, 1).context("TCP from the peer")?;
    let undisturbed = mbits(LENGTH, start);
    context.sample("manager/tcp-undisturbed", "Mbit/s", undisturbed);

    let last = under_kills(context, &manager, &device.port, peer, undisturbed, first.process)?;
    kill(last, Signal::STOP)?;
    let start = Instant::now();
    let next = manager.serving(&device.port, Some(last))?;
    context.sample("manager/recovery-of-a-hang", "ms", start.elapsed().as_secs_f64() * 1e3);
    reach(&next.interface)?;
    let now = command(&format!("cat /sys/class/net/{}/ifindex", next.interface))?;
    ensure!(now == index, "it is another interface: {index}, then {now}");

    // At once: another device is there before the driver of the first has ended.
    context.monitor("device_del dongle")?;
    plug(context).context("plug it in again at once")?;
    let next = manager.serving(&device.port, Some(next.process))?;
    connect(&next.interface)?;

    context.monitor("device_del dongle")?;
    device.wait_gone()?;
    wait_until("the device to leave the tree", PATIENCE, || manager.device(&device.port).is_none())?;
    ensure!(!Path::new("/sys/class/net").join(&next.interface).exists(), "its interface stays");
    plug(context)?;
    let device = UsbDevice::wait(VENDOR, PRODUCT).context("plug it in again")?;
    let again = manager.serving(&device.port, None)?;
    connect(&again.interface)?;
    stream::put(TcpStream::connect(peer)?, LENGTH / 10, 3).context("TCP after it was plugged in again")?;

    manager.ask(&["return", &ids])?;
    wait_until("the device to be given back", PATIENCE, || manager.driver(&device.port).is_none())?;
    ensure!(!Path::new("/sys/class/net").join(&again.interface).exists(), "its interface stays");
    manager.end()
}

/// A checked transfer while the driver is killed again and again; the last process.
fn under_kills(
    context: &Context,
    manager: &Manager,
    port: &str,
    peer: SocketAddr,
    undisturbed: f64,
    mut process: u32,
) -> Result<u32> {
    // Long enough for all kills at the speed that was measured, and longer by what they cost.
    let length = (undisturbed * 1e6 / 8.0 * f64::from(KILLS) * BETWEEN.as_secs_f64()) as u64;
    let connection = TcpStream::connect(peer)?;
    let start = Instant::now();
    let transfer = std::thread::spawn(move || stream::take(connection, length, 2).map(|()| Instant::now()));
    let mut recoveries = Vec::new();
    for _ in 0..KILLS {
        std::thread::sleep(BETWEEN);
        if transfer.is_finished() {
            break;
        }
        kill(process, Signal::KILL)?;
        process = manager.serving(port, Some(process))?.process;
        let driver = manager.driver(port).context("the driver is gone")?;
        let took = &driver["last_recovery"];
        let seconds =
            took["secs"].as_f64().unwrap_or_default() + took["nanos"].as_f64().unwrap_or_default() / 1e9;
        recoveries.push(seconds * 1e3);
    }
    let Ok(ended) = transfer.join() else { bail!("the transfer panicked") };
    let ended =
        ended.with_context(|| format!("TCP while the driver was killed {} times", recoveries.len()))?;
    let mbits = length as f64 * 8.0 / 1e6 / ended.duration_since(start).as_secs_f64();
    recoveries.sort_by(f64::total_cmp);
    context.sample("manager/tcp-under-a-kill-a-second", "Mbit/s", mbits);
    context.sample("manager/recovery-p50", "ms", recoveries[recoveries.len() / 2]);
    context.sample("manager/recovery-max", "ms", recoveries[recoveries.len() - 1]);
    context.note(format!(
        "{} kills under one connection: {:.0} % of the goodput without",
        recoveries.len(),
        mbits / undisturbed * 100.0
    ));
    Ok(process)
}

fn kill(process: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(process.cast_signed()).context("no process")?;
    kill_process(pid, signal).with_context(|| format!("signal {process}"))
}

/// A driver that serves.
struct Serving {
    process: u32,
    interface: String,
}

/// `outboard run`, in a folder of its own.
struct Manager {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
}

impl Manager {
    fn start(program: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join("lab-manager");
        let _absent = std::fs::remove_dir_all(&folder);
        // Policy lies there too: the guest's own root is shared with the machine around it.
        std::fs::create_dir_all(&folder)?;
        let mut run = Command::new(program);
        run.args(["run", "--root"])
            .arg(&folder)
            .env("OUTBOARD_LOG", "info")
            .env("OUTBOARD_SOCKET", folder.join("control"));
        let child = run.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn()?;
        let this = Self { child, program: program.into(), folder };
        wait_until("the manager to listen", PATIENCE, || this.folder.join("control").exists())?;
        Ok(this)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("OUTBOARD_SOCKET", self.folder.join("control"));
        if matches!(arguments.first(), Some(&"give" | &"return")) {
            command.arg("--root").arg(&self.folder);
        }
        output(&mut command)
    }

    fn device(&self, port: &str) -> Option<Value> {
        let registry: Value = serde_json::from_str(&self.ask(&["tree", "--json"]).ok()?).ok()?;
        registry["devices"].as_array()?.iter().find(|device| device["name"] == port).cloned()
    }

    fn driver(&self, port: &str) -> Option<Value> {
        let device = self.device(port)?;
        let functions = device["functions"].as_array()?;
        functions
            .iter()
            .map(|function| &function["holder"]["outboard"])
            .find(|driver| !driver.is_null())
            .cloned()
    }

    /// The driver once it serves, in another process than `not`.
    fn serving(&self, port: &str, not: Option<u32>) -> Result<Serving> {
        let look = || {
            let driver = self.driver(port)?;
            let process =
                u32::try_from(driver["process"]["id"].as_u64()?).ok().filter(|id| Some(*id) != not)?;
            let interface = driver["vends"]["network"]["name"].as_str()?.to_owned();
            (driver["state"] == "running").then_some(Serving { process, interface })
        };
        wait_for("a driver to serve", PATIENCE, || Ok(look()))
            .with_context(|| self.ask(&["tree"]).unwrap_or_default())
    }

    fn end(&mut self) -> Result<()> {
        kill(self.child.id(), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "outboard run ended with {status}");
        Ok(())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
