//! Dials and round trips beside clients and endpoints that stand still. Each number of them has a pair of its own,
//! because a tunnel that they spoil may stay spoilt.

use std::time::Duration;

use super::{Round, Samples, flag, milliseconds};
use crate::bench::child::Child;
use crate::bench::measure::{Direction, Measure, STALLS, Stall};
use crate::bench::pair::{Pair, Setup, load};
use crate::bench::part::probe::Probed;
use crate::bench::statistics::number;
use crate::error::Result;

/// Three probes of 2 s each may fail before a probe gives up.
const GRACE: Duration = Duration::from_secs(20);

pub(super) async fn take(round: Round<'_>, samples: &mut Samples) -> Result<()> {
    let mut outcome = Ok(());
    for stall in STALLS {
        // A tunnel that one of them ends is still asked about the others.
        outcome = beside(round, stall, samples).await.and(outcome);
    }
    outcome
}

async fn beside(round: Round<'_>, stall: Stall, samples: &mut Samples) -> Result<()> {
    let mut pair = Pair::start(round.rig, round.contestant, Setup::default()).await?;
    let standing = stand(round, &pair, stall).await?;
    let window = milliseconds("window", round.plan.stalled);
    let echo = &round.rig.quick.echo;
    let (mut probe, _) = load(round.rig, &pair, echo, vec!["probe".into(), window]).await?;
    let probed: Probed = probe.line(round.plan.stalled + GRACE).await?;
    probe.end().await?;
    if let Some(echo) = probed.echo {
        samples.push((Measure::StalledEcho(stall), echo.p99));
    }
    if let Some(dial) = probed.dial {
        samples.push((Measure::StalledDial(stall), dial.p99));
    }
    let failed = number(probed.failed.into());
    samples.push((Measure::StalledFailures(stall), failed));
    pair.alive()?;
    if let Some(standing) = standing {
        standing.end().await?;
    }
    pair.end().await
}

/// Starts those who stand still and waits until they do.
async fn stand(round: Round<'_>, pair: &Pair, stall: Stall) -> Result<Option<Child>> {
    let (count, direction, target) = match stall {
        Stall::None => return Ok(None),
        Stall::Readers(count) => (count, Direction::Down, &round.rig.bulk.source),
        Stall::Endpoints(count) => (count, Direction::Up, &round.rig.bulk.stuck),
    };
    let arguments = vec![
        "stall".to_owned(),
        flag("connections", count),
        flag("direction", direction.label()),
        milliseconds("fill", round.plan.fill),
    ];
    let (child, _) = load(round.rig, pair, std::slice::from_ref(target), arguments).await?;
    Ok(Some(child))
}
