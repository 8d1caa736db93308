//! What is installed in the tenant cluster, as the status shows it.
//!
//! In: what was applied there. Out: `status.addons`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretStatus;
use super::objects::ServiceStatus;
use crate::api::gateway::GatewayStatus;

/// What is installed in the tenant cluster.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AddonsStatus {
    /// CoreDNS.
    #[serde(rename = "coreDNS", skip_serializing_if = "Option::is_none")]
    pub core_dns: Option<AddonStatus>,

    /// kube-proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_proxy: Option<AddonStatus>,

    /// The tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub konnectivity: Option<KonnectivityStatus>,
}

/// One addon.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AddonStatus {
    /// Whether it is on.
    pub enabled: bool,

    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<Time>,
}

/// The tunnel, both ends.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KonnectivityStatus {
    /// Whether it is on.
    pub enabled: bool,

    /// ConfigMap with the egress selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapStatus>,

    /// Secret with the server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<SecretStatus>,

    /// Secret with the server's kubeconfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<SecretStatus>,

    /// ServiceAccount of the agents.
    #[serde(rename = "sa", skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ObjectStatus>,

    /// Binding that lets the server check the agents' tokens.
    #[serde(rename = "clusterrolebinding", skip_serializing_if = "Option::is_none")]
    pub cluster_role_binding: Option<ObjectStatus>,

    /// The agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentStatus>,

    /// How agents reach the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceStatus>,

    /// Route to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
}

/// A ConfigMap that the operator keeps.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapStatus {
    /// Name of the ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Checksum of its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// An object in the tenant cluster.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectStatus {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Its namespace, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<Time>,
}

/// The agents.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentStatus {
    /// Name of what runs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// `DaemonSet` or `Deployment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,

    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<Time>,
}
