//! Results for machines and for people: the JSON that every lab and bench run writes, and the same as a table.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::wire::{Contender, Sample};
use crate::workspace;

/// What a figure has to reach, as a ratio of ours to the peer's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// The ratio must not be below.
    AtLeast(f64),
    /// The ratio must not be above.
    AtMost(f64),
    /// Our own value must not be above, whatever the peer's.
    Absolute(f64),
}

impl Goal {
    fn met(self, ours: Option<f64>, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::AtLeast(goal) => ratio.map(|ratio| ratio >= goal),
            Self::AtMost(goal) => ratio.map(|ratio| ratio <= goal),
            Self::Absolute(goal) => ours.map(|ours| ours <= goal),
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(goal) => format!(">= {goal} x"),
            Self::AtMost(goal) => format!("<= {goal} x"),
            Self::Absolute(goal) => format!("<= {goal}"),
        }
    }
}

/// One line of a report. Values are medians of `n` samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) ours: Option<f64>,
    pub(crate) peer: Option<f64>,
    /// `ours / peer`.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<String>,
    pub(crate) met: Option<bool>,
    /// Samples of each side, the smaller number.
    pub(crate) n: usize,
    /// The straightforward program's value, where it took part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by_hand: Option<f64>,
    /// (maximum - minimum) / median of our samples, or of the peer's where there are none of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spread: Option<f64>,
}

/// A whole report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) figures: Vec<Figure>,
    pub(crate) machine: String,
    /// What one must know to read the figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// Load average when the run began: a busy machine scatters.
    pub(crate) load: String,
}

impl Report {
    /// Starts a report of the lab's guest on this machine.
    pub(crate) fn new() -> Self {
        Self::of(", QEMU software emulation with 2 CPUs")
    }

    /// Starts a report of this very machine.
    pub(crate) fn native() -> Self {
        Self::of("")
    }

    fn of(emulation: &str) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model =
            cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        let model = model.map_or("unknown CPU", |(_, model)| model);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        let machine = format!("{model}, {cores} cores{emulation}");
        Self { figures: Vec::new(), machine, notes: Vec::new(), load }
    }

    /// Adds the samples, grouped by name in order of appearance; `goal` tells what a name has to reach.
    pub(crate) fn add(&mut self, samples: &[Sample], goal: impl Fn(&str) -> Option<Goal>) {
        let mut names: Vec<(&str, &str)> = Vec::new();
        for sample in samples {
            if !names.contains(&(&sample.name, &sample.unit)) {
                names.push((&sample.name, &sample.unit));
            }
        }
        for (name, unit) in names {
            let of = |contenders: &[Contender]| {
                let mut values: Vec<f64> = samples
                    .iter()
                    .filter(|sample| sample.name == name && contenders.contains(&sample.contender))
                    .map(|sample| sample.value)
                    .collect();
                values.sort_by(f64::total_cmp);
                values
            };
            self.figures.push(figure(
                name,
                unit,
                &of(&[Contender::Outboard]),
                &of(&[Contender::Kernel, Contender::CopyLoop, Contender::Undisturbed]),
                &of(&[Contender::ByHand]),
                goal(name),
            ));
        }
    }

    /// Writes `NAME.json` into a folder and says where it is.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = folder.join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text + "\n").with_context(|| format!("write {}", path.display()))?;
        Ok(path.strip_prefix(workspace::root()).map(Path::to_owned).unwrap_or(path))
    }

    /// The same for people.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec![
            ["", "unit", "ours", "peer", "ratio", "by hand", "spread", "goal", "met", "n"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for figure in &self.figures {
            rows.push(vec![
                figure.name.clone(),
                figure.unit.clone(),
                number(figure.ours),
                number(figure.peer),
                number(figure.ratio),
                number(figure.by_hand),
                figure.spread.map_or_else(String::new, |spread| format!("{:.0} %", spread * 100.0)),
                figure.goal.clone().unwrap_or_default(),
                figure.met.map_or("", |met| if met { "yes" } else { "no" }).to_owned(),
                figure.n.to_string(),
            ]);
        }
        aligned(&rows)
    }
}

fn figure(name: &str, unit: &str, ours: &[f64], peer: &[f64], by_hand: &[f64], goal: Option<Goal>) -> Figure {
    let ratio =
        median(ours).zip(median(peer)).filter(|&(_, peer)| peer != 0.0).map(|(ours, peer)| ours / peer);
    let counts = [ours.len(), peer.len()];
    Figure {
        name: name.to_owned(),
        unit: unit.to_owned(),
        ours: median(ours),
        peer: median(peer),
        ratio,
        goal: goal.map(Goal::shown),
        met: goal.and_then(|goal| goal.met(median(ours), ratio)),
        n: counts.into_iter().filter(|&count| count > 0).min().unwrap_or(0),
        by_hand: median(by_hand),
        spread: if ours.is_empty() { spread(peer) } else { spread(ours) },
    }
}

/// The middle of sorted values; the mean of the two middles when their number is even.
fn median(sorted: &[f64]) -> Option<f64> {
    let high = *sorted.get(sorted.len() / 2)?;
    let low = *sorted.get((sorted.len() - 1) / 2)?;
    Some((low + high) / 2.0)
}

fn spread(sorted: &[f64]) -> Option<f64> {
    let middle = median(sorted).filter(|&middle| middle != 0.0 && sorted.len() > 1)?;
    Some((sorted.last()? - sorted.first()?) / middle)
}

fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// Pads the cells; numbers look best on the right, names on the left.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, &width))| {
                    if column < 2 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(contender: Contender, value: f64) -> Sample {
        Sample { name: "tcp".to_owned(), unit: "Mbit/s".to_owned(), contender, value }
    }

    #[test]
    fn medians_of_odd_and_even() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_ratio_meets_or_misses_its_goal() {
        let samples = [sample(Contender::Kernel, 100.0), sample(Contender::Outboard, 105.0)];
        let mut report = Report::new();
        report.add(&samples, |_| Some(Goal::AtLeast(1.1)));
        report.add(&samples, |_| Some(Goal::AtMost(1.1)));
        report.add(&samples, |_| Some(Goal::Absolute(0.0)));
        let met: Vec<_> = report.figures.iter().map(|figure| figure.met).collect();
        assert_eq!(met, [Some(false), Some(true), Some(false)]);
        assert_eq!(report.figures[0].ratio, Some(1.05));
    }

    #[test]
    fn without_ours_nothing_is_met() {
        let mut report = Report::new();
        report.add(&[sample(Contender::Kernel, 100.0)], |_| Some(Goal::AtLeast(1.1)));
        assert_eq!(report.figures[0].met, None);
        assert_eq!(report.figures[0].ours, None);
        let json = serde_json::to_value(&report).expect("it is plain data");
        for field in ["name", "unit", "ours", "peer", "ratio", "goal", "met", "n"] {
            assert!(json["figures"][0].get(field).is_some(), "{field}");
        }
    }
}
