//! `cargo xtask bench ecm --native` and `bench recovery`: builds and runs the program `bench-native`, and reports what it measured. It must not know how that
//! measures.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::report::{Goal, Report};
use crate::wire::{Sample, ToHost};
use crate::{install, workspace};

/// What one must know to read the figures.
const NOTES: [&str; 4] = [
    "peer: a plain copy loop between two TAPs without offloads, one frame for each read and write; it is the same for both groups of figures",
    "the far ends differ: behind the dongle is smoltcp, in one process with the device side of USB/IP; behind the copy loop the kernel's TCP",
    "offloads, no-offloads: `outboard attach` as it is, and with --no-offloads",
    "cpu-machine has whatever else ran; cpu-all-processes is the driver or copy loop, the far end's process and the application",
];

/// The same for what the death of a driver costs.
const RECOVERY_NOTES: [&str; 3] = [
    "peer: the same connection, in the same run, while the driver is left in peace",
    "from-device measures the far end's TCP more than the recovery: smoltcp sends what was lost again after one second at the earliest, and waits twice as long each time",
    "recovery: from when the manager had seen the end of one process to the first report of its successor that it serves",
];

/// What is to be reached, by the figure's name.
fn recovery_goal(name: &str) -> Option<Goal> {
    let (harm, figure) = name.split_once('/')?;
    match (harm, figure) {
        ("killed-every-second", "recovery-p50") => Some(Goal::Absolute(5.0)),
        ("killed-every-second", "recovery-p99") => Some(Goal::Absolute(20.0)),
        ("killed-every-second", _) => Some(Goal::AtLeast(0.99)),
        ("killed-every-100-ms", "tcp-to-device" | "tcp-from-device") => Some(Goal::AtLeast(0.9)),
        _ => None,
    }
}

/// Measures ECM, and writes `target/bench/ecm-native.json`.
pub(super) fn ecm(rounds: u32, seconds: u32) -> Result<()> {
    bench("measure", "ecm-native", &NOTES, |_| None, rounds, seconds)
}

/// Measures the recovery of a driver, and writes `target/bench/recovery.json`.
pub(super) fn recovery(rounds: u32, seconds: u32) -> Result<()> {
    bench("recovery", "recovery", &RECOVERY_NOTES, recovery_goal, rounds, seconds)
}

fn bench(
    what: &str,
    name: &str,
    notes: &[&str],
    goal: impl Fn(&str) -> Option<Goal>,
    rounds: u32,
    seconds: u32,
) -> Result<()> {
    if !install::ready(install::Need::Native)? {
        bail!("nothing was measured");
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "the benchmark makes network namespaces and interfaces of its own, which only root can"
    );
    workspace::run(&mut workspace::cargo(&[
        "build",
        "--release",
        "--workspace",
        "--bin",
        "outboard",
        "--bin",
        "bench-native",
    ]))?;
    // Building is a load of its own, which ends here.
    let mut report = Report::native();
    report.notes = notes.iter().map(|note| (*note).to_owned()).collect();
    report.add(&measure(what, rounds, seconds)?, goal);
    let written = report.write(&workspace::results("bench")?, name)?;
    let notes = report.notes.iter().map(|note| format!("- {note}\n")).collect::<String>();
    println!(
        "\n{}\n{notes}- load average at the beginning: {}\n\nwritten to {}",
        report.table(),
        report.load,
        written.display()
    );
    Ok(())
}

fn measure(what: &str, rounds: u32, seconds: u32) -> Result<Vec<Sample>> {
    let folder = workspace::build_dir().join("release");
    let mut command = std::process::Command::new(folder.join("bench-native"));
    command.arg(what).arg("--outboard").arg(folder.join("outboard"));
    command.args(["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()]);
    let shown = workspace::shown(&command);
    eprintln!("+ {shown}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{shown}`"))?;
    let output = child.stdout.take().context("its standard output is a pipe")?;
    let mut samples = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        match serde_json::from_str(&line).with_context(|| format!("{shown} says {line:?}"))? {
            ToHost::Sample(sample) => samples.push(sample),
            ToHost::Note(note) => eprintln!("  {note}"),
            other => bail!("{shown} says {other:?}, which belongs to the lab"),
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{shown}`: {status}");
    Ok(samples)
}
