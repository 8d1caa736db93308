//! A tenant control plane that is taken over, and its end.

use serde_json::{Value, json};

use crate::demo::Demo;
use crate::error::{Error, Result};
use crate::scenario::agents::tunnel_works;

/// Objects that are there when a `TenantControlPlane` of their name appears are adopted: its authority, keys and data stay,
/// and the node that joined before does not notice.
pub(super) async fn adopted(demo: &Demo) -> Result<String> {
    let before = identity(demo).await?;
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
        "metadata": { "name": demo.tenant.name(), "namespace": "default" },
        "spec": spec,
    });
    demo.lab.management().apply(&again.to_string()).await?;
    demo.tenant.wait_ready().await?;
    let after = identity(demo).await?;
    if before != after {
        return Err(Error::Unexpected {
            what: "authority, keys and node after the adoption".into(),
            expected: before.to_string(),
            found: after.to_string(),
        });
    }
    tunnel_works(demo).await?;
    Ok("same authority, same keys, same node, Ready".into())
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

/// What must not change when another object of the same name takes over.
async fn identity(demo: &Demo) -> Result<Value> {
    let mut seen = Vec::new();
    for (secret, key) in [
        ("ca", "ca.crt"),
        ("sa-certificate", "sa.pub"),
        ("front-proxy-ca-certificate", "front-proxy-ca.crt"),
    ] {
        seen.push(
            demo.lab
                .management()
                .secret("default", &format!("{}-{secret}", demo.tenant.name()), key)
                .await?,
        );
    }
    let node = demo.cluster.get(&["node", "worker"]).await?;
    Ok(json!({
        "secrets": seen,
        "node": node.pointer("/metadata/uid"),
        "ready": crate::cluster::lacks_condition(&node, "Ready").is_none(),
    }))
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
    let keys = keys_below(demo, &format!("/{schema}/")).await?;
    nothing("keys in the data store", &keys)?;
    Ok(format!("no object and no key below /{schema}/ is left"))
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

/// Asks the chart's etcd, as its root, with the Secret the chart keeps.
async fn keys_below(demo: &Demo, prefix: &str) -> Result<String> {
    let management = demo.lab.management();
    let machine = demo.lab.management_machine();
    for key in ["ca.crt", "root.crt", "root.key"] {
        machine.write(
            &format!("/run/etcd/{key}"),
            management
                .secret("warren-system", "warren-etcd-certificates", key)
                .await?,
        )?;
    }
    let address = [
        "-n",
        "warren-system",
        "get",
        "pod",
        "warren-etcd-0",
        "-o",
        "jsonpath={.status.podIP}",
    ];
    let endpoint = format!(
        "--endpoints=https://{}:2379",
        management.kubectl(address).run().await?
    );
    let etcdctl = [
        "etcdctl",
        &endpoint,
        "--cacert=/run/etcd/ca.crt",
        "--cert=/run/etcd/root.crt",
        "--key=/run/etcd/root.key",
    ];
    let query = [
        "--insecure-skip-tls-verify",
        "get",
        "--prefix",
        prefix,
        "--keys-only",
        "--limit=5",
    ];
    machine.command(etcdctl).args(query).run().await
}
