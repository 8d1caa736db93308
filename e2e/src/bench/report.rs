//! What a run leaves: tables for a person, Markdown for the README, JSON for a program. In: figures. Out: text. Pure.

use serde_json::{Map, Value, json};

use crate::bench::contestant::Contestant;
use crate::bench::figures::{Cell, Figures, Trouble};
use crate::bench::machine::Machine;
use crate::bench::measure::Measure;
use crate::bench::targets::targets;
use crate::report::Table;

/// The two columns of the table of targets.
const OURS: [Contestant; 2] = [Contestant::Native, Contestant::Legacy];

/// Everything, as it is printed at the end.
pub fn text(figures: &Figures, machine: &Machine) -> String {
    let mut text = format!("{}\n\n{}\n", machine.text(), figure_table(figures));
    text.push_str(&target_table(figures).to_string());
    text.push_str("\nMedians (least..most of the rounds); a target shows its worst ratio. ! = a round failed. ");
    text.push_str("GB = 10^9 bytes.\n");
    for trouble in figures.troubles() {
        text.push_str(&trouble);
        text.push('\n');
    }
    text
}

fn figure_table(figures: &Figures) -> Table {
    let mut headings = vec!["figure", "unit"];
    headings.extend(Contestant::ALL.map(Contestant::title));
    let mut table = Table::new(&headings);
    for measure in Measure::all() {
        let cells = Contestant::ALL.map(|one| shown(figures.cell(one, measure)));
        table.line(
            [measure.title(), measure.unit().into()]
                .into_iter()
                .chain(cells),
        );
    }
    table
}

/// What is not asked of a contestant is a dash; everything else says what it is.
fn shown(cell: Option<Cell>) -> String {
    cell.map_or_else(|| "-".into(), |cell| cell.text())
}

fn target_lines(figures: &Figures) -> Vec<[String; 5]> {
    let line = |target: crate::bench::targets::Target| {
        let [native, legacy] = OURS.map(|ours| target.outcome(figures, ours).text());
        let [what, against, goal] = [target.what, target.against, target.goal].map(str::to_owned);
        [what, against, goal, native, legacy]
    };
    targets().into_iter().map(line).collect()
}

fn target_table(figures: &Figures) -> Table {
    let mut table = Table::new(&["target", "against", "goal", "native", "reference mode"]);
    for line in target_lines(figures) {
        table.line(line);
    }
    table
}

/// Both tables for a README, with the machine they came from.
pub fn markdown(figures: &Figures, machine: &Machine) -> String {
    let machine = machine.text().replace('\n', "; ");
    let mut lines = vec![format!("`make bench` on: {machine}."), String::new()];
    let headings = ["What", "Against", "Target", "native", "reference mode"];
    lines.extend([markdown_line(headings), markdown_line(["---"; 5])]);
    lines.extend(target_lines(figures).into_iter().map(markdown_line));
    let titles = Contestant::ALL.map(Contestant::title);
    let headings = ["Figure", "Unit"].into_iter().chain(titles);
    let columns = Contestant::ALL.len() + 2;
    lines.extend([String::new(), markdown_line(headings)]);
    lines.push(markdown_line(std::iter::repeat_n("---", columns)));
    for measure in Measure::all() {
        let cells = Contestant::ALL.map(|one| shown(figures.cell(one, measure)));
        let named = [measure.title(), measure.unit().into()];
        lines.push(markdown_line(named.into_iter().chain(cells)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn markdown_line<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> String {
    let cells = cells.into_iter();
    let cells = cells.map(|cell| format!(" {} |", cell.as_ref()));
    format!("|{}", cells.collect::<String>())
}

/// Every sample, every ratio.
pub fn json(figures: &Figures, machine: &Machine) -> Value {
    let measures = Measure::all().into_iter().map(|measure| {
        let cells = Contestant::ALL.into_iter().filter_map(|contestant| {
            let cell = figures.cell(contestant, measure)?;
            Some((contestant.slug().to_owned(), json_cell(&cell)))
        });
        json!({
            "figure": measure.title(),
            "unit": measure.unit(),
            "contestants": cells.collect::<Map<_, _>>(),
        })
    });
    let targets = targets().into_iter().map(|target| {
        let [native, legacy] = OURS.map(|ours| target.outcome(figures, ours));
        json!({
            "target": target.what,
            "against": target.against,
            "goal": target.goal,
            "native": native,
            "reference-mode": legacy,
        })
    });
    json!({
        "machine": machine,
        "figures": measures.collect::<Vec<_>>(),
        "targets": targets.collect::<Vec<_>>(),
    })
}

fn json_cell(cell: &Cell) -> Value {
    let (not_run, failed) = match &cell.trouble {
        Some(Trouble::NotRun(why)) => (Some(why.as_str()), None),
        Some(Trouble::Failed(why)) => (None, Some(why.as_str())),
        None if cell.samples.is_empty() => (Some("never tried"), None),
        None => (None, None),
    };
    json!({
        "spread": cell.spread(),
        "samples": cell.samples,
        "not_run": not_run,
        "failed": failed,
    })
}

#[cfg(test)]
mod tests {
    use super::{Contestant, Figures, Machine, Measure, json, markdown, text};
    use crate::bench::measure::{Direction, Shape};

    fn machine() -> Machine {
        Machine {
            processor: "a CPU".into(),
            cores: 2,
            kernel: "6".into(),
            memory_gb: 8.0,
            date: "2026-01-01".into(),
            busy_percent: 40.0,
        }
    }

    fn figures() -> Figures {
        let mut figures = Figures::default();
        let shape = Shape {
            connections: 1,
            direction: Direction::Up,
        };
        for (contestant, value) in [(Contestant::TlsRelay, 1.0), (Contestant::Native, 0.95)] {
            figures.add(contestant, Measure::Throughput(shape), value);
        }
        figures
    }

    #[test]
    fn every_figure_and_target_has_its_line_and_no_cell_is_silent() {
        let shown = text(&figures(), &machine());
        for measure in Measure::all() {
            assert!(shown.contains(&measure.title()), "{}", measure.title());
        }
        let line = shown
            .lines()
            .find(|line| line.starts_with("throughput, 1 up"));
        let line = line.expect("the figure's line");
        assert!(line.contains("0.95 (0.95..0.95)"), "{line}");
        assert_eq!(line.matches("not run").count(), 5, "{line}");
        assert!(shown.contains("DISTURBED"));
    }

    #[test]
    fn markdown_has_as_many_columns_in_every_line_of_a_table() {
        let text = markdown(&figures(), &machine());
        let bars = |line: &str| line.matches('|').count();
        let widths: Vec<_> = text.lines().map(bars).filter(|&count| count > 0).collect();
        assert!(
            widths.iter().all(|&width| width == 6 || width == 10),
            "{widths:?}"
        );
    }

    #[test]
    fn json_says_why_a_figure_is_missing() {
        let all = json(&figures(), &machine());
        let first = &all["figures"][0]["contestants"];
        assert_eq!(first["ours-native"]["spread"]["median"], 0.95);
        assert_eq!(first["reference"]["not_run"], "never tried");
        assert_eq!(all["targets"][0]["native"]["quotients"][0]["holds"], true);
        assert_eq!(all["targets"][0]["native"]["verdict"], "not-run");
    }
}
