//! A tenant control plane whose object is made anew, and its end.

use serde_json::{Value, json};

use crate::demo::Demo;
use crate::error::{Error, Result};
use crate::scenario::agents::tunnel_works;
use crate::scenario::heritage::{expect_kept, expect_same, node, secrets};
use crate::store;

/// Objects that are there when a `TenantControlPlane` of their name appears are adopted: its authority, keys and data stay,
/// and the node that joined before does not notice.
pub(super) async fn made_anew(demo: &Demo) -> Result<String> {
    let (management, name) = (demo.lab.management(), demo.tenant.name());
    let keys = secrets(management, name).await?;
    let before = node(&demo.cluster, "worker").await?;
    let object = demo.tenant.object().await?;
    let stored = |field: &str| object.pointer(field).cloned().unwrap_or_default();
    let mut spec = stored("/spec");
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("dataStore".into(), stored("/status/storage/dataStoreName"));
        spec.insert(
            "dataStoreSchema".into(),
            stored("/status/storage/setup/schema"),
        );
        spec.insert(
            "dataStoreUsername".into(),
            stored("/status/storage/setup/user"),
        );
    }
    forget(demo).await?;
    let again = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": { "name": name, "namespace": "default" },
        "spec": spec,
    });
    management.apply(&again.to_string()).await?;
    demo.tenant.wait_ready().await?;
    expect_kept(&keys, &secrets(management, name).await?, &[])?;
    let after = node(&demo.cluster, "worker").await?;
    expect_same("the node", &before, &after)?;
    tunnel_works(demo).await?;
    Ok(format!(
        "the same {} keys and node, ready all the time",
        keys.len()
    ))
}

/// Deletes the object alone: all that was made for it stays, owned by nobody.
async fn forget(demo: &Demo) -> Result<()> {
    demo.tenant
        .annotate("kamaji.clastix.io/paused=true")
        .await?;
    let name = demo.tenant.name();
    let delete = [
        "-n",
        "default",
        "delete",
        "tenantcontrolplane",
        name,
        "--cascade=orphan",
        "--wait=false",
    ];
    demo.lab.management().kubectl(delete).run().await?;
    let object = ["-n", "default", "tenantcontrolplane", name];
    let orphaned =
        demo.lab
            .management()
            .wait_for(&object, std::time::Duration::from_secs(30), |object| {
                let finalizers = object
                    .pointer("/metadata/finalizers")
                    .cloned()
                    .unwrap_or_default();
                finalizers
                    .to_string()
                    .contains("orphan")
                    .then(|| finalizers.to_string())
            });
    orphaned.await?;
    demo.tenant
        .patch(&json!({ "metadata": { "finalizers": null } }))
        .await
}

/// Deleting it ends, and leaves nothing of it in the management cluster nor in the data store.
pub(super) async fn delete(demo: &Demo) -> Result<String> {
    let object = demo.tenant.object().await?;
    let schema = object
        .pointer("/status/storage/setup/schema")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    demo.tenant.delete().await?;
    let label = format!("kamaji.clastix.io/name={}", demo.tenant.name());
    let kinds = "get services,configmaps,secrets,deployments,poddisruptionbudgets -A -o name -l";
    let left = demo
        .lab
        .management()
        .kubectl(kinds.split(' '))
        .args([&label])
        .run()
        .await?;
    nothing("objects in the management cluster", &left)?;
    let keys = store::keys_below(&demo.lab, &format!("/{schema}/")).await?;
    nothing("keys in the data store", &keys)?;
    let names = store::names(&demo.lab).await?;
    let left: Vec<_> = names.lines().filter(|name| *name == schema).collect();
    nothing("roles and users in the data store", &left.join(" "))?;
    Ok(format!(
        "no object, no role, no user and no key below /{schema}/ is left"
    ))
}

fn nothing(what: &str, left: &str) -> Result<()> {
    if left.trim().is_empty() {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: what.into(),
        expected: "none".into(),
        found: left.to_owned(),
    })
}
