//! `make bench`: our tunnel beside relays that only copy, and beside the reference's programs where they are named.
//!
//! ```text
//!  load ──CONNECT──► Unix socket ─ server ══ agent ─► endpoints      five processes; only the two in the middle differ
//!   part::transfer …                 pair::Pair        part::sink
//! ```
//!
//! [`plan`] says how long, [`step`] what is done in a round, [`measure`] what is measured and [`contestant`] of whom.
//! Rounds alternate: each step goes through all contestants, then through all of them backwards, and so on, with fresh
//! processes every time. [`figures`] keeps the samples, [`targets`] judges their medians, [`report`] and [`chart`] show
//! them. Everything is on loopback, bounded in time, and gone when the run ends, however it ends.
//!
//! What the numbers are not: load and endpoints share the machine's cores with the tunnel, so throughput on a small
//! machine is limited by all of them together; CPU time for a gigabyte is not.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::bench::contestant::Contestant;
use crate::bench::figures::{Figures, Trouble};
use crate::bench::machine::Machine;
use crate::bench::plan::{Plan, order};
use crate::bench::rig::{Rig, Subjects};
use crate::bench::step::{Round, Samples, Step};
use crate::error::{Error, Result};
use crate::place::{create_directory, write};

pub mod certificates;
pub mod chart;
pub mod child;
pub mod contestant;
pub mod figures;
pub mod machine;
pub mod measure;
pub mod pair;
pub mod part;
pub mod plan;
pub mod report;
pub mod rig;
pub mod statistics;
pub mod step;
pub mod targets;
pub mod usage;

/// No step of one contestant takes longer, however slow the machine.
const STEP: Duration = Duration::from_mins(3);

/// What a run needs to know.
#[derive(Debug)]
pub struct Options {
    /// Rounds and windows.
    pub plan: Plan,
    /// What is measured.
    pub subjects: Subjects,
    /// Where the report goes.
    pub output: PathBuf,
    /// Only these steps; all when empty.
    pub steps: Vec<Step>,
}

/// Measures, prints and writes `bench.json`, `bench.md` and `bench.svg`; fails when something that was tried failed,
/// not when a target was missed.
pub async fn run(options: Options) -> Result<()> {
    create_directory(&options.output)?;
    let machine = Machine::look().await?;
    let logs = options.output.join("logs");
    let rig = Rig::start(options.subjects, logs).await?;
    let mut figures = Figures::default();
    let deadline = Instant::now() + options.plan.limit;
    for step in Step::ALL {
        if options.steps.is_empty() || options.steps.contains(&step) {
            take(&rig, &options.plan, step, (deadline, &mut figures)).await;
        } else {
            let unwanted = Trouble::NotRun("the step was not asked for".into());
            for contestant in Contestant::ALL {
                figures.trouble(contestant, &step.measures(), &unwanted);
            }
        }
    }
    drop(rig);
    let json = serde_json::to_string_pretty(&report::json(&figures, &machine))?;
    write(&options.output.join("bench.json"), json)?;
    write(
        &options.output.join("bench.md"),
        report::markdown(&figures, &machine),
    )?;
    write(&options.output.join("bench.svg"), chart::svg(&figures))?;
    crate::report::say(&report::text(&figures, &machine))?;
    if figures.has_failures() {
        return Err(Error::Unexpected {
            what: "the run".into(),
            expected: "figures".into(),
            found: "failures, listed below the tables".into(),
        });
    }
    Ok(())
}

/// All rounds of one step.
async fn take(rig: &Rig, plan: &Plan, step: Step, (deadline, figures): (Instant, &mut Figures)) {
    let measures = step.measures();
    let mut contestants = Vec::new();
    for contestant in Contestant::ALL {
        match rig.lacks(contestant).or_else(|| lacks_client(rig, step)) {
            Some(why) => figures.trouble(contestant, &measures, &Trouble::NotRun(why)),
            None if measures.iter().any(|&measure| contestant.has(measure)) => {
                contestants.push(contestant);
            }
            None => {}
        }
    }
    for number in 0..step.rounds(plan) {
        for contestant in order(&contestants, number) {
            tracing::info!("{step:?}, round {}: {}", number + 1, contestant.title());
            if Instant::now() >= deadline {
                let late = Trouble::NotRun(format!("the time was up before round {}", number + 1));
                figures.trouble(contestant, &measures, &late);
                continue;
            }
            let round = Round {
                rig,
                plan,
                contestant,
            };
            let (samples, outcome) = sample(step, round).await;
            for &(measure, value) in &samples {
                figures.add(contestant, measure, value);
            }
            if let Err(error) = outcome {
                tracing::warn!("{}: {}", contestant.title(), error.chain());
                let mut missing = measures.clone();
                missing.retain(|measure| samples.iter().all(|(taken, _)| taken != measure));
                figures.trouble(contestant, &missing, &Trouble::Failed(error.chain()));
            }
        }
    }
}

fn lacks_client(rig: &Rig, step: Step) -> Option<String> {
    let lacks = step == Step::GoClient && rig.go_client().is_none();
    lacks.then(|| "the Go client is built only to be compared with the reference".into())
}

async fn sample(step: Step, round: Round<'_>) -> (Samples, Result<()>) {
    let mut samples = Samples::new();
    let taken = timeout(STEP, step.take(round, &mut samples)).await;
    let outcome = taken.unwrap_or_else(|_elapsed| {
        Err(Error::Late {
            what: format!("{step:?} ends"),
            limit: STEP,
            last: "still measuring".into(),
        })
    });
    (samples, outcome)
}
