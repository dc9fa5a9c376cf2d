//! `outboard why`: who gets each function of a device, who does not, and why. It must not change anything.

mod json;
#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf};

use outboard_core::manifest::store::{Entry, Source, State};
use outboard_core::manifest::{Manifest, Program};
use outboard_core::usb::descriptor::Malformed;
use outboard_core::usb::discovery::{self, Found, Selector};

use crate::command::attach;
use crate::exit::{Cause, Failure};
use crate::holder::{Holding, Processes, holdings};
use crate::matching::{Drivers, Judged, Seen};
use crate::output::say;

/// Show which driver gets a device, which do not, and why; and who has it now.
///
/// A device may have several functions, each with a driver of its own. For each the winner comes first, then those that fit as well, those
/// whose driver refuses, and those whose manifest does not match.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which device: where it is plugged in, as `outboard list` shows it (1-2.3), or vendor and product (0525:a4a2).
    #[arg(value_name = "BUS-PORT | VID:PID")]
    device: String,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let selector = Selector::parse(&arguments.device)
        .map_err(|error| Failure::new(Cause::NoSuchDevice, error.to_string()))?;
    let devices = discovery::list()?;
    let found = attach::select(&devices, &selector)?;
    let drivers = Drivers::read();
    let answer = Answer::new(found, &drivers, "/proc".into())
        .map_err(|malformed| Failure::new(Cause::BrokenDevice, format!("{}: {malformed}", found.name)))?;
    if arguments.json {
        say!("{}", json::render(&answer))
    } else {
        say!("{}", text::render(&answer).trim_end())
    }
    Ok(())
}

/// All that there is to tell.
struct Answer<'a> {
    found: &'a Found,
    drivers: &'a Drivers,
    judged: Judged<'a>,
    /// Who has each function, in the order of the decisions.
    holdings: Vec<Vec<Holding>>,
}

impl<'a> Answer<'a> {
    fn new(found: &'a Found, drivers: &'a Drivers, proc: PathBuf) -> Result<Self, Malformed> {
        let judged = drivers.judge(&Seen::from(found))?;
        let programs = drivers.library().manifests().filter_map(path).collect();
        let processes = Processes { proc, programs };
        let holdings =
            judged.decisions.iter().map(|one| holdings(found, &one.function, &processes)).collect();
        Ok(Self { found, drivers, judged, holdings })
    }

    /// Names that were not asked, because they are masked or broken.
    fn not_asked(&self) -> impl Iterator<Item = &'a Entry> {
        let entries = self.drivers.library().entries.iter();
        entries.filter(|entry| !matches!(entry.state, State::Usable(_)))
    }

    fn source(&self, manifest: &Manifest) -> &'a Source {
        let entry = self.drivers.library().entry(&manifest.name);
        entry.map_or(&Source::BuiltIn, |entry| &entry.source)
    }
}

fn path(manifest: &Manifest) -> Option<&Path> {
    match &manifest.program {
        Program::Path(path) => Some(path),
        Program::BuiltIn(_) => None,
    }
}
