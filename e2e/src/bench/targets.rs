//! What the figures must come to. In: the figures of one run. Out: each target with its ratio and a verdict. Pure.
//!
//! Every target is a list of checks on medians, and the worst check speaks for it. A target is met only when every one
//! of its checks was measured.

use serde::Serialize;

use crate::bench::contestant::Contestant;
use crate::bench::figures::Figures;
use crate::bench::measure::{
    DIRECTIONS, Direction, Half, Measure, Pace, Quantile, STALLS, Shape, Stall,
};
use crate::bench::statistics::short;

mod list;

pub use list::targets;

/// What a median is divided by.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Against {
    /// The same figure of somebody else.
    Contestant(Contestant),
    /// Another figure of the same contestant.
    Own(Measure),
    /// A fixed number in the figure's unit.
    Number(f64),
}

/// Where the quotient must lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One quotient that must lie within its bound.
#[derive(Debug, Clone)]
struct Check {
    label: String,
    /// Whose figure; the row's own contestant when `None`.
    subject: Option<Contestant>,
    measure: Measure,
    against: Against,
    bound: Bound,
}

/// A line of the table.
#[derive(Debug, Clone)]
pub struct Target {
    /// What is measured.
    pub what: &'static str,
    /// What it is compared with.
    pub against: &'static str,
    /// What it must come to.
    pub goal: &'static str,
    checks: Vec<Check>,
}

/// How a target came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check was measured and holds.
    Met,
    /// A check does not hold.
    Missed,
    /// No check fails, but some were not measured.
    NotRun,
}

/// A check as it came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quotient {
    /// Which of the target's checks.
    pub label: String,
    /// Its quotient; `None` when a figure is missing.
    pub value: Option<f64>,
    /// Whether it lies within its bound.
    pub holds: Option<bool>,
    /// How far it is from its bound: 1 on it, more beyond.
    #[serde(skip)]
    badness: f64,
}

/// A target as it came out for one contestant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// All in all.
    pub verdict: Verdict,
    /// Every check.
    pub quotients: Vec<Quotient>,
}

impl Verdict {
    /// As the table shows it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotRun => "not run",
        }
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn badness(self, value: f64) -> f64 {
        match self {
            Self::AtLeast(bound) => bound / value,
            Self::AtMost(bound) if bound > 0.0 => value / bound,
            Self::AtMost(_) if value > 0.0 => f64::INFINITY,
            Self::AtMost(_) => 0.0,
        }
    }
}

impl Check {
    fn quotient(&self, figures: &Figures, contestant: Contestant) -> Quotient {
        let subject = self.subject.unwrap_or(contestant);
        let below = match self.against {
            Against::Contestant(other) => figures.median(other, self.measure),
            Against::Own(measure) => figures.median(subject, measure),
            Against::Number(number) => Some(number),
        };
        let above = figures.median(subject, self.measure);
        let value = above.zip(below).map(|(above, below)| above / below);
        Quotient {
            label: self.label.clone(),
            value,
            holds: value.map(|value| self.bound.holds(value)),
            badness: value.map_or(0.0, |value| self.bound.badness(value)),
        }
    }
}

impl Target {
    /// How it came out for one of our two modes.
    pub fn outcome(&self, figures: &Figures, contestant: Contestant) -> Outcome {
        let checks = self.checks.iter();
        let quotients: Vec<_> = checks
            .map(|check| check.quotient(figures, contestant))
            .collect();
        let verdict = if quotients.iter().any(|one| one.holds == Some(false)) {
            Verdict::Missed
        } else if quotients.is_empty() || quotients.iter().any(|one| one.holds.is_none()) {
            Verdict::NotRun
        } else {
            Verdict::Met
        };
        Outcome { verdict, quotients }
    }
}

impl Outcome {
    /// The verdict beside the worst quotient.
    pub fn text(&self) -> String {
        let measured = self.quotients.iter().filter(|one| one.value.is_some());
        let worst = measured.max_by(|one, other| one.badness.total_cmp(&other.badness));
        match worst.and_then(|worst| Some((short(worst.value?), &worst.label))) {
            None => self.verdict.text().into(),
            Some((value, label)) if label.is_empty() => {
                format!("{value} {}", self.verdict.text())
            }
            Some((value, label)) => format!("{value} ({label}) {}", self.verdict.text()),
        }
    }
}

#[cfg(test)]
mod tests;
