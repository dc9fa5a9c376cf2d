//! Booting the guest: Debian's stock kernel, software emulation, the machine's own root file system, read-only.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::monitor::Monitor;
use crate::wire::PORT;
use crate::workspace;

/// QEMU opens its sockets within a second; virtme-ng first packs an initial RAM disk, which takes some seconds.
const SOCKETS: Duration = Duration::from_secs(60);

/// A guest that runs. Killed with everything that belongs to it when dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    child: Child,
    /// The other end of the virtio-serial port.
    pub(crate) port: UnixStream,
    /// QEMU's monitor.
    pub(crate) monitor: Monitor,
    console: PathBuf,
    sockets: PathBuf,
}

impl Guest {
    /// Starts QEMU with the runner as the guest's only program, which can write to this one folder of the machine. The boot goes on when this
    /// returns.
    pub(crate) fn boot(runner: &Path, results: &Path, writable: Option<&Path>) -> Result<Self> {
        // Paths of UNIX sockets are limited to 107 bytes, which a deep workspace exceeds.
        let sockets = std::env::temp_dir().join(format!("outboard-lab-{}", std::process::id()));
        fs::create_dir_all(&sockets)?;
        let console = results.join("console.log");
        let log = File::create(&console).with_context(|| format!("make {}", console.display()))?;
        let (port, monitor) = (sockets.join("port"), sockets.join("monitor"));
        let mut command = vng(&[&port, &monitor])?;
        if let Some(folder) = writable {
            command.arg("--rwdir").arg(folder);
        }
        // The console shows warnings only: each character costs an exit from emulation. The whole log is read in the guest when needed.
        command.args(["--append", "loglevel=4"]);
        command.arg("--").arg(format!("{} serve", runner.display()));
        // QEMU opens its outputs anew through /proc, which would empty a file: give it pipes.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that QEMU can be ended together with virtme-ng, which started it.
        command.process_group(0);
        let mut child = command.spawn().context("start vng")?;
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            keep(stdout, log.try_clone()?);
            keep(stderr, log);
        }
        let opened = (|| Ok((connect(&port, &mut child)?, connect(&monitor, &mut child)?)))();
        let (port, monitor) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                end_group(&mut child);
                let _gone = fs::remove_dir_all(&sockets);
                return Err(console_tail(&console, error));
            }
        };
        Ok(Self { child, port, monitor: Monitor::new(monitor)?, console, sockets })
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// An error with the last lines of the guest's console, for when the guest says nothing any more.
    pub(crate) fn with_console(&self, error: anyhow::Error) -> anyhow::Error {
        console_tail(&self.console, error)
    }

    /// Lets it power off, or ends it.
    pub(crate) fn end(&mut self) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if self.ended().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        end_group(&mut self.child);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.ended().is_none() {
            end_group(&mut self.child);
        }
        let _gone = fs::remove_dir_all(&self.sockets);
    }
}

/// A guest with a shell, for people; the devices are there, nothing runs.
pub(crate) fn shell() -> Result<()> {
    let mut command = vng(&[])?;
    let status = command.status().context("start vng")?;
    eprintln!("lab: the guest ended: {status}");
    Ok(())
}

/// The newest stock kernel that has its modules.
pub(crate) fn kernel() -> Option<PathBuf> {
    let mut found: Vec<_> = fs::read_dir("/boot")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix("vmlinuz-")?;
            let modules = Path::new("/lib/modules").join(version);
            // A kernel for virtual machines only, such as Debian's "cloud" flavour, has no USB.
            let usb = modules.join("kernel/drivers/usb/gadget/udc/dummy_hcd.ko");
            let packed = modules.join("kernel/drivers/usb/gadget/udc/dummy_hcd.ko.xz");
            (usb.exists() || packed.exists()).then(|| (version_key(version), entry.path()))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

/// Sorts 6.1.0-9 before 6.1.0-56.
fn version_key(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// virtme-ng with everything but the program; `sockets` are the port's and the monitor's.
fn vng(sockets: &[&Path]) -> Result<Command> {
    let vng = crate::install::vng().context("vng (virtme-ng) is not installed")?;
    let kernel = kernel().context("no kernel with dummy_hcd in /boot; install linux-image-amd64")?;
    let mut command = Command::new(&vng);
    command.arg("--run").arg(kernel);
    // Software emulation: /dev/kvm may exist and yet hang a stock guest. 9p: looking for virtiofsd takes ten seconds.
    command.args([
        "--disable-kvm",
        "--force-9p",
        "--disable-monitor",
        "--memory",
        "2G",
        "--cpus",
        "2",
        "--user",
        "root",
    ]);
    // Names that do not depend on udev being there.
    command.args(["--append", "net.ifnames=0"]);
    command.current_dir(workspace::root());
    let mut options = vec!["-device qemu-xhci,id=xhci".to_owned(), "-netdev user,id=lan".to_owned()];
    if let [port, monitor] = sockets {
        options.push("-device virtio-serial-pci,id=lab".to_owned());
        options.push(format!("-chardev socket,id=lab,path={},server=on,wait=off", port.display()));
        options.push(format!("-device virtserialport,bus=lab.0,chardev=lab,name={PORT}"));
        options.push(format!("-qmp unix:{},server=on,wait=off", monitor.display()));
        // Without it, nothing of the console arrives where there is no terminal.
        command.arg("--verbose");
    }
    command.arg(format!("--qemu-opts={}", options.join(" ")));
    // It calls programs that lie beside it.
    let folder = vng.parent().unwrap_or(Path::new("/")).to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![folder];
    folders.extend(std::env::split_paths(&path));
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    command.env("PATH", std::env::join_paths(folders)?);
    if let Some(packages) = crate::install::python_path() {
        command.env("PYTHONPATH", packages);
    }
    Ok(command)
}

/// Copies an output into the log until it ends.
fn keep(mut output: impl Read + Send + 'static, mut log: File) {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(got @ 1..) = output.read(&mut chunk) {
            let _disk_full = log.write_all(&chunk[..got]);
        }
    });
}

fn connect(path: &Path, child: &mut Child) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(_) if start.elapsed() < SOCKETS => {}
            Err(error) => return Err(error).context("QEMU did not open its sockets"),
        }
        if let Some(status) = child.try_wait()? {
            bail!("vng ended before the guest was up: {status}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn end_group(child: &mut Child) {
    let group = Pid::from_child(child);
    let _gone_already = kill_process_group(group, Signal::KILL);
    let _reaped = child.wait();
}

fn console_tail(console: &Path, error: anyhow::Error) -> anyhow::Error {
    let text =
        fs::read(console).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(15)..].join("\n  ");
    error.context(format!("the guest's console ends with:\n  {tail}\n(all of it: {})", console.display()))
}

#[cfg(test)]
mod tests {
    use super::version_key;

    #[test]
    fn versions_sort_by_number() {
        assert!(version_key("6.1.0-9-amd64") < version_key("6.1.0-56-amd64"));
        assert!(version_key("6.1.0-56-amd64") < version_key("6.12.1-1-amd64"));
    }
}
