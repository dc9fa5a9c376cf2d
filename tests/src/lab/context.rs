//! What a scenario gets: its contender, its settings, and a line to the host.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};

use super::wire::{Ask, Contender, Sample, Settings, ToGuest, ToHost};

/// The world as a scenario sees it.
#[derive(Debug)]
pub(crate) struct Context {
    /// The scenario's name.
    pub(crate) scenario: &'static str,
    /// Who drives the device.
    pub(crate) contender: Contender,
    /// The parameters of this run.
    pub(crate) settings: Settings,
}

impl Context {
    /// The file of the next trace, if traces are wanted: SCENARIO-N.pcapng, each once.
    pub(crate) fn next_trace(&self) -> Option<PathBuf> {
        let folder = Path::new(self.settings.traces.as_ref()?);
        (1..10_000).map(|n| folder.join(format!("{}-{n}.pcapng", self.scenario))).find(|path| !path.exists())
    }

    /// Tells the person who watches.
    pub(crate) fn note(&self, text: impl Into<String>) {
        say(&ToHost::Note(text.into()));
    }

    /// Reports a measured value of this scenario's contender.
    pub(crate) fn sample(&self, name: impl Into<String>, unit: &str, value: f64) {
        self.sample_of(self.contender, name, unit, value);
    }

    /// Reports a measured value of any contender.
    pub(crate) fn sample_of(&self, contender: Contender, name: impl Into<String>, unit: &str, value: f64) {
        say(&ToHost::Sample(Sample { name: name.into(), unit: unit.to_owned(), contender, value }));
    }

    /// Has the host give QEMU's monitor a command; returns what the monitor said.
    pub(crate) fn monitor(&self, command: &str) -> Result<String> {
        say(&ToHost::Ask(Ask::Monitor(command.to_owned())));
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        match serde_json::from_str(&line)? {
            ToGuest::Answer(answer) => {
                answer.map_err(|refusal| anyhow!("QEMU's monitor, {command:?}: {refusal}"))
            }
            ToGuest::Run(_) => bail!("the host sent a job in place of an answer"),
        }
    }
}

/// Writes one message to the runner. A runner that has gone has no use for it.
pub(crate) fn say(message: &ToHost) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        let mut out = io::stdout().lock();
        let _gone = out.write_all(&line).and_then(|()| out.flush());
    }
}
