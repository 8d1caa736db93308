//! Transfers of every shape through one pair: bytes a second, and CPU time for them.

use std::time::Duration;

use super::{Round, Samples, flag, milliseconds};
use crate::bench::measure::{Direction, Measure, Shape};
use crate::bench::pair::{Pair, Setup, load};
use crate::bench::part::transfer::Transferred;
use crate::bench::statistics::number;
use crate::error::Result;

/// What a window may take beyond its length on a busy machine.
const GRACE: Duration = Duration::from_secs(20);

pub(super) async fn take(round: Round<'_>, samples: &mut Samples) -> Result<()> {
    let mut pair = Pair::start(round.rig, round.contestant, Setup::default()).await?;
    for shape in Shape::all() {
        let windows = (round.plan.warm_up, round.plan.transfer);
        let transferred = transfer(round, &pair, shape, windows).await?;
        let bytes = number(transferred.bytes);
        samples.push((
            Measure::Throughput(shape),
            bytes / transferred.seconds / 1e9,
        ));
        if transferred.bytes > 0 {
            let seconds = transferred.cpu_seconds / (bytes / 1e9);
            samples.push((Measure::Cpu(shape), seconds));
        }
        pair.alive()?;
    }
    pair.end().await
}

/// One window of transfers.
pub(super) async fn transfer(
    round: Round<'_>,
    pair: &Pair,
    shape: Shape,
    (warm_up, window): (Duration, Duration),
) -> Result<Transferred> {
    let target = endpoint(round, shape.direction);
    let [server, agent] = pair.processes();
    let mut arguments = vec![
        "transfer".to_owned(),
        flag("connections", shape.connections),
        flag("direction", shape.direction.label()),
        milliseconds("warm-up", warm_up),
        milliseconds("window", window),
        format!("--watch={server},{agent}"),
    ];
    if shape.direction == Direction::Up {
        arguments.push(flag("counter", &round.rig.bulk.counter));
    }
    let (mut child, _) = load(round.rig, pair, &[target], arguments).await?;
    let transferred = child.line(warm_up + window + GRACE).await?;
    child.end().await?;
    Ok(transferred)
}

/// The endpoint of a transfer.
pub(super) fn endpoint(round: Round<'_>, direction: Direction) -> String {
    match direction {
        Direction::Up => round.rig.bulk.discard.clone(),
        Direction::Down => round.rig.bulk.source.clone(),
    }
}
