//! The hostile driver: every way out, without the sandbox, with the containment alone, and locked down.

use std::fmt::Write as _;

use outboard_core::sandbox::Exit;
use outboard_tests::sandbox::{Contained, Control, attempts};
use rustix::io::Errno;

use crate::stage::{Stage, can_run};

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It got out.
    Worked,
    /// The kernel refused.
    Refused(Errno),
    /// The kernel ended it.
    Killed(&'static str),
    /// The test itself is broken.
    Nothing(String),
}

impl Verdict {
    fn of((exit, text): (Exit, String)) -> Self {
        if text == "worked" {
            return Self::Worked;
        }
        if let Some(errno) = text.strip_prefix("errno ").and_then(|errno| errno.parse().ok()) {
            return Self::Refused(Errno::from_raw_os_error(errno));
        }
        match exit {
            exit if exit.is_violation() => Self::Killed("filter"),
            Exit::Signal(libc::SIGKILL) => Self::Killed("quota"),
            exit => Self::Nothing(format!("{exit}: {text}")),
        }
    }

    fn is_denied(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Killed(_))
    }

    fn shown(&self) -> String {
        match self {
            Self::Worked => "works".into(),
            // Without its " (os error 13)".
            Self::Refused(errno) => {
                let text = std::io::Error::from(*errno).to_string();
                text.split(" (").next().unwrap_or_default().to_owned()
            }
            Self::Killed(by) => format!("killed ({by})"),
            Self::Nothing(why) => format!("NO VERDICT: {why}"),
        }
    }
}

#[test]
fn a_hostile_driver_gets_nowhere() {
    if !can_run("a_hostile_driver_gets_nowhere") {
        return;
    }
    let mut stage = Stage::new();
    let mut table = String::new();
    let mut complaints = Vec::new();
    let attempts = attempts();
    let mut group_before = "";
    for (index, (group, attempt)) in attempts.iter().enumerate() {
        let control = Verdict::of(stage.uncontained(index));
        let contained = Verdict::of(stage.contained("contained", index));
        let locked = Verdict::of(stage.contained("locked", index));
        if *group != group_before {
            writeln!(table, "\n{group:<50} {:<35} {:<33} locked down", "as root", "contained").unwrap();
            group_before = group;
        }
        let shown_control = match attempt.control {
            Control::Impossible(_) => "no control".into(),
            Control::Reaches(..) => format!("reaches {}", control.shown()),
            Control::WorksIfBuilt(errno) if control == Verdict::Refused(errno) => "not in this kernel".into(),
            Control::Works | Control::WorksIfBuilt(_) => control.shown(),
        };
        let name = attempt.name;
        writeln!(table, "  {name:<48} {shown_control:<35} {:<33} {}", contained.shown(), locked.shown())
            .unwrap();
        match attempt.control {
            Control::Works if control != Verdict::Worked => {
                complaints.push(format!("{name}: the control does not work: {control:?}"));
            }
            Control::WorksIfBuilt(errno)
                if ![Verdict::Worked, Verdict::Refused(errno)].contains(&control) =>
            {
                complaints.push(format!("{name}: the control does not work: {control:?}"));
            }
            Control::Reaches(errno, why) if control != Verdict::Refused(errno) => {
                complaints.push(format!("{name}: the control gives {control:?} and not {errno:?} ({why})"));
            }
            _ => {}
        }
        if !locked.is_denied() {
            complaints.push(format!("{name}: locked down, it is not denied: {locked:?}"));
        }
        // Without a control, nobody knows what the kernel would say.
        let as_expected = match attempt.contained {
            Contained::Denied => contained.is_denied(),
            Contained::Open => !matches!(contained, Verdict::Nothing(_)),
        };
        if !as_expected {
            complaints.push(format!("{name}: contained alone, it is not denied: {contained:?}"));
        }
    }
    let impossible = attempts.iter().filter_map(|(_, attempt)| match attempt.control {
        Control::Impossible(why) => Some(format!("  {}: {why}\n", attempt.name)),
        _ => None,
    });
    writeln!(table, "\nWithout a control:\n{}", impossible.collect::<String>()).unwrap();
    // Not by print!, which the test's harness would keep to itself.
    std::io::Write::write_all(&mut std::io::stderr(), table.as_bytes()).unwrap();
    assert!(attempts.len() >= 60, "{} attempts are left", attempts.len());
    assert!(stage.victim.is_alive(), "the driver has reached root's process");
    assert!(
        complaints.is_empty(),
        "{} of {}:\n  {}",
        complaints.len(),
        attempts.len(),
        complaints.join("\n  ")
    );
}
