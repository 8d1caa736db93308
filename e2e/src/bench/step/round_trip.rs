//! 64 bytes there and back, alone and beside one transfer that takes all it can.

use std::time::Duration;

use super::transfer::endpoint;
use super::{Round, Samples, flag, milliseconds};
use crate::bench::measure::{Direction, Measure, Quantile};
use crate::bench::pair::{Pair, Setup, load};
use crate::bench::part::echo::Latencies;
use crate::error::Result;

/// Longer than any window of round trips: the transfer is ended with them.
const TRANSFER: Duration = Duration::from_mins(2);
const GRACE: Duration = Duration::from_secs(20);

pub(super) async fn take(round: Round<'_>, samples: &mut Samples) -> Result<()> {
    let mut pair = Pair::start(round.rig, round.contestant, Setup::default()).await?;
    for beside in [None, Some(Direction::Up), Some(Direction::Down)] {
        let transfer = match beside {
            None => None,
            Some(direction) => {
                let target = endpoint(round, direction);
                let arguments = vec![
                    "transfer".to_owned(),
                    flag("connections", 1),
                    flag("direction", direction.label()),
                    milliseconds("warm-up", Duration::ZERO),
                    milliseconds("window", TRANSFER),
                ];
                let (transfer, _) = load(round.rig, &pair, &[target], arguments).await?;
                tokio::time::sleep(round.plan.warm_up).await;
                Some(transfer)
            }
        };
        let window = milliseconds("window", round.plan.latency);
        let arguments = vec!["echo".to_owned(), window];
        let echo = &round.rig.quick.echo;
        let (mut child, _) = load(round.rig, &pair, echo, arguments).await?;
        let limit = round.plan.latency + GRACE;
        let latencies: Option<Latencies> = child.line(limit).await?;
        child.end().await?;
        if let Some(mut transfer) = transfer {
            transfer.alive()?;
            transfer.end().await?;
        }
        if let Some(latencies) = latencies {
            samples.push((Measure::RoundTrip(beside, Quantile::P50), latencies.p50));
            samples.push((Measure::RoundTrip(beside, Quantile::P99), latencies.p99));
        }
        pair.alive()?;
    }
    pair.end().await
}
