//! How one pipe is doing, and what is to be done about it: when to clear a halt, how long to pause, when to give it up. A policy without
//! I/O that drivers' machines share; it knows neither what is transferred nor the other pipes.

use std::time::{Duration, Instant};

/// The pause after a fault on the bus: what Linux's usbnet waits (THROTTLE_JIFFIES).
pub const FIRST_PAUSE: Duration = Duration::from_millis(125);
/// The longest pause. Pauses double from [`FIRST_PAUSE`]; with this bound a device that never works again is given up within
/// about ten seconds.
pub const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A pipe is beyond repair with more troubles than this among its last [`COMPLETIONS`], as in usbnet. Transfers that end while
/// the pipe is being repaired do not count: one fault ends all that is queued.
pub const TROUBLES: u32 = 20;
/// See [`TROUBLES`].
pub const COMPLETIONS: u32 = 30;

/// A pipe is also beyond repair when it needs more repairs than this within [`REPAIR_TIME`], however many transfers go well between
/// them: half of them for a device that halts on every second one, which [`TROUBLES`] does not see. Faults with their pauses come at eight
/// repairs a second at most, so at this rate a pipe that faults stands still for four fifths of the time; halts, repaired without a
/// pause, are bounded by nothing else. Far more than a bad cable gives, which is worth some patience.
pub const REPAIRS: u32 = 64;
/// See [`REPAIRS`]. Repairs that are spread evenly over this time are borne forever.
pub const REPAIR_TIME: Duration = Duration::from_secs(10);

const WINDOW: u32 = (1 << COMPLETIONS) - 1;

/// How a transfer failed, as far as repair depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The endpoint is halted.
    Stall,
    /// The bus failed, or the system did not take the transfer.
    Fault,
    /// More came than a buffer holds; the pipe goes on.
    Overflow,
}

/// What the owner of a pipe has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Abort what is in flight and clear the halt; then [`Health::cleared`].
    ClearHalt,
    /// Submit again.
    Resume {
        /// When the trouble began that is repaired now.
        since: Instant,
    },
}

/// One pipe.
#[derive(Debug, Clone)]
pub struct Health {
    state: State,
    /// The last completions, newest in bit 0; set: it failed.
    window: u32,
    in_a_row: u32,
    /// Until when the repairs so far use up what is borne, at [`REPAIRS`] evenly in [`REPAIR_TIME`].
    repaid_at: Option<Instant>,
    /// When the trouble began that is being repaired.
    since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Halted,
    Clearing,
    Pausing(Instant),
    Ready,
    /// Nothing is submitted until somebody else says so: a reset, or the end.
    Stopped,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// A pipe that runs and had no trouble.
    pub const fn new() -> Self {
        Self { state: State::Running, window: 0, in_a_row: 0, repaid_at: None, since: None }
    }

    /// Whether transfers may be submitted.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// So many transfers went well.
    pub fn good(&mut self, count: u32) {
        if self.window | self.in_a_row != 0 && self.is_running() {
            self.window = self.window.checked_shl(count).unwrap_or(0) & WINDOW;
            self.in_a_row = 0;
        }
    }

    /// A transfer failed. True: the pipe is beyond repair, and stopped.
    pub fn trouble(&mut self, trouble: Trouble, now: Instant) -> bool {
        if !self.is_running() {
            return false;
        }
        self.window = (self.window << 1 | 1) & WINDOW;
        if self.window.count_ones() > TROUBLES {
            self.stop();
            return true;
        }
        if trouble == Trouble::Overflow {
            return false;
        }
        let repaid_at = self.repaid_at.map_or(now, |at| at.max(now)) + REPAIR_TIME / REPAIRS;
        if repaid_at > now + REPAIR_TIME {
            self.stop();
            return true;
        }
        self.repaid_at = Some(repaid_at);
        self.since.get_or_insert(now);
        self.in_a_row += 1;
        self.state = match trouble {
            Trouble::Stall => State::Halted,
            _ => State::Pausing(now + pause(self.in_a_row)),
        };
        false
    }

    /// The halt was cleared, or could not be.
    pub fn cleared(&mut self, done: bool, now: Instant) {
        if self.state == State::Clearing {
            // The first halt is repaired at once; an endpoint that halts again and again must not keep us busy.
            self.state = match (done, self.in_a_row) {
                (true, ..=1) => State::Ready,
                (true, more) => State::Pausing(now + pause(more - 1)),
                (false, n) => State::Pausing(now + pause(n)),
            };
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        if matches!(self.state, State::Pausing(until) if until <= now) {
            self.state = State::Ready;
        }
    }

    /// When [`timeout`](Self::timeout) is due.
    pub fn wake_at(&self) -> Option<Instant> {
        match self.state {
            State::Pausing(until) => Some(until),
            _ => None,
        }
    }

    /// Nothing is to be done for it until [`restart`](Self::restart).
    pub fn stop(&mut self) {
        self.state = State::Stopped;
        self.since = None;
    }

    /// Begins anew, after a reset.
    pub fn restart(&mut self) {
        *self = Self { state: State::Running, ..Self::new() };
    }

    /// What is to be done now, if anything.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        match self.state {
            State::Halted => {
                self.state = State::Clearing;
                Some(Step::ClearHalt)
            }
            State::Ready => {
                self.state = State::Running;
                Some(Step::Resume { since: self.since.take().unwrap_or(now) })
            }
            _ => None,
        }
    }
}

/// The pause after so many troubles in a row, the first being 1.
fn pause(in_a_row: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << in_a_row.saturating_sub(1).min(8)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound() {
        let pauses: Vec<_> = (1..=5).map(|n| pause(n).as_millis()).collect();
        assert_eq!(pauses, [125, 250, 500, 500, 500]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn a_halt_is_cleared_once_and_at_once() {
        let now = Instant::now();
        let mut health = Health::new();
        assert!(!health.trouble(Trouble::Stall, now));
        assert!(!health.trouble(Trouble::Stall, now), "the rest of the queue ends too");
        assert_eq!(health.poll(now), Some(Step::ClearHalt));
        assert_eq!(health.poll(now), None);
        health.cleared(true, now);
        assert_eq!(health.poll(now), Some(Step::Resume { since: now }));
        assert!(health.is_running());
        assert_eq!(health.wake_at(), None);
    }

    #[test]
    fn an_endpoint_that_halts_forever_is_given_up_in_bounded_time() {
        let begin = Instant::now();
        let mut now = begin;
        let mut health = Health::new();
        let mut rounds = 0;
        while !health.trouble(Trouble::Stall, now) {
            rounds += 1;
            assert_eq!(health.poll(now), Some(Step::ClearHalt));
            health.cleared(true, now);
            if let Some(at) = health.wake_at() {
                now = at;
                health.timeout(now);
            }
            assert!(matches!(health.poll(now), Some(Step::Resume { .. })));
        }
        assert_eq!(rounds, TROUBLES);
        assert!(now - begin < Duration::from_secs(12));
        assert!(!health.is_running());
    }

    /// Repairs until the pipe is given up, for one trouble after each `good` transfers that take `every` together.
    fn repairs(trouble: Trouble, good: u32, every: Duration, most: u32) -> Option<u32> {
        let mut now = Instant::now();
        let mut health = Health::new();
        for repairs in 0..most {
            health.good(good);
            if health.trouble(trouble, now) {
                return Some(repairs);
            }
            if health.poll(now) == Some(Step::ClearHalt) {
                health.cleared(true, now);
            }
            if let Some(at) = health.wake_at() {
                now = at;
                health.timeout(now);
            }
            assert!(health.poll(now).is_some() || health.is_running());
            now += every;
        }
        None
    }

    #[test]
    fn a_pipe_that_needs_repair_again_and_again_is_given_up_whatever_goes_well_between() {
        let ms = Duration::from_millis;
        for good in [1, 10, 1000] {
            assert_eq!(repairs(Trouble::Stall, good, Duration::ZERO, 1000), Some(REPAIRS));
            // At 100 a second another 6.4 are borne each second.
            assert_eq!(repairs(Trouble::Stall, good, ms(10), 1000), Some(REPAIRS + 4));
            assert!(repairs(Trouble::Fault, good, ms(1), 1000).is_some());
            // One in 200 ms, and faults with as much work as pause between them.
            assert_eq!(repairs(Trouble::Stall, good, ms(200), 10_000), None);
            assert_eq!(repairs(Trouble::Fault, good, FIRST_PAUSE, 10_000), None);
        }
    }

    #[test]
    fn trouble_now_and_then_is_forgiven() {
        let now = Instant::now();
        let mut health = Health::new();
        for _ in 0..1000 {
            assert!(!health.trouble(Trouble::Overflow, now));
            health.good(1);
        }
        health.good(100);
        assert_eq!(health.window, 0);
    }
}
