//! What was measured so far. In: samples and troubles. Out: a cell for every figure and contestant, none silent. Pure.

use std::collections::BTreeMap;

use crate::bench::contestant::Contestant;
use crate::bench::measure::Measure;
use crate::bench::statistics::{Spread, short};

/// Why a cell has fewer samples than rounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It was never tried: a program is not there, or the time was up.
    NotRun(String),
    /// It was tried and failed.
    Failed(String),
}

/// One figure of one contestant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// One sample for each round.
    pub samples: Vec<f64>,
    /// The last trouble.
    pub trouble: Option<Trouble>,
}

impl Cell {
    /// Its middle and its spread.
    pub fn spread(&self) -> Option<Spread> {
        Spread::of(&self.samples)
    }

    /// As the table shows it.
    pub fn text(&self) -> String {
        let spread = self.spread().map(|spread| {
            format!(
                "{} ({}..{})",
                short(spread.median),
                short(spread.least),
                short(spread.most)
            )
        });
        match (spread, &self.trouble) {
            (Some(spread), Some(Trouble::Failed(_))) => format!("{spread} !"),
            (Some(spread), _) => spread,
            (None, Some(Trouble::Failed(_))) => "failed".into(),
            (None, _) => "not run".into(),
        }
    }
}

/// Every cell.
#[derive(Debug, Default)]
pub struct Figures {
    cells: BTreeMap<(Measure, Contestant), Cell>,
}

impl Figures {
    /// One more sample.
    pub fn add(&mut self, contestant: Contestant, measure: Measure, value: f64) {
        self.open(contestant, measure).samples.push(value);
    }

    /// What kept these figures from being measured; what is not asked of the contestant is left out.
    pub fn trouble(&mut self, contestant: Contestant, measures: &[Measure], trouble: &Trouble) {
        for &measure in measures {
            if contestant.has(measure) {
                self.open(contestant, measure).trouble = Some(trouble.clone());
            }
        }
    }

    fn open(&mut self, contestant: Contestant, measure: Measure) -> &mut Cell {
        self.cells.entry((measure, contestant)).or_default()
    }

    /// What is known; `None` where the figure is not asked of the contestant.
    pub fn cell(&self, contestant: Contestant, measure: Measure) -> Option<Cell> {
        contestant.has(measure).then(|| {
            let known = self.cells.get(&(measure, contestant));
            known.cloned().unwrap_or_default()
        })
    }

    /// The median.
    pub fn median(&self, contestant: Contestant, measure: Measure) -> Option<f64> {
        Some(self.cell(contestant, measure)?.spread()?.median)
    }

    /// Every different trouble with those who had it, said once.
    pub fn troubles(&self) -> Vec<String> {
        let mut said: BTreeMap<String, (Measure, usize)> = BTreeMap::new();
        for ((measure, contestant), cell) in &self.cells {
            let text = match &cell.trouble {
                Some(Trouble::NotRun(why)) => format!("{}: not run: {why}", contestant.title()),
                Some(Trouble::Failed(why)) => format!("{}: failed: {why}", contestant.title()),
                None => continue,
            };
            said.entry(text).or_insert((*measure, 0)).1 += 1;
        }
        let line = |(text, (first, count)): (String, (Measure, usize))| {
            format!("{text} ({count} figures, first: {})", first.title())
        };
        said.into_iter().map(line).collect()
    }

    /// Whether anything that was tried failed.
    pub fn has_failures(&self) -> bool {
        let troubles = self.cells.values().map(|cell| &cell.trouble);
        troubles
            .flatten()
            .any(|trouble| matches!(trouble, Trouble::Failed(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Trouble};
    use crate::bench::contestant::Contestant;
    use crate::bench::measure::{Half, Measure};

    const REST: Measure = Measure::Rest(Half::Server);

    #[test]
    fn a_cell_that_nobody_filled_says_so() {
        let figures = Figures::default();
        let cell = figures.cell(Contestant::Native, REST).expect("asked");
        assert_eq!(cell.text(), "not run");
        assert_eq!(figures.cell(Contestant::TlsRelay, REST), None);
    }

    #[test]
    fn a_failed_round_is_seen_beside_the_others() {
        let mut figures = Figures::default();
        figures.add(Contestant::Legacy, REST, 9.0);
        figures.add(Contestant::Legacy, REST, 11.0);
        let failed = Trouble::Failed("it ended".into());
        figures.trouble(Contestant::Legacy, &[REST], &failed);
        let cell = figures.cell(Contestant::Legacy, REST).expect("asked");
        assert_eq!(cell.text(), "10.0 (9.00..11.0) !");
        assert!(figures.has_failures());
    }

    #[test]
    fn one_trouble_of_many_figures_is_said_once() {
        let mut figures = Figures::default();
        let absent = Trouble::NotRun("no program".into());
        figures.trouble(Contestant::Reference, &Measure::all(), &absent);
        let said = figures.troubles();
        assert_eq!(said.len(), 1);
        assert!(!figures.has_failures());
    }
}
