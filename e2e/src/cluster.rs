//! Access to one cluster, management or tenant: a kubeconfig, and kubectl with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::programs::Programs;
use crate::wait::{Seen, until};

/// A cluster as somebody with this kubeconfig sees it.
#[derive(Debug, Clone)]
pub struct Cluster {
    kubeconfig: PathBuf,
    programs: Programs,
}

impl Cluster {
    /// The cluster of a kubeconfig file that is usable from this shell.
    pub fn new(kubeconfig: PathBuf, programs: Programs) -> Self {
        Self {
            kubeconfig,
            programs,
        }
    }

    /// The file.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// kubectl with these arguments.
    pub fn kubectl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Invocation {
        self.program("kubectl").args(arguments)
    }

    /// Any of the lab's programs, with this cluster as its `KUBECONFIG`.
    pub fn program(&self, name: &str) -> Invocation {
        self.programs
            .settle(Invocation::new([name]))
            .env("KUBECONFIG", &self.kubeconfig)
    }

    /// A client of its API.
    pub async fn client(&self) -> Result<kube::Client> {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(
            kubeconfig,
            &kube::config::KubeConfigOptions::default(),
        )
        .await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Applies manifests, server-side.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        self.kubectl(["apply", "--server-side", "--force-conflicts", "-f", "-"])
            .input(manifests)
            .run()
            .await
    }

    /// Creates what is not there yet, plainly, under the name of this field manager.
    pub async fn create(&self, object: &Value, manager: &str) -> Result<()> {
        let manager = format!("--field-manager={manager}");
        let create = self.kubectl(["create", "-f", "-", &manager]);
        create.input(object.to_string()).run().await.map(drop)
    }

    /// One object as JSON; `what` is kubectl's words for it, namespace included.
    pub async fn get(&self, what: &[&str]) -> Result<Value> {
        let text = self.kubectl(["get", "-o", "json"]).args(what).run().await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until one object is as the test wants it; `wanted` answers `None`, or what is still lacking.
    pub async fn wait_for(
        &self,
        what: &[&str],
        limit: Duration,
        wanted: impl Fn(&Value) -> Option<String>,
    ) -> Result<Value> {
        until(
            &format!("{} is as wanted", what.join(" ")),
            limit,
            async || {
                let object = self.get(what).await?;
                Ok(wanted(&object).map_or(Seen::Yes(object), Seen::NotYet))
            },
        )
        .await
    }

    /// Waits until a condition of the object is `True`.
    pub async fn wait_condition(
        &self,
        what: &[&str],
        condition: &str,
        limit: Duration,
    ) -> Result<Value> {
        self.wait_for(what, limit, |object| lacks_condition(object, condition))
            .await
    }

    /// Waits until a node is ready.
    pub async fn wait_node_ready(&self, name: &str) -> Result<()> {
        self.wait_condition(&["node", name], "Ready", Duration::from_mins(3))
            .await
            .map(drop)
    }

    /// Waits until a pod is ready.
    pub async fn wait_pod_ready(&self, namespace: &str, name: &str) -> Result<()> {
        self.wait_condition(
            &["-n", namespace, "pod", name],
            "Ready",
            Duration::from_mins(2),
        )
        .await
        .map(drop)
    }

    /// The bytes of one key of a Secret, as text.
    pub async fn secret(&self, namespace: &str, name: &str, key: &str) -> Result<String> {
        use base64::Engine as _;
        let secret = self.get(&["-n", namespace, "secret", name]).await?;
        let encoded = secret
            .get("data")
            .and_then(|data| data.get(key))
            .and_then(Value::as_str);
        let bytes =
            encoded.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| Error::Missing {
                what: format!("key {key} of Secret {namespace}/{name}"),
                remedy: "see what the operator's log says about it".into(),
            })
    }
}

/// `None` when the condition is `True`, else the conditions as they are.
pub fn lacks_condition(object: &Value, condition: &str) -> Option<String> {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let is = |entry: &&Value| entry.get("type").and_then(Value::as_str) == Some(condition);
    let status = conditions
        .iter()
        .find(is)
        .and_then(|entry| entry.get("status"))
        .and_then(Value::as_str);
    (status != Some("True")).then(|| Value::from(conditions).to_string())
}
