//! What the lab says to a person: tables and plain text on standard output.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use crate::error::{Error, Result};

/// Lines of columns as wide as their widest cell.
#[derive(Debug)]
pub struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            lines: vec![
                headings
                    .iter()
                    .map(|heading| heading.to_uppercase())
                    .collect(),
            ],
        }
    }

    /// Adds a line.
    pub fn row<const COLUMNS: usize>(&mut self, cells: [&str; COLUMNS]) {
        self.line(cells.map(str::to_owned));
    }

    /// The same, of cells that are counted only at run time.
    pub fn line(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter();
        self.lines
            .push(cells.map(|cell| cell.replace('\n', " ")).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for line in &self.lines {
            let padded: Vec<_> = line
                .iter()
                .zip(&widths)
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            writeln!(formatter, "{}", padded.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Says how long something took, and warns when that is longer than it may take on a machine that does nothing else.
pub fn say_took(what: &str, took: Duration, limit: Duration) -> Result<()> {
    let text = format!("{what} took {} s", took.as_secs());
    if took > limit {
        tracing::warn!("{text}, more than the {} s it may", limit.as_secs());
    }
    say(&text)
}

/// Writes text to standard output.
pub fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").map_err(Error::file("write", "standard output"))
}
