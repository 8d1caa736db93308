//! How many agents are connected of how many there should be, and whether those that are missing had their time. Pure.
//!
//! In: the agents' pods, and what the status of their `DaemonSet` or `Deployment` says. Out: [`Standing`], and by
//! [`Shortage`], which remembers since when somebody is missing, [`Patience`]. Nodes come and pods are replaced all the
//! time, so an agent that is missing for a moment is no news; one that stays away is.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use tokio::time::Instant;

use super::inputs::Placement;

/// How long agents may be missing while no pod is replaced.
const LONG: Duration = Duration::from_mins(1);

/// How many agents there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Agents that hold a connection to a server.
    pub connected: u64,
    /// Agents that there should be.
    pub wanted: u64,
    /// Pods of the newest template.
    updated: u64,
    /// Pods of any template.
    present: u64,
}

impl Standing {
    /// Counts. `pods` may be the first of many; then the workload's word stands for the rest. A workload whose
    /// controller has not seen the newest spec has no word yet, and the pods are all that there should be.
    pub fn of(pods: &[Pod], workload: Option<&DynamicObject>, placement: Placement) -> Self {
        let seen = count(pods.iter().filter(|pod| is_ready(pod)).count());
        let said = workload.and_then(|workload| match placement {
            Placement::EveryNode => said_by_daemon_set(workload),
            Placement::Replicas(_) => said_by_deployment(workload),
        });
        let all = count(pods.len());
        match said {
            None => Self {
                connected: seen,
                wanted: all,
                updated: all,
                present: all,
            },
            Some(said) if said.present > all => Self {
                connected: said.connected.max(seen),
                ..said
            },
            Some(said) => Self {
                connected: seen,
                ..said
            },
        }
    }

    /// Whether every agent is connected and no pod is still to be replaced.
    pub const fn is_whole(&self) -> bool {
        self.connected >= self.wanted && self.updated >= self.wanted && self.present <= self.wanted
    }
}

/// A ready pod is a connected agent: its readiness probe asks for that.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn said_by_daemon_set(workload: &DynamicObject) -> Option<Standing> {
    let found: DaemonSet = workload.clone().try_parse().ok()?;
    let status = found.status?;
    (status.observed_generation? >= found.metadata.generation?).then(|| Standing {
        connected: natural(status.number_ready),
        wanted: natural(status.desired_number_scheduled),
        updated: natural(status.updated_number_scheduled.unwrap_or_default()),
        present: natural(status.current_number_scheduled),
    })
}

fn said_by_deployment(workload: &DynamicObject) -> Option<Standing> {
    let found: Deployment = workload.clone().try_parse().ok()?;
    let status = found.status?;
    (status.observed_generation? >= found.metadata.generation?).then(|| Standing {
        connected: natural(status.ready_replicas.unwrap_or_default()),
        wanted: natural(found.spec.and_then(|spec| spec.replicas).unwrap_or(1)),
        updated: natural(status.updated_replicas.unwrap_or_default()),
        present: natural(status.replicas.unwrap_or_default()),
    })
}

fn natural(number: i32) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Whether agents that are missing may still come by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// They may.
    Left,
    /// They had their time.
    Over,
}

/// Since when agents of one tenant are missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shortage(Option<Since>);

#[derive(Debug, Clone, Copy)]
struct Since {
    began: Instant,
    updated: u64,
}

impl Shortage {
    /// Takes the newest numbers. What was told stays: where patience was over it is over until all are there. A
    /// replacement of pods that goes on has its time anew with each pod.
    pub fn seen(&mut self, standing: &Standing, told: Patience, now: Instant) -> Patience {
        if standing.is_whole() {
            self.0 = None;
            return Patience::Left;
        }
        let updated = standing.updated;
        let held = self.0.filter(|since| since.updated == updated);
        let since = held.unwrap_or(Since {
            began: now,
            updated,
        });
        self.0 = Some(since);
        if now.duration_since(since.began) >= LONG {
            Patience::Over
        } else {
            told
        }
    }

    /// When patience will be over, if agents are missing.
    pub fn ends(&self, now: Instant) -> Option<Duration> {
        let since = self.0?;
        let left = LONG.saturating_sub(now.duration_since(since.began));
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests;
