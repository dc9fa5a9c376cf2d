//! The machine's promises, in time that the test decides.

use proptest::prelude::*;

use super::*;
use crate::proto::status::line;

fn machine() -> Machine {
    Machine::new(Parameters::new(Chip::R, Channel(0)))
}

/// Does all that the machine wants, as a chip that answers at once.
fn settle(machine: &mut Machine, now: Instant) -> Vec<Action> {
    let mut seen = Vec::new();
    while let Some(action) = machine.poll_action(now) {
        match action {
            Action::Request(_) => machine.handle_answer(Answer::Done, now),
            Action::AbortWrites => machine.handle_aborted(),
            _ => {}
        }
        seen.push(action);
    }
    seen
}

fn open(machine: &mut Machine, now: Instant) {
    machine.handle_request(Request::Opened { settings: LineSettings::new(9600), raise: true }, now);
    settle(machine, now);
    assert!(machine.may_pull());
}

fn idle_packet(machine: &mut Machine) {
    let stripped = Stripped {
        last: Some(Status { modem: 1, line: line::HOLDING_EMPTY | line::TRANSMITTER_EMPTY }),
        ..Stripped::default()
    };
    machine.handle_received(&stripped);
}

#[test]
fn one_packet_that_may_be_old_is_no_drain() {
    let now = Instant::now();
    let mut machine = machine();
    open(&mut machine, now);
    machine.handle_submitted(10, now);
    machine.handle_request(Request::Drain, now);
    idle_packet(&mut machine);
    idle_packet(&mut machine);
    assert!(!settle(&mut machine, now).contains(&Action::Drained { complete: true }), "a write is in flight");
    machine.handle_written(10);
    idle_packet(&mut machine);
    assert!(!settle(&mut machine, now).contains(&Action::Drained { complete: true }));
    idle_packet(&mut machine);
    assert!(settle(&mut machine, now).contains(&Action::Drained { complete: true }));
}

#[test]
fn a_drain_that_lasts_too_long_says_so() {
    let now = Instant::now();
    let mut machine = machine();
    open(&mut machine, now);
    machine.handle_submitted(10, now);
    machine.handle_request(Request::Drain, now);
    settle(&mut machine, now);
    let at = machine.settle.unwrap();
    // 138 characters at 9600 baud, twice, and the grace.
    assert_eq!((at - now).as_millis(), 2 * 143 + 501);
    machine.handle_timeout(at);
    assert!(settle(&mut machine, at).contains(&Action::Drained { complete: false }));
}

#[test]
fn a_chip_that_never_says_that_it_is_idle_holds_up_a_close_for_the_time_of_its_bytes() {
    let now = Instant::now();
    let mut machine = machine();
    open(&mut machine, now);
    machine.handle_submitted(10, now);
    machine.handle_request(Request::Closed { drop: true }, now);
    settle(&mut machine, now);
    assert_eq!(machine.settle, Some(now + DRAIN_LIMIT), "the end may have more");
    machine.handle_nothing();
    machine.handle_written(10);
    assert!(machine.is_restless());
    settle(&mut machine, now);
    // 128 characters of the chip's FIFO, twice, and the grace.
    let at = machine.quiet.unwrap();
    assert_eq!((at - now).as_millis(), 2 * 133 + 500);
    machine.handle_timeout(at);
    // Somebody else has opened it and written: nothing of his is thrown away.
    let actions = settle(&mut machine, at);
    assert!(actions.contains(&Action::Read(false)));
    assert!(!actions.contains(&Action::Discard) && !actions.contains(&Action::AbortWrites));
    assert!(!machine.is_open() && !machine.lines().dtr);
}

#[test]
fn requests_that_fail_on_the_bus_are_sent_again_a_few_times() {
    let mut now = Instant::now();
    let mut machine = machine();
    machine.handle_request(Request::Opened { settings: LineSettings::new(9600), raise: true }, now);
    let mut tries = 0;
    loop {
        let Some(Action::Request(setup)) = machine.poll_action(now) else { panic!() };
        if setup.request != 0 {
            break;
        }
        tries += 1;
        machine.handle_answer(Answer::Failed, now);
        if let Some(at) = machine.poll_timeout() {
            now = at;
            machine.handle_timeout(now);
        }
        if tries > RETRIES {
            assert_eq!(machine.poll_action(now), Some(Action::Read(true)));
        }
    }
    assert_eq!(tries, RETRIES + 1);
}

#[test]
fn after_a_reset_of_the_device_everything_is_set_anew() {
    let now = Instant::now();
    let mut machine = machine();
    open(&mut machine, now);
    let mut actions = Vec::new();
    let mut time = now;
    while !actions.contains(&Action::Reset) {
        machine.handle_trouble(Role::Receive, Trouble::Stall, time);
        actions.extend(settle(&mut machine, time));
        machine.handle_cleared(Role::Receive, true, time);
        actions.extend(settle(&mut machine, time));
        time += Duration::from_secs(1);
        machine.handle_timeout(time);
        actions.extend(settle(&mut machine, time));
    }
    machine.handle_reset(true);
    let actions = settle(&mut machine, time);
    let requests = actions.iter().filter(|action| matches!(action, Action::Request(_))).count();
    assert_eq!(requests, 7, "{actions:?}");
    assert!(
        actions.contains(&Action::Resume(Role::Receive)) && actions.contains(&Action::Resume(Role::Transmit))
    );
    assert!(machine.may_pull() && machine.recoveries() > 0);
}

#[test]
fn the_device_is_not_reset_under_another_port() {
    let mut now = Instant::now();
    let mut machine = Machine::new(Parameters { may_reset: false, ..Parameters::new(Chip::H2, Channel(1)) });
    open(&mut machine, now);
    let mut actions = Vec::new();
    while !actions.iter().any(|action| matches!(action, Action::Fail { .. })) {
        machine.handle_trouble(Role::Transmit, Trouble::Fault, now);
        now += Duration::from_secs(1);
        machine.handle_timeout(now);
        actions.extend(settle(&mut machine, now));
    }
    assert!(!actions.contains(&Action::Reset));
}

#[test]
fn a_device_that_was_given_up_is_waited_for_no_more() {
    let mut now = Instant::now();
    let mut machine = Machine::new(Parameters { may_reset: false, ..Parameters::new(Chip::H2, Channel(1)) });
    open(&mut machine, now);
    machine.handle_submitted(10, now);
    machine.handle_request(Request::Closed { drop: true }, now);
    let mut actions = settle(&mut machine, now);
    assert!(machine.poll_timeout().is_some(), "the bytes before the close are waited for");
    for _ in 0..100 {
        machine.handle_trouble(Role::Receive, Trouble::Stall, now);
        actions.extend(settle(&mut machine, now));
        machine.handle_cleared(Role::Receive, true, now);
        now += Duration::from_millis(130);
        machine.handle_timeout(now);
        actions.extend(settle(&mut machine, now));
    }
    assert!(actions.iter().any(|action| matches!(action, Action::Fail { .. })));
    assert_eq!(machine.poll_timeout(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_happens_it_keeps_its_promises(events in prop::collection::vec(any::<u8>(), 0..300)) {
        testing::play(&events);
    }
}
