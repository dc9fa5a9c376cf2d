//! The conversation with the guest's runner: gives it the job, answers what it asks, shows and keeps what it says, and ends it when it hangs.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::Results;
use super::guest::Guest;
use crate::wire::{Ask, Job, Outcome, ToGuest, ToHost};

/// From power-on to the runner's first word: 15 to 30 s on two idle cores.
const BOOT: Duration = Duration::from_secs(180);

/// Between scenarios the runner only cleans up; beyond a scenario's own limit it gets this much to end it itself.
const MARGIN: Duration = Duration::from_secs(60);

/// Talks until the guest has finished.
pub(crate) fn converse(guest: &mut Guest, job: Job, folder: &Path) -> Result<Results> {
    let start = Instant::now();
    let mut results = Results::default();
    let mut lines = Lines::new(&guest.port)?;
    let mut deadline = start + BOOT;
    let mut doing = "boot".to_owned();
    let mut log = String::new();
    let kernel_log = folder.join("kernel.log");
    let _no_old_one = fs::remove_file(&kernel_log);
    loop {
        let heard = match lines.next(guest, deadline) {
            Ok(heard) => heard,
            Err(error) => {
                let error = error.context(format!("while it did: {doing}"));
                // The runner cannot send the log any more; the console has the warnings and any oops.
                if let Ok(console) = fs::read(folder.join("console.log")) {
                    fs::write(&kernel_log, [log.as_bytes(), &console].concat())?;
                }
                return Err(guest.with_console(error));
            }
        };
        match heard {
            ToHost::Ready { kernel } => {
                println!("lab: Linux {kernel} is up after {:.1} s", start.elapsed().as_secs_f64());
                answer(guest, &ToGuest::Run(job.clone()))?;
                deadline = Instant::now() + MARGIN;
            }
            ToHost::Begin { scenario, contender, timeout } => {
                doing = format!("{scenario} ({})", contender.name());
                deadline = Instant::now() + Duration::from_secs(timeout) + MARGIN;
            }
            ToHost::Note(text) => println!("     | {text}"),
            ToHost::Sample(sample) => results.samples.push(sample),
            ToHost::Ask(Ask::Monitor(command)) => {
                let said = guest.monitor.human(&command).map_err(|error| format!("{error:#}"));
                answer(guest, &ToGuest::Answer(said))?;
            }
            ToHost::KernelLog(text) => {
                log.push_str(&format!("== {doing}\n{text}"));
                fs::write(&kernel_log, &log).with_context(|| format!("write {}", kernel_log.display()))?;
                println!("     | the kernel's log is in {}", kernel_log.display());
            }
            ToHost::End(outcome) => {
                show(&outcome, &results);
                results.outcomes.push(outcome);
                deadline = Instant::now() + MARGIN;
            }
            ToHost::Finished => {
                println!("lab: all done after {:.1} s", start.elapsed().as_secs_f64());
                return Ok(results);
            }
        }
    }
}

/// One line for a scenario: result and figures.
fn show(outcome: &Outcome, results: &Results) {
    let head = format!("{:14} {:9}", outcome.scenario, outcome.contender.name());
    match &outcome.failure {
        Some(failure) => println!("FAIL {head} {:6.1} s  {failure}", outcome.seconds),
        None => {
            let prefix = format!("{}/", outcome.scenario);
            let figures: Vec<_> = results
                .samples
                .iter()
                .filter(|sample| sample.contender == outcome.contender)
                .filter_map(|sample| {
                    Some(format!(
                        "{} {:.1} {}",
                        sample.name.strip_prefix(&prefix)?,
                        sample.value,
                        sample.unit
                    ))
                })
                .collect();
            println!("ok   {head} {:6.1} s  {}", outcome.seconds, figures.join(", "));
        }
    }
}

fn answer(guest: &mut Guest, message: &ToGuest) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    guest.port.write_all(&line).context("write to the guest")
}

/// Lines from the port, with a deadline.
struct Lines {
    reader: BufReader<UnixStream>,
    partial: Vec<u8>,
}

impl Lines {
    fn new(port: &UnixStream) -> Result<Self> {
        let stream = port.try_clone()?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        Ok(Self { reader: BufReader::new(stream), partial: Vec::new() })
    }

    fn next(&mut self, guest: &mut Guest, deadline: Instant) -> Result<ToHost> {
        loop {
            match self.reader.read_until(b'\n', &mut self.partial) {
                Ok(0) => bail!("the guest is gone"),
                Ok(_) if self.partial.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.partial);
                    return serde_json::from_slice(&line)
                        .with_context(|| format!("{:?} from the guest", String::from_utf8_lossy(&line)));
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("hear the guest"),
            }
            if let Some(status) = guest.ended() {
                bail!("the guest ended: {status}");
            }
            if Instant::now() > deadline {
                return Err(anyhow!("the guest said nothing more and its time is up"));
            }
        }
    }
}
