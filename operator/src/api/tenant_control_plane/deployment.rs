//! The pods of a control plane: how many, where, with which images, arguments and extras.
//!
//! In: `spec.controlPlane.deployment`. Out: the same as types. What Kubernetes has a type for is
//! that type.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Affinity, Container, PodSecurityContext, ResourceRequirements, SecurityContext, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::probes::Probes;

/// The pods that serve: how many, where, with which images and arguments.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlPlaneDeployment {
    /// Number of control-plane pods. 0 puts the tenant to sleep and keeps its data.
    #[schemars(extend("x-default" = 2))]
    pub replicas: i32,

    /// Where the images of the Kubernetes components come from.
    #[schemars(extend("x-default" = RegistrySettings::default()))]
    pub registry_settings: RegistrySettings,

    /// How new pods replace old ones.
    #[schemars(extend("x-default" = blue_green()))]
    pub strategy: DeploymentStrategy,

    /// ServiceAccount of the pods, in the namespace of this object.
    #[schemars(extend("x-default" = "default"))]
    pub service_account_name: String,

    /// Whether the pods get that ServiceAccount's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<bool>,

    /// Labels that a node needs to run these pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// `RuntimeClass` of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,

    /// Taints that the pods tolerate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,

    /// Where the pods prefer, or refuse, to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// How the pods are spread. A constraint without a selector gets the Deployment's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,

    /// Security settings of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_security_context: Option<PodSecurityContext>,

    /// Security settings of each container.
    pub container_security_contexts: ContainerSecurityContexts,

    /// CPU and memory of each container.
    pub resources: ComponentResources,

    /// Further arguments of each container, as `--flag=value`.
    pub extra_args: ExtraArgs,

    /// Timings of the probes.
    pub probes: Probes,

    /// Labels and annotations for the Deployment, beside ours.
    pub additional_metadata: AdditionalMetadata,

    /// Labels and annotations for the pods, beside ours.
    pub pod_additional_metadata: AdditionalMetadata,

    /// Init containers to run before ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_init_containers: Vec<Container>,

    /// Containers to run beside ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_containers: Vec<Container>,

    /// Volumes beside ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_volumes: Vec<Volume>,

    /// Where those volumes are mounted in our containers.
    pub additional_volume_mounts: AdditionalVolumeMounts,
}

impl Default for ControlPlaneDeployment {
    fn default() -> Self {
        Self {
            replicas: 2,
            registry_settings: RegistrySettings::default(),
            strategy: blue_green(),
            service_account_name: "default".to_owned(),
            automount_service_account_token: None,
            node_selector: BTreeMap::new(),
            runtime_class_name: None,
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: Vec::new(),
            pod_security_context: None,
            container_security_contexts: ContainerSecurityContexts::default(),
            resources: ComponentResources::default(),
            extra_args: ExtraArgs::default(),
            probes: Probes::default(),
            additional_metadata: AdditionalMetadata::default(),
            pod_additional_metadata: AdditionalMetadata::default(),
            additional_init_containers: Vec::new(),
            additional_containers: Vec::new(),
            additional_volumes: Vec::new(),
            additional_volume_mounts: AdditionalVolumeMounts::default(),
        }
    }
}

/// Every new pod is there before an old one goes.
fn blue_green() -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::String("100%".to_owned())),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

/// Where the images of the Kubernetes components come from: `registry/image:version+tagSuffix`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegistrySettings {
    /// Registry, with a path where it has one.
    #[schemars(extend("x-default" = "registry.k8s.io"))]
    pub registry: String,

    /// Image of kube-apiserver.
    #[schemars(extend("x-default" = "kube-apiserver"))]
    pub api_server_image: String,

    /// Image of kube-controller-manager.
    #[schemars(extend("x-default" = "kube-controller-manager"))]
    pub controller_manager_image: String,

    /// Image of kube-scheduler.
    #[schemars(extend("x-default" = "kube-scheduler"))]
    pub scheduler_image: String,

    /// Added to the version to make the tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_suffix: Option<String>,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            registry: "registry.k8s.io".to_owned(),
            api_server_image: "kube-apiserver".to_owned(),
            controller_manager_image: "kube-controller-manager".to_owned(),
            scheduler_image: "kube-scheduler".to_owned(),
            tag_suffix: None,
        }
    }
}

/// Labels and annotations to add.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AdditionalMetadata {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,

    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// CPU and memory of each container.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentResources {
    /// kube-apiserver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ResourceRequirements>,

    /// kube-controller-manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_manager: Option<ResourceRequirements>,

    /// kube-scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<ResourceRequirements>,

    /// kine, which stands beside kube-apiserver when the DataStore is not etcd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kine: Option<ResourceRequirements>,
}

/// Further arguments of each container. One that only the operator may set has no effect, and a
/// warning says so.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtraArgs {
    /// kube-apiserver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_server: Vec<String>,

    /// kube-controller-manager.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controller_manager: Vec<String>,

    /// kube-scheduler.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scheduler: Vec<String>,

    /// kine, which stands beside kube-apiserver when the DataStore is not etcd.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kine: Vec<String>,
}

/// Security settings of each container.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerSecurityContexts {
    /// kube-apiserver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server: Option<SecurityContext>,

    /// kube-controller-manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_manager: Option<SecurityContext>,

    /// kube-scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SecurityContext>,
}

/// Where additional volumes are mounted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AdditionalVolumeMounts {
    /// In kube-apiserver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_server: Vec<VolumeMount>,

    /// In kube-controller-manager.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controller_manager: Vec<VolumeMount>,

    /// In kube-scheduler.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scheduler: Vec<VolumeMount>,
}
