//! Kubernetes itself: version, admission plugins, what kubelets are told.
//!
//! In: `spec.kubernetes`. Out: the same as types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kubernetes itself: version, admission plugins, what kubelets are told.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesSpec {
    /// Version of the tenant cluster, with its leading `v`: `v1.33.0`.
    pub version: String,

    /// What kubelets of the tenant are told when they join.
    #[serde(default)]
    #[schemars(extend("x-default" = {}))]
    pub kubelet: Kubelet,

    /// Admission plugins of kube-apiserver.
    #[serde(
        default = "default_admission_controllers",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(
        schema_with = "plugins",
        extend("x-default" = DEFAULT_ADMISSION_CONTROLLERS)
    )]
    pub admission_controllers: Vec<String>,
}

/// Plugins of a control plane whose manifest names none.
pub const DEFAULT_ADMISSION_CONTROLLERS: &[&str] = &[
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "LimitRanger",
    "MutatingAdmissionWebhook",
    "NamespaceLifecycle",
    "PersistentVolumeClaimResize",
    "Priority",
    "ResourceQuota",
    "RuntimeClass",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "TaintNodesByCondition",
    "ValidatingAdmissionWebhook",
];

/// Plugins that may be named.
pub const ADMISSION_CONTROLLERS: &[&str] = &[
    "AlwaysAdmit",
    "AlwaysDeny",
    "AlwaysPullImages",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "DenyEscalatingExec",
    "DenyExecOnPrivileged",
    "DenyServiceExternalIPs",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "ImagePolicyWebhook",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "MutatingAdmissionWebhook",
    "NamespaceAutoProvision",
    "NamespaceExists",
    "NamespaceLifecycle",
    "NodeRestriction",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "PersistentVolumeLabel",
    "PodNodeSelector",
    "PodSecurity",
    "PodSecurityPolicy",
    "PodTolerationRestriction",
    "Priority",
    "ResourceQuota",
    "RuntimeClass",
    "SecurityContextDeny",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "TaintNodesByCondition",
    "ValidatingAdmissionWebhook",
];

fn default_admission_controllers() -> Vec<String> {
    DEFAULT_ADMISSION_CONTROLLERS
        .iter()
        .map(|&name| name.to_owned())
        .collect()
}

/// What kubelets of the tenant are told when they join.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kubelet {
    /// Patches (RFC 6902) applied to the kubelet configuration that joining nodes read.
    #[serde(
        rename = "configurationJSONPatches",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub configuration_json_patches: Vec<JsonPatch>,

    /// Which address of a node kube-apiserver dials first.
    #[schemars(
        length(min = 1),
        extend("x-default" = AddressType::PREFERRED, "x-kubernetes-list-type" = "set")
    )]
    pub preferred_address_types: Vec<AddressType>,

    /// Cgroup driver of kubelets. Deprecated: patch `/cgroupDriver` instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroupfs: Option<CgroupDriver>,
}

impl Default for Kubelet {
    fn default() -> Self {
        Self {
            configuration_json_patches: Vec::new(),
            preferred_address_types: AddressType::PREFERRED.to_vec(),
            cgroupfs: None,
        }
    }
}

/// A kind of node address.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AddressType {
    /// The node's own name.
    Hostname,
    /// An address inside the node's network.
    InternalIP,
    /// An address outside of it.
    ExternalIP,
    /// A DNS name inside the node's network.
    InternalDNS,
    /// A DNS name outside of it.
    ExternalDNS,
}

impl AddressType {
    /// The order when a manifest gives none.
    pub const PREFERRED: [Self; 3] = [Self::InternalIP, Self::ExternalIP, Self::Hostname];

    /// The word that kube-apiserver has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hostname => "Hostname",
            Self::InternalIP => "InternalIP",
            Self::ExternalIP => "ExternalIP",
            Self::InternalDNS => "InternalDNS",
            Self::ExternalDNS => "ExternalDNS",
        }
    }
}

/// A cgroup driver of kubelets.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// Through systemd.
    Systemd,
    /// Through the file system.
    Cgroupfs,
}

/// One step of a JSON patch.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JsonPatch {
    /// What to do.
    pub op: JsonPatchOperation,

    /// Where, as a JSON pointer.
    pub path: String,

    /// Where from, for `move` and `copy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,

    /// With what, for `add`, `replace` and `test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub value: Option<serde_json::Value>,
}

/// What a step of a JSON patch does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JsonPatchOperation {
    /// Puts a value in.
    Add,
    /// Takes a value out.
    Remove,
    /// Puts a value in place of another.
    Replace,
    /// Takes a value out and puts it elsewhere.
    Move,
    /// Puts a value elsewhere too.
    Copy,
    /// Fails unless the value is there.
    Test,
}

fn anything(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

fn plugins(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {"type": "string", "enum": ADMISSION_CONTROLLERS},
    })
}
