//! The program in the guest: takes the job from the host, runs each scenario in a process of its own, ends it when it hangs.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

use super::context::{Context, say};
use super::kernel_log::KernelLog;
use super::scenarios::{SCENARIOS, Scenario, clean_up};
use super::sysfs::{read, wait_for};
use super::wire::{Contender, Entry, Job, Listing, Outcome, PORT, Settings, ToGuest, ToHost};
use super::{dongle, kernel_driver, pingpong};

/// Runs scenarios of the kernel lab inside its guest.
#[derive(Debug, Parser)]
#[command(name = "lab-guest")]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the scenarios as JSON.
    List,
    /// Take a job from the host over the virtio-serial port and do it.
    Serve,
    /// Run one scenario, speaking JSON lines on the standard streams.
    Scenario {
        /// Its name.
        name: String,
        /// kernel, outboard or by-hand.
        contender: Contender,
        /// The settings, as JSON.
        settings: String,
    },
    /// Be an ECM dongle, until killed.
    Dongle(dongle::Options),
    /// Send datagrams back; the far end of the round-trip measurement.
    Echo {
        /// Address and port to listen at.
        address: String,
        /// Allocate once for each datagram, for the test of the allocation counter.
        #[arg(long)]
        allocate: bool,
    },
}

/// The program `lab-guest`.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().action {
        Action::List => list(),
        Action::Serve => serve(),
        Action::Scenario { name, contender, settings } => scenario(&name, contender, &settings),
        Action::Dongle(options) => dongle::serve(&options),
        Action::Echo { address, allocate } => pingpong::echo(&address, allocate),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<()> {
    let entry =
        |scenario: &Scenario| Entry { about: scenario.about.to_owned(), default: scenario.default.to_vec() };
    let listing: Listing =
        SCENARIOS.iter().map(|scenario| (scenario.name.to_owned(), entry(scenario))).collect();
    println!("{}", serde_json::to_string_pretty(&listing)?);
    Ok(())
}

fn find(name: &str) -> Result<&'static Scenario> {
    SCENARIOS
        .iter()
        .find(|scenario| scenario.name == name)
        .with_context(|| format!("there is no scenario {name:?}"))
}

/// The child's side: the last message is the outcome.
fn scenario(name: &str, contender: Contender, settings: &str) -> Result<()> {
    let found = find(name)?;
    let settings: Settings = serde_json::from_str(settings)?;
    let mut context = Context { scenario: found.name, contender, settings };
    let start = Instant::now();
    let result = (found.run)(&mut context);
    say(&ToHost::End(Outcome {
        scenario: name.to_owned(),
        contender,
        failure: result.err().map(|error| format!("{error:#}")),
        seconds: start.elapsed().as_secs_f64(),
    }));
    Ok(())
}

/// The parent's side.
fn serve() -> Result<()> {
    let mut port = open_port()?;
    let kernel = read("/proc/sys/kernel/osrelease")?;
    send(&mut port, &ToHost::Ready { kernel })?;
    let mut answers = BufReader::new(port.try_clone()?);
    let ToGuest::Run(mut job) = hear(&mut answers)? else { bail!("the host did not begin with a job") };
    for program in [&mut job.settings.outboard, &mut job.settings.by_hand] {
        *program = to_memory(program)?;
    }
    let myself = to_memory(&std::env::current_exe()?.display().to_string())?;
    keep_names();
    kernel_driver::load()?;
    let mut log = KernelLog::open()?;
    for name in &job.scenarios {
        let found = find(name)?;
        let chosen = if job.contenders.is_empty() { found.default } else { &job.contenders };
        // A scenario that takes all contenders in turn runs once.
        let runs = if found.alternates { 1 } else { chosen.len() };
        for &contender in chosen.iter().take(runs) {
            if found.contenders.contains(&contender) {
                log.mark()?;
                let outcome = supervise(&myself, found, contender, &job, &mut port, &mut answers)?;
                let failed = outcome.failure.is_some();
                if failed {
                    send(&mut port, &ToHost::KernelLog(log.since_mark()?))?;
                }
                send(&mut port, &ToHost::End(outcome))?;
            }
        }
    }
    send(&mut port, &ToHost::Finished)
}

/// Copies a program to the guest's memory, from where it starts much faster than over the shared file system; a scenario starts some a
/// thousand times. What was not built stays named as it is.
fn to_memory(program: &str) -> Result<String> {
    let from = Path::new(program);
    let Some(name) = from.file_name().filter(|_| from.exists()) else { return Ok(program.to_owned()) };
    let to = Path::new("/dev/shm").join(name);
    fs::copy(from, &to).with_context(|| format!("copy {program} to {}", to.display()))?;
    Ok(to.display().to_string())
}

/// Has udev, where it runs, leave interface names alone: Debian renames what the kernel's USB drivers make after their MAC, some time later.
/// Everything else stays as systemd sets it by default, its MACAddressPolicy above all: the product has to live with that.
fn keep_names() {
    const LINK: &str = "[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep\nMACAddressPolicy=persistent\n";
    let folder = Path::new("/etc/systemd/network");
    // The guest's /etc is its own. Without udev neither of these exists and nothing is renamed.
    let _no_udev =
        fs::create_dir_all(folder).and_then(|()| fs::write(folder.join("00-outboard-lab.link"), LINK));
    let _no_udev = super::run::run("udevadm control --reload");
}

/// Runs one scenario in a process of its own, passing on what it says, until it ends or its time is up.
fn supervise(
    myself: &str,
    found: &Scenario,
    contender: Contender,
    job: &Job,
    port: &mut File,
    answers: &mut BufReader<File>,
) -> Result<Outcome> {
    let timeout = job.settings.timeout.unwrap_or(found.timeout);
    send(port, &ToHost::Begin { scenario: found.name.to_owned(), contender, timeout })?;
    let start = Instant::now();
    let deadline = start + Duration::from_secs(timeout);
    let settings = serde_json::to_string(&job.settings)?;
    let mut child = Command::new(myself)
        .args(["scenario", found.name, contender.name(), &settings])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("its standard input is a pipe")?;
    let stdout = child.stdout.take().context("its standard output is a pipe")?;
    let stderr = child.stderr.take().context("its error output is a pipe")?;
    let (sender, messages) = channel();
    let noted = sender.clone();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _over = noted.send(Some(ToHost::Note(line)));
        }
    });
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let message = serde_json::from_str(&line).unwrap_or(ToHost::Note(line));
            let _over = sender.send(Some(message));
        }
        // A program that the scenario left behind may still hold the error output; the scenario's own end is what counts.
        let _over = sender.send(None);
    });
    let mut outcome = None;
    loop {
        match messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Some(ToHost::End(ended))) => outcome = Some(ended),
            Ok(Some(message)) => {
                let asks = matches!(message, ToHost::Ask(_));
                send(port, &message)?;
                if asks {
                    let mut line = serde_json::to_vec(&hear(answers)?)?;
                    line.push(b'\n');
                    stdin.write_all(&line)?;
                }
            }
            Ok(None) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => break,
        }
    }
    let failure = match outcome {
        Some(ended) => {
            child.wait()?;
            clean_up();
            return Ok(ended);
        }
        None if Instant::now() >= deadline => {
            end_tree(&mut child)?;
            format!("it did not end within {timeout} s and was killed")
        }
        None => format!("its process ended without a result: {}", child.wait()?),
    };
    clean_up();
    Ok(Outcome {
        scenario: found.name.to_owned(),
        contender,
        failure: Some(failure),
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Kills a process and everything below it, so that neither a driver nor an iperf3 outlives its scenario.
fn end_tree(child: &mut Child) -> Result<()> {
    let mut doomed = vec![child.id()];
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        let children = read(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        doomed.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        next += 1;
    }
    for id in doomed.iter().rev() {
        if let Some(pid) = i32::try_from(*id).ok().and_then(rustix::process::Pid::from_raw) {
            let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    child.wait()?;
    Ok(())
}

/// Finds the port by the name that QEMU gave it; there may be no udev to make a link.
fn open_port() -> Result<File> {
    let path = wait_for(&format!("the virtio-serial port {PORT}"), Duration::from_secs(20), || {
        let Ok(ports) = fs::read_dir("/sys/class/virtio-ports") else { return Ok(None) };
        for port in ports.flatten() {
            if read(port.path().join("name")).is_ok_and(|name| name == PORT) {
                return Ok(Some(format!("/dev/{}", port.file_name().to_string_lossy())));
            }
        }
        Ok(None)
    })?;
    OpenOptions::new().read(true).write(true).open(&path).with_context(|| format!("open {path}"))
}

fn send(port: &mut File, message: &ToHost) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    port.write_all(&line).context("write to the host")
}

fn hear(port: &mut BufReader<File>) -> Result<ToGuest> {
    let mut line = String::new();
    port.read_line(&mut line).context("hear the host")?;
    serde_json::from_str(&line).with_context(|| format!("{line:?} from the host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }

    #[test]
    fn an_unknown_scenario_is_named() {
        let error = find("nonsense").expect_err("there is none").to_string();
        assert_eq!(error, "there is no scenario \"nonsense\"");
    }
}
