//! `cargo xtask bench`: one boot, contenders alternating, medians against goals; or the same without a guest.

mod native;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::report::{Goal, Report};
use crate::wire::{Contender, Job, Settings};
use crate::{install, lab, workspace};

/// Options of `cargo xtask bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// What to measure.
    what: Bench,
    /// On this very machine, without a guest or a kernel's driver: `outboard attach` on a virtual dongle, with and without offloads, against a
    /// copy loop between two TAPs. Needs root.
    #[arg(long, conflicts_with = "contender")]
    native: bool,
    /// Who takes part.
    #[arg(long, value_delimiter = ',', default_values = ["kernel", "outboard", "by-hand"])]
    contender: Vec<Contender>,
    /// Rounds; contenders alternate within each, and every second round runs backwards.
    #[arg(long, default_value_t = 4)]
    rounds: u32,
    /// Seconds of each throughput measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// One round of one second: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// CDC-ECM: the kernel's gadget at SuperSpeed against cdc_ether and the by-hand example.
    Ecm,
    /// What the death of a driver costs the connections on top of it: killed and stopped again and again, against being left in peace. On
    /// this very machine, on a virtual dongle. Needs root.
    Recovery,
}

impl Bench {
    fn name(self) -> &'static str {
        match self {
            Self::Ecm => "ecm",
            Self::Recovery => "recovery",
        }
    }
}

/// What is to be reached, by the end of a figure's name; `None` for figures that are only reported.
const GOALS: &[(&str, Goal)] = &[
    ("tcp-to-device", Goal::AtLeast(1.1)),
    ("tcp-from-device", Goal::AtLeast(1.0)),
    ("tcp-to-device/cpu", Goal::AtMost(1.0)),
    ("tcp-from-device/cpu", Goal::AtMost(1.0)),
    ("round-trip-p50", Goal::AtMost(1.5)),
    ("round-trip-p99", Goal::AtMost(1.5)),
    ("udp-to-device", Goal::AtLeast(0.7)),
    ("udp-from-device", Goal::AtLeast(0.7)),
    // A transfer that starts and ends the measurement may allocate; a frame must not.
    ("allocations-per-frame", Goal::Absolute(0.001)),
];

fn goal(name: &str) -> Option<Goal> {
    GOALS
        .iter()
        .find(|(end, _)| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/')))
        .map(|&(_, goal)| goal)
}

/// `cargo xtask bench`.
pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    let (rounds, seconds) = if arguments.quick { (1, 1) } else { (arguments.rounds, arguments.seconds) };
    let name = arguments.what.name();
    match arguments.what {
        Bench::Ecm if arguments.native => return native::ecm(rounds, seconds),
        Bench::Ecm => {}
        Bench::Recovery => return native::recovery(rounds, seconds),
    }
    if !install::ready(install::Need::Lab)? {
        bail!("nothing was measured");
    }
    let programs = lab::build(&arguments.contender)?;
    let job = Job {
        scenarios: vec![format!("bench-{name}")],
        contenders: arguments.contender.clone(),
        settings: Settings { seconds, rounds, ..lab::settings(&programs) },
    };
    let mut report = Report::new();
    let results = lab::run(&programs, job, "bench")?;
    report.add(&results.samples, goal);
    let written = report.write(&workspace::results("bench")?, name)?;
    println!("\n{}\nwritten to {}", report.table(), written.display());
    lab::judge(&results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_belong_to_whole_names() {
        assert_eq!(goal("qmult-5/tcp-to-device"), Some(Goal::AtLeast(1.1)));
        assert_eq!(goal("qmult-5/tcp-to-device/cpu"), Some(Goal::AtMost(1.0)));
        assert_eq!(goal("qmult-5/not-tcp-to-device"), None);
    }
}
