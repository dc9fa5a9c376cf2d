//! Which driver gets a function of a device, and why the others do not: pure, deterministic, and in words. It must not know any driver; what a
//! driver finds when it looks closer is asked of the caller.

use std::cmp::{Ordering, Reverse};

use super::{Criterion, Function, Manifest, Match, Score, Wanted};
use crate::usb::Speed;
use crate::usb::descriptor::{AlternateSetting, DeviceDescriptors};

/// A device as manifests see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Where it is plugged in: `1-2.3`.
    pub port: &'a str,
    /// The string of iSerialNumber, if it has one.
    pub serial_number: Option<&'a str>,
    /// The speed that it was enumerated at.
    pub speed: Speed,
    /// What it says of itself.
    pub descriptors: &'a DeviceDescriptors,
}

/// One criterion held against a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was asked.
    pub criterion: Criterion,
    /// What the manifest accepts, for people.
    pub wanted: String,
    /// What the device has, for people; not made fit for a terminal where the device said it.
    pub found: String,
    /// Whether it holds.
    pub holds: bool,
}

/// A manifest matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// How specifically.
    pub score: Score,
    /// By which of its alternatives, from 0: the first of those that score most.
    pub alternative: usize,
    /// bInterfaceNumber of the interface that what is asked of an interface holds for; of a match that asks nothing of an interface the first one.
    pub interface: u8,
    /// The criteria, all of which hold.
    pub checks: Vec<Check>,
}

/// A manifest does not match. This is of the alternative that comes closest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which alternative, from 0.
    pub alternative: usize,
    /// Its criteria, at least one of which does not hold.
    pub checks: Vec<Check>,
}

/// What a driver tells when it has looked closer and takes the function: what is odd, one thing a line.
pub type Notes = Vec<String>;

/// A driver does not take a function although its manifest matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Why.
    pub reason: String,
}

/// What becomes of a manifest for a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It matches, and its driver takes the function.
    Fits {
        /// How it matches.
        matched: Matched,
        /// What its driver noticed.
        notes: Notes,
    },
    /// It matches, and its driver refuses.
    Refused {
        /// How it matches.
        matched: Matched,
        /// Why its driver refuses.
        refused: Refused,
    },
    /// It does not match.
    Differs(Difference),
}

/// A manifest and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment<'m> {
    /// The manifest.
    pub manifest: &'m Manifest,
    /// What becomes of it.
    pub verdict: Verdict,
}

impl Assessment<'_> {
    /// How it matches, where it does.
    pub fn matched(&self) -> Option<&Matched> {
        match &self.verdict {
            Verdict::Fits { matched, .. } | Verdict::Refused { matched, .. } => Some(matched),
            Verdict::Differs(_) => None,
        }
    }

    fn fits(&self) -> bool {
        matches!(self.verdict, Verdict::Fits { .. })
    }
}

/// Who gets a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'m> {
    /// The function.
    pub function: Function,
    /// Every manifest: first those that fit, the winner at the head; then those whose driver refuses; then those that do not match.
    pub ranked: Vec<Assessment<'m>>,
}

impl<'m> Decision<'m> {
    /// The one that gets it.
    pub fn winner(&self) -> Option<&Assessment<'m>> {
        self.ranked.first().filter(|first| first.fits())
    }

    /// Those that fit and do not get it, the best first.
    pub fn runners_up(&self) -> impl Iterator<Item = &Assessment<'m>> {
        self.ranked.iter().skip(1).filter(|assessment| assessment.fits())
    }
}

/// Why a manifest that fits comes behind another that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// The other's match has this criterion, and its own has none that is stronger.
    LessSpecific(Criterion),
    /// Equally specific, and the other's priority is larger.
    LowerPriority,
    /// Equally specific and of the same priority, and the other's name comes first.
    LaterName,
}

/// Why `loser` comes behind `winner`; `None` if it does not, or one of them does not match.
pub fn behind(winner: &Assessment<'_>, loser: &Assessment<'_>) -> Option<Behind> {
    let (first, second) = (winner.matched()?.score, loser.matched()?.score);
    match second.cmp(&first) {
        Ordering::Less => {
            let differs = |criterion: &Criterion| first.has(*criterion) != second.has(*criterion);
            Criterion::ALL.into_iter().find(differs).map(Behind::LessSpecific)
        }
        Ordering::Greater => None,
        Ordering::Equal => match loser.manifest.priority.cmp(&winner.manifest.priority) {
            Ordering::Less => Some(Behind::LowerPriority),
            Ordering::Greater => None,
            Ordering::Equal => (winner.manifest.name < loser.manifest.name).then_some(Behind::LaterName),
        },
    }
}

/// Asks every manifest, has the drivers of those that match look closer by `probe` (which gets the interface that matched), and ranks them.
/// The order of `manifests` does not matter as long as no two have the same name.
pub fn decide<'m>(
    manifests: impl IntoIterator<Item = &'m Manifest>,
    subject: &Subject<'_>,
    function: &Function,
    probe: impl Fn(&Manifest, &Function, u8) -> Result<Notes, Refused>,
) -> Decision<'m> {
    let mut ranked: Vec<Assessment<'m>> = manifests
        .into_iter()
        .map(|manifest| {
            let verdict = match hold_against(&manifest.alternatives, subject, function) {
                Ok(matched) => match probe(manifest, function, matched.interface) {
                    Ok(notes) => Verdict::Fits { matched, notes },
                    Err(refused) => Verdict::Refused { matched, refused },
                },
                Err(difference) => Verdict::Differs(difference),
            };
            Assessment { manifest, verdict }
        })
        .collect();
    ranked.sort_by(|a, b| order(a).cmp(&order(b)));
    Decision { function: function.clone(), ranked }
}

/// Smaller is better; total for different names.
fn order<'a>(assessment: &Assessment<'a>) -> (u8, Reverse<Score>, Reverse<i16>, &'a str) {
    let class = match &assessment.verdict {
        Verdict::Fits { .. } => 0,
        Verdict::Refused { .. } => 1,
        Verdict::Differs(_) => 2,
    };
    let score = assessment.matched().map(|matched| matched.score).unwrap_or_default();
    let Manifest { priority, name, .. } = assessment.manifest;
    (class, Reverse(score), Reverse(*priority), name)
}

/// The best alternative that matches, or the one that comes closest: with the fewest criteria that fail, and of those with the most that hold.
fn hold_against(
    alternatives: &[Match],
    subject: &Subject<'_>,
    function: &Function,
) -> Result<Matched, Difference> {
    let mut best: Option<Matched> = None;
    let mut closest: Option<((usize, Reverse<usize>), Difference)> = None;
    for (index, alternative) in alternatives.iter().enumerate() {
        let (interface, checks) = check(alternative, subject, function);
        let failed = checks.iter().filter(|check| !check.holds).count();
        if failed == 0 {
            let score = alternative.score();
            if best.as_ref().is_none_or(|best| score > best.score) {
                best = Some(Matched { score, alternative: index, interface, checks });
            }
        } else {
            let distance = (failed, Reverse(checks.len() - failed));
            if closest.as_ref().is_none_or(|(least, _)| distance < *least) {
                closest = Some((distance, Difference { alternative: index, checks }));
            }
        }
    }
    match (best, closest) {
        (Some(matched), _) => Ok(matched),
        (None, Some((_, difference))) => Err(difference),
        // A manifest has at least one alternative; a hand-made one without any matches nothing.
        (None, None) => Err(Difference { alternative: 0, checks: Vec::new() }),
    }
}

/// All criteria of an alternative, and the interface that those of an interface were held against: the function's first for which most of
/// them hold.
fn check(alternative: &Match, subject: &Subject<'_>, function: &Function) -> (u8, Vec<Check>) {
    let configuration = subject.descriptors.configuration(function.configuration);
    let setting =
        |number: &u8| configuration.and_then(|configuration| configuration.interface(*number)?.initial());
    let holding = |setting: &AlternateSetting| {
        let asked = alternative.criteria().filter(|(criterion, _)| criterion.is_of_interface());
        asked.filter(|(criterion, wanted)| of_interface(*criterion, wanted, setting).1).count()
    };
    let mut chosen: Option<(usize, &AlternateSetting)> = None;
    for setting in function.interfaces.iter().filter_map(setting) {
        let count = holding(setting);
        if chosen.is_none_or(|(most, _)| count > most) {
            chosen = Some((count, setting));
        }
    }
    let chosen = chosen.map(|(_, setting)| setting);
    let checks = alternative.criteria().map(|(criterion, wanted)| {
        let (found, holds) = match chosen {
            Some(setting) if criterion.is_of_interface() => of_interface(criterion, wanted, setting),
            None if criterion.is_of_interface() => ("none".to_owned(), false),
            _ => of_device(criterion, wanted, subject, function),
        };
        Check { criterion, wanted: wanted.describe(criterion), found, holds }
    });
    let interface = chosen.map(|setting| setting.interface).or(function.interfaces.first().copied());
    (interface.unwrap_or_default(), checks.collect())
}

fn of_interface(criterion: Criterion, wanted: &Wanted, setting: &AlternateSetting) -> (String, bool) {
    let number = match criterion {
        Criterion::InterfaceNumber => setting.interface,
        Criterion::InterfaceSubclass => setting.subclass,
        Criterion::InterfaceProtocol => setting.protocol,
        _ => setting.class,
    };
    (criterion.number(number.into()), wanted.accepts_number(number.into()))
}

fn of_device(
    criterion: Criterion,
    wanted: &Wanted,
    subject: &Subject<'_>,
    function: &Function,
) -> (String, bool) {
    let device = &subject.descriptors.device;
    let number: u16 = match criterion {
        Criterion::Port => return (format!("\"{}\"", subject.port), wanted.accepts_text(subject.port)),
        Criterion::SerialNumber => {
            return match subject.serial_number {
                Some(serial) => (format!("\"{serial}\""), wanted.accepts_text(serial)),
                None => ("none".to_owned(), false),
            };
        }
        Criterion::Speed => return (subject.speed.as_str().to_owned(), wanted.accepts_speed(subject.speed)),
        Criterion::VendorId => device.vendor_id,
        Criterion::ProductId => device.product_id,
        Criterion::DeviceVersion => device.device_version,
        Criterion::Configuration => function.configuration.into(),
        Criterion::DeviceSubclass => device.subclass.into(),
        Criterion::DeviceProtocol => device.protocol.into(),
        // The criteria of an interface never get here.
        _ => device.class.into(),
    };
    (criterion.number(number), wanted.accepts_number(number))
}
