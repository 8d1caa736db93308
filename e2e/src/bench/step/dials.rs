//! Short connections: how many a second, and how long a dial takes.

use std::time::Duration;

use super::{Round, Samples, flag, milliseconds};
use crate::bench::measure::{Measure, PACES, Pace, Quantile};
use crate::bench::pair::{Pair, Setup, load};
use crate::bench::part::dials::Dialled;
use crate::error::{Error, Result};

const GRACE: Duration = Duration::from_secs(30);

pub(super) async fn take(round: Round<'_>, samples: &mut Samples) -> Result<()> {
    let mut pair = Pair::start(round.rig, round.contestant, Setup::default()).await?;
    for pace in PACES {
        let pace_flag = match pace {
            Pace::Parallel(count) => flag("parallel", count),
            Pace::PerSecond(count) => flag("per-second", count),
        };
        let window = milliseconds("window", round.plan.latency);
        let arguments = vec!["dials".to_owned(), pace_flag, window];
        let echo = &round.rig.quick.echo;
        let (mut child, _) = load(round.rig, &pair, echo, arguments).await?;
        let dialled: Dialled = child.line(round.plan.latency + GRACE).await?;
        child.end().await?;
        samples.push((Measure::DialRate(pace), dialled.rate));
        if let Some(latencies) = dialled.latencies {
            samples.push((Measure::DialLatency(pace, Quantile::P50), latencies.p50));
            samples.push((Measure::DialLatency(pace, Quantile::P99), latencies.p99));
        }
        pair.alive()?;
        if let Some(why) = dialled.first_failure {
            return Err(Error::Unexpected {
                what: format!("{} of the dials", dialled.failed),
                expected: "an answer".into(),
                found: why,
            });
        }
    }
    pair.end().await
}
