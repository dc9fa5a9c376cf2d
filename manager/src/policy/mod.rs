//! Whether Outboard takes a function: by default only what no kernel driver serves, and what an administrator gave to it. [`decide`] is pure;
//! [`Given`] keeps the rules, [`Keyboards`] says what people type on. It must not know how a driver is started, nor any driver.

pub(crate) mod given;
pub(crate) mod keyboards;
pub(crate) mod rule;
#[cfg(test)]
mod tests;

use std::fmt;

use outboard_core::manifest::{self, Function};
use outboard_core::usb::discovery::Found;

use crate::holder::{Holder, Holding, Process};
use given::Given;
use keyboards::Keyboards;
use rule::{Breadth, Rule, Subject};

/// All that the decision rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'a> {
    /// Who has the function's interfaces now, as `holder::holdings` tells; empty: nobody.
    pub(crate) holdings: &'a [Holding],
    /// The rule that gives it, of several the one that says most exactly what is meant.
    pub(crate) given: Option<&'a Rule>,
    /// Whether the machine had no keyboard any more without it: what [`Keyboards::needs`] tells.
    pub(crate) last_keyboard: bool,
}

/// What becomes of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Outboard takes it.
    Take(Why),
    /// It stays as it is.
    Leave(Reason),
}

/// Why a function is taken. Shown as half a sentence that reads on from "because".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// No kernel driver serves it.
    Free,
    /// This rule gives it; the kernel's drivers that lose it, none if nobody has it.
    Given {
        /// Which.
        rule: Rule,
        /// The kernel's drivers, each once.
        from: Vec<String>,
    },
}

/// Why a function is left. Shown as sentences, the last of which says how to have it otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The kernel serves it, and nobody gave it.
    Kernel(Vec<String>),
    /// It is part of a configuration that is not selected, and nobody gave it: to select that takes the device from whoever has it.
    Inactive,
    /// Another program has it; which, if that can be seen.
    Program(Vec<Process>),
    /// Outboard has it.
    Outboard(Vec<Process>),
    /// It is the last keyboard, and the rule that gives it does not name its place.
    LastKeyboard(Rule),
}

/// Whether to take a function that a driver is for.
pub(crate) fn decide(situation: &Situation<'_>) -> Decision {
    let (mut kernel, mut inactive) = (Vec::new(), false);
    let (mut programs, mut ours) = (None, None);
    for holding in situation.holdings {
        match &holding.holder {
            Holder::Nobody => {}
            Holder::Inactive => inactive = true,
            Holder::Kernel(driver) if kernel.contains(driver) => {}
            Holder::Kernel(driver) => kernel.push(driver.clone()),
            Holder::Outboard(processes) => ours = Some(processes.clone()),
            Holder::Program(processes) => programs = Some(processes.clone()),
        }
    }
    // The kernel lets nobody claim what a program has, so a rule does not help either.
    if let Some(processes) = programs {
        return Decision::Leave(Reason::Program(processes));
    }
    if let Some(processes) = ours {
        return Decision::Leave(Reason::Outboard(processes));
    }
    let free = kernel.is_empty() && !inactive;
    match situation.given {
        Some(rule) if situation.last_keyboard && rule.breadth() != Breadth::Place => {
            Decision::Leave(Reason::LastKeyboard(rule.clone()))
        }
        Some(rule) => Decision::Take(Why::Given { rule: rule.clone(), from: kernel }),
        None if free => Decision::Take(Why::Free),
        None if inactive => Decision::Leave(Reason::Inactive),
        None => Decision::Leave(Reason::Kernel(kernel)),
    }
}

/// The situation of one function after another, with one view of the machine: a keyboard that was taken by one decision is missing in the next, so
/// that a rule which gives all keyboards leaves the last.
#[derive(Debug)]
pub(crate) struct Policy<'a> {
    given: &'a Given,
    keyboards: Keyboards,
}

impl<'a> Policy<'a> {
    /// With these rules, and these keyboards as they are now.
    pub(crate) fn new(given: &'a Given, keyboards: Keyboards) -> Self {
        Self { given, keyboards }
    }

    /// Whether to take a function of a device, which this driver would get.
    pub(crate) fn decide(
        &mut self,
        found: &Found,
        function: &Function,
        driver: &str,
        holdings: &[Holding],
    ) -> Decision {
        let given = self.given.rule(&subject(found, function, Some(driver)));
        let last_keyboard = self.keyboards.needs(found, function);
        let decision = decide(&Situation { holdings, given, last_keyboard });
        if matches!(decision, Decision::Take(_)) {
            self.keyboards.lose(found, function);
        }
        decision
    }
}

/// The functions of a device that can be had together: those of the active configuration or, if no driver gets any of them, those of the first other
/// configuration of which a driver gets one. `judged` has those of the active configuration first.
pub(crate) fn together<'j, 'm>(
    found: &Found,
    judged: &'j [manifest::Decision<'m>],
) -> Vec<&'j manifest::Decision<'m>> {
    let won = judged.iter().filter(|one| one.winner().is_some()).map(|one| one.function.configuration);
    let (active, others): (Vec<u8>, Vec<u8>) = won.partition(|value| Some(*value) == found.configuration);
    let chosen = active.first().or(others.first()).copied().or(found.configuration);
    judged.iter().filter(|one| Some(one.function.configuration) == chosen).collect()
}

/// A function of an attached device as rules see it.
pub(crate) fn subject<'a>(found: &'a Found, function: &'a Function, driver: Option<&'a str>) -> Subject<'a> {
    Subject {
        port: &found.name,
        vendor_id: found.vendor_id,
        product_id: found.product_id,
        serial: found.serial.as_deref(),
        driver,
        interfaces: &function.interfaces,
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("no driver of the kernel serves it"),
            Self::Given { rule, from } if from.is_empty() => write!(f, "{rule} was given"),
            Self::Given { rule, from } => write!(f, "{rule} was given; it is taken from {}", from.join(", ")),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(drivers) => {
                write!(f, "The kernel's driver {} serves it, and it was not given.", drivers.join(", "))
            }
            Self::Inactive => {
                f.write_str("It is part of a configuration that is not the active one, and it was not given.")
            }
            Self::Program(processes) if processes.is_empty() => f.write_str(
                "A program has it through usbfs. It has to let go of it first; as root you see which.",
            ),
            Self::Program(processes) => {
                write!(f, "Another program has it through usbfs: {}. End that first.", list(processes))
            }
            Self::Outboard(processes) => write!(f, "Outboard has it already: {}.", list(processes)),
            Self::LastKeyboard(rule) => write!(
                f,
                "It is the last keyboard of this machine, and {rule} does not name the place where it is plugged in. Give that place, if you \
                 can do without it."
            ),
        }
    }
}

fn list(processes: &[Process]) -> String {
    let all: Vec<String> = processes
        .iter()
        .map(|process| format!("{} (process {})", crate::output::printable(&process.name), process.id))
        .collect();
    all.join(", ")
}
