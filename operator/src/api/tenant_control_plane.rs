//! `TenantControlPlane`: what a user asks for.
//!
//! In: manifests, with or without the API server's defaulting: every default of the API is also the
//! default of reading, so a value parsed from a file means what the stored object means.
//! Out: [`TenantControlPlaneSpec`], read by `validate` and nobody else.
//!
//! A default belongs to the published schema only where a field says
//! `#[schemars(extend("x-default" = …))]`; what `serde` fills in alone stays out of stored objects.

use kube::CustomResource;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tenant_control_plane_status::TenantControlPlaneStatus;

pub mod addons;
pub mod deployment;
pub mod kubernetes;
pub mod network;
pub mod probes;
pub mod service;

pub use addons::{
    Addons, AgentMode, ControlPlaneEgress, EgressProtocol, ImageOverride, Konnectivity,
    KonnectivityAgent, KonnectivityServer,
};
pub use deployment::{
    AdditionalMetadata, AdditionalVolumeMounts, ComponentResources, ContainerSecurityContexts,
    ControlPlaneDeployment, ExtraArgs, RegistrySettings,
};
pub use kubernetes::{
    AddressType, CgroupDriver, JsonPatch, JsonPatchOperation, Kubelet, KubernetesSpec,
};
pub use network::NetworkProfile;
pub use probes::{ProbeSet, ProbeTiming, Probes};
pub use service::{
    AdditionalPort, ControlPlaneService, GatewayExposure, IngressExposure, ServiceType,
};

/// A Kubernetes control plane that runs as pods in this cluster and serves a cluster of its own.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "kamaji.clastix.io",
    version = "v1alpha1",
    kind = "TenantControlPlane",
    plural = "tenantcontrolplanes",
    shortname = "tcp",
    category = "kamaji",
    namespaced,
    schema = "disabled",
    status = "TenantControlPlaneStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.controlPlane.deployment.replicas",
        status_replicas_path = ".status.kubernetesResources.deployment.replicas",
        label_selector_path = ".status.kubernetesResources.deployment.selector"
    ),
    doc = "A Kubernetes control plane that runs as pods in this cluster and serves a cluster of its own.",
    printcolumn = r#"{"name": "Version", "type": "string", "description": "Kubernetes version asked for", "jsonPath": ".spec.kubernetes.version"}"#,
    printcolumn = r#"{"name": "Installed Version", "type": "string", "description": "Kubernetes version that serves", "jsonPath": ".status.kubernetesResources.version.version"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "description": "Where the control plane is in its life", "jsonPath": ".status.kubernetesResources.version.status"}"#,
    printcolumn = r#"{"name": "Control-Plane endpoint", "type": "string", "description": "Where the tenant's API server answers", "jsonPath": ".status.controlPlaneEndpoint"}"#,
    printcolumn = r#"{"name": "Kubeconfig", "type": "string", "description": "Secret with the administrator's kubeconfig", "jsonPath": ".status.kubeconfig.admin.secretName"}"#,
    printcolumn = r#"{"name": "Datastore", "type": "string", "description": "DataStore that holds the tenant's state", "jsonPath": ".status.storage.dataStoreName"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "description": "Time since creation", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("!has(oldSelf.dataStore) || has(self.dataStore)")
        .message("dataStore: cannot be unset once set; name the DataStore to keep, or another to move to"),
    Rule::new("!has(oldSelf.dataStoreSchema) || has(self.dataStoreSchema)")
        .message("dataStoreSchema: cannot be unset once set; put the former value back"),
    Rule::new("!has(oldSelf.dataStoreUsername) || has(self.dataStoreUsername)")
        .message("dataStoreUsername: cannot be unset once set; put the former value back"),
    Rule::new("!has(self.networkProfile) || !has(self.networkProfile.loadBalancerSourceRanges) || size(self.networkProfile.loadBalancerSourceRanges) == 0 || self.controlPlane.service.serviceType == 'LoadBalancer'")
        .message("networkProfile.loadBalancerSourceRanges: only for a load balancer; remove it or set controlPlane.service.serviceType to LoadBalancer"),
    Rule::new("!has(self.networkProfile) || !has(self.networkProfile.loadBalancerClass) || self.controlPlane.service.serviceType == 'LoadBalancer'")
        .message("networkProfile.loadBalancerClass: only for a load balancer; remove it or set controlPlane.service.serviceType to LoadBalancer"),
    Rule::new("!has(self.controlPlane.service.allocateLoadBalancerNodePorts) || self.controlPlane.service.serviceType == 'LoadBalancer'")
        .message("controlPlane.service.allocateLoadBalancerNodePorts: only for a load balancer; remove it or set serviceType to LoadBalancer"),
    Rule::new("self.controlPlane.service.serviceType != 'LoadBalancer' || oldSelf.controlPlane.service.serviceType != 'LoadBalancer' || (has(self.networkProfile) && has(self.networkProfile.loadBalancerClass)) == (has(oldSelf.networkProfile) && has(oldSelf.networkProfile.loadBalancerClass))")
        .message("networkProfile.loadBalancerClass: can neither be added to nor removed from a load balancer; change serviceType first, then back"),
]))]
pub struct TenantControlPlaneSpec {
    /// Pods, Service and other ways in.
    pub control_plane: ControlPlaneSpec,

    /// Kubernetes itself: version, admission plugins, what kubelets are told.
    pub kubernetes: KubernetesSpec,

    /// Addresses, ports and ranges of the tenant cluster.
    #[serde(default)]
    pub network_profile: NetworkProfile,

    /// What is installed into the tenant cluster. Presence of an entry turns it on.
    #[serde(default)]
    pub addons: Addons,

    /// Name of the DataStore that holds the tenant's state. When unset, the operator's default one
    /// is used and shown in status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_store: Option<String>,

    /// Key prefix, database or bucket of this tenant in the DataStore. When unset, made of the
    /// object's UID and shown in status. Cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("self == oldSelf").message("dataStoreSchema: cannot change; put the former value back"),
    ]))]
    pub data_store_schema: Option<String>,

    /// User of this tenant in the DataStore. When unset, made of the object's UID and shown in
    /// status. Cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("self == oldSelf").message("dataStoreUsername: cannot change; put the former value back"),
    ]))]
    pub data_store_username: Option<String>,

    /// Kinds of objects that are kept in another DataStore than the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_store_overrides: Vec<DataStoreOverride>,

    /// Freezes some kinds of writes inside the tenant cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_permissions: Option<WritePermissions>,
}

/// Pods, Service and other ways in.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("!(has(self.ingress) && has(self.gateway))")
        .message("ingress and gateway: only one of both; remove the other"),
]))]
pub struct ControlPlaneSpec {
    /// The pods that serve: how many, where, with which images and arguments.
    #[serde(default)]
    pub deployment: ControlPlaneDeployment,

    /// The Service in front of the pods.
    pub service: ControlPlaneService,

    /// An Ingress in front of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressExposure>,

    /// A Gateway API route in front of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayExposure>,
}

/// One kind of object and where it is kept.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataStoreOverride {
    /// The kind, as `/plural` or `group/plural`; for example `/events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,

    /// Name of the DataStore for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_store: Option<String>,
}

/// Which writes inside the tenant cluster are refused.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "three switches of the published API"
)]
pub struct WritePermissions {
    /// Refuse to create objects.
    #[serde(default)]
    pub block_creation: bool,

    /// Refuse to change objects.
    #[serde(default)]
    pub block_update: bool,

    /// Refuse to delete objects.
    #[serde(default)]
    pub block_deletion: bool,
}
