//! Finalizers of custom resources: put on and taken off by one small patch, and only when that changes something.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::ApiResource;
use kube::core::DynamicObject;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::json;

/// Whether an object shall carry a finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It shall.
    Present,
    /// It shall not.
    Absent,
}

/// Makes `object` carry `finalizer` or not. The patch names the version of the object it was made for, so a list that
/// somebody else changed meanwhile is refused with 409 and the pass comes again. An object that is being deleted gets
/// no finalizer; one that is gone needs none taken off.
pub async fn settle<K>(
    client: &Client,
    object: &K,
    finalizer: &str,
    wish: Wish,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Debug,
{
    let held = object.finalizers();
    let carries = held.iter().any(|name| name == finalizer);
    let wanted: Vec<&str> = match (wish, carries) {
        (Wish::Present, true) | (Wish::Absent, false) => return Ok(()),
        (Wish::Present, false) if object.meta().deletion_timestamp.is_some() => return Ok(()),
        (Wish::Present, false) => held.iter().map(String::as_str).chain([finalizer]).collect(),
        (Wish::Absent, true) => held
            .iter()
            .map(String::as_str)
            .filter(|name| *name != finalizer)
            .collect(),
    };
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let patch = Patch::Merge(json!({
        "metadata": { "finalizers": wanted, "resourceVersion": object.resource_version() },
    }));
    match api
        .patch_metadata(&object.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 && wish == Wish::Absent => Ok(()),
        Err(error) => Err(error),
    }
}
