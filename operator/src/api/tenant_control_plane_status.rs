//! `TenantControlPlane`: what the operator reports back.
//!
//! In: what was applied and observed. Out: [`TenantControlPlaneStatus`], written by `report` in one
//! patch. The paths are those of the published API; `conditions` and `effective` are ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod addons;
pub mod objects;

pub use addons::{AddonStatus, AddonsStatus, AgentStatus, KonnectivityStatus, ObjectStatus};
pub use objects::{
    DeploymentStatus, IngressStatus, KubernetesResources, LifeStage, ServiceStatus, VersionStatus,
};

/// What the operator reports about a control plane.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantControlPlaneStatus {
    /// What is well and what is not, each with the remedy. Not part of the published API: additive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// Generation of the spec that was carried out in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Where the tenant's API server answers, as `host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<String>,

    /// What was taken where the spec is silent. Not part of the published API: additive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,

    /// Where the tenant's state is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageStatus>,

    /// Certificates of the control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificatesStatus>,

    /// Kubeconfigs for and of the control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigsStatus>,

    /// ConfigMap with kubeadm's configuration.
    #[serde(rename = "kubeadmconfig", skip_serializing_if = "Option::is_none")]
    pub kubeadm_config: Option<KubeadmConfigStatus>,

    /// What kubeadm's phases left in the tenant cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeadm_phase: Option<KubeadmPhaseStatus>,

    /// What is installed in the tenant cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addons: Option<AddonsStatus>,

    /// Objects of the management cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_resources: Option<KubernetesResources>,
}

/// Values that are in force, whether the spec names them or the operator chose them.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Effective {
    /// Name of the DataStore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_store: Option<String>,

    /// Key prefix, database or bucket in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_store_schema: Option<String>,

    /// User in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_store_username: Option<String>,

    /// Number of control-plane pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Ranges of Service addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_cidrs: Vec<String>,

    /// Ranges of pod addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<String>,

    /// Addresses of the tenant's DNS Service.
    #[serde(rename = "dnsServiceIPs", skip_serializing_if = "Vec::is_empty")]
    pub dns_service_ips: Vec<String>,
}

/// A Secret that the operator keeps.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretStatus {
    /// Name of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// Checksum of its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,

    /// When its data last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<Time>,
}

/// Where the tenant's state is kept.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageStatus {
    /// Driver of the DataStore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,

    /// Name of the DataStore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_store_name: Option<String>,

    /// Secret with what is needed to connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<StorageConfigStatus>,

    /// What was set up in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<StorageSetupStatus>,

    /// Secret with the client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<SecretStatus>,
}

/// Secret with what is needed to connect.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageConfigStatus {
    /// Name of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// Checksum of its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// What was set up in the store.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageSetupStatus {
    /// Key prefix, database or bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,

    /// User.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,

    /// Checksum of what it was set up from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,

    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<Time>,
}

/// Certificates of the control plane.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificatesStatus {
    /// The tenant's authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretStatus>,

    /// Serving certificate of kube-apiserver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server: Option<SecretStatus>,

    /// What kube-apiserver shows to kubelets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server_kubelet_client: Option<SecretStatus>,

    /// Authority of the front proxy.
    #[serde(rename = "frontProxyCA", skip_serializing_if = "Option::is_none")]
    pub front_proxy_ca: Option<SecretStatus>,

    /// What kube-apiserver shows to aggregated API servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front_proxy_client: Option<SecretStatus>,

    /// Keys of service-account tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sa: Option<SecretStatus>,

    /// Part of the published API; never written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<EtcdCertificatesStatus>,
}

/// Part of the published API; never written.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EtcdCertificatesStatus {
    /// Client certificate of kube-apiserver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server: Option<SecretStatus>,

    /// Authority of etcd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretStatus>,
}

/// Kubeconfigs for and of the control plane.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeconfigsStatus {
    /// For administrators of the tenant cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<SecretStatus>,

    /// Of kube-controller-manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_manager: Option<SecretStatus>,

    /// Of kube-scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SecretStatus>,
}

/// ConfigMap with kubeadm's configuration.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeadmConfigStatus {
    /// Name of the ConfigMap.
    #[serde(rename = "configmapName", skip_serializing_if = "Option::is_none")]
    pub config_map_name: Option<String>,

    /// Checksum of its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,

    /// When its data last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<Time>,
}

/// What kubeadm's phases left in the tenant cluster.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeadmPhaseStatus {
    /// What nodes need to join.
    pub bootstrap_token: PhaseStatus,
}

/// One phase of kubeadm.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PhaseStatus {
    /// Checksum of what it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,

    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<Time>,
}
