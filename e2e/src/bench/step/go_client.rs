//! The client that kube-apiserver embeds, over the gRPC frontend: what it can move and dial.

use std::path::Path;
use std::time::Duration;

use super::transfer::endpoint;
use super::{Round, Samples, flag, milliseconds};
use crate::bench::measure::{DIRECTIONS, Direction, Measure};
use crate::bench::pair::{Frontend, Pair, Setup, begin};
use crate::bench::part::dials::Dialled;
use crate::bench::part::transfer::Transferred;
use crate::bench::statistics::number;
use crate::error::{Error, Result};

const GRACE: Duration = Duration::from_secs(30);

pub(super) async fn take(round: Round<'_>, samples: &mut Samples) -> Result<()> {
    let client = round.rig.go_client().ok_or_else(|| Error::Missing {
        what: "the Go client".into(),
        remedy: "`lab build` builds it".into(),
    })?;
    let setup = Setup {
        frontend: Frontend::Grpc,
        ..Setup::default()
    };
    let mut pair = Pair::start(round.rig, round.contestant, setup).await?;
    for direction in DIRECTIONS {
        let transferred = transfer(round, &pair, client, direction).await?;
        let rate = number(transferred.bytes) / transferred.seconds / 1e9;
        samples.push((Measure::GoThroughput(direction), rate));
        pair.alive()?;
    }
    let window = milliseconds("window", round.plan.latency);
    let arguments = ["load", "dials", "--parallel=16", &window].map(str::to_owned);
    let echo = &round.rig.quick.echo;
    let (mut child, _) = begin(round.rig, &pair, echo, (client, arguments.into())).await?;
    let dialled: Dialled = child.line(round.plan.latency + GRACE).await?;
    child.end().await?;
    samples.push((Measure::GoDials, dialled.rate));
    pair.alive()?;
    pair.end().await
}

async fn transfer(
    round: Round<'_>,
    pair: &Pair,
    client: &Path,
    direction: Direction,
) -> Result<Transferred> {
    let windows = (round.plan.warm_up, round.plan.transfer);
    let arguments = vec![
        "load".to_owned(),
        "transfer".into(),
        flag("direction", direction.label()),
        flag("counter", &round.rig.bulk.counter),
        milliseconds("warm-up", windows.0),
        milliseconds("window", windows.1),
    ];
    let targets = [endpoint(round, direction)];
    let (mut child, _) = begin(round.rig, pair, &targets, (client, arguments)).await?;
    let transferred = child.line(windows.0 + windows.1 + GRACE).await?;
    child.end().await?;
    Ok(transferred)
}
