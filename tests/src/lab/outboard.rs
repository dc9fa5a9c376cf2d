//! A driver that is a program: started, listened to, stopped, and its end judged.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::run::shown;
use super::sysfs::wait_for;

/// Start-up is dominated by loading the program over 9p in an emulated machine.
const START: Duration = Duration::from_secs(30);

/// To drain transfers and give the device back.
const STOP: Duration = Duration::from_secs(15);

/// Exit code of `outboard attach` when the device was unplugged while it ran.
pub(crate) const UNPLUGGED: i32 = 3;

/// What `outboard attach` prints whenever it changes: `ecm0, 52:54:00:12:34:56, 480 Mbit/s, link up`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The network interface.
    pub(crate) interface: String,
    /// Its hardware address.
    pub(crate) mac: String,
    /// Whether the link is up.
    pub(crate) up: bool,
}

impl Line {
    /// Reads the line.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.trim().split(", ").collect();
        let [interface, mac, speed, link] = parts[..] else {
            bail!("{text:?} is not NAME, MAC, SPEED, LINK")
        };
        if !speed.ends_with("bit/s") {
            bail!("{speed:?} in {text:?} is not a speed");
        }
        let up = match link {
            "link up" => true,
            "link down" => false,
            other => bail!("{other:?} in {text:?} is not a link state"),
        };
        Ok(Self { interface: interface.to_owned(), mac: mac.to_owned(), up })
    }
}

/// A driver program that runs. Killed when dropped, so that a failed scenario leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    name: String,
    lines: Receiver<String>,
}

impl Program {
    /// Starts the program; what it writes to its error output becomes this scenario's.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = shown(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start `{name}`"))?;
        let output = child.stdout.take().context("its standard output is a pipe")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, name, lines })
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints, or an error that tells how it ended instead.
    pub(crate) fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(START) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                bail!("`{}` printed nothing for {} s", self.name, START.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.wait()?;
                bail!("`{}` ended before it was ready: {status}", self.name)
            }
        }
    }

    /// The next line that is like this; those before it are passed over.
    pub(crate) fn line_with(&mut self, wanted: &str) -> Result<String> {
        loop {
            let line = self.line()?;
            if line.contains(wanted) {
                return Ok(line);
            }
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let child = &mut self.child;
        wait_for(&format!("`{}` to end", self.name), STOP, || Ok(child.try_wait()?))
    }

    /// Interrupts it as Ctrl-C does, and returns how it ended.
    pub(crate) fn interrupt(&mut self) -> Result<ExitStatus> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).with_context(|| format!("interrupt `{}`", self.name))?;
        self.wait()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read() {
        let line = Line::parse("ecm0, 52:54:00:12:34:56, 480 Mbit/s, link up\n").expect("a good line");
        assert_eq!(
            (line.interface.as_str(), line.mac.as_str(), line.up),
            ("ecm0", "52:54:00:12:34:56", true)
        );
    }

    #[test]
    fn other_lines_are_refused() {
        for text in
            ["", "ecm0", "ecm0, 52:54:00:12:34:56, fast, link up", "ecm0, 52:54:00:12:34:56, 480 Mbit/s, up"]
        {
            assert!(Line::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_program_is_heard_and_its_end_is_told() {
        let mut program =
            Program::start(Command::new("sh").args(["-c", "echo hello; exit 3"])).expect("a shell");
        assert_eq!(program.line().expect("one line"), "hello");
        let error = program.line().expect_err("there is no second").to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_program_is_interrupted() {
        let mut program = Program::start(
            Command::new("sh")
                .args(["-c", "trap 'exit 7' INT; echo ready; while :; do read x || sleep 0.05; done"]),
        )
        .expect("a shell");
        assert_eq!(program.line().expect("one line"), "ready");
        assert_eq!(program.interrupt().expect("it ends").code(), Some(7));
    }
}
