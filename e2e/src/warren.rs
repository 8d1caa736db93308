//! Warren in the lab: installed with Helm as a user would, a tenant control plane from a manifest, and access to it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, lacks_condition};
use crate::error::Result;
use crate::image::product::{KONNECTIVITY, OPERATOR};
use crate::lab::Lab;
use crate::wait::{Seen, until};

/// The namespace of the Helm release.
pub const NAMESPACE: &str = "warren-system";
/// The name in the documents' manifest.
pub const EXAMPLE: &str = "konnectivity-example";

/// The namespace of the release: whatever the chart brings there keeps to the strictest pod security standard.
fn namespace() -> String {
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    let metadata = json!({ "name": NAMESPACE, "labels": labels });
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }).to_string()
}

/// Installs the chart with the images that were imported, and waits until all of it is ready.
pub async fn install(lab: &Lab) -> Result<()> {
    lab.management().apply(&namespace()).await?;
    let chart = lab
        .place()
        .repository()
        .join("charts/warren")
        .display()
        .to_string();
    let values = [
        format!("image.repository={}", OPERATOR.0),
        format!("image.tag={}", OPERATOR.1),
        "image.pullPolicy=IfNotPresent".to_owned(),
        format!("konnectivity.image.repository={}", KONNECTIVITY.0),
        format!("konnectivity.image.tag={}", KONNECTIVITY.1),
    ];
    let mut helm = lab
        .management()
        .program("helm")
        .args([
            "upgrade",
            "--install",
            "warren",
            &chart,
            "--namespace",
            NAMESPACE,
            "--wait",
            "--timeout=4m",
        ])
        .limit(Duration::from_mins(5));
    for value in &values {
        helm = helm.args(["--set", value]);
    }
    helm.run().await.map(drop)
}

/// A tenant control plane by namespace and name.
#[derive(Debug, Clone)]
pub struct Tenant {
    management: Cluster,
    namespace: String,
    name: String,
}

impl Tenant {
    /// The tenant control plane of this name in the default namespace.
    pub fn new(lab: &Lab, name: &str) -> Self {
        Self {
            management: lab.management().clone(),
            namespace: "default".into(),
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster it is an object of.
    pub fn management(&self) -> &Cluster {
        &self.management
    }

    /// The object.
    pub async fn object(&self) -> Result<Value> {
        self.management
            .get(&["-n", &self.namespace, "tenantcontrolplane", &self.name])
            .await
    }

    /// Changes the object by a merge patch.
    pub async fn patch(&self, patch: &Value) -> Result<()> {
        let arguments = [
            "-n",
            &self.namespace,
            "patch",
            "tenantcontrolplane",
            &self.name,
            "--type=merge",
            "-p",
            &patch.to_string(),
        ];
        self.management.kubectl(arguments).run().await.map(drop)
    }

    /// Waits until the object's generation is ready, in the condition and in the legacy status.
    pub async fn wait_ready(&self) -> Result<Value> {
        self.wait_status("Ready", Duration::from_mins(4)).await
    }

    /// Waits until `version.status` is this; for `Ready` the condition must say so too.
    pub async fn wait_status(&self, wanted: &str, limit: Duration) -> Result<Value> {
        until(&format!("{} is {wanted}", self.name), limit, async || {
            let object = self.object().await?;
            let status = object
                .pointer("/status/kubernetesResources/version/status")
                .and_then(Value::as_str);
            let behind = object.pointer("/metadata/generation")
                != object.pointer("/status/observedGeneration");
            let lacking = if wanted == "Ready" {
                lacks_condition(&object, "Ready")
            } else {
                None
            };
            let so = status == Some(wanted) && !behind && lacking.is_none();
            let seen = format!(
                "{status:?}, generation {}, {}",
                if behind { "behind" } else { "observed" },
                lacking.unwrap_or_default()
            );
            Ok(if so {
                Seen::Yes(object)
            } else {
                Seen::NotYet(seen)
            })
        })
        .await
    }

    /// Waits until a condition has this reason, and returns its message.
    pub async fn wait_reason(
        &self,
        condition: &str,
        reason: &str,
        limit: Duration,
    ) -> Result<String> {
        until(
            &format!("{condition} of {} is {reason}", self.name),
            limit,
            async || {
                let object = self.object().await?;
                let conditions = object
                    .pointer("/status/conditions")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default();
                let text = |entry: &Value, field: &str| {
                    entry
                        .get(field)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let is = |entry: &&Value| {
                    text(entry, "type") == condition && text(entry, "reason") == reason
                };
                let message = conditions
                    .iter()
                    .find(is)
                    .map(|entry| text(entry, "message"));
                Ok(message.map_or_else(
                    || Seen::NotYet(Value::from(conditions.clone()).to_string()),
                    Seen::Yes,
                ))
            },
        )
        .await
    }

    /// Scales through the scale subresource.
    pub async fn scale(&self, replicas: u8) -> Result<()> {
        let arguments = [
            "-n",
            &self.namespace,
            "scale",
            "tenantcontrolplane",
            &self.name,
            &format!("--replicas={replicas}"),
        ];
        self.management.kubectl(arguments).run().await.map(drop)
    }

    /// Sets or removes an annotation, in kubectl's words for it.
    pub async fn annotate(&self, annotation: &str) -> Result<()> {
        let arguments = [
            "-n",
            &self.namespace,
            "annotate",
            "--overwrite",
            "tenantcontrolplane",
            &self.name,
            annotation,
        ];
        self.management.kubectl(arguments).run().await.map(drop)
    }

    /// Deletes it and waits until it is gone.
    pub async fn delete(&self) -> Result<()> {
        let arguments = [
            "-n",
            &self.namespace,
            "delete",
            "tenantcontrolplane",
            &self.name,
            "--timeout=90s",
        ];
        self.management.kubectl(arguments).run().await.map(drop)
    }

    /// The names of its running pods.
    pub async fn pods(&self) -> Result<Vec<String>> {
        self.of_pods("/metadata/name").await
    }

    /// The uids of its running pods, which tell a pod from another one of its name.
    pub async fn pod_uids(&self) -> Result<Vec<String>> {
        self.of_pods("/metadata/uid").await
    }

    /// The addresses of its running pods.
    pub async fn pod_addresses(&self) -> Result<Vec<String>> {
        self.of_pods("/status/podIP").await
    }

    /// The names of all its pods, those on their way out included: until they are gone they may still be asked.
    pub async fn pods_that_are_left(&self) -> Result<Vec<String>> {
        let all = self.all_pods().await?;
        Ok(all
            .iter()
            .filter_map(|pod| text(pod, "/metadata/name"))
            .collect())
    }

    /// One field of every pod that runs and is not on its way out.
    async fn of_pods(&self, field: &str) -> Result<Vec<String>> {
        let runs = |pod: &&Value| {
            text(pod, "/status/phase").as_deref() == Some("Running")
                && text(pod, "/metadata/deletionTimestamp").is_none()
        };
        let all = self.all_pods().await?;
        let running = all.iter().filter(runs);
        Ok(running.filter_map(|pod| text(pod, field)).collect())
    }

    async fn all_pods(&self) -> Result<Vec<Value>> {
        let label = format!("kamaji.clastix.io/name={}", self.name);
        let list = self
            .management
            .get(&["-n", &self.namespace, "pods", "-l", &label])
            .await?;
        let pods = list.get("items").and_then(Value::as_array);
        Ok(pods.cloned().unwrap_or_default())
    }

    /// Writes the administrator's kubeconfig to `target/demo/tenant.kubeconfig`, which serves from this shell.
    pub async fn cluster(&self, lab: &Lab) -> Result<Cluster> {
        let secret = format!("{}-admin-kubeconfig", self.name);
        let kubeconfig = self
            .management
            .secret(&self.namespace, &secret, "admin.conf")
            .await?;
        let file = lab.place().demo().join("tenant.kubeconfig");
        crate::place::write(&file, kubeconfig)?;
        Ok(Cluster::new(file, lab.programs().clone()))
    }
}

fn text(object: &Value, field: &str) -> Option<String> {
    let value = object.pointer(field)?;
    value.as_str().map(str::to_owned)
}

/// Waits until an agent is ready on every node it belongs on, as the tenant sees it.
pub async fn wait_agents_ready(tenant: &Cluster) -> Result<()> {
    let pods = [
        "-n",
        "kube-system",
        "pods",
        "-l",
        "k8s-app=konnectivity-agent",
    ];
    let found = tenant.wait_for(&pods, Duration::from_mins(3), |list| {
        let pods = list
            .get("items")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if pods.is_empty() {
            return Some("no agent's pod".into());
        }
        pods.iter().find_map(|pod| lacks_condition(pod, "Ready"))
    });
    found.await.map(drop)
}
