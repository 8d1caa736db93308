//! One round: its tasks, some at once, and in their middle what happens to the agent. In: a round. Out: counts.

use std::cell::Cell;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rustix::process::Signal;
use tokio::sync::Notify;

use crate::bench::pair::Pair;
use crate::bench::rig::Rig;
use crate::error::Result;
use crate::soak::job::World;
use crate::soak::plan::{Incident, Round};
use crate::soak::tally::{Excuse, Tally};

/// Clients at once.
const PARALLEL: usize = 32;
/// An agent that was asked to leave has left by then: 25 s for what is open, and some to say goodbye.
const LEAVE: Duration = Duration::from_secs(40);

/// Whether an agent was killed, and whether its successor carries connections.
#[derive(Debug, Default)]
struct Outage {
    has_begun: Cell<bool>,
    is_over: Cell<bool>,
}

/// Runs it to its end, unless too much fails.
pub async fn run(
    rig: &Rig,
    pair: &mut Pair,
    world: &World<'_>,
    round: Round,
    tally: &mut Tally,
) -> Result<()> {
    let (outage, half) = (Outage::default(), Notify::new());
    let count = round.tasks.len();
    let churn = async {
        let lives = stream::iter(round.tasks).map(async |task| {
            let was_over = outage.is_over.get();
            let ended = world.perform(task).await;
            let excuse = if outage.has_begun.get() && !was_over {
                Excuse::AgentKilled
            } else {
                Excuse::None
            };
            (task.job, ended, excuse)
        });
        let mut lives = lives.buffer_unordered(PARALLEL);
        let mut ended = 0;
        while let Some((job, verdict, excuse)) = lives.next().await {
            tally.take(job, verdict, excuse);
            ended += 1;
            if 2 * ended >= count {
                half.notify_one();
            }
            if tally.has_failed_enough() {
                break;
            }
        }
        half.notify_one();
    };
    let incident = async {
        half.notified().await;
        match round.incident {
            Some(incident) => happen(incident, rig, pair, &outage).await,
            None => Ok(()),
        }
    };
    let ((), happened) = tokio::join!(churn, incident);
    happened?;
    if let Some(incident) = round.incident {
        tally.replaced(incident);
    }
    tally.rounds += 1;
    Ok(())
}

async fn happen(incident: Incident, rig: &Rig, pair: &mut Pair, outage: &Outage) -> Result<()> {
    match incident {
        Incident::Terminate => {
            let old = pair.replace_agent(rig, Signal::TERM).await?;
            old.leaves_within(LEAVE).await
        }
        Incident::Kill => {
            outage.has_begun.set(true);
            let old = pair.replace_agent(rig, Signal::KILL).await?;
            old.end().await?;
            pair.ready(rig).await?;
            outage.is_over.set(true);
            Ok(())
        }
    }
}
