//! ECM's behaviour as a state machine without I/O: events and the time go in (`handle_*`), actions come out (`poll_*`). It knows no
//! pipe, no interface, no clock and no log. Its owner does what the actions say and tells how it went.
//!
//! ```
//! use std::time::Instant;
//! use outboard_core::MacAddr;
//! use outboard_usb_ecm::machine::{Action, Machine, Parameters, Answer, GRACE};
//!
//! let now = Instant::now();
//! let station = MacAddr::new([2, 0, 0, 0, 0, 1]);
//! let mut machine = Machine::new(Parameters { notifies: true, ..Parameters::new(station, 480) });
//! assert!(matches!(machine.poll_action(now), Some(Action::Speed(_))));
//! assert!(matches!(machine.poll_action(now), Some(Action::Request(_))));
//! machine.handle_answer(Answer::Done);
//! assert_eq!(machine.poll_action(now), None);
//! machine.handle_started(now);
//! assert_eq!(machine.poll_timeout(), Some(now + GRACE));
//! machine.handle_timeout(now + GRACE);
//! assert_eq!(machine.poll_action(now + GRACE), Some(Action::Carrier(true)));
//! ```

mod filter;
mod link;
#[doc(hidden)]
pub mod testing;

use std::time::{Duration, Instant};

use outboard_core::MacAddr;
use outboard_core::family::ethernet::HostWish;
pub use outboard_core::usb::health::{
    COMPLETIONS, FIRST_PAUSE, LONGEST_PAUSE, REPAIR_TIME, REPAIRS, TROUBLES, Trouble,
};
use outboard_core::usb::health::{Health, Step};

use crate::proto::functional::MulticastFilters;
use crate::proto::notification::{Notification, Reader};
use filter::Filter;
pub use filter::{Answer, FilterRequest};
use link::Link;
pub use link::{GRACE, LinkSpeed, STRAGGLERS};

/// How many resets are tried before the device is given up. After [`RESET_TIME`] and [`COMPLETIONS`] good transfers they may be tried
/// again.
pub const RESETS: u32 = 1;
/// How long a device has to do without a further reset: one that needs a reset every minute is not worth its interruptions. Good
/// transfers alone would not do, for [`REPAIRS`] may have many between them.
pub const RESET_TIME: Duration = Duration::from_secs(60);

/// What a pipe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Frames from the device: bulk IN.
    Receive,
    /// Frames to the device: bulk OUT.
    Transmit,
    /// Notifications: interrupt IN.
    Notify,
}

/// What a machine has to know of its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// The address that the device filters for; [`MacAddr::ZERO`] if it could not be had from the device.
    pub station: MacAddr,
    /// The speed of the bus, in Mbit/s: shown until the device says its own.
    pub bus_mbit: u32,
    /// The link as a driver before this one left it, if it was up: it is up from the start, until the device says otherwise.
    pub resumes: Option<LinkSpeed>,
    /// There is a notification endpoint.
    pub notifies: bool,
    /// Filters by group address.
    pub multicast: MulticastFilters,
    /// Quirk: see [`Quirks::repeated_carrier_on`](crate::proto::quirks::Quirks::repeated_carrier_on).
    pub repeated_carrier_on: bool,
}

impl Parameters {
    /// Without notifications, multicast filters and quirks.
    pub fn new(station: MacAddr, bus_mbit: u32) -> Self {
        let multicast = MulticastFilters::default();
        Self { station, bus_mbit, resumes: None, notifies: false, multicast, repeated_carrier_on: false }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell the host whether there is a link.
    Carrier(bool),
    /// Tell the host how fast it is.
    Speed(LinkSpeed),
    /// Send this request; [`Machine::handle_answer`] when it has ended. None follows before.
    Request(FilterRequest),
    /// Abort what is in flight on this pipe and clear its halt; [`Machine::handle_cleared`] when done.
    ClearHalt(Role),
    /// Submit transfers on this pipe again.
    Resume(Role),
    /// Abort everything, reset the device, select the alternate setting, open the pipes anew; [`Machine::handle_reset`] when done.
    Reset,
    /// The device is beyond repair.
    Fail {
        /// The pipe that does not work.
        role: Role,
        /// How its last transfer failed.
        trouble: Trouble,
    },
}

/// A repair that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The pipe.
    pub role: Role,
    /// When it was submitted to again.
    pub at: Instant,
    /// How long it could not be.
    pub took: Duration,
}

/// The state of one function.
#[derive(Debug, Clone)]
pub struct Machine {
    link: Link,
    filter: Filter,
    reader: Reader,
    notifies: bool,
    pipes: [Health; 3],
    told_carrier: Option<bool>,
    told_speed: Option<LinkSpeed>,
    reset: Reset,
    resets: u32,
    good_since_reset: u32,
    last_reset: Option<Instant>,
    recoveries: u64,
    last_recovery: Option<Recovery>,
    bad_notifications: u64,
    deaf: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    None,
    Wanted {
        since: Instant,
        role: Role,
        trouble: Trouble,
    },
    Running {
        since: Instant,
        role: Role,
        trouble: Trouble,
    },
    /// It is done, and the filters have to be set before anything is submitted.
    Settling {
        since: Instant,
        role: Role,
        next: usize,
    },
    Failed {
        role: Role,
        trouble: Trouble,
    },
    Over,
}

const ROLES: [Role; 3] = [Role::Notify, Role::Receive, Role::Transmit];

impl Machine {
    /// A function whose alternate setting has just been selected: nothing has been told to the host or the device.
    pub fn new(parameters: Parameters) -> Self {
        let Parameters { station, bus_mbit, resumes, notifies, multicast, repeated_carrier_on } = parameters;
        let mut pipes = [const { Health::new() }; 3];
        if !notifies {
            pipes[Role::Notify as usize].stop();
        }
        Self {
            link: Link::new(bus_mbit, repeated_carrier_on, resumes),
            notifies,
            filter: Filter::new(multicast, station),
            reader: Reader::new(),
            pipes,
            told_carrier: None,
            told_speed: None,
            reset: Reset::None,
            resets: 0,
            good_since_reset: 0,
            last_reset: None,
            recoveries: 0,
            last_recovery: None,
            bad_notifications: 0,
            deaf: false,
        }
    }

    /// Whether there is a link.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// The speed of the link.
    pub fn speed(&self) -> LinkSpeed {
        self.link.speed()
    }

    /// Whether transfers may be submitted on this pipe.
    pub fn is_running(&self, role: Role) -> bool {
        self.health(role).is_running()
    }

    /// Whether the notification endpoint was given up.
    pub fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// Repairs that succeeded.
    pub fn recoveries(&self) -> u64 {
        self.recoveries
    }

    /// The last of them.
    pub fn last_recovery(&self) -> Option<Recovery> {
        self.last_recovery
    }

    /// Notifications that made no sense.
    pub fn bad_notifications(&self) -> u64 {
        self.bad_notifications
    }

    /// Transfers are about to be submitted on all pipes, for the first time.
    pub fn handle_started(&mut self, now: Instant) {
        self.link.started(self.notifies, now);
    }

    /// What the host wants of its interface, each time that it may have changed.
    pub fn handle_wish(&mut self, wish: &HostWish) {
        self.filter.wish(wish);
    }

    /// The last [`Action::Request`] has ended.
    pub fn handle_answer(&mut self, answer: Answer) {
        self.filter.answered(answer);
    }

    /// A transfer of the notification endpoint.
    pub fn handle_notification(&mut self, transfer: &[u8], now: Instant) {
        self.pipes[Role::Notify as usize].good(1);
        for notification in self.reader.read(transfer) {
            match notification {
                Ok(Notification::Connection { connected }) => self.link.connection(connected, now),
                Ok(Notification::Speed { downlink, uplink }) => self.link.speed_change(downlink, uplink),
                Ok(Notification::ResponseAvailable | Notification::Unknown { .. }) => {}
                Err(_) => self.bad_notifications += 1,
            }
        }
    }

    /// So many transfers of a bulk pipe went well, `frames` of them with a frame from the device.
    pub fn handle_completed(&mut self, role: Role, transfers: u32, frames: u32, now: Instant) {
        self.pipes[role as usize].good(transfers);
        if self.resets != 0 {
            self.good_since_reset = self.good_since_reset.saturating_add(transfers);
            let long_ago = self.last_reset.is_none_or(|at| now.saturating_duration_since(at) >= RESET_TIME);
            if self.good_since_reset >= COMPLETIONS && long_ago {
                self.resets = 0;
            }
        }
        if frames > 0 && !self.link.is_up() {
            self.link.traffic(now);
        }
    }

    /// A transfer failed.
    pub fn handle_trouble(&mut self, role: Role, trouble: Trouble, now: Instant) {
        if !self.pipes[role as usize].trouble(trouble, now) {
            return;
        }
        match (role, self.reset) {
            // Frames do not depend on it.
            (Role::Notify, _) => {
                self.reader.reset();
                self.link.deaf();
                self.deaf = true;
            }
            (_, Reset::None) => {
                self.pipes.iter_mut().for_each(Health::stop);
                self.reset = if self.resets < RESETS {
                    Reset::Wanted { since: now, role, trouble }
                } else {
                    Reset::Failed { role, trouble }
                };
            }
            _ => {}
        }
    }

    /// The last [`Action::ClearHalt`] for this pipe has ended.
    pub fn handle_cleared(&mut self, role: Role, done: bool, now: Instant) {
        if role == Role::Notify {
            self.reader.reset();
        }
        self.pipes[role as usize].cleared(done, now);
    }

    /// The last [`Action::Reset`] has ended.
    pub fn handle_reset(&mut self, done: bool) {
        let Reset::Running { since, role, trouble } = self.reset else { return };
        self.resets += 1;
        self.good_since_reset = 0;
        self.reader.reset();
        self.deaf = false;
        self.filter.forget();
        self.reset =
            if done { Reset::Settling { since, role, next: 0 } } else { Reset::Failed { role, trouble } };
    }

    /// It is the time that [`poll_timeout`](Self::poll_timeout) gave, or later, or earlier.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.link.timeout(now);
        self.pipes.iter_mut().for_each(|pipe| pipe.timeout(now));
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pipes.iter().filter_map(Health::wake_at).chain(self.link.wake_at()).min()
    }

    /// The next thing to do, after any event; until there is none.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.poll_host().or_else(|| self.poll_device(now))
    }

    fn poll_host(&mut self) -> Option<Action> {
        if self.told_speed != Some(self.link.speed()) {
            self.told_speed = Some(self.link.speed());
            return self.told_speed.map(Action::Speed);
        }
        if self.link.take_bounce() && self.told_carrier == Some(true) {
            self.told_carrier = Some(false);
            return Some(Action::Carrier(false));
        }
        // It is down to begin with, and need not be told so.
        let up = self.link.is_up();
        if self.told_carrier.unwrap_or(false) != up {
            self.told_carrier = Some(up);
            return Some(Action::Carrier(up));
        }
        None
    }

    fn poll_device(&mut self, now: Instant) -> Option<Action> {
        match self.reset {
            Reset::None => {}
            Reset::Wanted { since, role, trouble } => {
                self.reset = Reset::Running { since, role, trouble };
                self.last_reset = Some(now);
                // A request that is cut off by the reset says nothing of what the device can do.
                self.filter.forget();
                return Some(Action::Reset);
            }
            Reset::Failed { role, trouble } => {
                self.reset = Reset::Over;
                return Some(Action::Fail { role, trouble });
            }
            Reset::Settling { since, role, next } => return self.poll_settling(since, role, next, now),
            Reset::Running { .. } | Reset::Over => return None,
        }
        if let Some(request) = self.filter.poll() {
            return Some(Action::Request(request));
        }
        for role in ROLES {
            match self.pipes[role as usize].poll(now) {
                Some(Step::ClearHalt) => return Some(Action::ClearHalt(role)),
                Some(Step::Resume { since }) => {
                    self.recovered(role, since, now);
                    return Some(Action::Resume(role));
                }
                None => {}
            }
        }
        None
    }

    fn poll_settling(&mut self, since: Instant, role: Role, next: usize, now: Instant) -> Option<Action> {
        if let Some(request) = self.filter.poll() {
            return Some(Action::Request(request));
        }
        if !self.filter.is_settled() {
            return None;
        }
        let Some(pipe) = ROLES.get(next).copied() else {
            self.reset = Reset::None;
            self.recovered(role, since, now);
            return self.poll_device(now);
        };
        self.reset = Reset::Settling { since, role, next: next + 1 };
        self.pipes[pipe as usize].restart();
        Some(Action::Resume(pipe))
    }

    fn recovered(&mut self, role: Role, since: Instant, now: Instant) {
        self.recoveries += 1;
        self.last_recovery = Some(Recovery { role, at: now, took: now.saturating_duration_since(since) });
    }

    fn health(&self, role: Role) -> &Health {
        &self.pipes[role as usize]
    }
}
