//! `outboard return`: takes a rule out of what was given to Outboard. It must not give a device back itself; the manager watches the file.

use std::path::{Path, PathBuf};

use outboard_core::usb::discovery::{self, Found};

use crate::command::give::Told;
use crate::command::give::outlook::{Change, Machine};
use crate::exit::{Cause, Failure};
use crate::output::say;
use crate::policy::given::{Given, GivenError};
use crate::policy::rule::Rule;

/// Take back what was given by `outboard give`, so that the kernel's driver gets it again.
///
/// A function that no driver of the kernel serves is Outboard's all the same; mask its driver's manifest to prevent that (`outboard drivers`).
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What was given, as `outboard give` shows it.
    #[arg(value_name = "DEVICE | RULE")]
    rule: String,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
    /// Folders of policy and manifests are looked for below this one.
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    root: PathBuf,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let rule: Rule = arguments.rule.parse()?;
    let (was_given, given) = give_back(&arguments.root, &rule)?;
    let devices = discovery::list();
    let machine = Machine::this();
    if !was_given {
        return Err(not_given(&machine, devices.as_deref().unwrap_or_default(), &given, &rule));
    }
    let outlook = devices.as_deref().map(|devices| machine.outlook(devices, &given, &rule));
    let outlook = outlook.as_deref().map_err(ToString::to_string);
    let told = Told {
        verb: "return",
        rule: &rule,
        changed: true,
        before: None,
        change: Change::Returned,
        notice: None,
    };
    if arguments.json {
        say!("{}", told.json(outlook))
    } else {
        say!("{}", told.text(outlook).trim_end())
    }
    Ok(())
}

/// Takes the rule out below this root: whether it was there, and all that is given now.
pub(super) fn give_back(root: &Path, rule: &Rule) -> Result<(bool, Given), GivenError> {
    Given::change(root, |given| Ok(given.remove(rule)))
}

/// It was not given in these words; what it means may be by others.
pub(super) fn not_given(machine: &Machine, devices: &[Found], given: &Given, rule: &Rule) -> Failure {
    let mut others: Vec<String> = Vec::new();
    for outlook in machine.outlook(devices, given, rule) {
        let other = outlook.given().map(ToString::to_string);
        others.extend(other.filter(|other| !others.contains(other)));
    }
    let failure = Failure::new(Cause::Other, format!("{rule} was not given"));
    match others.as_slice() {
        [] => failure.with_hint("`outboard give` shows what was."),
        _ => failure.with_hint(format!(
            "What it means is given by {}; take that back instead: outboard return {}",
            others.join(", "),
            others[0]
        )),
    }
}
