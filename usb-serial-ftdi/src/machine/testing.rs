//! Plays any bytes as events to a machine and checks what it promises. For tests and the fuzz target.

use std::time::{Duration, Instant};

use outboard_core::family::serial::{DataBits, FlowControl, LineSettings, Parity, Request, StopBits};

use super::{Action, Answer, Machine, Overlay, Parameters, Role, Trouble};
use crate::proto::chip::Chip;
use crate::proto::request::Channel;
use crate::proto::status;

/// Actions after one event; more would be a loop.
const MOST: usize = 64;

/// Plays `events`; panics where the machine breaks a promise.
pub fn play(events: &[u8]) {
    let mut rest = events.iter().copied();
    let chip = Chip::ALL[usize::from(rest.next().unwrap_or(0)) % Chip::ALL.len()];
    let mut now = Instant::now();
    let mut machine = Machine::new(Parameters::new(chip, Channel(1)));
    let mut waits = Waits::default();
    while let Some(event) = rest.next() {
        let mut next = || rest.next().unwrap_or(0);
        match event % 16 {
            0 => ask(
                &mut machine,
                Request::Opened { settings: settings(next(), next()), raise: next() & 1 != 0 },
                now,
            ),
            1 => ask(&mut machine, Request::Closed { drop: next() & 1 != 0 }, now),
            2 => ask(&mut machine, Request::Settings(settings(next(), next())), now),
            3 => ask(&mut machine, Request::Lines { dtr: Some(next() & 1 != 0), rts: None }, now),
            4 => ask(&mut machine, Request::Break(next() & 1 != 0), now),
            5 => {
                let which = next();
                ask(&mut machine, Request::Purge { received: which & 1 != 0, written: which & 2 != 0 }, now);
            }
            6 => ask(&mut machine, Request::Drain, now),
            7 if machine.may_pull() => {
                machine.handle_submitted(64, now);
                waits.writes += 1;
            }
            7 => machine.handle_nothing(),
            8 if waits.writes > 0 => {
                machine.handle_written(64);
                waits.writes -= 1;
            }
            9 | 10 => {
                let mut transfer = [next(), next(), 0];
                let stripped = status::strip(&mut transfer, 64, machine.status());
                machine.handle_received(&stripped);
                machine.handle_completed(Role::Receive, 1);
            }
            11 if waits.answer => {
                waits.answer = false;
                let answers = [Answer::Done, Answer::Done, Answer::Refused, Answer::Failed];
                machine.handle_answer(answers[usize::from(next()) % 4], now);
            }
            12 => {
                let role = if next() & 1 == 0 { Role::Receive } else { Role::Transmit };
                let trouble = [Trouble::Stall, Trouble::Fault, Trouble::Overflow][usize::from(next()) % 3];
                machine.handle_trouble(role, trouble, now);
            }
            13 => {
                if let Some(role) = waits.clear.take() {
                    machine.handle_cleared(role, next() & 3 != 0, now);
                } else if std::mem::take(&mut waits.abort) {
                    machine.handle_aborted();
                } else if std::mem::take(&mut waits.reset) {
                    machine.handle_reset(next() & 3 != 0);
                }
            }
            14 => {
                if let Some(at) = machine.poll_timeout() {
                    now = now.max(at);
                }
                machine.handle_timeout(now);
            }
            15 => {
                let overlay = Overlay {
                    parity: Some(Parity::Even),
                    latency: Some(next().max(1)),
                    ..Overlay::default()
                };
                if machine.may_ask() {
                    machine.set_overlay(overlay, now);
                }
            }
            _ => now += Duration::from_millis(u64::from(next())),
        }
        waits.act(&mut machine, now);
    }
    settle(machine, waits, now);
}

/// Whatever happened, a port that is closed comes to rest: nothing to do, and no time to wait for.
fn settle(mut machine: Machine, mut waits: Waits, mut now: Instant) {
    for _ in 0..300 {
        for _ in 0..std::mem::take(&mut waits.writes) {
            machine.handle_written(64);
        }
        if std::mem::take(&mut waits.answer) {
            machine.handle_answer(Answer::Done, now);
        }
        if let Some(role) = waits.clear.take() {
            machine.handle_cleared(role, true, now);
        }
        if std::mem::take(&mut waits.abort) {
            machine.handle_aborted();
        }
        if std::mem::take(&mut waits.reset) {
            machine.handle_reset(true);
        }
        if let Some(at) = machine.poll_timeout() {
            now = now.max(at);
            machine.handle_timeout(now);
        }
        waits.act(&mut machine, now);
        let nothing = !waits.answer && waits.clear.is_none() && !waits.abort && !waits.reset;
        if nothing && machine.poll_timeout().is_none() {
            let over = machine.repair.is_down();
            assert!(over || machine.queue.is_empty(), "what the host asked is done: {machine:?}");
            return;
        }
    }
    panic!("it does not come to rest: {machine:?}");
}

/// What the owner owes the machine.
#[derive(Debug, Default)]
struct Waits {
    answer: bool,
    clear: Option<Role>,
    abort: bool,
    reset: bool,
    writes: usize,
    reads: bool,
}

impl Waits {
    fn act(&mut self, machine: &mut Machine, now: Instant) {
        for _ in 0..MOST {
            let Some(action) = machine.poll_action(now) else { return };
            match action {
                Action::Request(_) => assert!(!std::mem::replace(&mut self.answer, true), "one at a time"),
                Action::Read(on) => assert_ne!(std::mem::replace(&mut self.reads, on), on),
                Action::Pull => assert!(machine.may_pull()),
                Action::AbortWrites => assert!(!std::mem::replace(&mut self.abort, true)),
                Action::ClearHalt(role) => self.clear = Some(role),
                Action::Reset => {
                    assert!(!std::mem::replace(&mut self.reset, true));
                    self.clear = None;
                }
                Action::Resume(role) => assert!(machine.is_running(role)),
                Action::Fail { .. }
                | Action::Discard
                | Action::Applied(_)
                | Action::Modem(_)
                | Action::Drained { .. } => {}
            }
        }
        panic!("{MOST} actions and more to come: {machine:?}");
    }
}

fn ask(machine: &mut Machine, request: Request, now: Instant) {
    if machine.may_ask() {
        machine.handle_request(request, now);
    }
}

/// Settings from two bytes.
pub fn settings(rate: u8, shape: u8) -> LineSettings {
    let rates = [0, 1, 50, 300, 9600, 115_200, 3_000_000, 12_000_000, u32::MAX];
    let parities = [Parity::None, Parity::Odd, Parity::Even, Parity::Mark, Parity::Space];
    let flows = [
        FlowControl::None,
        FlowControl::RtsCts,
        FlowControl::DtrDsr,
        FlowControl::XonXoff { xon: 17, xoff: 19 },
    ];
    LineSettings {
        baud: rates[usize::from(rate) % rates.len()],
        data_bits: [DataBits::Five, DataBits::Six, DataBits::Seven, DataBits::Eight][usize::from(shape & 3)],
        parity: parities[usize::from(shape >> 2) % parities.len()],
        stop_bits: if shape & 0x40 == 0 { StopBits::One } else { StopBits::Two },
        flow: flows[usize::from(shape >> 4 & 3)],
        line_end: (shape & 0x80 != 0).then_some(b'\n'),
    }
}
