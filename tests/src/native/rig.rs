//! What carries frames between an application and a far end, whoever it is: the measurements know only this.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lab::netns::Netns;
use crate::lab::outboard::{Line, Program};
use crate::lab::run::output;
use crate::lab::sysfs::wait_for;
use crate::lab::wire::Contender;

/// For the far end to answer: address resolution, and a driver that starts on a busy machine.
pub(super) const START: Duration = Duration::from_secs(30);
/// For a driver to write its counters.
const WRITE: Duration = Duration::from_secs(10);

/// Who carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// `outboard attach` on a virtual dongle.
    Driver { offloads: bool },
    /// The copy loop.
    CopyLoop,
}

impl Who {
    /// All of them, in the order of even rounds.
    pub(super) const ALL: [Self; 3] =
        [Self::Driver { offloads: true }, Self::Driver { offloads: false }, Self::CopyLoop];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Driver { offloads: true } => "outboard with offloads",
            Self::Driver { offloads: false } => "outboard without offloads",
            Self::CopyLoop => "the copy loop",
        }
    }

    /// Whose value a figure is, and the groups of figures that it belongs to: the copy loop is what both are compared with.
    pub(super) fn figures(self) -> (Contender, &'static [&'static str]) {
        match self {
            Self::Driver { offloads: true } => (Contender::Outboard, &["offloads"]),
            Self::Driver { offloads: false } => (Contender::Outboard, &["no-offloads"]),
            Self::CopyLoop => (Contender::CopyLoop, &["offloads", "no-offloads"]),
        }
    }
}

/// A link that is up: an application in `near` reaches `host`.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) who: Who,
    pub(super) host: Ipv4Addr,
    /// The process that carries the frames.
    driver: Program,
    /// The far end's process.
    far_end: Program,
    frames: Frames,
    // Last, so that all programs have ended before their namespaces go.
    pub(super) near: Netns,
    _far: Option<Netns>,
}

/// Where it is read how many frames passed.
#[derive(Debug)]
enum Frames {
    /// The file that `outboard attach` writes its counters into.
    Driver(PathBuf),
    /// A plain interface, each of whose packets is a frame.
    Interface(String),
}

impl Rig {
    /// Builds it, and waits until the far end answers.
    pub(super) fn new(who: Who, outboard: &Path) -> Result<Self> {
        let rig = match who {
            Who::Driver { offloads } => Self::driver(who, outboard, offloads)?,
            Who::CopyLoop => Self::copy_loop(who)?,
        };
        let myself = std::env::current_exe()?;
        let host = rig.host.to_string();
        wait_for(&format!("{host} to answer"), START, || {
            let mut command = rig.near.command(&myself.to_string_lossy());
            Ok(output(command.args(["transfer", "to-device", &host, "0"])).ok())
        })?;
        Ok(rig)
    }

    fn driver(who: Who, outboard: &Path, offloads: bool) -> Result<Self> {
        let near = Netns::new("outboard-bench-near")?;
        let program = outboard.to_string_lossy();
        let mut command = near.command(&program);
        command.args(["virtual", "--json", "--listen", "127.0.0.1:0", "ecm:speed=super"]);
        let mut far_end = Program::start(&mut command)?;
        let serving: Value =
            serde_json::from_str(&far_end.line()?).context("outboard virtual's first line")?;
        let text = |value: &Value| {
            value.as_str().map(str::to_owned).with_context(|| format!("{serving} lacks something"))
        };
        let (listen, device) = (text(&serving["listen"])?, &serving["devices"][0]);
        let (bus_id, host) = (text(&device["bus_id"])?, text(&device["host"][0])?.parse()?);
        let statistics = std::env::temp_dir().join(format!("outboard-bench-{}.json", std::process::id()));
        let mut command = near.command(&program);
        command
            .args(["attach", "--no-reconnect", &format!("usbip://{listen}/{bus_id}"), "--stats"])
            .arg(&statistics);
        if !offloads {
            command.arg("--no-offloads");
        }
        let mut driver = Program::start(&mut command)?;
        let Line { interface, .. } = Line::parse(&driver.line()?)?;
        near.raise(&interface, &format!("{}/24", beside(host)))?;
        Ok(Self { who, host, driver, far_end, frames: Frames::Driver(statistics), near, _far: None })
    }

    fn copy_loop(who: Who) -> Result<Self> {
        let (near, far) = (Netns::new("outboard-bench-near")?, Netns::new("outboard-bench-far")?);
        let host = Ipv4Addr::new(10, 0, 2, 1);
        let myself = std::env::current_exe()?;
        let myself = myself.to_string_lossy();
        let mut driver = Program::start(near.command(&myself).arg("copy-loop"))?;
        let (here, there) = (driver.line()?, driver.line()?);
        near.run(&format!("ip link set {there} netns {}", far.name()))?;
        near.raise(&here, &format!("{}/24", beside(host)))?;
        far.raise(&there, &format!("{host}/24"))?;
        let mut far_end = Program::start(far.command(&myself).args(["serve", &host.to_string()]))?;
        far_end.line()?;
        Ok(Self { who, host, driver, far_end, frames: Frames::Interface(here), near, _far: Some(far) })
    }

    /// The process that carries the frames.
    pub(super) fn driver_process(&self) -> u32 {
        self.driver.id()
    }

    /// The far end's process.
    pub(super) fn far_process(&self) -> u32 {
        self.far_end.id()
    }

    /// Frames that passed so far, both ways together.
    pub(super) fn frames(&self) -> Result<u64> {
        match &self.frames {
            Frames::Driver(file) => {
                // A file that is there now was written before.
                let _none_yet = fs::remove_file(file);
                let process = Pid::from_raw(self.driver.id() as i32).context("the driver's process")?;
                kill_process(process, Signal::USR1)?;
                let text = wait_for("the driver's counters", WRITE, || Ok(fs::read_to_string(file).ok()))?;
                let counters: Value = serde_json::from_str(&text)?;
                let count = |way: &str| {
                    counters[way]["frames"].as_u64().with_context(|| format!("no {way} in {counters}"))
                };
                Ok(count("sent")? + count("received")?)
            }
            Frames::Interface(name) => {
                let mut frames = 0;
                for counter in ["rx_packets", "tx_packets"] {
                    let text = self.near.run(&format!("cat /sys/class/net/{name}/statistics/{counter}"))?;
                    frames += text.trim().parse::<u64>().with_context(|| format!("{counter} of {name}"))?;
                }
                Ok(frames)
            }
        }
    }

    /// Takes it apart. The driver must end well.
    pub(super) fn stop(mut self) -> Result<()> {
        if let Frames::Driver(file) = &self.frames {
            let status = self.driver.interrupt()?;
            ensure!(status.success(), "outboard attach was interrupted and ended with {status}, not with 0");
            let _gone_already = fs::remove_file(file);
        }
        Ok(())
    }
}

/// A command that runs this program's `transfer` where the application is.
pub(super) fn application(rig: &Rig, before: &[&str], direction: &str, seconds: u32) -> Result<Command> {
    let myself = std::env::current_exe()?.to_string_lossy().into_owned();
    let (host, seconds) = (rig.host.to_string(), seconds.to_string());
    let words = [before, &[&myself, "transfer", direction, &host, &seconds]].concat();
    let mut command = rig.near.command(words[0]);
    command.args(&words[1..]);
    Ok(command)
}

/// Another address in the network of a host.
pub(super) fn beside(host: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, d] = host.octets();
    Ipv4Addr::new(a, b, c, if d == 2 { 3 } else { 2 })
}
