//! `cargo xtask lab`: builds the programs, boots the guest, collects what it says.
//!
//! What the scenarios do is in `tests/src/lab`; this side knows only how to boot and what only a host can do for a guest.

mod control;
mod guest;
mod monitor;
mod peer;

pub(crate) use guest::kernel;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::report::Report;
use crate::wire::{Contender, Job, Listing, Outcome, Sample, Settings};
use crate::{install, workspace};

/// How many times the device changes hands in the scenario `cycles`.
const CYCLES: u32 = 100;

/// Seconds of each throughput measurement: the lab only shows that traffic flows; the benchmark measures.
const SECONDS: u32 = 2;

/// Options of `cargo xtask lab`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// Scenarios to run; all when none is named.
    scenarios: Vec<String>,
    /// Print the scenarios and what they do.
    #[arg(long)]
    list: bool,
    /// Who drives the device: kernel, outboard, by-hand. Each scenario has its own choice: outboard, and kernel where figures are compared.
    #[arg(long, value_delimiter = ',')]
    contender: Vec<Contender>,
    /// How often `cycles` takes the device and gives it back.
    #[arg(long, default_value_t = CYCLES)]
    cycles: u32,
    /// Seconds of each throughput measurement.
    #[arg(long, default_value_t = SECONDS)]
    seconds: u32,
    /// Seconds for any scenario, in place of its own limit.
    #[arg(long)]
    timeout: Option<u64>,
    /// Boot the guest and open a shell in it; nothing is run.
    #[arg(long)]
    shell: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            scenarios: Vec::new(),
            list: false,
            contender: Vec::new(),
            cycles: CYCLES,
            seconds: SECONDS,
            timeout: None,
            shell: false,
        }
    }
}

/// What a boot brought.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) samples: Vec<Sample>,
}

/// The programs that the guest runs.
#[derive(Debug)]
pub(crate) struct Programs {
    runner: PathBuf,
    outboard: PathBuf,
    by_hand: PathBuf,
}

/// `cargo xtask lab`.
pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    let listing = listing()?;
    if arguments.list {
        for (name, entry) in &listing {
            println!("{name:14} {}", entry.about);
        }
        return Ok(());
    }
    if !install::ready(install::Need::Lab)? {
        eprintln!("lab: SKIPPED");
        return Ok(());
    }
    if arguments.shell {
        return guest::shell();
    }
    let scenarios: Vec<String> = if arguments.scenarios.is_empty() {
        listing.iter().filter(|(_, entry)| !entry.default.is_empty()).map(|(name, _)| name.clone()).collect()
    } else {
        arguments.scenarios.clone()
    };
    let mut taking_part = arguments.contender.clone();
    for name in &scenarios {
        let Some(entry) = listing.get(name) else {
            let known: Vec<_> = listing.keys().map(String::as_str).collect();
            bail!("there is no scenario {name:?}; there are {}", known.join(", "));
        };
        if arguments.contender.is_empty() {
            taking_part.extend(&entry.default);
        }
    }
    let programs = build(&taking_part)?;
    let job = Job {
        scenarios,
        contenders: arguments.contender.clone(),
        settings: Settings {
            cycles: arguments.cycles,
            seconds: arguments.seconds,
            timeout: arguments.timeout,
            ..settings(&programs)
        },
    };
    let mut report = Report::new();
    let results = run(&programs, job, "lab")?;
    report.add(&results.samples, |_| None);
    let folder = workspace::results("lab")?;
    let name = if arguments.scenarios.is_empty() { "all".to_owned() } else { arguments.scenarios.join("+") };
    let written = report.write(&folder, &name)?;
    println!("\n{}\nwritten to {}", report.table(), written.display());
    judge(&results)
}

/// An error when anything failed, or when there is nothing to judge.
pub(crate) fn judge(results: &Results) -> Result<()> {
    let failed: Vec<_> = results
        .outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .map(|outcome| format!("{} ({})", outcome.scenario, outcome.contender.name()))
        .collect();
    if results.outcomes.is_empty() {
        bail!("no scenario ran: none of the chosen ones knows the chosen contenders");
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Settings to start from; what only the boot knows is filled in there.
pub(crate) fn settings(programs: &Programs) -> Settings {
    Settings {
        outboard: programs.outboard.display().to_string(),
        by_hand: programs.by_hand.display().to_string(),
        peer_port: 0,
        cycles: CYCLES,
        seconds: SECONDS,
        contenders: Vec::new(),
        rounds: 1,
        timeout: None,
    }
}

/// Builds what these contenders need. The guest sees the machine's file system, so that nothing is copied.
pub(crate) fn build(contenders: &[Contender]) -> Result<Programs> {
    let mut arguments = vec!["build", "--release", "--workspace", "--bin", "lab-guest"];
    for (contender, program) in [(Contender::Outboard, "outboard"), (Contender::ByHand, "ecm-by-hand")] {
        if contenders.contains(&contender) {
            arguments.extend(["--bin", program]);
        }
    }
    workspace::run(&mut workspace::cargo(&arguments))?;
    let folder = workspace::build_dir().join("release");
    Ok(Programs {
        runner: folder.join("lab-guest"),
        outboard: folder.join("outboard"),
        by_hand: folder.join("ecm-by-hand"),
    })
}

/// The scenarios, as the guest's program knows them.
fn listing() -> Result<Listing> {
    let programs = build(&[])?;
    let output = Command::new(&programs.runner).arg("list").output().context("start lab-guest")?;
    serde_json::from_slice(&output.stdout).context("the list of scenarios")
}

/// Boots one guest, has it do the job, and prints a line for each scenario as it ends.
pub(crate) fn run(programs: &Programs, mut job: Job, kind: &str) -> Result<Results> {
    let folder = workspace::results(kind)?;
    let peer = peer::Peer::start()?;
    job.settings.peer_port = peer.port();
    job.settings.contenders.clone_from(&job.contenders);
    let mut guest = guest::Guest::boot(&programs.runner, &folder)?;
    let result = control::converse(&mut guest, job, &folder);
    guest.end();
    result
}
