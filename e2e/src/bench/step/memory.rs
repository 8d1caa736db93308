//! Memory and CPU time of processes that have nothing to do: without connections, and beside idle ones.

use std::time::Duration;

use tokio::time::sleep;

use super::{Round, Samples, flag};
use crate::bench::measure::{Half, IDLE, Measure};
use crate::bench::pair::{Pair, Setup, load};
use crate::bench::statistics::number;
use crate::bench::usage::{cpu, memory};
use crate::error::{Error, Result};

/// What start and opening leave to do is done by then.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) async fn take(round: Round<'_>, samples: &mut Samples) -> Result<()> {
    let mut pair = Pair::start(round.rig, round.contestant, Setup::default()).await?;
    sleep(SETTLE).await;
    let [server, agent] = pair.processes();
    let rest = [memory(server)?, memory(agent)?];
    for (half, memory) in [Half::Server, Half::Agent].into_iter().zip(rest) {
        samples.push((Measure::Rest(half), number(memory.resident) / 1e6));
    }
    let before: u64 = rest.iter().map(|memory| memory.anonymous).sum();
    let mut loads = Vec::new();
    let mut open = 0;
    for wanted in IDLE {
        let arguments = vec!["idle".to_owned(), flag("connections", wanted - open)];
        let echo = &round.rig.quick.echo;
        let (child, ready) = load(round.rig, &pair, echo, arguments).await?;
        loads.push(child);
        open = wanted;
        if ready.failed > 0 {
            return Err(Error::Unexpected {
                what: format!("idle connections on the way to {wanted}"),
                expected: "all open".into(),
                found: format!("{} that could not be opened", ready.failed),
            });
        }
        sleep(SETTLE).await;
        let now = memory(server)?.anonymous + memory(agent)?.anonymous;
        let each = number(now.saturating_sub(before)) / f64::from(wanted);
        samples.push((Measure::IdleMemory(wanted), each / 1e3));
        let used = cpu(&[server, agent])?;
        sleep(round.plan.idle).await;
        let used = cpu(&[server, agent])?.saturating_sub(used);
        let share = used.as_secs_f64() / round.plan.idle.as_secs_f64();
        samples.push((Measure::IdleCpu(wanted), share * 100.0));
        pair.alive()?;
    }
    pair.end().await
}
