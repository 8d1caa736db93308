//! The end of a tenant control plane.

use serde_json::Value;

use crate::demo::Demo;
use crate::error::{Error, Result};

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
