//! What is proved in the lab: scenarios that run one after the other against one demo, and the table of how they ended.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use crate::demo::{self, Demo};
use crate::error::{Error, Result, expect_contains};
use crate::report::{Table, say};
use crate::wait::timed;

mod addon;
mod adopted;
mod agents;
mod certificates;
mod counters;
mod faults;
mod heritage;
mod life_cycle;
mod peers;
mod replicas;
mod restore;
mod stalls;
mod streams;

/// One scenario: a sentence, and what proves it. It leaves the demo as it found it, unless it fails.
struct Scenario {
    name: &'static str,
    run: for<'a> fn(&'a Demo) -> LocalBoxFuture<'a, Result<String>>,
}

const ALL: &[Scenario] = &[
    Scenario {
        name: "demo",
        run: |demo| rows(demo).boxed_local(),
    },
    Scenario {
        name: "examples",
        run: |demo| examples(demo).boxed_local(),
    },
    Scenario {
        name: "packets-are-counted",
        run: |demo| streams::packets_are_counted(demo).boxed_local(),
    },
    Scenario {
        name: "two-replicas",
        run: |demo| replicas::each_reaches_the_worker(demo).boxed_local(),
    },
    Scenario {
        name: "three-replicas-sticky",
        run: |demo| peers::sticky(demo).boxed_local(),
    },
    Scenario {
        name: "scale-1-2-0-1",
        run: |demo| replicas::scale_keeps_data(demo).boxed_local(),
    },
    Scenario {
        name: "copy",
        run: |demo| streams::copy(demo).boxed_local(),
    },
    Scenario {
        name: "attach",
        run: |demo| streams::attach(demo).boxed_local(),
    },
    Scenario {
        name: "stopped-exec",
        run: |demo| stalls::stopped_execs(demo).boxed_local(),
    },
    Scenario {
        name: "agent-deleted",
        run: |demo| agents::deleted(demo).boxed_local(),
    },
    Scenario {
        name: "agent-killed",
        run: |demo| agents::killed(demo).boxed_local(),
    },
    Scenario {
        name: "agents-stopped",
        run: |demo| agents::stopped(demo).boxed_local(),
    },
    Scenario {
        name: "agent-mode",
        run: |demo| agents::mode_switch(demo).boxed_local(),
    },
    Scenario {
        name: "addon-disabled",
        run: |demo| addon::disabled(demo).boxed_local(),
    },
    Scenario {
        name: "addons-of-kubernetes",
        run: |demo| addon::kubernetes(demo).boxed_local(),
    },
    Scenario {
        name: "renewal",
        run: |demo| certificates::renewed(demo).boxed_local(),
    },
    Scenario {
        name: "fault-data-store",
        run: |demo| {
            remedied(
                faults::data_store(demo),
                "create it, or correct spec.dataStore",
            )
            .boxed_local()
        },
    },
    Scenario {
        name: "fault-data-store-silent",
        run: |demo| {
            remedied(
                faults::data_store_silent(demo),
                "check spec.endpoints of the DataStore",
            )
            .boxed_local()
        },
    },
    Scenario {
        name: "fault-load-balancer",
        run: |demo| {
            remedied(
                faults::load_balancer(demo),
                "set spec.networkProfile.address",
            )
            .boxed_local()
        },
    },
    Scenario {
        name: "fault-image",
        run: |demo| remedied(faults::image(demo), "check that the image exists").boxed_local(),
    },
    Scenario {
        name: "fault-port-clash",
        run: |demo| {
            remedied(
                faults::port_clash(demo),
                "choose another spec.networkProfile.port",
            )
            .boxed_local()
        },
    },
    Scenario {
        name: "fault-tenant-unreachable",
        run: |demo| {
            remedied(
                faults::tenant_unreachable(demo),
                "Check that the operator may dial Service",
            )
            .boxed_local()
        },
    },
    Scenario {
        name: "fault-no-agent",
        run: |demo| remedied(faults::no_agent(demo), "Check firewalls on the way").boxed_local(),
    },
    Scenario {
        name: "fault-agent-refused",
        run: |demo| {
            remedied(
                faults::agent_refused(demo),
                "delete the agents' pods to have fresh tokens",
            )
            .boxed_local()
        },
    },
    Scenario {
        name: "adopted",
        run: |demo| adopted::adopted(demo).boxed_local(),
    },
    Scenario {
        name: "made-anew",
        run: |demo| life_cycle::made_anew(demo).boxed_local(),
    },
    Scenario {
        name: "delete",
        run: |demo| life_cycle::delete(demo).boxed_local(),
    },
];

/// No scenario may take longer.
const LIMIT: Duration = Duration::from_mins(6);

/// The names there are, in their order.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|scenario| scenario.name).collect()
}

/// Runs the named scenarios, or all, and prints the table; failing ones make the result an error.
pub async fn run(demo: &Demo, only: &[String]) -> Result<()> {
    let found = restore::Found::look(demo).await?;
    let mut table = Table::new(&["scenario", "result", "took", "what was seen"]);
    let (mut passed, mut failed, mut not_run) = (0_u32, 0_u32, 0_u32);
    let mut lost = None;
    for scenario in ALL
        .iter()
        .filter(|scenario| only.is_empty() || only.iter().any(|name| name == scenario.name))
    {
        if let Some(after) = lost {
            not_run += 1;
            let why = format!("the demo could not be mended after {after}");
            table.row([scenario.name, "not run", "", &why]);
            continue;
        }
        tracing::info!("scenario {}", scenario.name);
        let (outcome, took) = timed(async { Ok(one(demo, scenario).await) }).await?;
        let took = format!("{:.1} s", took.as_secs_f64());
        let error = match outcome {
            Ok(seen) => {
                passed += 1;
                table.row([scenario.name, "pass", &took, &seen]);
                continue;
            }
            Err(error) => error,
        };
        failed += 1;
        tracing::error!("{} failed: {}", scenario.name, error.chain());
        let logs = crate::diagnostics::collect(demo.lab.place(), scenario.name).await;
        table.row([scenario.name, "FAIL", &took, &format!("see {logs}")]);
        if let Err(error) = found.restore(demo).await {
            tracing::error!("mending the demo failed: {}", error.chain());
            lost = Some(scenario.name);
        }
    }
    say(&table.to_string())?;
    say(&format!(
        "{passed} passed, {failed} failed, {not_run} not run"
    ))?;
    if failed == 0 {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: "the scenarios".into(),
        expected: "none fails".into(),
        found: format!("{failed} failed"),
    })
}

async fn one(demo: &Demo, scenario: &Scenario) -> Result<String> {
    let run = tokio::time::timeout(LIMIT, (scenario.run)(demo)).await;
    run.unwrap_or_else(|_elapsed| {
        Err(Error::Late {
            what: format!("scenario {} ends", scenario.name),
            limit: LIMIT,
            last: "running".into(),
        })
    })
}

async fn rows(demo: &Demo) -> Result<String> {
    let rows = demo::rows::all(demo).await?;
    Ok(format!("{} rows read back", rows.len()))
}

/// A fault whose message, which is what the scenario has seen, holds these words of the remedy.
async fn remedied(fault: impl Future<Output = Result<String>>, remedy: &str) -> Result<String> {
    let message = fault.await?;
    expect_contains("the condition's message", &message, remedy)?;
    Ok(message)
}

/// Every example is accepted by the API server and the webhook, as it stands.
async fn examples(demo: &Demo) -> Result<String> {
    let folder = demo
        .lab
        .place()
        .repository()
        .join("examples")
        .display()
        .to_string();
    let accepted = demo
        .lab
        .management()
        .kubectl(["apply", "--dry-run=server", "-f", &folder])
        .run()
        .await?;
    Ok(format!("{} accepted", accepted.lines().count()))
}
