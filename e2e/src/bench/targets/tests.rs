//! Verdicts on figures made by hand.

use super::{Contestant, Figures, Measure, Outcome, Shape, Stall, Verdict, targets};
use crate::bench::measure::{Direction, STALLS};

fn outcome(figures: &Figures, goal: &str, against: &str) -> Outcome {
    let all = targets();
    let mut found = all
        .iter()
        .filter(|target| target.goal == goal && target.against == against);
    let target = found.next().expect("the table has it");
    target.outcome(figures, Contestant::Native)
}

fn throughput(of_one: f64) -> Figures {
    let mut figures = Figures::default();
    for shape in Shape::all() {
        let ours = if shape.connections == 8 { of_one } else { 1.0 };
        let measure = Measure::Throughput(shape);
        figures.add(Contestant::TlsRelay, measure, 1.0);
        figures.add(Contestant::Native, measure, ours);
    }
    figures
}

#[test]
fn the_worst_of_a_target_s_checks_speaks_for_it() {
    let outcome = outcome(&throughput(0.8), "≥ 0.9", "TLS relay");
    assert_eq!(outcome.verdict, Verdict::Missed);
    assert!(outcome.text().starts_with("0.80 (8 "), "{}", outcome.text());
    assert!(outcome.text().ends_with(" missed"), "{}", outcome.text());
}

#[test]
fn a_bound_itself_is_met() {
    let outcome = outcome(&throughput(0.9), "≥ 0.9", "TLS relay");
    assert_eq!(outcome.verdict, Verdict::Met);
}

#[test]
fn a_target_with_a_figure_missing_is_never_met() {
    let mut figures = Figures::default();
    let shape = Shape {
        connections: 1,
        direction: Direction::Up,
    };
    figures.add(Contestant::TlsRelay, Measure::Throughput(shape), 1.0);
    figures.add(Contestant::Native, Measure::Throughput(shape), 1.0);
    let some = outcome(&figures, "≥ 0.9", "TLS relay");
    assert_eq!(some.verdict, Verdict::NotRun);
    assert_eq!(outcome(&figures, "≥ 3.5", "reference").text(), "not run");
}

#[test]
fn one_failed_dial_beside_stalled_readers_misses_the_target() {
    let mut figures = Figures::default();
    for stall in STALLS {
        figures.add(Contestant::Native, Measure::StalledEcho(stall), 100.0);
        figures.add(Contestant::Native, Measure::StalledDial(stall), 100.0);
        figures.add(Contestant::Native, Measure::StalledFailures(stall), 0.0);
    }
    let goal = "≤ 1.5, none failed";
    let before = outcome(&figures, goal, "the same without them");
    assert_eq!(before.verdict, Verdict::Met);
    let failures = Measure::StalledFailures(Stall::Readers(1));
    figures.add(Contestant::Native, failures, 1.0);
    let after = outcome(&figures, goal, "the same without them");
    assert_eq!(after.verdict, Verdict::Missed);
    assert!(
        after.text().contains("failed, 1 readers"),
        "{}",
        after.text()
    );
}

#[test]
fn halves_are_compared_with_the_reference_whatever_our_mode() {
    let mut figures = Figures::default();
    for shape in Shape::all() {
        let measure = Measure::Throughput(shape);
        figures.add(Contestant::Reference, measure, 1.0);
        figures.add(Contestant::OurServer, measure, 1.5);
        figures.add(Contestant::OurAgent, measure, 1.3);
    }
    let outcome = outcome(&figures, "≥ 1.4", "reference");
    assert_eq!(outcome.verdict, Verdict::Missed);
    assert!(outcome.text().contains("its server, our agent"));
}
