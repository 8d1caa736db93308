//! One transfer through a line that is long and slow.

use super::transfer::transfer;
use super::{Round, Samples};
use crate::bench::measure::{DELAYS, DIRECTIONS, Measure, Shape};
use crate::bench::pair::{Pair, Setup};
use crate::bench::statistics::number;
use crate::error::Result;

pub(super) async fn take(round: Round<'_>, samples: &mut Samples) -> Result<()> {
    for delay in DELAYS {
        let setup = Setup {
            round_trip: delay,
            ..Setup::default()
        };
        let mut pair = Pair::start(round.rig, round.contestant, setup).await?;
        for direction in DIRECTIONS {
            let shape = Shape {
                connections: 1,
                direction,
            };
            let windows = (round.plan.slow_warm_up, round.plan.slow);
            let transferred = transfer(round, &pair, shape, windows).await?;
            let rate = number(transferred.bytes) / transferred.seconds / 1e6;
            samples.push((Measure::Delayed(delay, direction), rate));
            pair.alive()?;
        }
        pair.end().await?;
    }
    Ok(())
}
