//! Whether a driver that ended is started again, and how soon: a ladder of pauses that ends in quarantine. Pure, the time is passed in. It must not
//! know how a driver is started, nor how one learns why it ended.
//!
//! Two things look alike and are not. A driver that crashes, hangs or exits as soon as it runs does so again, and each start costs the machine and
//! its device something: it climbs the ladder. A driver that somebody kills from outside is not at fault, and whoever uses its device is helped only
//! by a successor at once, however often it happens. So an end counts unless it was a SIGKILL from outside and the driver had served before.
//!
//! The out-of-memory killer sends SIGKILL as well. Where the supervisor sees in the control group (`memory.events`) that it was that, the cause is
//! [`Cause::Failed`]. Where nobody can see it, a driver that is killed before it served for [`KILLED_SERVICE`] climbs the ladder too: without memory
//! a successor fares no better.

use std::time::{Duration, Instant};

/// Pauses before the first, second, ... restart after ends that count. The first is at once: most ends are single, and a peer of a TCP connection
/// then notices nothing. 100 ms let go by what happens at the same moment (udev, a reset of the port). A second is what a device's firmware needs to
/// come to itself, and ten are what a machine needs that is short of memory or of time. Longer pauses would only put off that somebody is
/// told. The fifth end is followed by no pause but by quarantine.
pub(crate) const PAUSES: [Duration; LIMIT - 1] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(10)];

/// So many ends that count, in [`WINDOW`] and without progress, lead to quarantine.
pub(crate) const LIMIT: usize = 5;

/// Ends before it are forgotten.
pub(crate) const WINDOW: Duration = Duration::from_secs(30 * 60);

/// A driver that served as long has made progress: what was before it is forgotten, but for violations.
pub(crate) const PROGRESS: Duration = Duration::from_secs(10);

/// A driver that served as long before a SIGKILL from outside was not at fault. It is less than what is left of the 100 ms between two kills of a
/// test after a slow start, and more than a driver needs that allocates all it can get.
pub(crate) const KILLED_SERVICE: Duration = Duration::from_millis(20);

/// Two ends that do not count are followed by starts at least as far apart. It is only felt by who kills more often than twenty times a second.
pub(crate) const SPACING: Duration = Duration::from_millis(50);

/// Why a driver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// SIGKILL from outside: not by the supervisor itself, which fences what hangs or violates.
    Killed,
    /// A signal that is a crash: SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, or any other that nobody sends to stop it.
    Crashed,
    /// It did not answer, and the supervisor killed it.
    Hung,
    /// It did what its sandbox or the protocol forbids.
    Violation,
    /// It exited by itself, with whatever code, or the out-of-memory killer ended it.
    Failed,
    /// It did not come to serve in the time that it had, or could not be started at all.
    NeverServed,
}

/// An end of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Why.
    pub(crate) cause: Cause,
    /// Whether it had reported that it serves.
    pub(crate) served: bool,
    /// How long since then; means nothing without `served`.
    pub(crate) served_for: Duration,
}

impl End {
    /// How long it served.
    fn service(&self) -> Duration {
        if self.served { self.served_for } else { Duration::ZERO }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start it again after this pause, which may be none.
    After(Duration),
    /// Leave it until somebody asks for it, or its device is plugged in anew: see [`Ladder::reset`].
    Quarantine,
}

/// What forgives an end that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// A kill before it served long enough: any service of [`KILLED_SERVICE`]. Only many in a row count.
    Brief,
    /// Any other: progress.
    Fault,
    /// A violation: time only. It says that somebody else than the driver's author decides what it does, and that it serves in between says nothing.
    Violation,
}

/// What one driver of one function has behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ladder {
    /// Ends that count, the oldest first; fewer than `LIMIT` unless quarantined.
    counted: Vec<(Instant, Weight)>,
    /// When the last start was due that followed an end which did not count.
    last_start: Option<Instant>,
    quarantined: bool,
}

impl Ladder {
    /// Nothing happened yet.
    pub(crate) fn new() -> Self {
        Self { counted: Vec::with_capacity(LIMIT), last_start: None, quarantined: false }
    }

    /// A driver ended. Once quarantined it stays so until [`Ladder::reset`].
    pub(crate) fn ended(&mut self, end: End, now: Instant) -> Next {
        if self.quarantined {
            return Next::Quarantine;
        }
        let service = end.service();
        self.counted.retain(|(at, weight)| {
            let forgiven = match weight {
                Weight::Brief => service >= KILLED_SERVICE,
                Weight::Fault => service >= PROGRESS,
                Weight::Violation => false,
            };
            !forgiven && now.saturating_duration_since(*at) < WINDOW
        });
        let weight = match end.cause {
            Cause::Killed if service >= KILLED_SERVICE => return Next::After(self.at_once(now)),
            Cause::Killed => Weight::Brief,
            Cause::Violation => Weight::Violation,
            Cause::Crashed | Cause::Hung | Cause::Failed | Cause::NeverServed => Weight::Fault,
        };
        self.counted.push((now, weight));
        match PAUSES.get(self.counted.len() - 1) {
            Some(pause) => Next::After(*pause),
            None => {
                self.quarantined = true;
                Next::Quarantine
            }
        }
    }

    /// Forgets everything: the device was plugged in anew, or somebody asked for another try.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }

    /// The pause after an end that does not count.
    fn at_once(&mut self, now: Instant) -> Duration {
        let since = self.last_start.map(|last| now.saturating_duration_since(last));
        let pause = since.map_or(Duration::ZERO, |since| SPACING.saturating_sub(since));
        // Only centuries ahead there is no such instant.
        self.last_start = Some(now.checked_add(pause).unwrap_or(now));
        pause
    }
}

#[cfg(test)]
mod tests;
