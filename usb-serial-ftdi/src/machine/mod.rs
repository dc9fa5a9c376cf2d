//! A port's behaviour as a state machine without I/O: events and the time go in (`handle_*`), actions come out (`poll_*`). It knows no
//! pipe, no end of the host, no clock and no log. Its owner does what the actions say and tells how it went.
//!
//! What the host asks is done in its order, each when what came before is in the chip: a line that is dropped and raised goes down in between.
//! A change of rate or format, a drain and the last close wait until what was written is on the line, for a bounded time.
//!
//! ```
//! use std::time::Instant;
//! use outboard_core::family::serial::{LineSettings, Request};
//! use outboard_usb_serial_ftdi::machine::{Action, Answer, Machine, Parameters};
//! use outboard_usb_serial_ftdi::proto::{chip::Chip, request::Channel};
//!
//! let now = Instant::now();
//! let mut machine = Machine::new(Parameters::new(Chip::R, Channel(0)));
//! assert_eq!(machine.poll_action(now), None);
//! machine.handle_request(Request::Opened { settings: LineSettings::new(9600), raise: true }, now);
//! let Some(Action::Request(setup)) = machine.poll_action(now) else { panic!() };
//! assert_eq!((setup.request, setup.value), (0, 2), "what came before the open is thrown away");
//! assert_eq!(machine.poll_action(now), None, "one request at a time");
//! machine.handle_answer(Answer::Done, now);
//! assert_eq!(machine.poll_action(now), Some(Action::Read(true)));
//! ```

mod event;
mod latency;
mod line;
mod repair;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use outboard_core::family::serial::{FlowControl, LineSettings, ModemInputs, ModemOutputs, Request};
pub use outboard_core::usb::health::Trouble;

use crate::proto::baud::Rate;
use crate::proto::chip::Chip;
use crate::proto::request::{Channel, reset};
use crate::proto::status::{Status, Stripped};
pub use event::{Action, Answer, LineCounters, Parameters, Role};
use latency::Latency;
pub use latency::{DECAY, PATIENCE, QUICK, SLOW};
pub use line::Overlay;
use line::{Field, Line, Wanted};
pub use repair::RESET_TIME;
use repair::{Mend, Repair};

/// Requests of the host that may wait. While more do, it is not asked.
pub const QUEUE: usize = 16;
/// A request that failed on the bus is sent again after this time,
pub const RETRY: Duration = Duration::from_millis(125);
/// so often.
pub const RETRIES: u32 = 5;
/// What a drain is given beyond twice the time that the bytes need on the line.
pub const DRAIN_GRACE: Duration = Duration::from_millis(500);
/// The longest that a drain takes: what Linux gives a close (closing_wait).
pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InFlight {
    None,
    Set(Field, Wanted),
    Purge { received: bool },
}

/// The state of one port.
#[derive(Debug, Clone)]
pub struct Machine {
    chip: Chip,
    channel: Channel,
    line: Line,
    latency: Latency,
    repair: Repair,
    open: bool,
    /// It was opened once, so that the chip is to be set.
    touched: bool,
    queue: VecDeque<Request>,
    /// Until when the first of the queue waits for the line.
    settle: Option<Instant>,
    /// Until when it waits at most now that all is in the chip, if nothing can hold the chip up.
    quiet: Option<Instant>,
    in_flight: InFlight,
    retry_at: Option<Instant>,
    failures: u32,
    purge_received: bool,
    purge_written: bool,
    abort: Abort,
    told_read: bool,
    told_pull: bool,
    /// The host's end has nothing left of what was written before a close that is waiting.
    exhausted: bool,
    discard: bool,
    /// Whether the host waits to hear of its settings.
    report: bool,
    writes: usize,
    bytes_in_flight: usize,
    /// Something was written since the line was last seen idle.
    unsent: bool,
    /// Packets that say that the transmitter is empty, since the last write ended.
    idle_packets: u32,
    /// A drain has ended, and the host is to hear whether all is on the line.
    drained: Option<bool>,
    status: Option<Status>,
    told_modem: Option<ModemInputs>,
    counters: LineCounters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abort {
    None,
    Wanted,
    Running,
}

impl Machine {
    /// A port that nobody has opened. Nothing is sent before somebody does.
    pub fn new(parameters: Parameters) -> Self {
        let Parameters { chip, channel, quirks, overlay, may_reset } = parameters;
        Self {
            chip,
            channel,
            line: Line::new(chip, quirks, overlay),
            latency: Latency::new(overlay.latency.or(quirks.latency)),
            repair: Repair::new(may_reset),
            open: false,
            touched: false,
            queue: VecDeque::with_capacity(QUEUE),
            settle: None,
            quiet: None,
            in_flight: InFlight::None,
            retry_at: None,
            failures: 0,
            purge_received: false,
            purge_written: false,
            abort: Abort::None,
            told_read: false,
            told_pull: false,
            exhausted: false,
            discard: false,
            report: false,
            writes: 0,
            bytes_in_flight: 0,
            unsent: false,
            idle_packets: 0,
            drained: None,
            status: None,
            told_modem: None,
            counters: LineCounters::default(),
        }
    }

    /// Somebody has the port open.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether transfers may be submitted on this pipe.
    pub fn is_running(&self, role: Role) -> bool {
        self.repair.is_running(role)
    }

    /// Bytes may be taken from the host now.
    pub fn may_pull(&self) -> bool {
        self.open
            // What is written once somebody else has the port open is not the last one's.
            && (self.queue.is_empty() || self.queue.len() == 1 && self.is_closing())
            && !self.is_purging()
            && self.repair.is_running(Role::Transmit)
            && self.line.is_settled()
    }

    /// The last application has closed the port, and what it wrote is being sent.
    pub fn is_closing(&self) -> bool {
        self.open && matches!(self.queue.front(), Some(Request::Closed { .. }))
    }

    /// The host may be asked for its next request.
    pub fn may_ask(&self) -> bool {
        self.queue.len() < QUEUE
    }

    /// A sender can be stopped, so that what the host does not read need not be lost.
    pub fn stops_sender(&self) -> bool {
        self.line.wanted.flow != FlowControl::None
    }

    /// The settings that the host asked for last.
    pub fn settings(&self) -> LineSettings {
        self.line.asked()
    }

    /// The rate that the line has, or will have with the next request.
    pub fn rate(&self) -> Rate {
        self.line.wanted.rate
    }

    /// The modem outputs, likewise.
    pub fn lines(&self) -> ModemOutputs {
        self.line.wanted.lines
    }

    /// The modem inputs, once the chip has told them.
    pub fn inputs(&self) -> Option<ModemInputs> {
        self.status.map(Status::inputs)
    }

    /// Errors and edges.
    pub fn counters(&self) -> &LineCounters {
        &self.counters
    }

    /// Requests that the chip refused.
    pub fn refused(&self) -> u64 {
        self.line.refused()
    }

    /// Repairs that succeeded.
    pub fn recoveries(&self) -> u64 {
        self.repair.recoveries()
    }

    /// What holds whatever the host asks for.
    pub fn overlay(&self) -> Overlay {
        self.line.overlay
    }

    /// Changes what holds whatever the host asks for. It takes effect as a request of the host's would.
    pub fn set_overlay(&mut self, overlay: Overlay, now: Instant) {
        self.line.overlay = overlay;
        self.latency.set_fixed(overlay.latency);
        if self.touched {
            self.handle_request(Request::Settings(self.line.asked()), now);
        }
    }

    /// The host asks for something.
    pub fn handle_request(&mut self, request: Request, _: Instant) {
        match (self.queue.back_mut(), request) {
            // At once: what it throws away may be what the others wait for.
            (_, Request::Purge { received, written }) => {
                if self.touched {
                    self.purge_received |= received;
                    self.purge_written |= written;
                    if written && self.abort == Abort::None {
                        self.abort = Abort::Wanted;
                    }
                }
            }
            (Some(Request::Settings(old)), Request::Settings(new)) => *old = new,
            _ => self.queue.push_back(request),
        }
    }

    /// The last [`Action::Request`] has ended.
    pub fn handle_answer(&mut self, answer: Answer, now: Instant) {
        let in_flight = std::mem::replace(&mut self.in_flight, InFlight::None);
        if answer == Answer::Failed && self.failures < RETRIES {
            self.failures += 1;
            self.retry_at = Some(now + RETRY);
            return;
        }
        self.failures = 0;
        match in_flight {
            InFlight::None => {}
            InFlight::Set(field, sent) => self.line.learn(field, &sent, answer != Answer::Done),
            InFlight::Purge { received: true } => self.purge_received = false,
            InFlight::Purge { received: false } => self.purge_written = false,
        }
    }

    /// A transfer with so many bytes was submitted to the chip.
    #[inline]
    pub fn handle_submitted(&mut self, bytes: usize, now: Instant) {
        self.writes += 1;
        self.bytes_in_flight += bytes;
        self.unsent = true;
        self.quiet = None;
        self.idle_packets = 0;
        self.latency.sent(now);
    }

    /// Something that was told since the last action makes another one.
    #[inline]
    pub fn is_restless(&self) -> bool {
        let may_be_quiet = self.settle.is_some() && self.quiet.is_none() && self.writes == 0;
        self.latency.value() != self.line.wanted.latency || self.exhausted && !self.unsent || may_be_quiet
    }

    /// The host's end gave nothing although it could have.
    #[inline]
    pub fn handle_nothing(&mut self) {
        self.exhausted = self.is_closing();
    }

    /// It has ended, well or not.
    #[inline]
    pub fn handle_written(&mut self, bytes: usize) {
        self.writes = self.writes.saturating_sub(1);
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
        self.idle_packets = 0;
    }

    /// So many transfers of a pipe went well.
    #[inline]
    pub fn handle_completed(&mut self, role: Role, transfers: u32) {
        self.repair.good(role, transfers);
    }

    /// What a transfer from the chip had in it. True: there is something to do.
    #[inline]
    pub fn handle_received(&mut self, stripped: &Stripped) -> bool {
        let counters = &mut self.counters;
        counters.runts += u64::from(stripped.runts);
        if !stripped.errors.is_empty() {
            counters.errors.add(stripped.errors);
        }
        if stripped.edges != [0; 4] {
            let [cts, dsr, ri, dcd] = stripped.edges.map(u64::from);
            counters.cts += cts;
            counters.dsr += dsr;
            counters.ri += ri;
            counters.dcd += dcd;
        }
        let Some(status) = stripped.last else { return false };
        self.status = Some(status);
        let mut news = self.told_modem != Some(status.inputs());
        if self.unsent && self.writes == 0 {
            // The first of them may have been on its way when the last byte reached the chip.
            self.idle_packets = if status.is_drained() { self.idle_packets + 1 } else { 0 };
            if self.idle_packets >= 2 {
                self.unsent = false;
                news |= self.settle.is_some();
            }
        }
        news
    }

    /// The status that the chip told last.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// A transfer failed.
    pub fn handle_trouble(&mut self, role: Role, trouble: Trouble, now: Instant) {
        self.repair.trouble(role, trouble, now);
    }

    /// The last [`Action::ClearHalt`] for this pipe has ended.
    pub fn handle_cleared(&mut self, role: Role, done: bool, now: Instant) {
        self.repair.cleared(role, done, now);
    }

    /// The last [`Action::AbortWrites`] has ended.
    pub fn handle_aborted(&mut self) {
        if self.abort == Abort::Running {
            self.abort = Abort::None;
        }
    }

    /// The last [`Action::Reset`] has ended.
    pub fn handle_reset(&mut self, done: bool) {
        self.line.forget();
        self.repair.reset_ended(done);
    }

    /// It is the time that [`poll_timeout`](Self::poll_timeout) gave, or later, or earlier.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.latency.timeout(now);
        self.repair.timeout(now);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.repair.is_down() {
            // Nothing is done before the reset has ended, or ever again: a time that has come would come at once, again and again.
            return None;
        }
        let latency = self.latency.wake_at().filter(|_| self.touched);
        [latency, self.repair.wake_at(), self.retry_at, self.settle, self.quiet].into_iter().flatten().min()
    }

    fn is_purging(&self) -> bool {
        self.abort != Abort::None || self.purge_received || self.purge_written
    }

    /// The next thing to do, after any event; until there is none.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        if let Some(mend) = self.repair.poll(now) {
            return Some(match mend {
                Mend::ClearHalt(role) => Action::ClearHalt(role),
                Mend::Resume(role) => Action::Resume(role),
                Mend::Reset => {
                    self.line.forget();
                    Action::Reset
                }
                Mend::Fail { role, trouble } => Action::Fail { role, trouble },
            });
        }
        if self.repair.is_down() {
            return None;
        }
        loop {
            if self.abort == Abort::Wanted {
                self.abort = Abort::Running;
                return Some(Action::AbortWrites);
            }
            if let Some(action) = self.poll_told() {
                return Some(action);
            }
            if let Some(action) = self.poll_request() {
                return Some(action);
            }
            if self.is_busy() || !self.poll_queue(now) {
                break;
            }
        }
        if self.told_pull != self.may_pull() {
            self.told_pull = !self.told_pull;
            if self.told_pull {
                return Some(Action::Pull);
            }
        }
        None
    }

    /// What the host's end or the owner has to hear.
    fn poll_told(&mut self) -> Option<Action> {
        let read = self.open && (self.told_read || !self.purge_received);
        if self.told_read != read {
            self.told_read = read;
            return Some(Action::Read(read));
        }
        if std::mem::take(&mut self.discard) {
            return Some(Action::Discard);
        }
        if let Some(complete) = self.drained.take() {
            return Some(Action::Drained { complete });
        }
        let inputs = self.inputs().filter(|_| self.open);
        if inputs.is_some() && inputs != self.told_modem {
            self.told_modem = inputs;
            return inputs.map(Action::Modem);
        }
        None
    }

    fn is_busy(&self) -> bool {
        self.in_flight != InFlight::None || self.retry_at.is_some() || self.abort != Abort::None
    }

    fn poll_request(&mut self) -> Option<Action> {
        if self.is_busy() || !self.touched {
            return None;
        }
        let purge = match (self.purge_written, self.purge_received) {
            (true, _) => Some((reset::PURGE_WRITTEN, false)),
            (false, true) => Some((reset::PURGE_RECEIVED, true)),
            (false, false) => None,
        };
        if let Some((what, received)) = purge {
            self.in_flight = InFlight::Purge { received };
            return Some(Action::Request(self.channel.reset(what)));
        }
        self.line.wanted.latency = self.latency.value();
        if let Some(field) = self.line.next() {
            self.in_flight = InFlight::Set(field, self.line.wanted);
            return Some(Action::Request(self.line.request(self.channel, field)));
        }
        if std::mem::take(&mut self.report) {
            return Some(Action::Applied(self.line.applied()));
        }
        None
    }

    /// Does the next that the host asked for. False: there is nothing, or it has to wait.
    fn poll_queue(&mut self, now: Instant) -> bool {
        let Some(request) = self.queue.front().copied() else { return false };
        let waits = match request {
            Request::Settings(settings) => self.line.reshapes(settings),
            Request::Closed { .. } | Request::Drain | Request::Break(true) => true,
            _ => false,
        };
        let closes = matches!(request, Request::Closed { .. });
        // It was waited for too long; and the line, or the end, was holding it.
        let (mut late, mut held) = (false, false);
        let rests = closes && !self.exhausted && self.queue.len() == 1;
        if waits && (self.unsent || rests) {
            let time = if closes { DRAIN_LIMIT } else { self.line_time() };
            let until = self.settle.unwrap_or(now + time);
            self.settle = Some(until);
            if self.writes == 0 && !rests && !self.stops_sender() {
                // Some emulated chips never say that they are idle.
                self.quiet = self.quiet.or(Some(now + self.line_time()));
            }
            if now < self.quiet.map_or(until, |quiet| quiet.min(until)) {
                return false;
            }
            late = true;
            held = now >= until;
            // What nothing holds is taken to be out by now.
            self.unsent &= held;
        }
        (self.settle, self.quiet) = (None, None);
        self.queue.pop_front();
        match request {
            Request::Opened { settings, raise } => {
                (self.open, self.touched) = (true, true);
                // What came while nobody listened, as on a terminal.
                self.purge_received = true;
                self.line.ask(settings);
                if raise && settings.baud != 0 {
                    self.line.wanted.lines = ModemOutputs { dtr: true, rts: true };
                }
                self.report = true;
            }
            Request::Closed { drop } => {
                self.open = false;
                self.latency.idle();
                self.line.set_break(false);
                if drop {
                    self.line.wanted.lines = ModemOutputs::default();
                }
                self.exhausted = false;
                if held {
                    // Unless somebody else has it open: then it is his.
                    self.discard = self.queue.is_empty();
                    self.purge_written = true;
                    self.abort = Abort::Wanted;
                }
                self.told_modem = None;
            }
            Request::Settings(settings) => {
                self.line.ask(settings);
                self.report = true;
            }
            Request::Lines { dtr, rts } => {
                let lines = &mut self.line.wanted.lines;
                lines.dtr = dtr.unwrap_or(lines.dtr);
                lines.rts = rts.unwrap_or(lines.rts);
                self.touched = true;
            }
            Request::Break(on) => self.line.set_break(on),
            Request::Drain => self.drained = Some(!late),
            _ => {}
        }
        true
    }

    /// How long what was written may need to be on the line.
    fn line_time(&self) -> Duration {
        let bytes = (self.bytes_in_flight + self.chip.transmit_fifo()) as u64;
        let half_bits = u64::from(self.line.asked().half_bits());
        let needed = Duration::from_nanos(self.rate().nanoseconds(bytes * half_bits));
        (2 * needed + DRAIN_GRACE).min(DRAIN_LIMIT)
    }
}
