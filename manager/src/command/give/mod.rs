//! `outboard give`: adds a rule to what was given to Outboard, or shows the rules. It must not take a device itself; the manager watches the file.

pub(super) mod outlook;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use outboard_core::usb::discovery;
use serde_json::{Value, json};

use crate::exit::{Cause, Failure};
use crate::output::{printable, say};
use crate::policy::given::{Entry, Given, GivenError};
use crate::policy::rule::{ParseRuleError, Rule};
use outlook::{Change, Machine, Outlook};

/// Give a device to Outboard for good, although a driver of the kernel serves it; without a name, show what was given.
///
/// The manager takes only functions that no driver of the kernel serves, and those that were given to it. What is given stays so over restarts,
/// until `outboard return`. A keyboard that is the machine's last is only taken if its place (1-2.3) is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What: a place (1-2.3), vendor and product (0525:a4a2), these and a serial number (0525:a4a2:SERIAL), serial=SERIAL, or
    /// driver=NAME for all that a driver is for; #1 behind it means the function of interface 1 alone.
    #[arg(value_name = "DEVICE | RULE")]
    rule: Option<String>,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
    /// Folders of policy and manifests are looked for below this one.
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    root: PathBuf,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let root = &*arguments.root;
    let Some(text) = &arguments.rule else {
        let given = Given::load(root)?;
        if arguments.json {
            say!("{}", list_json(&given))
        } else {
            say!("{}", list_text(&given).trim_end())
        }
        return Ok(());
    };
    let rule: Rule = text.parse()?;
    let (before, given) = give(root, &rule)?;
    let devices = discovery::list();
    let machine = Machine::this();
    let outlook = devices.as_deref().map(|devices| machine.outlook(devices, &given, &rule));
    let outlook = outlook.as_deref().map_err(ToString::to_string);
    let told = Told {
        verb: "give",
        rule: &rule,
        changed: before.is_none(),
        before: before.as_ref(),
        change: Change::Given,
        notice: machine.notice(&rule),
    };
    if arguments.json {
        say!("{}", told.json(outlook))
    } else {
        say!("{}", told.text(outlook).trim_end())
    }
    Ok(())
}

/// Adds the rule below this root: the entry that was there before, if it was, and all that is given now.
fn give(root: &Path, rule: &Rule) -> Result<(Option<Entry>, Given), GivenError> {
    let entry = Entry::now(rule.clone(), user());
    Given::change(root, |given| given.add(entry))
}

/// Who logged in, also behind sudo or su; where the kernel does not keep that, as whom we run.
fn user() -> u32 {
    /// What the kernel says of processes that nobody's login started.
    const UNSET: u32 = u32::MAX;
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|text| text.trim().parse().ok()).filter(|user| *user != UNSET);
    login.unwrap_or_else(|| rustix::process::getuid().as_raw())
}

/// What is told after a change of the rules.
pub(super) struct Told<'a> {
    /// The command.
    pub(super) verb: &'static str,
    /// What was changed.
    pub(super) rule: &'a Rule,
    /// Whether anything was changed.
    pub(super) changed: bool,
    /// The entry that was there before a rule was given.
    pub(super) before: Option<&'a Entry>,
    /// In which way.
    pub(super) change: Change,
    /// What is odd about it.
    pub(super) notice: Option<String>,
}

impl Told<'_> {
    pub(super) fn text(&self, outlook: Result<&[Outlook], String>) -> String {
        let rule = self.rule;
        let mut out = match (self.change, self.before) {
            (Change::Given, None) => format!("{rule} is given.\n"),
            (Change::Given, Some(entry)) => format!("{rule} was given already, {}.\n", since(entry)),
            (Change::Returned, _) => format!("{rule} is given no more.\n"),
        };
        if let Some(notice) = &self.notice {
            out.push_str(&format!("  {notice}\n"));
        }
        match outlook {
            Ok([]) => {
                let now = match self.change {
                    Change::Given => "It counts as soon as one is plugged in.",
                    Change::Returned => "Nothing changes now.",
                };
                out.push_str(&format!("  Nothing is attached that it means. {now}\n"));
            }
            Ok(all) => all.iter().for_each(|one| out.push_str(&format!("  {}\n", one.text(self.change)))),
            Err(error) => out.push_str(&format!("  What is attached cannot be seen: {error}\n")),
        }
        out
    }

    pub(super) fn json(&self, outlook: Result<&[Outlook], String>) -> Value {
        let (functions, error) = match outlook {
            Ok(all) => (all.iter().map(|one| one.json(self.change)).collect::<Vec<_>>(), None),
            Err(error) => (Vec::new(), Some(error)),
        };
        json!({
            "command": self.verb,
            "rule": self.rule.to_string(),
            "changed": self.changed,
            "functions": functions,
            "notice": self.notice,
            "unseen": error,
        })
    }
}

fn list_text(given: &Given) -> String {
    if given.entries().is_empty() {
        return "Nothing is given: Outboard takes only what no driver of the kernel serves.\n".to_owned();
    }
    given.entries().iter().map(|entry| format!("{:<24} {}\n", entry.rule.to_string(), since(entry))).collect()
}

fn list_json(given: &Given) -> Value {
    let entries = given.entries().iter();
    let entries: Vec<Value> = entries
        .map(|entry| json!({"rule": entry.rule.to_string(), "at": entry.at, "by": entry.by}))
        .collect();
    json!({"given": entries})
}

/// `since 2026-11-25 07:04 UTC, by user 1000`.
fn since(entry: &Entry) -> String {
    let by = if entry.by == 0 { "root".to_owned() } else { format!("user {}", entry.by) };
    format!("since {}, by {by}", date(entry.at))
}

/// A time as people write it, in UTC: years of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn date(seconds: u64) -> String {
    /// Days from 1 March of year 0 to 1 January 1970.
    const EPOCH: u64 = 719_468;
    const DAYS_IN_ERA: u64 = 146_097;
    let (days, second) = (seconds / 86_400 + EPOCH, seconds % 86_400);
    let (era, day) = (days / DAYS_IN_ERA, days % DAYS_IN_ERA);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / (DAYS_IN_ERA - 1)) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3_600, second / 60 % 60)
}

impl From<GivenError> for Failure {
    fn from(error: GivenError) -> Self {
        let cause = if error.is_refused() { Cause::Right } else { Cause::Other };
        let failure = Self::new(cause, printable_whole(&error.to_string()));
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None if cause == Cause::Right && !rustix::process::geteuid().is_root() => {
                failure.with_hint("Run it as root, for example with sudo.")
            }
            None => failure,
        }
    }
}

impl From<ParseRuleError> for Failure {
    fn from(error: ParseRuleError) -> Self {
        Self::new(Cause::CommandLine, error.to_string())
    }
}

/// A sentence about a file may be longer than what a device says of itself.
fn printable_whole(text: &str) -> String {
    text.split(' ').map(printable).collect::<Vec<_>>().join(" ")
}
