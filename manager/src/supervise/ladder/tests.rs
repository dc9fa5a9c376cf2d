//! The ladder by tables and by sequences that nobody thought of.

use proptest::prelude::*;

use super::Cause::{Crashed, Failed, Hung, Killed, NeverServed, Violation};
use super::*;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A driver under a ladder, with a clock of its own: it serves, ends, and is started again after the pause.
struct Run {
    ladder: Ladder,
    now: Instant,
}

impl Run {
    fn new() -> Self {
        Self { ladder: Ladder::new(), now: Instant::now() }
    }

    /// Serves that long, or not at all, and ends.
    fn end(&mut self, cause: Cause, service: Option<Duration>) -> Next {
        let served_for = service.unwrap_or_default();
        self.now += served_for;
        let next = self.ladder.ended(End { cause, served: service.is_some(), served_for }, self.now);
        if let Next::After(pause) = next {
            self.now += pause;
        }
        next
    }
}

const AT_ONCE: Next = Next::After(Duration::ZERO);

#[test]
fn what_counts_climbs_and_ends_in_quarantine() {
    let counts = [
        (Crashed, None),
        (Crashed, Some(SECOND)),
        (Crashed, Some(PROGRESS - MILLI)),
        (Hung, Some(SECOND)),
        (Violation, Some(SECOND)),
        (Violation, Some(PROGRESS * 6)),
        (Failed, None),
        (Failed, Some(9 * SECOND)),
        (NeverServed, None),
        (Killed, None),
        (Killed, Some(MILLI)),
        (Killed, Some(KILLED_SERVICE - MILLI)),
    ];
    for (cause, service) in counts {
        let mut run = Run::new();
        for pause in PAUSES {
            assert_eq!(run.end(cause, service), Next::After(pause), "{cause:?} after {service:?}");
        }
        assert_eq!(run.end(cause, service), Next::Quarantine, "{cause:?} after {service:?}");
        // It stays so, whatever is told and however late, until somebody wants it otherwise.
        run.now += 2 * WINDOW;
        assert_eq!(run.end(Killed, Some(PROGRESS)), Next::Quarantine);
        run.ladder.reset();
        assert_eq!(run.end(cause, service), AT_ONCE);
        assert_eq!(run.ladder.counted.len(), 1);
    }
}

#[test]
fn different_causes_count_together() {
    let mut run = Run::new();
    let nexts = [Crashed, Hung, Failed, NeverServed, Violation].map(|cause| run.end(cause, None));
    assert_eq!(nexts[3..], [Next::After(PAUSES[3]), Next::Quarantine]);
}

#[test]
fn progress_forgives_all_but_violations() {
    let mut run = Run::new();
    for _ in 0..1000 {
        for pause in PAUSES {
            assert_eq!(run.end(Crashed, Some(SECOND)), Next::After(pause));
        }
        // It ends again, but it had served long enough: the first of a new row.
        assert_eq!(run.end(Killed, Some(PROGRESS)), AT_ONCE);
    }
    for _ in 0..1000 {
        assert_eq!(run.end(Crashed, Some(PROGRESS)), AT_ONCE);
    }
    run.ladder.reset();
    assert_eq!(run.end(Violation, None), Next::After(PAUSES[0]));
    assert_eq!(run.end(Crashed, None), Next::After(PAUSES[1]));
    // The crash before is forgiven, the violation is not.
    assert_eq!(run.end(Crashed, Some(PROGRESS)), Next::After(PAUSES[1]));
}

#[test]
fn what_is_half_an_hour_ago_is_forgotten() {
    let mut run = Run::new();
    let begin = run.now;
    for cause in [Violation, Crashed, Failed, Hung] {
        run.end(cause, None);
    }
    run.now = begin + WINDOW - MILLI;
    assert_eq!(
        run.ladder.clone().ended(End { cause: Crashed, served: false, served_for: SECOND }, run.now),
        Next::Quarantine
    );
    run.now = begin + WINDOW;
    // The two at the very beginning are out (the first restart was at once), two are left.
    assert_eq!(run.end(Crashed, None), Next::After(PAUSES[2]));
}

#[test]
fn a_driver_that_is_killed_from_outside_is_back_at_once_however_often() {
    // Every second for two minutes, every 100 ms for two minutes with a start that took up to 80 ms, and for a day.
    for (times, service) in [(120, 990 * MILLI), (1200, 20 * MILLI), (1200, 95 * MILLI), (86_400, SECOND)] {
        let mut run = Run::new();
        for _ in 0..times {
            assert_eq!(run.end(Killed, Some(service)), AT_ONCE, "{service:?}");
            // What is left of the interval went into the start.
            run.now += (100 * MILLI).saturating_sub(service);
        }
        assert!(run.ladder.counted.is_empty());
    }
}

#[test]
fn kills_do_not_hide_a_crash_loop_nor_do_a_few_slow_starts_make_one() {
    // Somebody kills it every second, and it crashes besides.
    let mut run = Run::new();
    for pause in PAUSES {
        assert_eq!(run.end(Crashed, Some(SECOND)), Next::After(pause));
        assert_eq!(run.end(Killed, Some(SECOND)), AT_ONCE);
    }
    assert_eq!(run.end(Crashed, Some(SECOND)), Next::Quarantine);
    // Every fourth kill hits a driver that does not serve yet; the next one serves, and all is forgotten.
    let mut run = Run::new();
    for _ in 0..1200 {
        assert_eq!(run.end(Killed, None), AT_ONCE);
        for _ in 0..3 {
            run.now += 50 * MILLI;
            assert_eq!(run.end(Killed, Some(50 * MILLI)), AT_ONCE);
        }
    }
}

#[test]
fn kills_without_end_are_spaced() {
    let mut run = Run::new();
    assert_eq!(run.end(Killed, Some(SECOND)), AT_ONCE);
    assert_eq!(run.end(Killed, Some(KILLED_SERVICE)), Next::After(SPACING - KILLED_SERVICE));
    assert_eq!(run.end(Killed, Some(KILLED_SERVICE)), Next::After(SPACING - KILLED_SERVICE));
    assert_eq!(run.end(Killed, Some(SPACING)), AT_ONCE);
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![Just(Killed), Just(Crashed), Just(Hung), Just(Violation), Just(Failed), Just(NeverServed)]
}

fn service() -> impl Strategy<Value = Option<Duration>> {
    let spread = prop_oneof![0..30u64, 0..1_000u64, 9_990..10_010u64, 0..3_600_000u64];
    proptest::option::of(spread.prop_map(Duration::from_millis))
}

/// The most starts in any stretch of time as long.
fn most_within(starts: &[Instant], stretch: Duration) -> usize {
    (0..starts.len())
        .map(|first| starts[first..].iter().take_while(|at| **at - starts[first] < stretch).count())
        .max()
        .unwrap_or(0)
}

proptest! {
    /// What counts starts at most four times in a row within 11.1 s, and needs 10 s of service for the next four: some twenty a minute,
    /// whatever the sequence; and without progress four in all.
    #[test]
    fn what_counts_never_spins(ends in proptest::collection::vec((cause(), service()), 0..200)) {
        let mut run = Run::new();
        let mut starts = Vec::new();
        for (cause, service) in ends {
            let excused = cause == Killed && service.unwrap_or_default() >= KILLED_SERVICE;
            if excused { continue }
            match run.end(cause, service) {
                Next::After(pause) => {
                    prop_assert!(PAUSES.contains(&pause));
                    starts.push(run.now);
                }
                Next::Quarantine => break,
            }
            prop_assert!(run.ladder.counted.len() < LIMIT);
        }
        prop_assert!(most_within(&starts, 60 * SECOND) <= 24, "{}", most_within(&starts, 60 * SECOND));
    }

    /// Whatever happens, also with a clock that stands still: never more starts than the spacing allows and the ladder adds.
    #[test]
    fn nothing_spins(ends in proptest::collection::vec((cause(), service(), 0..200u64), 0..300)) {
        let mut run = Run::new();
        let mut starts = Vec::new();
        for (cause, service, later) in ends {
            run.now += Duration::from_millis(later);
            if run.end(cause, service) == Next::Quarantine {
                run.now += SECOND;
                run.ladder.reset();
                continue;
            }
            starts.push(run.now);
        }
        prop_assert!(most_within(&starts, SECOND) <= 60, "{}", most_within(&starts, SECOND));
    }
}
