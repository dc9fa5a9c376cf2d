//! What becomes of the devices that are attached now when a rule is given or taken back. It must not change anything.

use std::path::{Path, PathBuf};

use outboard_core::manifest::{Manifest, Program};
use outboard_core::usb::discovery::Found;
use serde_json::{Value, json};

use crate::codes;
use crate::holder::{Holder, Holding, Processes, holdings};
use crate::matching::{Drivers, Seen, interfaces, settings};
use crate::output::printable;
use crate::policy::given::Given;
use crate::policy::keyboards::Keyboards;
use crate::policy::rule::Rule;
use crate::policy::{Decision, Policy, Reason, Why, subject, together};

/// What was done to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was given.
    Given,
    /// It was taken back.
    Returned,
}

/// Where to look.
pub(crate) struct Machine {
    pub(crate) drivers: Drivers,
    pub(crate) proc: PathBuf,
    pub(crate) sysfs: PathBuf,
}

/// A function that a rule means, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Outlook {
    device: String,
    /// `interfaces 0, 1`, and in words what the first is.
    what: String,
    interfaces: Vec<u8>,
    configuration: u8,
    holdings: Vec<Holding>,
    /// The driver that gets it, and whether it is taken; `None`: no driver does.
    fate: Option<(String, Decision)>,
    /// A rule that still gives it.
    given: Option<Rule>,
}

impl Machine {
    /// The one that this runs on.
    pub(crate) fn this() -> Self {
        Self { drivers: Drivers::read(), proc: "/proc".into(), sysfs: "/sys".into() }
    }

    /// What is odd about a rule although it may be given: a driver that there is not, which may yet be installed.
    pub(crate) fn notice(&self, rule: &Rule) -> Option<String> {
        let name = rule.driver()?;
        let mut manifests = self.drivers.library().manifests();
        let unknown = manifests.all(|manifest| manifest.name != name);
        unknown.then(|| format!("There is no driver {name} now; `outboard drivers` shows those there are."))
    }

    /// All functions of `devices` that `rule` means, under what is given now. All others are decided as well, since a keyboard may be the last
    /// for what becomes of another.
    pub(crate) fn outlook(&self, devices: &[Found], given: &Given, rule: &Rule) -> Vec<Outlook> {
        let programs = self.drivers.library().manifests().filter_map(path).collect();
        let processes = Processes { proc: self.proc.clone(), programs };
        let mut policy = Policy::new(given, Keyboards::read(&self.sysfs));
        let mut all = Vec::new();
        for found in devices {
            // What makes no sense gets no driver; `outboard why` says what is wrong with it.
            let Ok(judged) = self.drivers.judge(&Seen::from(found)) else { continue };
            for decision in together(found, &judged.decisions) {
                let function = &decision.function;
                let driver = decision.winner().map(|won| won.manifest.name.as_str());
                let subject = subject(found, function, driver);
                let holdings = holdings(found, function, &processes);
                let fate = driver
                    .map(|driver| (driver.to_owned(), policy.decide(found, function, driver, &holdings)));
                if rule.matches(&subject) {
                    let first = settings(&judged.descriptors, function).next();
                    let kind = first.map_or_else(String::new, |first| codes::describe(first.codes()));
                    all.push(Outlook {
                        device: found.name.clone(),
                        what: format!("{} ({kind})", interfaces(&function.interfaces)),
                        interfaces: function.interfaces.clone(),
                        configuration: function.configuration,
                        holdings,
                        fate,
                        given: given.rule(&subject).cloned(),
                    });
                }
            }
        }
        all
    }
}

fn path(manifest: &Manifest) -> Option<&Path> {
    match &manifest.program {
        Program::Path(path) => Some(path),
        Program::BuiltIn(_) => None,
    }
}

impl Outlook {
    /// The rule that still gives it.
    pub(crate) fn given(&self) -> Option<&Rule> {
        self.given.as_ref()
    }

    /// One line.
    pub(crate) fn text(&self, change: Change) -> String {
        format!("{} {}: {}", self.device, self.what, self.becomes(change))
    }

    fn becomes(&self, change: Change) -> String {
        let Some((driver, decision)) = &self.fate else {
            return "no driver of Outboard gets it (`outboard why` tells why); nothing changes.".to_owned();
        };
        match (change, decision) {
            (_, Decision::Leave(Reason::Outboard(_))) => self.outboards(change, driver),
            (Change::Given, Decision::Take(_)) => {
                format!("{}; the manager starts {driver} for it at once if it runs.", self.now())
            }
            (Change::Returned, Decision::Take(Why::Given { rule, .. })) => format!("still given by {rule}."),
            (Change::Returned, Decision::Take(Why::Free)) => {
                format!("no driver of the kernel serves it, so that {driver} gets it all the same.")
            }
            (_, Decision::Leave(reason)) => format!("stays as it is. {reason}"),
        }
    }

    fn outboards(&self, change: Change, driver: &str) -> String {
        match (change, &self.given) {
            (Change::Given, _) => format!("Outboard has it already; it stays {driver}'s."),
            (Change::Returned, Some(rule)) => format!("Outboard has it, and it is still given by {rule}."),
            (Change::Returned, None) => format!(
                "Outboard has it; the manager ends {driver} at once if it runs, and the kernel's driver gets it, if there is one."
            ),
        }
    }

    /// `cdc_ether has it now, as network interface usb0`.
    fn now(&self) -> String {
        let all: Vec<String> = self
            .holdings
            .iter()
            .filter_map(|holding| match &holding.holder {
                Holder::Kernel(driver) if holding.networks.is_empty() => Some(format!("{driver} has it now")),
                Holder::Kernel(driver) => {
                    let networks: Vec<String> = holding.networks.iter().map(|name| printable(name)).collect();
                    Some(format!("{driver} has it now, as network interface {}", networks.join(", ")))
                }
                Holder::Inactive => {
                    Some(format!("configuration {} has to be selected for it", self.configuration))
                }
                Holder::Nobody | Holder::Outboard(_) | Holder::Program(_) => None,
            })
            .collect();
        if all.is_empty() { "nobody has it now".to_owned() } else { all.join(", ") }
    }

    /// The same for scripts. Keys and words are stable over versions.
    pub(crate) fn json(&self, change: Change) -> Value {
        let decision = self.fate.as_ref().map(|(_, decision)| match decision {
            Decision::Take(_) => "take",
            Decision::Leave(Reason::Outboard(_)) if change == Change::Returned && self.given.is_none() => {
                "return"
            }
            Decision::Leave(Reason::Outboard(_)) => "keep",
            Decision::Leave(_) => "leave",
        });
        json!({
            "device": self.device,
            "configuration": self.configuration,
            "interfaces": self.interfaces,
            "driver": self.fate.as_ref().map(|(driver, _)| driver),
            "decision": decision,
            "given_by": self.given.as_ref().map(ToString::to_string),
            "text": self.becomes(change),
        })
    }
}
