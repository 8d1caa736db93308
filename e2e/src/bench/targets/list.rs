//! The table of targets, line by line.

use super::{
    Against, Bound, Check, Contestant, DIRECTIONS, Direction, Half, Measure, Pace, Quantile,
    STALLS, Shape, Stall, Target,
};

/// Megabytes a second that the slow line carries.
pub(crate) const LINE: f64 = 30.0;
/// Megabytes a second of 4 MiB for each round trip of 100 ms.
const WINDOW: f64 = 41.943_04;

const TLS: Against = Against::Contestant(Contestant::TlsRelay);
const REFERENCE: Against = Against::Contestant(Contestant::Reference);

/// All of them, in the order of the table.
pub fn targets() -> Vec<Target> {
    let mut all = against_the_relay();
    all.extend(against_the_reference());
    all.push(isolation());
    all.extend(at_rest());
    all.push(Target {
        what: "Throughput at 100 ms RTT, one connection",
        against: "lower of the line's 30 MB/s and 4 MiB per RTT",
        goal: "≥ 0.8",
        checks: DIRECTIONS.map(delayed).into(),
    });
    all.push(go_client());
    all
}

fn go_client() -> Target {
    let twice = |label: &str, measure| check(label, measure, REFERENCE, Bound::AtLeast(2.0));
    let throughput = |direction: Direction| {
        let label = format!("throughput {}", direction.label());
        twice(&label, Measure::GoThroughput(direction))
    };
    let [up, down] = DIRECTIONS.map(throughput);
    Target {
        what: "gRPC frontend with the Go client: throughput, dials",
        against: "reference",
        goal: "≥ 2 where the client is not the limit",
        checks: vec![up, down, twice("dials", Measure::GoDials)],
    }
}

fn against_the_relay() -> Vec<Target> {
    vec![
        Target {
            what: "Throughput, 1, 8, 64 connections, each way",
            against: "TLS relay",
            goal: "≥ 0.9",
            checks: shapes(Measure::Throughput, TLS, Bound::AtLeast(0.9)),
        },
        Target {
            what: "CPU seconds per GB, server + agent",
            against: "TLS relay",
            goal: "≤ 1.2",
            checks: shapes(Measure::Cpu, TLS, Bound::AtMost(1.2)),
        },
        Target {
            what: "Round trip, 64 bytes, p50",
            against: "TLS relay",
            goal: "≤ 1.2",
            checks: vec![check(
                "",
                Measure::RoundTrip(None, Quantile::P50),
                TLS,
                Bound::AtMost(1.2),
            )],
        },
    ]
}

fn against_the_reference() -> Vec<Target> {
    let mixed = [Contestant::OurServer, Contestant::OurAgent].map(|contestant| {
        let checks = shapes(Measure::Throughput, REFERENCE, Bound::AtLeast(1.4));
        checks.into_iter().map(move |check| Check {
            label: format!("{}, {}", contestant.title(), check.label),
            subject: Some(contestant),
            ..check
        })
    });
    let quantiles = [("p50", Quantile::P50), ("p99", Quantile::P99)];
    let beside = DIRECTIONS.into_iter().flat_map(|direction| {
        quantiles.map(|(name, quantile)| {
            let label = format!("{name} beside {}", direction.label());
            let measure = Measure::RoundTrip(Some(direction), quantile);
            check(&label, measure, REFERENCE, Bound::AtMost(0.25))
        })
    });
    vec![
        Target {
            what: "Throughput",
            against: "reference",
            goal: "≥ 3.5",
            checks: shapes(Measure::Throughput, REFERENCE, Bound::AtLeast(3.5)),
        },
        Target {
            what: "CPU seconds per GB",
            against: "reference",
            goal: "≤ 0.25",
            checks: shapes(Measure::Cpu, REFERENCE, Bound::AtMost(0.25)),
        },
        Target {
            what: "One half ours, throughput",
            against: "reference",
            goal: "≥ 1.4",
            checks: mixed.into_iter().flatten().collect(),
        },
        Target {
            what: "Round trip beside one saturating transfer, p50 and p99",
            against: "reference",
            goal: "≤ 0.25",
            checks: beside.collect(),
        },
        Target {
            what: "Dials per second, 16 in parallel",
            against: "reference",
            goal: "≥ 2",
            checks: vec![check(
                "",
                Measure::DialRate(Pace::Parallel(16)),
                REFERENCE,
                Bound::AtLeast(2.0),
            )],
        },
    ]
}

fn isolation() -> Target {
    let stalls = STALLS.into_iter().filter(|&stall| stall != Stall::None);
    let checks = stalls.flat_map(|stall| {
        let label = stall.label();
        [
            check(
                &format!("echo, {label}"),
                Measure::StalledEcho(stall),
                Against::Own(Measure::StalledEcho(Stall::None)),
                Bound::AtMost(1.5),
            ),
            check(
                &format!("dial, {label}"),
                Measure::StalledDial(stall),
                Against::Own(Measure::StalledDial(Stall::None)),
                Bound::AtMost(1.5),
            ),
            check(
                &format!("failed, {label}"),
                Measure::StalledFailures(stall),
                Against::Number(1.0),
                Bound::AtMost(0.0),
            ),
        ]
    });
    Target {
        what: "Echo p99 and dial p99 beside 1, 8, 64 stalled readers or endpoints",
        against: "the same without them",
        goal: "≤ 1.5, none failed",
        checks: checks.collect(),
    }
}

fn at_rest() -> Vec<Target> {
    let absolute = |label: &str, measure, most| {
        check(label, measure, Against::Number(1.0), Bound::AtMost(most))
    };
    vec![
        Target {
            what: "Memory per idle connection, both processes, at 10k",
            against: "-",
            goal: "≤ 5 KB",
            checks: vec![absolute("", Measure::IdleMemory(10_000), 5.0)],
        },
        Target {
            what: "Process at rest, each",
            against: "-",
            goal: "≤ 12 MB",
            checks: vec![
                absolute("server", Measure::Rest(Half::Server), 12.0),
                absolute("agent", Measure::Rest(Half::Agent), 12.0),
            ],
        },
        Target {
            what: "CPU with 10k idle connections",
            against: "-",
            goal: "≤ 0.5 % of a core",
            checks: vec![absolute("", Measure::IdleCpu(10_000), 0.5)],
        },
    ]
}

fn delayed(direction: Direction) -> Check {
    let measure = Measure::Delayed(100, direction);
    let limit = Against::Number(LINE.min(WINDOW));
    check(direction.label(), measure, limit, Bound::AtLeast(0.8))
}

fn shapes(measure: fn(Shape) -> Measure, against: Against, bound: Bound) -> Vec<Check> {
    Shape::all()
        .map(|shape| check(&shape.label(), measure(shape), against, bound))
        .collect()
}

fn check(label: &str, measure: Measure, against: Against, bound: Bound) -> Check {
    Check {
        label: label.into(),
        subject: None,
        measure,
        against,
        bound,
    }
}
