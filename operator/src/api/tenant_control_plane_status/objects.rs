//! Objects of the management cluster, as the status shows them.
//!
//! In: what was applied there. Out: `status.kubernetesResources`.

use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::api::core::v1::LoadBalancerStatus;
use k8s_openapi::api::networking::v1::IngressLoadBalancerStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::gateway::GatewayStatus;

/// Objects of the management cluster.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubernetesResources {
    /// Version that serves, and where the control plane is in its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionStatus>,

    /// The pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentStatus>,

    /// The Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceStatus>,

    /// The Ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressStatus>,

    /// The route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
}

/// Version that serves, and where the control plane is in its life.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VersionStatus {
    /// Version that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// Where the control plane is in its life.
    #[schemars(extend("x-default" = "Provisioning"))]
    pub status: LifeStage,
}

/// Where a control plane is in its life.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum LifeStage {
    /// Pods are being replaced, for no reason that has a word here.
    Unknown,
    /// It never served yet.
    #[default]
    Provisioning,
    /// Its authority is being replaced.
    CertificateAuthorityRotating,
    /// It moves to another version.
    Upgrading,
    /// Its state moves to another DataStore.
    Migrating,
    /// It serves.
    Ready,
    /// No pod serves.
    NotReady,
    /// It has no pods because none were asked for.
    Sleeping,
    /// It serves, and refuses some writes.
    WriteLimited,
}

/// The pods.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// Name of the Deployment.
    pub name: String,

    /// Its namespace.
    pub namespace: String,

    /// Selector of its pods, as text; autoscalers read it.
    pub selector: String,

    /// When the Deployment last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<Time>,

    /// Generation that the Deployment's controller has seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Pods that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Pods of the newest template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,

    /// Pods that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// Pods that are available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,

    /// Pods that are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable_replicas: Option<i32>,

    /// Pods that are going.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating_replicas: Option<i32>,

    /// Collisions of names of its `ReplicaSet`s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,

    /// What the Deployment says of itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<DeploymentCondition>,
}

/// A Service and one port of it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// Name of the Service.
    pub name: String,

    /// Its namespace.
    pub namespace: String,

    /// The port.
    pub port: i32,

    /// What the load balancer gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancerStatus>,

    /// What the Service says of itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// An Ingress.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressStatus {
    /// Name of the Ingress.
    pub name: String,

    /// Its namespace.
    pub namespace: String,

    /// What the load balancer gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<IngressLoadBalancerStatus>,
}
