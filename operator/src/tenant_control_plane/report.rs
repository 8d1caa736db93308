//! Step 6: what users read back. In: what the pass came to. Out: one patch of the status, and only when it differs; an
//! Event for each condition that changed.
//!
//! [`status`] is pure. The status has two authors: the tenant side writes its own conditions under its own field
//! manager, and neither disturbs the other. What this pass could not find out stays as it was.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::{Error, Outcome};
use crate::api::condition::{self, Change, ConditionType, Finding, Reason, Verdict};
use crate::api::{GROUP, TenantControlPlane, TenantControlPlaneStatus, VERSION};
use crate::context::{Context, FIELD_MANAGER};
use crate::events;
use crate::leftover::leftover;
use crate::metrics::{Readiness, TenantLine};
use crate::retry;
use crate::validate::Limits;

mod certificates;
mod findings;
mod legacy;
mod stage;
mod summary;

/// Conditions that the tenant side writes.
const THEIRS: [ConditionType; 3] = [
    ConditionType::TunnelReady,
    ConditionType::AgentsReady,
    ConditionType::TenantBootstrapped,
];

/// Parts of the status that the tenant side writes.
const THEIR_FIELDS: [&str; 3] = ["/kubeadmPhase", "/addons/coreDNS", "/addons/kubeProxy"];
/// Parts of `addons.konnectivity` that are ours.
const OUR_TUNNEL_FIELDS: [&str; 4] = ["configMap", "certificate", "kubeconfig", "service"];

/// Reports what a pass came to.
pub async fn report(
    tcp: &TenantControlPlane,
    outcome: &Outcome,
    ctx: &Context,
) -> Result<(), Error> {
    let (status, news) = status(tcp, outcome, &ctx.settings.limits, &Time((ctx.now)()));
    ctx.metrics.tenant(
        &line(tcp, &status),
        outcome.pki.as_ref().map(|pki| pki.look_again.as_second()),
    );
    // Without it nothing may have been looked at: what was counted before stays.
    if outcome.control_plane.is_some() {
        ctx.metrics.certificates(
            &tcp.namespace().unwrap_or_default(),
            &tcp.name_any(),
            &certificates::count(outcome, (ctx.now)()),
        );
    }
    write(tcp, &status, ctx).await?;
    let renewals: Vec<_> = outcome
        .pki
        .iter()
        .flat_map(super::Pki::renewals)
        .map(|(secret, renewal)| {
            format!(
                "{} in {} ({})",
                renewal.key,
                secret.suffix(),
                renewal.reason
            )
        })
        .collect();
    if !renewals.is_empty() && outcome.failure.is_none() {
        let note = format!("issued {}", renewals.join(", "));
        let issued = Event {
            type_: EventType::Normal,
            reason: "Issued".to_owned(),
            note: Some(note),
            action: "Issue".to_owned(),
            secondary: None,
        };
        tell(tcp, issued, ctx).await;
    }
    for finding in worth_telling(&news) {
        tell(tcp, events::of(finding), ctx).await;
    }
    Ok(())
}

/// Waiting is told by what is waited for, and the whole by its cause.
fn worth_telling(news: &[Finding]) -> impl Iterator<Item = &Finding> {
    news.iter().filter(|finding| {
        let is_told = || {
            let same = |other: &&Finding| {
                other.condition != finding.condition && other.reason == finding.reason
            };
            news.iter().find(same).is_some()
        };
        finding.reason != Reason::WaitingForDependency
            && !(finding.condition == ConditionType::Ready
                && finding.verdict == Verdict::False
                && is_told())
    })
}

/// Says that nothing is done, because somebody asked for that.
pub async fn paused(tcp: &TenantControlPlane, ctx: &Context) -> Result<(), Error> {
    let text = "reconciling is paused; remove the annotation kamaji.clastix.io/paused to go on";
    one(
        tcp,
        &Finding::yes(ConditionType::Progressing, Reason::Paused, text),
        ctx,
    )
    .await
}

/// Says what the deletion waits for.
pub async fn deleting(
    tcp: &TenantControlPlane,
    finding: &Finding,
    ctx: &Context,
) -> Result<(), Error> {
    one(tcp, finding, ctx).await
}

async fn one(tcp: &TenantControlPlane, finding: &Finding, ctx: &Context) -> Result<(), Error> {
    let mut next = tcp.status.clone().unwrap_or_default();
    let change = condition::set(
        &mut next.conditions,
        finding,
        tcp.metadata.generation,
        &Time((ctx.now)()),
    );
    write(tcp, &next, ctx).await?;
    if change == Change::Transition {
        tell(tcp, events::of(finding), ctx).await;
    }
    Ok(())
}

/// The status as it is to be, with what in it is news.
pub fn status(
    tcp: &TenantControlPlane,
    outcome: &Outcome,
    limits: &Limits,
    now: &Time,
) -> (TenantControlPlaneStatus, Vec<Finding>) {
    let mut next = tcp.status.clone().unwrap_or_default();
    legacy::fill(&mut next, tcp, outcome, now);
    let mut found = findings::findings(tcp, outcome, &next);
    let advisories = crate::validate::tenant_control_plane(tcp, None, limits).advisories();
    for kind in [ConditionType::FieldsIgnored, ConditionType::EgressUnstated] {
        if advisories.iter().all(|finding| finding.condition != kind) {
            condition::clear(&mut next.conditions, kind);
        }
    }
    found.extend(advisories);
    let mut news = Vec::new();
    for finding in found {
        set(&mut next, tcp, finding, &mut news, now);
    }
    let whole = summary::ready(tcp, outcome, &next);
    set(&mut next, tcp, whole, &mut news, now);
    (next, news)
}

fn set(
    next: &mut TenantControlPlaneStatus,
    tcp: &TenantControlPlane,
    finding: Finding,
    news: &mut Vec<Finding>,
    now: &Time,
) {
    if condition::set(&mut next.conditions, &finding, tcp.metadata.generation, now)
        == Change::Transition
    {
        news.push(finding);
    }
}

/// What of a status is ours, as it goes over the wire.
fn ours(status: &TenantControlPlaneStatus) -> Value {
    let mut status = status.clone();
    status
        .conditions
        .retain(|held| THEIRS.iter().all(|theirs| theirs.as_str() != held.type_));
    let mut body = serde_json::to_value(status).expect("a status of ours serializes to JSON");
    for pointer in THEIR_FIELDS {
        remove(&mut body, pointer);
    }
    let tunnel = body
        .pointer_mut("/addons/konnectivity")
        .and_then(Value::as_object_mut);
    let is_left = tunnel.is_some_and(|tunnel| {
        tunnel.retain(|field, _| OUR_TUNNEL_FIELDS.contains(&field.as_str()));
        !tunnel.is_empty()
    });
    if !is_left {
        remove(&mut body, "/addons");
    }
    body
}

fn remove(body: &mut Value, pointer: &str) {
    if let Some((parent, field)) = pointer.rsplit_once('/')
        && let Some(fields) = body.pointer_mut(parent).and_then(Value::as_object_mut)
    {
        fields.remove(field);
    }
}

async fn write(
    tcp: &TenantControlPlane,
    next: &TenantControlPlaneStatus,
    ctx: &Context,
) -> Result<(), Error> {
    let body = ours(next);
    if tcp.status.as_ref().is_some_and(|held| ours(held) == body) {
        return Ok(());
    }
    let (namespace, name) = (tcp.namespace().unwrap_or_default(), tcp.name_any());
    let patch = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "TenantControlPlane",
        "metadata": { "name": name, "namespace": namespace },
        "status": body,
    });
    let api: Api<TenantControlPlane> = Api::namespaced(ctx.client.clone(), &namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api
        .patch_status(&name, &params, &Patch::Apply(&patch))
        .await;
    let outcome = match applied.map(|written| remainder(&written, &body)) {
        Ok(None) => Ok(()),
        Ok(Some(rest)) => Box::pin(strike(&api, &name, &rest)).await,
        Err(error) => Err(error),
    };
    match outcome {
        // Gone while we were busy.
        Err(error) if retry::code(&error) == Some(404) => Ok(()),
        outcome => outcome.map_err(|source| Error::Report(Box::new(source))),
    }
}

/// What another manager, Kamaji's operator, once stated in our part, and we do not.
fn remainder(written: &TenantControlPlane, body: &Value) -> Option<Value> {
    let held = ours(written.status.as_ref()?);
    leftover(&held, body, &["/addons", "/addons/konnectivity"])
}

async fn strike(
    api: &Api<TenantControlPlane>,
    name: &str,
    rest: &Value,
) -> Result<(), kube::Error> {
    let patch = Patch::Merge(json!({ "status": rest }));
    api.patch_status(name, &PatchParams::default(), &patch)
        .await
        .map(drop)
}

async fn tell(tcp: &TenantControlPlane, event: Event, ctx: &Context) {
    if let Err(error) = ctx.events.publish(event, &tcp.object_ref(&())).await {
        tracing::debug!(
            error = crate::telemetry::chain(&error),
            "an Event was not written"
        );
    }
}

fn line(tcp: &TenantControlPlane, status: &TenantControlPlaneStatus) -> TenantLine {
    let version = status
        .kubernetes_resources
        .as_ref()
        .and_then(|resources| resources.version.as_ref());
    let storage = status.storage.as_ref();
    TenantLine {
        namespace: tcp.namespace().unwrap_or_default(),
        name: tcp.name_any(),
        version: version
            .and_then(|version| version.version.clone())
            .unwrap_or_default(),
        driver: storage
            .and_then(|storage| storage.driver.clone())
            .unwrap_or_default(),
        address: status.control_plane_endpoint.clone().unwrap_or_default(),
        exposure: tcp
            .spec
            .control_plane
            .service
            .service_type
            .as_str()
            .to_owned(),
        status: version
            .map(|version| format!("{:?}", version.status))
            .unwrap_or_default(),
        ready: if condition::is_true(&status.conditions, ConditionType::Ready) {
            Readiness::Ready
        } else {
            Readiness::NotReady
        },
    }
}

#[cfg(test)]
mod tests;
