//! Step 5: makes the cluster hold what was built. It decides nothing: in, objects in their order and what is there; out,
//! what the API server holds now, and the first refusal.
//!
//! Server-side apply as [`FIELD_MANAGER`], with force: a field is ours because we state it. An object that holds what we
//! want is not written. What Kamaji's operator wrote is taken over first: its entries in the list of field managers
//! become ours, or fields that only it had set would stay for ever.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::difference::{covers, stamped};
use super::observed::Observed;
use super::ownership::Holder;
use crate::context::FIELD_MANAGER;
use crate::objects::{Applied, AppliedObject, Desired, Effect, Object, Objects, Reference};
use crate::retry;

/// Field managers whose objects are adopted: Kamaji's operator writes as one of these.
const FORMER_MANAGERS: [&str; 2] = ["manager", "kamaji"];

/// The API server refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {reference}")]
pub struct Error {
    /// What was tried.
    pub verb: &'static str,
    /// With which object.
    pub reference: Box<Reference>,
    /// What the API server said.
    #[source]
    pub source: Box<kube::Error>,
}

/// What is there, by kind and name.
#[derive(Debug, Default)]
pub struct Live(Vec<(String, DynamicObject)>);

impl Live {
    /// What was observed. `owner` is the custom resource: where no peers are wanted, a stranger may keep a Service of
    /// their name, and it is as if it were not there.
    #[must_use]
    pub fn of(observed: &Observed, owner: &OwnerReference) -> Self {
        let is_ours =
            |service: &&Service| Holder::of(&service.metadata, &owner.uid, &owner.name).is_ours();
        let mut live = Self::default();
        live.take("Service", observed.service.as_ref());
        live.take("Service", observed.peers.as_ref().filter(is_ours));
        live.take("Deployment", observed.deployment.as_ref());
        live.take("PodDisruptionBudget", observed.disruption_budget.as_ref());
        for secret in observed.secrets.values() {
            live.take("Secret", Some(secret));
        }
        for config_map in observed.config_maps.values() {
            live.take("ConfigMap", Some(config_map));
        }
        live
    }

    fn take<K: Serialize>(&mut self, kind: &str, object: Option<&K>) {
        let object = object.and_then(|object| serde_json::to_value(object).ok());
        if let Some(object) = object.and_then(|object| serde_json::from_value(object).ok()) {
            self.0.push((kind.to_owned(), object));
        }
    }

    fn find(&self, reference: &Reference) -> Option<&DynamicObject> {
        let found = |(kind, object): &&(String, DynamicObject)| {
            *kind == reference.api.kind && object.metadata.name.as_ref() == Some(&reference.name)
        };
        self.0.iter().find(found).map(|(_, object)| object)
    }
}

/// Applies in order, then removes what must not be there. What went well before a refusal counts.
pub async fn apply(
    client: &Client,
    desired: Objects<Desired>,
    live: &Live,
) -> (Objects<Applied>, Option<Error>) {
    let (present, absent) = desired.into_parts();
    let (mut applied, mut removed) = (Vec::new(), Vec::new());
    for object in present {
        match apply_one(client, object, live).await {
            Ok(object) => applied.push(object),
            Err(error) => return (Objects::<Applied>::of(applied, removed), Some(error)),
        }
    }
    for reference in absent {
        if live.find(&reference).is_none() {
            continue;
        }
        match remove(client, &reference).await {
            Ok(()) => removed.push(reference),
            Err(error) => return (Objects::<Applied>::of(applied, removed), Some(error)),
        }
    }
    (Objects::<Applied>::of(applied, removed), None)
}

async fn apply_one(client: &Client, object: Object, live: &Live) -> Result<AppliedObject, Error> {
    let Object { reference, body } = object;
    let body = stamped(body);
    let held = live.find(&reference);
    if let Some(held) = held
        && serde_json::to_value(held).is_ok_and(|held| covers(&held, &body_without_type(&body)))
    {
        return Ok(AppliedObject {
            object: held.clone(),
            reference,
            effect: Effect::Unchanged,
        });
    }
    let api = api(client, &reference);
    let refused = |verb, source| Error {
        verb,
        reference: Box::new(reference.clone()),
        source: Box::new(source),
    };
    if let Some(patch) = held.and_then(take_over) {
        match api
            .patch(
                &reference.name,
                &PatchParams::default(),
                &Patch::Json::<()>(patch),
            )
            .await
        {
            Ok(_) => tracing::info!(object = %reference, "adopted"),
            Err(source) => return Err(refused("adopt", source)),
        }
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api
        .patch(&reference.name, &params, &Patch::Apply(&body))
        .await
        .map_err(|source| refused("apply", source))?;
    let effect = match held {
        None => Effect::Created,
        Some(held) if held.resource_version() == written.resource_version() => Effect::Unchanged,
        Some(_) => Effect::Changed,
    };
    tracing::debug!(object = %reference, ?effect, "applied");
    Ok(AppliedObject {
        reference,
        object: written,
        effect,
    })
}

async fn remove(client: &Client, reference: &Reference) -> Result<(), Error> {
    match api(client, reference)
        .delete(&reference.name, &DeleteParams::background())
        .await
    {
        Ok(_) => {
            tracing::info!(object = %reference, "removed");
            Ok(())
        }
        Err(source) if retry::code(&source) == Some(404) => Ok(()),
        Err(source) => Err(Error {
            verb: "remove",
            reference: Box::new(reference.clone()),
            source: Box::new(source),
        }),
    }
}

fn api(client: &Client, reference: &Reference) -> Api<DynamicObject> {
    match &reference.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &reference.api),
        None => Api::all_with(client.clone(), &reference.api),
    }
}

/// Lists do not repeat apiVersion and kind in their items.
fn body_without_type(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    body
}

/// The patch that makes what Kamaji's operator set ours, when it set anything and we have not yet. It holds the version
/// of the object it was made for.
fn take_over(held: &DynamicObject) -> Option<json_patch::Patch> {
    let managers = held.metadata.managed_fields.as_ref()?;
    let is_ours = |manager: &str| manager == FIELD_MANAGER;
    if managers
        .iter()
        .any(|entry| entry.manager.as_deref().is_some_and(is_ours))
    {
        return None;
    }
    let is_former = |manager: &str| FORMER_MANAGERS.contains(&manager);
    let mut entries = managers.clone();
    let former = entries.iter_mut().find(|entry| {
        entry.manager.as_deref().is_some_and(is_former)
            && entry.subresource.is_none()
            && entry.operation.as_deref() == Some("Update")
    })?;
    former.manager = Some(FIELD_MANAGER.to_owned());
    former.operation = Some("Apply".to_owned());
    serde_json::from_value(json!([
        { "op": "test", "path": "/metadata/resourceVersion", "value": held.metadata.resource_version },
        { "op": "replace", "path": "/metadata/managedFields", "value": entries },
    ]))
    .ok()
}

#[cfg(test)]
mod tests;
