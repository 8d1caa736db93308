//! Step 6 inside a tenant: what users read back. [`status`] is pure; [`write()`] is one patch, when something changed.
//!
//! Server-side apply under a manager of its own: this controller owns three conditions, the addons and kubeadm's
//! phases, the management side the rest, and neither disturbs the other.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::apply::Applied;
use super::build::{AGENT, SYSTEM, tunnel_server};
use super::call::{CallError, call};
use crate::api::condition::{self, Change, ConditionType, Finding, Reason};
use crate::api::tenant_control_plane_status::{
    AddonStatus, AddonsStatus, AgentStatus, KonnectivityStatus, KubeadmPhaseStatus, ObjectStatus,
    PhaseStatus,
};
use crate::api::{GROUP, TenantControlPlane, TenantControlPlaneStatus, VERSION};
use crate::events::{self, Events};
use crate::leftover::leftover;

/// As whom the status is written.
pub const MANAGER: &str = "warren-tenant";

/// The conditions of this controller.
const OWN: [ConditionType; 3] = [
    ConditionType::TunnelReady,
    ConditionType::AgentsReady,
    ConditionType::TenantBootstrapped,
];

/// What a pass came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was found about each of our conditions.
    pub findings: Vec<Finding>,
    /// What was done, when the tenant was reached and all of it worked.
    pub applied: Option<Applied>,
    /// Checksum of what the tenant was built from.
    pub inputs: Option<String>,
}

/// The part of the status that is ours, as it is to be, and what in it is news.
pub fn status(
    tcp: &TenantControlPlane,
    report: &Report,
    now: &Time,
) -> (TenantControlPlaneStatus, Vec<Finding>) {
    let mut next = own(&tcp.status.clone().unwrap_or_default());
    let mut news = Vec::new();
    for finding in &report.findings {
        let generation = tcp.metadata.generation;
        match condition::set(&mut next.conditions, finding, generation, now) {
            Change::Transition => news.push(finding.clone()),
            Change::Wording | Change::Same => {}
        }
    }
    if let Some(applied) = &report.applied {
        phases(&mut next, report.inputs.clone(), now);
        next.addons = Some(addons(tcp, next.addons.as_ref(), applied, now));
    }
    (next, news)
}

/// What of a status belongs to this controller.
fn own(status: &TenantControlPlaneStatus) -> TenantControlPlaneStatus {
    let ours = |kind: &str| OWN.iter().any(|own| own.as_str() == kind);
    let conditions = status.conditions.iter().filter(|held| ours(&held.type_));
    TenantControlPlaneStatus {
        conditions: conditions.cloned().collect(),
        kubeadm_phase: status.kubeadm_phase.clone(),
        addons: status.addons.as_ref().map(|addons| AddonsStatus {
            core_dns: addons.core_dns.clone(),
            kube_proxy: addons.kube_proxy.clone(),
            konnectivity: addons
                .konnectivity
                .as_ref()
                .map(|konnectivity| KonnectivityStatus {
                    enabled: konnectivity.enabled,
                    service_account: konnectivity.service_account.clone(),
                    cluster_role_binding: konnectivity.cluster_role_binding.clone(),
                    agent: konnectivity.agent.clone(),
                    ..KonnectivityStatus::default()
                }),
        }),
        ..TenantControlPlaneStatus::default()
    }
}

fn phases(status: &mut TenantControlPlaneStatus, inputs: Option<String>, now: &Time) {
    let held = status
        .kubeadm_phase
        .take()
        .unwrap_or_default()
        .bootstrap_token;
    let same = held.checksum == inputs && held.last_update.is_some();
    status.kubeadm_phase = Some(KubeadmPhaseStatus {
        bootstrap_token: PhaseStatus {
            checksum: inputs,
            last_update: if same {
                held.last_update
            } else {
                Some(now.clone())
            },
        },
    });
}

fn addons(
    tcp: &TenantControlPlane,
    held: Option<&AddonsStatus>,
    applied: &Applied,
    now: &Time,
) -> AddonsStatus {
    let wanted = &tcp.spec.addons;
    let simple = |is_on: Option<()>, held: Option<&AddonStatus>, component: &str| {
        let enabled = is_on.is_some();
        let touched = applied.touched(component) || held.is_none_or(|held| held.enabled != enabled);
        let before = held.and_then(|held| held.last_update.clone());
        AddonStatus {
            enabled,
            last_update: if touched { Some(now.clone()) } else { before },
        }
    };
    let held_konnectivity = held.and_then(|held| held.konnectivity.as_ref());
    AddonsStatus {
        core_dns: Some(simple(
            wanted.core_dns.as_ref().map(drop),
            held.and_then(|held| held.core_dns.as_ref()),
            "coredns",
        )),
        kube_proxy: Some(simple(
            wanted.kube_proxy.as_ref().map(drop),
            held.and_then(|held| held.kube_proxy.as_ref()),
            "kube-proxy",
        )),
        konnectivity: Some(match &wanted.konnectivity {
            None => KonnectivityStatus::default(),
            Some(konnectivity) => {
                let mode = konnectivity.agent.mode.as_str();
                tunnel(mode, held_konnectivity, applied, now)
            }
        }),
    }
}

fn tunnel(
    mode: &str,
    held: Option<&KonnectivityStatus>,
    applied: &Applied,
    now: &Time,
) -> KonnectivityStatus {
    let since = |kind: &str, name: &str, before: Option<&Time>| {
        let touched = applied
            .written
            .iter()
            .any(|(key, _)| key.kind == kind && key.name == name);
        Some(before.filter(|_| !touched).unwrap_or(now).clone())
    };
    let before = |object: Option<&ObjectStatus>| object.and_then(|held| held.last_update.clone());
    let account = before(held.and_then(|held| held.service_account.as_ref()));
    let binding = before(held.and_then(|held| held.cluster_role_binding.as_ref()));
    let agent = held.and_then(|held| held.agent.as_ref()?.last_update.clone());
    KonnectivityStatus {
        enabled: true,
        service_account: Some(ObjectStatus {
            name: Some(AGENT.to_owned()),
            namespace: Some(SYSTEM.to_owned()),
            last_update: since("ServiceAccount", AGENT, account.as_ref()),
        }),
        cluster_role_binding: Some(ObjectStatus {
            name: Some(tunnel_server::IDENTITY.to_owned()),
            namespace: None,
            last_update: since(
                "ClusterRoleBinding",
                tunnel_server::IDENTITY,
                binding.as_ref(),
            ),
        }),
        agent: Some(AgentStatus {
            name: Some(AGENT.to_owned()),
            namespace: Some(SYSTEM.to_owned()),
            mode: Some(mode.to_owned()),
            last_update: since(mode, AGENT, agent.as_ref()),
        }),
        ..KonnectivityStatus::default()
    }
}

/// Whether the status shows that the tunnel's tenant side was on, so that what it left may be ours.
pub fn had_tunnel(tcp: &TenantControlPlane) -> bool {
    let addons = tcp
        .status
        .as_ref()
        .and_then(|status| status.addons.as_ref());
    addons
        .and_then(|addons| addons.konnectivity.as_ref())
        .is_some_and(|held| held.agent.is_some())
}

/// Applies our part, and takes away what is left over in it.
async fn put(
    api: &Api<TenantControlPlane>,
    name: &str,
    body: &Value,
    next: &TenantControlPlaneStatus,
) -> Result<(), CallError> {
    let params = PatchParams::apply(MANAGER).force();
    let applied = call(api.patch_status(name, &params, &Patch::Apply(body))).await;
    let Some(rest) = applied.map(|written| remainder(&written, next))? else {
        return Ok(());
    };
    let patch = Patch::Merge(json!({ "status": rest }));
    let params = PatchParams::default();
    call(api.patch_status(name, &params, &patch))
        .await
        .map(drop)
}

/// What another manager, Kamaji's operator, once stated in our part, and we do not.
fn remainder(written: &TenantControlPlane, next: &TenantControlPlaneStatus) -> Option<Value> {
    let held = serde_json::to_value(own(written.status.as_ref()?)).ok()?;
    let wanted = serde_json::to_value(next).ok()?;
    leftover(&held, &wanted, &["/addons", "/addons/konnectivity"])
}

/// Writes our part of the status, unless it is there already, and tells of what is news.
pub async fn write(
    management: &Client,
    events: &Events,
    tcp: &TenantControlPlane,
    report: &Report,
) -> Result<(), CallError> {
    let (next, news) = status(tcp, report, &Time(jiff::Timestamp::now()));
    if next == own(&tcp.status.clone().unwrap_or_default()) {
        return Ok(());
    }
    let namespace = tcp.namespace().unwrap_or_default();
    let api: Api<TenantControlPlane> = Api::namespaced(management.clone(), &namespace);
    let body = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "TenantControlPlane",
        "metadata": { "name": tcp.name_any(), "namespace": namespace },
        "status": next,
    });
    let name = tcp.name_any();
    match Box::pin(put(&api, &name, &body, &next)).await {
        // Gone while we were busy.
        Err(error) if error.code() == Some(404) => return Ok(()),
        answer => answer?,
    }
    // What is waited for tells of itself.
    let told = |finding: &&Finding| finding.reason != Reason::WaitingForDependency;
    for finding in news.iter().filter(told) {
        let published = call(events.publish(events::of(finding), &tcp.object_ref(&()))).await;
        if let Err(error) = published {
            tracing::debug!(%error, "publishing an event failed");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
