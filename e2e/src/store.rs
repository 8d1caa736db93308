//! The chart's etcd, as its root: in, etcdctl's words; out, what it prints. And a tenant's place in it, made by hand.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::warren::NAMESPACE;

/// Where the management machine keeps the root's files.
const FOLDER: &str = "/run/etcd";
/// The Secret the chart keeps them in.
const SECRET: &str = "warren-etcd-certificates";

/// Whom etcd trusts, with the key: the authority's certificate and key.
pub async fn authority(lab: &Lab) -> Result<[String; 2]> {
    let part = async |key| lab.management().secret(NAMESPACE, SECRET, key).await;
    Ok([part("ca.crt").await?, part("ca.key").await?])
}

/// Where tenants are told to find it, as `host:port`.
pub async fn endpoint(lab: &Lab) -> Result<String> {
    let store = lab.management().get(&["datastore", "default"]).await?;
    let endpoint = store.pointer("/spec/endpoints/0");
    let endpoint = endpoint.and_then(Value::as_str);
    endpoint.map(str::to_owned).ok_or_else(|| Error::Missing {
        what: "spec.endpoints of DataStore default".into(),
        remedy: "the chart writes it".into(),
    })
}

/// Points another `DataStore` at this etcd; one that is not there is no error.
pub async fn point_at_good_one(management: &Cluster, name: &str) -> Result<()> {
    let good = management.get(&["datastore", "default"]).await?;
    let patch = json!({ "spec": { "endpoints": good.pointer("/spec/endpoints") } }).to_string();
    let found = management.kubectl(["get", "datastore", name, "--ignore-not-found", "-o", "name"]);
    if found.run().await?.trim().is_empty() {
        return Ok(());
    }
    let patch = ["patch", "datastore", name, "--type=merge", "-p", &patch];
    management.kubectl(patch).run().await.map(drop)
}

/// A few of the keys below a prefix.
pub async fn keys_below(lab: &Lab, prefix: &str) -> Result<String> {
    let query = ["get", "--prefix", prefix, "--keys-only", "--limit=5"];
    etcdctl(lab).await?.args(query).run().await
}

/// The names of all roles and users, one a line.
pub async fn names(lab: &Lab) -> Result<String> {
    let etcdctl = etcdctl(lab).await?;
    let roles = etcdctl.clone().args(["role", "list"]).run().await?;
    let users = etcdctl.args(["user", "list"]).run().await?;
    Ok(format!("{roles}\n{users}"))
}

/// Makes a role with a key prefix, and a user who has it: both called `schema`, and new.
pub async fn make_place(lab: &Lab, schema: &str) -> Result<()> {
    let etcdctl = etcdctl(lab).await?;
    for kind in ["role", "user"] {
        // An earlier run that failed may have left them.
        etcdctl
            .clone()
            .args([kind, "delete", schema])
            .finish()
            .await?;
    }
    let prefix = format!("/{schema}/");
    for words in [
        &["role", "add", schema][..],
        &[
            "role",
            "grant-permission",
            "--prefix=true",
            schema,
            "readwrite",
            &prefix,
        ],
        &["user", "add", "--no-password", schema],
        &["user", "grant-role", schema, schema],
    ] {
        etcdctl.clone().args(words).run().await?;
    }
    Ok(())
}

async fn etcdctl(lab: &Lab) -> Result<Invocation> {
    let (management, machine) = (lab.management(), lab.management_machine());
    for key in ["ca.crt", "root.crt", "root.key"] {
        let text = management.secret(NAMESPACE, SECRET, key).await?;
        machine.write(&format!("{FOLDER}/{key}"), text)?;
    }
    let address = "get pod warren-etcd-0 -o jsonpath={.status.podIP}";
    let address = management
        .kubectl(["-n", NAMESPACE])
        .args(address.split(' '));
    let endpoint = format!("--endpoints=https://{}:2379", address.run().await?);
    let etcdctl = machine.command(["etcdctl", &endpoint, "--insecure-skip-tls-verify"]);
    let files = [
        ("cacert", "ca.crt"),
        ("cert", "root.crt"),
        ("key", "root.key"),
    ];
    Ok(etcdctl.args(files.map(|(flag, file)| format!("--{flag}={FOLDER}/{file}"))))
}
