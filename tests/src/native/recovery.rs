//! What the death of a driver costs: `outboard run` on a virtual dongle, whose driver is killed or stopped again and again under one TCP
//! connection, against the same connection left in peace. It must not know how the manager works.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::rig::{START, beside};
use super::transfer::{Direction, Moved};
use crate::lab::context::say;
use crate::lab::netns::Netns;
use crate::lab::outboard::Program;
use crate::lab::run::output;
use crate::lab::sysfs::wait_for;
use crate::lab::wire::{Contender, Sample, ToHost};
use crate::order::order;

/// What is done to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    None,
    Every(&'static str, Signal, Duration),
}

const HARMS: [Harm; 4] = [
    Harm::None,
    Harm::Every("killed-every-second", Signal::KILL, Duration::from_secs(1)),
    Harm::Every("killed-every-100-ms", Signal::KILL, Duration::from_millis(100)),
    // Hangs without ten seconds of service in between lead to quarantine, and should.
    Harm::Every("stopped-every-11-s", Signal::STOP, Duration::from_secs(11)),
];

/// The time to the next harm: the period, more or less by up to a quarter. TCP sends again after whole seconds, and would meet each kill of a strict
/// period.
fn pause(period: Duration, number: usize) -> Duration {
    const SHARES: [f64; 7] = [0.93, 1.19, 0.81, 1.07, 0.76, 1.24, 1.0];
    period.mul_f64(SHARES[number % SHARES.len()])
}

/// Measures everything, and says it as samples.
pub(super) fn measure(outboard: &Path, seconds: u32, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        let rig = Rig::new(outboard)?;
        for harm in order(&HARMS, round) {
            for direction in [Direction::ToDevice, Direction::FromDevice] {
                transfer(&rig, harm, direction, seconds)
                    .with_context(|| format!("{harm:?}, {}, round {round}", direction.name()))?;
            }
        }
        rig.stop()?;
    }
    Ok(())
}

/// One connection, and what is done meanwhile.
fn transfer(rig: &Rig, harm: Harm, direction: Direction, seconds: u32) -> Result<()> {
    // The processes that died in the measurement before have their successors.
    let mut process = rig.serving(None)?;
    let mut application = rig.application(direction.name(), seconds);
    let mut child = application.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut recoveries = Vec::new();
    if let Harm::Every(_, signal, period) = harm {
        let mut next = Instant::now() + pause(period, 0);
        loop {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if child.try_wait()?.is_some() {
                break;
            }
            next += pause(period, recoveries.len() + 1);
            let pid = Pid::from_raw(process.cast_signed()).context("no process")?;
            // It may have ended by itself, which shows in the number of recoveries.
            let _ = kill_process(pid, signal);
            process = rig.serving(Some(process))?;
            recoveries.push(rig.last_recovery());
        }
    }
    let output = child.wait_with_output()?;
    let moved: Moved = match output.status.success() {
        true => serde_json::from_slice(&output.stdout).context("what the application says")?,
        // It counts as nothing, and is said below.
        false => Moved { bytes: 0, seconds: seconds.into(), cpu: 0.0 },
    };
    let mbit = moved.bytes as f64 * 8.0 / 1e6 / moved.seconds;
    let sample = |name: String, unit: &str, contender, value| {
        say(&ToHost::Sample(Sample { name, unit: unit.to_owned(), contender, value }));
    };
    match harm {
        Harm::None => {
            for harm in HARMS {
                if let Harm::Every(name, ..) = harm {
                    let name = format!("{name}/tcp-{}", direction.name());
                    sample(name, "Mbit/s", Contender::Undisturbed, mbit);
                }
            }
        }
        Harm::Every(name, signal, _) => {
            sample(format!("{name}/tcp-{}", direction.name()), "Mbit/s", Contender::Outboard, mbit);
            recoveries.sort_by(f64::total_cmp);
            let quantile = |part: f64| {
                let at = ((recoveries.len() as f64 * part).ceil() as usize).clamp(1, recoveries.len()) - 1;
                recoveries[at]
            };
            if !recoveries.is_empty() {
                for (quantile, part) in [(quantile(0.5), "p50"), (quantile(0.99), "p99")] {
                    sample(format!("{name}/recovery-{part}"), "ms", Contender::Outboard, quantile);
                }
            }
            say(&ToHost::Note(format!(
                "{name}, {}: {} of {signal:?} in {:.0} s, one connection{}",
                direction.name(),
                recoveries.len(),
                moved.seconds,
                if output.status.success() { "" } else { ", which was given up after 20 s without a byte" }
            )));
        }
    }
    Ok(())
}

/// A manager, its device, and what it shows.
struct Rig {
    host: String,
    /// The newest driver: its process, and how long the last recovery took in milliseconds.
    driver: Arc<Mutex<Option<(u32, f64)>>>,
    manager: Program,
    watcher: Child,
    _far_end: Program,
    folder: PathBuf,
    near: Netns,
}

impl Rig {
    fn new(outboard: &Path) -> Result<Self> {
        let near = Netns::new("outboard-bench-near")?;
        let program = outboard.to_string_lossy();
        let folder = std::env::temp_dir().join(format!("outboard-recovery-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut command = near.command(&program);
        command.args(["virtual", "--json", "--listen", "127.0.0.1:0", "ecm:speed=super"]);
        let mut far_end = Program::start(&mut command)?;
        let serving: Value =
            serde_json::from_str(&far_end.line()?).context("outboard virtual's first line")?;
        let text = |value: &Value| {
            value.as_str().map(str::to_owned).with_context(|| format!("{serving} lacks something"))
        };
        let device = &serving["devices"][0];
        let url = format!("usbip://{}/{}", text(&serving["listen"])?, text(&device["bus_id"])?);
        let host = text(&device["host"][0])?;
        let socket = folder.join("control");
        let mut command = near.command(&program);
        command.args(["run", "--usbip", &url, "--root"]).arg(&folder).env("OUTBOARD_SOCKET", &socket);
        let mut manager = Program::start(&mut command)?;
        manager.line()?;
        let mut command = near.command(&program);
        command.args(["tree", "--watch", "--json"]).env("OUTBOARD_SOCKET", &socket);
        let mut watcher = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let pictures = watcher.stdout.take().context("its standard output is a pipe")?;
        let driver = Arc::default();
        let newest = Arc::clone(&driver);
        thread::spawn(move || follow(BufReader::new(pictures), &newest));
        let rig = Self { host, driver, manager, watcher, _far_end: far_end, folder, near };
        rig.serving(None)?;
        rig.near.raise("ecm0", &format!("{}/24", beside(rig.host.parse()?)))?;
        wait_for(&format!("{} to answer", rig.host), START, || {
            Ok(output(&mut rig.application("to-device", 0)).ok())
        })?;
        Ok(rig)
    }

    fn application(&self, direction: &str, seconds: u32) -> Command {
        let myself = std::env::current_exe().unwrap_or_default();
        let mut command = self.near.command(&myself.to_string_lossy());
        command.args(["transfer", direction, &self.host, &seconds.to_string()]);
        command
    }

    /// The process that serves, once it is another one.
    fn serving(&self, not: Option<u32>) -> Result<u32> {
        let end = Instant::now() + START;
        loop {
            let newest = *self.driver.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some((process, _)) = newest.filter(|(process, _)| Some(*process) != not) {
                return Ok(process);
            }
            ensure!(Instant::now() < end, "no driver serves");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn last_recovery(&self) -> f64 {
        let newest = *self.driver.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        newest.map_or(0.0, |(_, recovery)| recovery)
    }

    fn stop(mut self) -> Result<()> {
        let status = self.manager.interrupt()?;
        ensure!(status.success(), "outboard run was interrupted and ended with {status}, not with 0");
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Keeps the newest driver that serves, until there are no pictures any more.
fn follow(pictures: impl std::io::Read, newest: &Mutex<Option<(u32, f64)>>) {
    for picture in serde_json::Deserializer::from_reader(pictures).into_iter::<Value>() {
        let Ok(picture) = picture else { return };
        let driver = &picture["devices"][0]["functions"][0]["holder"]["outboard"];
        let up = driver["vends"]["network"]["link_up"] == true && driver["state"] == "running";
        let process = driver["process"]["id"].as_u64().and_then(|id| u32::try_from(id).ok()).filter(|_| up);
        let took = &driver["last_recovery"];
        let recovery = took["secs"].as_f64().unwrap_or_default() * 1e3
            + took["nanos"].as_f64().unwrap_or_default() / 1e6;
        if let Some(process) = process {
            *newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((process, recovery));
        }
    }
}
