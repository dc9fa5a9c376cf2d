//! Whether a driver's process hangs. It knows beats and what the kernel says of a process; it must not know what the process is for, and ends
//! none.
//!
//! Silence alone proves nothing: on a machine that is short of CPU time the driver, or we ourselves, may not have run. So what follows
//! silence is a look at the process: one that is stopped, sleeps, or runs and runs hangs; one that waits for the kernel to do something for the
//! device, or for its turn on the CPU, is given more time.

use std::fs;
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::Instant;

/// Silence for so long is a hang, whatever the kernel says: usbfs's own calls end after 5 s.
const LONGEST: Duration = Duration::from_secs(10);
/// CPU time that a process uses up in silence before it counts as one that runs in circles.
const SPIN: Duration = Duration::from_millis(200);

/// What is expected of a process, and what was heard of it.
#[derive(Debug)]
pub(crate) struct Pulse {
    pid: Pid,
    limit: Duration,
    heard: Instant,
    next_look: Option<Instant>,
    cpu_time: Duration,
}

/// What a look said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may be late, but not by its own fault.
    Alive,
    /// It hangs, and how.
    Hangs(String),
}

impl Pulse {
    /// Nothing is expected of it yet.
    pub(crate) fn new(pid: Pid) -> Self {
        Self { pid, limit: LONGEST, heard: Instant::now(), next_look: None, cpu_time: Duration::ZERO }
    }

    /// From now on it has to be heard within this time, again and again.
    pub(crate) fn expect_within(&mut self, limit: Duration) {
        self.limit = limit;
        self.felt();
    }

    /// It was heard.
    pub(crate) fn felt(&mut self) {
        self.heard = Instant::now();
        self.next_look = Some(self.heard + self.limit);
        self.cpu_time = Duration::ZERO;
    }

    /// Resolves when it is to be looked at; never before something is expected.
    pub(crate) async fn due(&self) {
        match self.next_look {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at the process. To be called when it is due, and no message of it waits.
    pub(crate) fn look(&mut self) -> Verdict {
        let text =
            fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).unwrap_or_default();
        let now = Instant::now();
        let silent = now.duration_since(self.heard);
        // Without /proc there is only the silence.
        let Some((state, cpu_time)) = parse(&text) else { return hangs(silent, "it says nothing") };
        // Counted from the first look: before it, the process may have worked while it was heard.
        let first = self.cpu_time.is_zero();
        let used = cpu_time.saturating_sub(self.cpu_time);
        if first {
            self.cpu_time = cpu_time.max(Duration::from_nanos(1));
        }
        if silent >= LONGEST.max(self.limit) {
            return hangs(silent, "it says nothing");
        }
        // Most drivers are woken within a moment after a stop; what is seen once may be over already.
        match state {
            'T' | 't' => hangs(silent, "it is stopped"),
            'S' if !first => hangs(silent, "it sleeps"),
            'R' if !first && used >= SPIN => hangs(silent, "it runs in circles"),
            // `Z`, `X`: its end is about to be told.
            _ => {
                self.next_look = Some(now + self.limit / 5);
                Verdict::Alive
            }
        }
    }
}

fn hangs(silent: Duration, how: &str) -> Verdict {
    Verdict::Hangs(format!("its process hangs: {how}, and was not heard for {} ms", silent.as_millis()))
}

/// State and CPU time in the text of /proc/PID/stat (proc_pid_stat(5)); the name before them may hold anything.
fn parse(text: &str) -> Option<(char, Duration)> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let user: u64 = fields.nth(10)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    // In hundredths of a second on every architecture that Linux has left (USER_HZ).
    Some((state, Duration::from_millis(user.saturating_add(system).saturating_mul(10))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read_whatever_the_name() {
        let text = "7 (ecm) R 1) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 1 0 300";
        assert_eq!(parse(text), Some(('S', Duration::from_millis(1750))));
        assert_eq!(parse(""), None);
        assert_eq!(parse("7 (x) S 1 2"), None);
    }

    #[test]
    fn a_process_that_is_stopped_hangs_and_one_that_was_just_heard_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let verdict = runtime.block_on(async {
            let mut pulse = Pulse::new(pid);
            pulse.expect_within(Duration::from_millis(10));
            rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
            loop {
                pulse.due().await;
                match pulse.look() {
                    Verdict::Alive => {}
                    hangs => break hangs,
                }
            }
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let Verdict::Hangs(reason) = verdict else { panic!() };
        assert!(reason.contains("stopped") || reason.contains("sleeps"), "{reason}");
    }
}
