//! The answer for people: a paragraph for each function, a line for each fact. It must not find anything out.

use std::fmt::Write;

use outboard_core::manifest::store::State;
use outboard_core::manifest::{Assessment, Behind, Check, Decision, Function, Joined, Verdict, behind};
use outboard_core::usb::discovery::Found;

use super::Answer;
use crate::codes;
use crate::holder::{Holder, Holding, Process};
use crate::matching::{interfaces, settings};
use crate::output::{printable, product_name};

pub(super) fn render(answer: &Answer<'_>) -> String {
    let Found { name, vendor_id, product_id, speed, .. } = answer.found;
    let mut out =
        format!("{name}  {vendor_id:04x}:{product_id:04x}  {}, {speed}\n", product_name(answer.found));
    for malformed in &answer.judged.descriptors.malformed {
        line(&mut out, 0, &format!("A configuration makes no sense and is left out: {malformed}."));
    }
    if answer.judged.decisions.is_empty() {
        line(&mut out, 0, "It has no interface that a driver could be for.");
    }
    for (decision, holdings) in answer.judged.decisions.iter().zip(&answer.holdings) {
        out.push('\n');
        function(&mut out, answer, decision, holdings);
    }
    let mut separator = "\n";
    for entry in answer.not_asked() {
        out.push_str(separator);
        separator = "";
        let name = printable(&entry.name);
        let why = match &entry.state {
            State::Masked => format!("{name} was not asked: it is masked by {}.", entry.source),
            _ => format!("{name} was not asked: its manifest is broken (`outboard drivers` tells how)."),
        };
        line(&mut out, 0, &why);
    }
    out
}

fn line(out: &mut String, indent: usize, text: &str) {
    // To write to a string cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}

fn function(out: &mut String, answer: &Answer<'_>, decision: &Decision<'_>, holdings: &[Holding]) {
    line(out, 0, &heading(&decision.function));
    for setting in settings(&answer.judged.descriptors, &decision.function) {
        line(out, 4, &format!("interface {}: {}", setting.interface, codes::describe(setting.codes())));
    }
    for holding in holdings {
        line(out, 2, &format!("Now: {}.", now(holding, decision.function.interfaces.len())));
    }
    let winner = decision.winner();
    if winner.is_none() {
        line(out, 2, "No driver gets it.");
    }
    for assessment in &decision.ranked {
        driver(out, answer, assessment, winner);
    }
}

/// Its first letter is capital, since it begins a paragraph.
fn heading(function: &Function) -> String {
    let numbers = interfaces(&function.interfaces).replacen('i', "I", 1);
    let together = match function.joined {
        Joined::Alone => "",
        Joined::Association => ", one function by their association",
        Joined::Union => ", one function by their Union",
        Joined::Adjacent => ", one function since the data interface follows",
    };
    format!("{numbers} of configuration {}{together}", function.configuration)
}

fn now(holding: &Holding, all: usize) -> String {
    let it = if holding.interfaces.len() == all { "it".to_owned() } else { interfaces(&holding.interfaces) };
    match &holding.holder {
        Holder::Nobody => format!("nobody has {it}"),
        Holder::Inactive => "nobody has it, its configuration is not the active one".to_owned(),
        Holder::Kernel(driver) if holding.networks.is_empty() => {
            format!("the kernel's driver {driver} has {it}")
        }
        Holder::Kernel(driver) => {
            let networks = holding.networks.join(", ");
            format!("the kernel's driver {driver} has {it}, as network interface {networks}")
        }
        Holder::Outboard(processes) => format!("Outboard has {it}: {}", list(processes)),
        Holder::Program(processes) if processes.is_empty() => {
            format!("a program has {it} through usbfs; as root you see which")
        }
        Holder::Program(processes) => format!("another program has {it} through usbfs: {}", list(processes)),
    }
}

fn list(processes: &[Process]) -> String {
    let all: Vec<String> =
        processes.iter().map(|process| format!("{} (process {})", process.name, process.id)).collect();
    all.join(", ")
}

fn driver(
    out: &mut String,
    answer: &Answer<'_>,
    assessment: &Assessment<'_>,
    winner: Option<&Assessment<'_>>,
) {
    let name = &assessment.manifest.name;
    match &assessment.verdict {
        Verdict::Fits { matched, notes } => {
            match winner.filter(|winner| *winner != assessment) {
                None => {
                    let manifest = assessment.manifest;
                    let source = answer.source(manifest);
                    let text =
                        format!("{name} wins: {} {}, {source}.", manifest.display_name, manifest.version);
                    line(out, 2, &text);
                }
                Some(winner) => {
                    line(out, 2, &format!("{name} fits too, but {}.", runner_up(winner, assessment)))
                }
            }
            line(out, 6, &holds(&matched.checks, matched.interface));
            for note in notes {
                line(out, 6, &format!("noticed: {}", printable(note)));
            }
        }
        Verdict::Refused { matched, refused } => {
            line(out, 2, &format!("{name} matches, but its driver refuses: {refused}."));
            line(out, 6, &holds(&matched.checks, matched.interface));
        }
        Verdict::Differs(difference) => {
            let failed: Vec<String> =
                difference.checks.iter().filter(|check| !check.holds).map(differs).collect();
            let closest = match assessment.manifest.alternatives.len() {
                0 | 1 => String::new(),
                count => format!(" (the closest of its {count} alternatives)"),
            };
            line(out, 2, &format!("{name} does not match: {}{closest}.", failed.join(", ")));
        }
    }
}

fn runner_up(winner: &Assessment<'_>, loser: &Assessment<'_>) -> String {
    let name = &winner.manifest.name;
    match behind(winner, loser) {
        Some(Behind::LessSpecific(criterion)) => format!("{name} is more specific: it names {criterion}"),
        Some(Behind::LowerPriority) => {
            let (first, second) = (winner.manifest.priority, loser.manifest.priority);
            format!("{name} is as specific and has priority {first}, this one {second}")
        }
        Some(Behind::LaterName) | None => {
            format!("{name} is as specific and has the same priority; the alphabet decides")
        }
    }
}

fn holds(checks: &[Check], interface: u8) -> String {
    let facts: Vec<String> =
        checks.iter().map(|check| format!("{} {}", check.criterion, printable(&check.found))).collect();
    let of_interface = checks.iter().any(|check| check.criterion.is_of_interface());
    let whose = if of_interface { format!(" (interface {interface})") } else { String::new() };
    format!("holds: {}{whose}", facts.join(", "))
}

fn differs(check: &Check) -> String {
    format!("{} is {} instead of {}", check.criterion, printable(&check.found), check.wanted)
}
