//! The status of a `DataStore`: computed by a pure function, written by one patch, and only when it differs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::json;

use super::probe::{Probe, describe};
use crate::api::{DataStore, DataStoreStatus};
use crate::context::{Context, FIELD_MANAGER};

/// Kamaji's word: whether the spec can be used.
const VALIDATION: &str = "kamaji.clastix.io/DataStoreValidation";
/// Kamaji's word: whether it may be deleted.
const ALLOWED_DELETION: &str = "kamaji.clastix.io/DataStoreAllowedDeletion";
/// Ours: whether tenants can be served from it, and if not, why.
const READY: &str = "Ready";

/// Writes the status if it changed, and an Event if readiness did.
pub async fn report(
    store: &DataStore,
    probe: &Probe,
    used_by: Vec<String>,
    ctx: &Context,
) -> Result<(), kube::Error> {
    let held = store.status.clone().unwrap_or_default();
    let status = status(store, probe, used_by, &Time((ctx.now)()));
    if status == held {
        return Ok(());
    }
    let resource = ApiResource::erase::<DataStore>(&());
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": { "name": store.name_any() },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    Api::<DataStore>::all(ctx.client.clone())
        .patch_status(&store.name_any(), &params, &Patch::Apply(patch))
        .await?;
    let reason = |status: &DataStoreStatus| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == READY)
            .map(|condition| condition.reason.clone())
    };
    if reason(&held) != reason(&status) {
        tell(store, probe, reason(&status).unwrap_or_default(), ctx).await;
    }
    Ok(())
}

async fn tell(store: &DataStore, probe: &Probe, reason: String, ctx: &Context) {
    let event = Event {
        type_: if probe.is_ready() {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason,
        note: Some(describe(store, probe)),
        action: "Probe".to_owned(),
        secondary: None,
    };
    if let Err(error) = ctx.events.publish(event, &store.object_ref(&())).await {
        tracing::debug!(
            error = crate::telemetry::chain(&error),
            "an Event was not written"
        );
    }
}

/// What the status shall be.
pub fn status(
    store: &DataStore,
    probe: &Probe,
    used_by: Vec<String>,
    now: &Time,
) -> DataStoreStatus {
    let held = store
        .status
        .as_ref()
        .map(|status| status.conditions.clone())
        .unwrap_or_default();
    let condition = |kind: &str, is: bool, reason: &str, message: String| {
        let status = if is { "True" } else { "False" };
        let since = held
            .iter()
            .find(|held| held.type_ == kind && held.status == status)
            .map_or_else(|| now.clone(), |held| held.last_transition_time.clone());
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: store.meta().generation,
            last_transition_time: since,
        }
    };
    let (ready, valid) = (word(probe), probe.is_valid());
    let message = describe(store, probe);
    let (validation, validated) = if valid {
        ("DataStoreIsValid", "every reference was read".to_owned())
    } else {
        ("TLSConfigurationValidationFailed", message.clone())
    };
    let deletion = if used_by.is_empty() {
        condition(
            ALLOWED_DELETION,
            true,
            "DataStoreUnused",
            "no TenantControlPlane uses it".to_owned(),
        )
    } else {
        let message = format!(
            "{} TenantControlPlane(s) keep their state here; delete or move them first",
            used_by.len()
        );
        condition(ALLOWED_DELETION, false, "DataStoreStillUsed", message)
    };
    DataStoreStatus {
        ready: probe.is_ready(),
        used_by,
        observed_generation: store.meta().generation,
        conditions: vec![
            condition(READY, probe.is_ready(), ready, message),
            condition(VALIDATION, valid, validation, validated),
            deletion,
        ],
    }
}

/// The reason of `Ready`.
const fn word(probe: &Probe) -> &'static str {
    match probe {
        Probe::Ready(_) => "AsExpected",
        Probe::Invalid(_) => "DataStoreMisconfigured",
        Probe::NotServed(_) => "DriverNotSupported",
        Probe::Failed { fault, .. } => fault.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::data_store::{DataStoreSpec, Driver};
    use crate::etcd::Fault;

    fn store() -> DataStore {
        let spec = DataStoreSpec {
            driver: Driver::Etcd,
            endpoints: vec!["etcd:2379".into()],
            basic_auth: None,
            tls_config: None,
        };
        DataStore::new("default", spec)
    }

    fn at(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn an_unreachable_store_says_why_and_what_to_do() {
        let probe = Probe::Failed {
            fault: Fault::Unreachable,
            message: "no answer".into(),
        };
        let status = status(&store(), &probe, vec!["a/b".into()], &at(1));
        assert!(!status.ready);
        let ready = &status.conditions[0];
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str()),
            ("False", "Unreachable")
        );
        assert!(
            ready.message.contains("check spec.endpoints"),
            "{}",
            ready.message
        );
        assert_eq!(status.conditions[1].reason, "DataStoreIsValid");
        assert_eq!(status.conditions[2].reason, "DataStoreStillUsed");
    }

    #[test]
    fn the_same_finding_later_is_the_same_status() {
        let mut store = store();
        let probe = Probe::Invalid("no key".into());
        let first = status(&store, &probe, vec![], &at(1));
        store.status = Some(first.clone());
        assert_eq!(status(&store, &probe, vec![], &at(2)), first);
    }
}
