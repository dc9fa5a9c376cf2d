//! A hostile world around the machine: it makes events of any bytes, does what the machine says or fails to, and checks what the machine
//! promises. For the fuzzer and the random tests; it knows the machine from outside only.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use outboard_core::MacAddr;
use outboard_core::family::ethernet::HostWish;

use super::{Action, Answer, FilterRequest, GRACE, Machine, Parameters, Role, STRAGGLERS, Trouble};
use crate::proto::functional::MulticastFilters;
use crate::proto::request::PacketFilter;

/// Actions after one event: both host actions, a request, and two for each pipe at most.
const MOST_ACTIONS: usize = 16;

/// What is outside of the machine.
struct World {
    machine: Machine,
    now: Instant,
    carrier: bool,
    asked: Option<FilterRequest>,
    /// What is asked was asked before a reset.
    stale: bool,
    clearing: BTreeSet<u8>,
    resetting: bool,
    failed: bool,
    filter: Option<PacketFilter>,
    multicast: u16,
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

fn role(byte: u8) -> Role {
    [Role::Receive, Role::Transmit, Role::Notify][usize::from(byte % 3)]
}

/// Plays the events that `data` says, then lets the device behave and checks that the machine comes to rest in order.
///
/// # Panics
/// If the machine breaks a promise.
pub fn play(data: &[u8]) {
    let mut bytes = Bytes(data);
    let Some(options) = bytes.byte() else { return };
    let multicast = u16::from(options >> 3 & 3);
    let parameters = Parameters {
        notifies: options & 1 != 0,
        repeated_carrier_on: options & 2 != 0,
        multicast: MulticastFilters { count: multicast, perfect: options & 4 != 0 },
        ..Parameters::new(MacAddr::new([2, 0, 0, 0, 0, 1]), u32::from(options))
    };
    let mut world = World {
        machine: Machine::new(parameters),
        now: Instant::now(),
        carrier: false,
        asked: None,
        stale: false,
        clearing: BTreeSet::new(),
        resetting: false,
        failed: false,
        filter: None,
        multicast,
    };
    world.act();
    while world.asked.is_some() {
        world.answer(Answer::Refused);
        world.act();
    }
    world.machine.handle_started(world.now);
    while let Some(event) = bytes.byte() {
        if world.event(event, &mut bytes).is_none() {
            break;
        }
        world.act();
    }
    world.come_to_rest();
}

impl World {
    fn event(&mut self, event: u8, bytes: &mut Bytes<'_>) -> Option<()> {
        match event % 9 {
            0 => {
                let n = usize::from(bytes.byte()? % 24);
                let (transfer, rest) = bytes.0.split_at(n.min(bytes.0.len()));
                bytes.0 = rest;
                self.machine.handle_notification(transfer, self.now);
            }
            1 => {
                let n = bytes.byte()?;
                self.machine.handle_completed(role(event / 9), n.into(), (n / 2).into(), self.now);
            }
            2 | 3 => {
                let trouble =
                    [Trouble::Stall, Trouble::Fault, Trouble::Overflow][usize::from(bytes.byte()? % 3)];
                self.machine.handle_trouble(role(event / 9), trouble, self.now);
            }
            4 => {
                let n = bytes.byte()?;
                let groups = (0..n % 6).map(|n| MacAddr::new([if n == 5 { 2 } else { 1 }, 0, 0x5e, 0, 0, n]));
                self.machine.handle_wish(&HostWish {
                    up: true,
                    promiscuous: n & 0x80 != 0,
                    all_multicast: n & 0x40 != 0,
                    multicast: groups.collect(),
                    ..HostWish::default()
                });
            }
            5 => self.answer([Answer::Done, Answer::Refused, Answer::Failed][usize::from(bytes.byte()? % 3)]),
            6 => self.finish_repairs(bytes.byte()? & 1 != 0),
            // Time passes in small steps and large ones, and may stand still.
            7 => {
                self.now += Duration::from_millis(u64::from(bytes.byte()?) * u64::from(event));
                self.machine.handle_timeout(self.now);
            }
            _ => self.machine.handle_timeout(self.now),
        }
        Some(())
    }

    fn answer(&mut self, answer: Answer) {
        match self.asked.take() {
            Some(FilterRequest::Packet(filter)) => {
                self.machine.handle_answer(answer);
                if !self.stale {
                    self.filter = Some(filter);
                }
            }
            Some(FilterRequest::Multicast(groups)) => {
                assert!(groups.len() <= usize::from(self.multicast), "no more than the device has");
                self.machine.handle_answer(answer);
            }
            None => {}
        }
        self.stale = false;
    }

    fn finish_repairs(&mut self, done: bool) {
        for number in std::mem::take(&mut self.clearing) {
            self.machine.handle_cleared(role(number), done, self.now);
        }
        if std::mem::take(&mut self.resetting) {
            self.machine.handle_reset(done);
            self.filter = None;
            self.stale = self.asked.is_some();
        }
    }

    /// Takes what the machine wants done.
    fn act(&mut self) {
        for _ in 0..MOST_ACTIONS {
            let Some(action) = self.machine.poll_action(self.now) else {
                assert_eq!(self.carrier, self.machine.is_up(), "the host knows");
                let bound = self.now + GRACE.max(STRAGGLERS);
                assert!(self.machine.poll_timeout().is_none_or(|at| at <= bound), "no pause is longer");
                return;
            };
            assert!(
                !self.failed || matches!(action, Action::Carrier(_) | Action::Speed(_)),
                "{action:?} after the end"
            );
            match action {
                Action::Carrier(up) => {
                    assert_ne!(self.carrier, up, "only changes are told");
                    self.carrier = up;
                }
                Action::Speed(speed) => assert!(speed.down_mbit > 0 && speed.up_mbit > 0),
                Action::Request(request) => {
                    assert!(!self.resetting);
                    assert_eq!(self.asked.replace(request), None, "one request at a time");
                }
                Action::ClearHalt(role) => {
                    assert!(!self.resetting && !self.machine.is_running(role));
                    assert!(self.clearing.insert(role as u8), "one repair at a time");
                }
                Action::Resume(role) => {
                    assert!(!self.resetting && self.machine.is_running(role));
                    assert!(self.filter.is_some(), "the filter is set before transfers");
                }
                Action::Reset => {
                    assert!(!std::mem::replace(&mut self.resetting, true));
                    // What was being repaired is told as usual, and no longer matters.
                }
                Action::Fail { role, .. } => {
                    assert_ne!(role, Role::Notify, "frames do not depend on it");
                    self.failed = true;
                }
            }
        }
        panic!("the machine wants more and more");
    }

    /// From now on everything goes well, so everything works again in bounded time, unless it was given up.
    fn come_to_rest(mut self) {
        for _ in 0..64 {
            self.answer(Answer::Done);
            self.finish_repairs(true);
            self.act();
            if let Some(at) = self.machine.poll_timeout() {
                self.now = self.now.max(at);
                self.machine.handle_timeout(self.now);
                self.act();
            } else if self.asked.is_none() && self.clearing.is_empty() && !self.resetting {
                break;
            }
        }
        assert_eq!((self.machine.poll_timeout(), &self.asked, self.resetting), (None, &None, false));
        if !self.failed {
            assert!(self.machine.is_running(Role::Receive) && self.machine.is_running(Role::Transmit));
            assert!(self.filter.is_some());
        }
        self.machine.handle_completed(Role::Receive, 1, 1, self.now + STRAGGLERS);
        assert!(self.machine.is_up(), "frames come, so there is a link");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::play;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_order_of_events_breaks_a_promise(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            play(&data);
        }

        // Few kinds of events, so that the ends of long stories are reached: storms of trouble, resets, failure.
        #[test]
        fn no_storm_of_troubles_breaks_a_promise(data in proptest::collection::vec(prop_oneof![
            Just([2u8, 1]), Just([2, 0]), Just([11, 1]), Just([3, 2]), Just([6, 1]), Just([6, 0]),
            Just([7, 200]), Just([5, 0]), Just([20, 0]), Just([4, 3]), Just([1, 40]),
        ], 0..200)) {
            play(&std::iter::once(1).chain(data.concat()).collect::<Vec<_>>());
        }
    }
}
