//! `make soak`: clients come and go, well and badly, and when the last has gone everything must be as it was.
//!
//! ```text
//!  clients ──CONNECT──► Unix socket ─ server ══ agent ─► endpoints     ours; first one wire between them, then the other
//!  job::World                          pair::Pair       endpoints
//! ```
//!
//! [`plan`] makes rounds from a seed: transfers that are compared by hash, dials that are refused or given up, clients
//! that are killed or stand still, agents that leave or are killed. [`round`] runs one, [`job`] is one client's life.
//! After the first round, and after the first of every agent, [`census`] counts what both processes hold; at the end
//! it must be the same again. [`tally`] counts what was done. Everything is on loopback, bounded in number and time,
//! and gone when the run ends, however it ends.

use std::path::PathBuf;

use tokio::time::Instant;
use uuid::Uuid;

use crate::bench::contestant::Contestant;
use crate::bench::pair::{Pair, Setup};
use crate::bench::part::client::Way;
use crate::bench::rig::{Programs, Rig, Subjects};
use crate::error::{Error, Result};
use crate::report::{Table, say};
use crate::soak::endpoints::Endpoints;
use crate::soak::job::World;
use crate::soak::plan::Length;
use crate::soak::tally::Tally;

pub mod census;
pub mod dice;
pub mod endpoints;
pub mod job;
pub mod plan;
pub mod receipt;
pub mod round;
pub mod tally;

/// The wires.
const WIRES: [Contestant; 2] = [Contestant::Native, Contestant::Legacy];

/// Flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Some twenty seconds.
    #[arg(long, conflicts_with = "minutes")]
    quick: bool,
    /// How long, both wires together; ten are 10,000 transfers at least.
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// What the clients do follows from it [default: another one each time].
    #[arg(long)]
    seed: Option<u64>,
    /// Our konnectivity-server [default: the one beside this program].
    #[arg(long)]
    server: Option<PathBuf>,
    /// Our konnectivity-agent [default: the one beside this program].
    #[arg(long)]
    agent: Option<PathBuf>,
    /// Where logs go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/soak"))]
    output: PathBuf,
}

/// Soaks both wires and prints what was done; fails with a list of what is not as it should be.
pub async fn run(args: Args) -> Result<()> {
    let length = if args.quick {
        Length::QUICK
    } else {
        Length::minutes(args.minutes)
    };
    let seed = args.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
    say(&format!("seed {seed}: the same again with --seed={seed}"))?;
    let subjects = Subjects {
        ours: Programs::ours(args.server, args.agent)?,
        reference: None,
        go_client: None,
    };
    let rig = Rig::start(subjects, args.output).await?;
    let endpoints = Endpoints::start().await?;
    let mut tallies = Vec::new();
    for wire in WIRES {
        if let Some(why) = rig.lacks(wire) {
            return Err(Error::Missing {
                what: wire.title().into(),
                remedy: why,
            });
        }
        let mut tally = Tally::default();
        if let Err(error) = soak(&rig, &endpoints, (wire, length, seed), &mut tally).await {
            tally.failed(error.chain());
        }
        tallies.push((wire, tally));
    }
    report(&tallies)
}

/// Rounds on one wire, until it is time, and what is left then.
async fn soak(
    rig: &Rig,
    endpoints: &Endpoints,
    (wire, length, seed): (Contestant, Length, u64),
    tally: &mut Tally,
) -> Result<()> {
    let mut pair = Pair::start(rig, wire, Setup::default()).await?;
    let socket = pair.socket().to_owned();
    let world = World::new(&socket, endpoints, wire);
    let started = Instant::now();
    while length.goes_on(tally.rounds, tally.transfers(), started.elapsed())
        && !tally.has_failed_enough()
    {
        let round = length.plan(seed, tally.rounds);
        tracing::info!(
            "{}, round {}: {:?}",
            wire.title(),
            tally.rounds + 1,
            round.incident
        );
        let is_new = tally.start.is_none() || round.incident.is_some();
        round::run(rig, &mut pair, &world, round, tally).await?;
        let held = census::rest(&pair).await?;
        tracing::info!("at rest: {held:?}");
        if is_new {
            let now = census::start(&pair).await?;
            let start = tally.start.get_or_insert(now);
            start.agent = now.agent;
        }
    }
    if let Some(start) = tally.start {
        let way = Way::new(&socket, &rig.quick.echo);
        let (end, left) = census::end(&pair, &way, &start).await?;
        tally.end = Some(end);
        for what in left {
            tally.failed(what);
        }
    }
    pair.end().await
}

fn report(tallies: &[(Contestant, Tally)]) -> Result<()> {
    let titles = tallies.iter().map(|(wire, _)| wire.title());
    let mut headings = vec!["what"];
    headings.extend(titles);
    let mut table = Table::new(&headings);
    let columns: Vec<_> = tallies.iter().map(|(_, tally)| tally.rows()).collect();
    for (line, (name, _)) in columns.first().into_iter().flatten().enumerate() {
        let cells = columns.iter().filter_map(|column| column.get(line));
        let cells = cells.map(|(_, cell)| cell.clone());
        table.line([name.clone()].into_iter().chain(cells));
    }
    say(&table.to_string())?;
    let mut failures = Vec::new();
    for (wire, tally) in tallies {
        let named = |what: &String| format!("{}: {what}", wire.title());
        failures.extend(tally.failures().iter().map(named));
    }
    if failures.is_empty() {
        return say("everything is as at the start");
    }
    Err(Error::Unexpected {
        what: "the soak".into(),
        expected: "everything as at the start".into(),
        found: format!("\n  {}", failures.join("\n  ")),
    })
}
