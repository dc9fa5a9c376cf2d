//! The repair of the two pipes, up to a reset of the device. It knows neither settings nor data.

use std::time::{Duration, Instant};

use outboard_core::usb::health::{COMPLETIONS, Health, Step, Trouble};

use super::Role;

/// How long a device has to do without a further reset, as with ECM: one that needs a reset every minute is not worth its interruptions.
pub const RESET_TIME: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mend {
    ClearHalt(Role),
    Resume(Role),
    Reset,
    Fail { role: Role, trouble: Trouble },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    None,
    Wanted {
        role: Role,
        trouble: Trouble,
    },
    Running {
        role: Role,
        trouble: Trouble,
    },
    /// Pipes that may be submitted to again, one after the other.
    Settling {
        next: usize,
    },
    Failed {
        role: Role,
        trouble: Trouble,
    },
    Over,
}

#[derive(Debug, Clone)]
pub(super) struct Repair {
    pipes: [Health; 2],
    reset: Reset,
    /// A reset of the device would end no other port's work.
    may_reset: bool,
    was_reset: Option<Instant>,
    good_since: u32,
    recoveries: u64,
}

const ROLES: [Role; 2] = [Role::Receive, Role::Transmit];

impl Repair {
    pub(super) const fn new(may_reset: bool) -> Self {
        Self {
            pipes: [Health::new(), Health::new()],
            reset: Reset::None,
            may_reset,
            was_reset: None,
            good_since: 0,
            recoveries: 0,
        }
    }

    pub(super) fn is_running(&self, role: Role) -> bool {
        self.pipes[role as usize].is_running()
    }

    pub(super) fn recoveries(&self) -> u64 {
        self.recoveries
    }

    #[inline]
    pub(super) fn good(&mut self, role: Role, transfers: u32) {
        self.pipes[role as usize].good(transfers);
        self.good_since = self.good_since.saturating_add(transfers);
    }

    pub(super) fn trouble(&mut self, role: Role, trouble: Trouble, now: Instant) {
        if !self.pipes[role as usize].trouble(trouble, now) || self.reset != Reset::None {
            return;
        }
        self.pipes.iter_mut().for_each(Health::stop);
        let recently = self.was_reset.is_some_and(|at| {
            now.saturating_duration_since(at) < RESET_TIME || self.good_since < COMPLETIONS
        });
        self.reset = match self.may_reset && !recently {
            true => Reset::Wanted { role, trouble },
            false => Reset::Failed { role, trouble },
        };
    }

    pub(super) fn cleared(&mut self, role: Role, done: bool, now: Instant) {
        self.pipes[role as usize].cleared(done, now);
    }

    pub(super) fn reset_ended(&mut self, done: bool) {
        let Reset::Running { role, trouble } = self.reset else { return };
        self.reset = if done { Reset::Settling { next: 0 } } else { Reset::Failed { role, trouble } };
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        self.pipes.iter_mut().for_each(|pipe| pipe.timeout(now));
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.pipes.iter().filter_map(Health::wake_at).min()
    }

    /// No request may be sent: the device is being reset, or given up.
    pub(super) fn is_down(&self) -> bool {
        matches!(
            self.reset,
            Reset::Wanted { .. } | Reset::Running { .. } | Reset::Failed { .. } | Reset::Over
        )
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Mend> {
        match self.reset {
            Reset::None => {}
            Reset::Wanted { role, trouble } => {
                self.reset = Reset::Running { role, trouble };
                (self.was_reset, self.good_since) = (Some(now), 0);
                return Some(Mend::Reset);
            }
            Reset::Failed { role, trouble } => {
                self.reset = Reset::Over;
                return Some(Mend::Fail { role, trouble });
            }
            Reset::Settling { next } => match ROLES.get(next).copied() {
                Some(role) => {
                    self.reset = Reset::Settling { next: next + 1 };
                    self.pipes[role as usize].restart();
                    return Some(Mend::Resume(role));
                }
                None => {
                    self.reset = Reset::None;
                    self.recoveries += 1;
                }
            },
            Reset::Running { .. } | Reset::Over => return None,
        }
        for role in ROLES {
            match self.pipes[role as usize].poll(now) {
                Some(Step::ClearHalt) => return Some(Mend::ClearHalt(role)),
                Some(Step::Resume { .. }) => {
                    self.recoveries += 1;
                    return Some(Mend::Resume(role));
                }
                None => {}
            }
        }
        None
    }
}
