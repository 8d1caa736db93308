//! What is installed into the tenant cluster, the tunnel first of all.
//!
//! In: `spec.addons`. Out: the same as types. An entry that is present is on; removing it removes
//! what it brought.

use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext, Toleration};
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Image of the server, as the published API has it. It means *ours*.
pub const DEFAULT_SERVER_IMAGE: &str = "registry.k8s.io/kas-network-proxy/proxy-server";

/// Image of the agent, as the published API has it. It means *ours*.
pub const DEFAULT_AGENT_IMAGE: &str = "registry.k8s.io/kas-network-proxy/proxy-agent";

/// Port on which agents reach the server.
pub const DEFAULT_SERVER_PORT: i32 = 8132;

/// What is installed into the tenant cluster. Presence of an entry turns it on.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Addons {
    /// The tunnel from kube-apiserver to nodes and Services of the tenant. Turn it on with
    /// `konnectivity: {}`: without it `kubectl logs`, `exec` and admission webhooks need a network
    /// in which this cluster can dial the tenant's nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub konnectivity: Option<Konnectivity>,

    /// CoreDNS.
    #[serde(rename = "coreDNS", skip_serializing_if = "Option::is_none")]
    pub core_dns: Option<ImageOverride>,

    /// kube-proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_proxy: Option<ImageOverride>,
}

/// An image other than the usual one.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageOverride {
    /// Repository without the image's own name; when unset, the one that kubeadm takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_repository: Option<String>,

    /// Tag; when unset, the one that goes with the tenant's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<String>,
}

/// The tunnel: a server beside kube-apiserver, agents in the tenant cluster that dial it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Konnectivity {
    /// The server beside kube-apiserver.
    #[schemars(extend("x-default" = {"image": DEFAULT_SERVER_IMAGE, "port": DEFAULT_SERVER_PORT}))]
    pub server: KonnectivityServer,

    /// The agents in the tenant cluster.
    #[schemars(extend("x-default" = {"image": DEFAULT_AGENT_IMAGE, "mode": "DaemonSet"}))]
    pub agent: KonnectivityAgent,
}

/// The server beside kube-apiserver.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KonnectivityServer {
    /// Port on which agents reach it, on the Service and in the pods.
    pub port: i32,

    /// Image without a tag. The default means the image of this product; any other is taken as it
    /// is and given only the flags of the upstream program.
    #[serde(default = "server_image")]
    #[schemars(extend("x-default" = DEFAULT_SERVER_IMAGE))]
    pub image: String,

    /// Tag of an image that is named above; when unset, the one that goes with the tenant's
    /// version. The image of this product has the operator's own tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// CPU and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Further arguments, as `--flag=value`. One that only the operator may set has no effect, and a
    /// warning says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<String>,

    /// Security settings of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,

    /// How kube-apiserver speaks to the server. Not part of the published API: additive.
    #[serde(default)]
    #[schemars(extend("x-default" = "HTTPConnect"))]
    pub egress_protocol: EgressProtocol,

    /// How kube-apiserver reaches what it dials for itself: admission webhooks by URL, OIDC
    /// issuers, authentication, authorization and audit webhooks, tracing. When unset, through the
    /// tunnel; naming one silences the warning about such webhooks. Not part of the published API:
    /// additive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_egress: Option<ControlPlaneEgress>,
}

impl Default for KonnectivityServer {
    fn default() -> Self {
        Self {
            port: DEFAULT_SERVER_PORT,
            image: server_image(),
            version: None,
            resources: None,
            extra_args: Vec::new(),
            security_context: None,
            egress_protocol: EgressProtocol::default(),
            control_plane_egress: None,
        }
    }
}

fn server_image() -> String {
    DEFAULT_SERVER_IMAGE.to_owned()
}

/// How kube-apiserver speaks to the server.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum EgressProtocol {
    /// HTTP CONNECT.
    #[default]
    HTTPConnect,
    /// gRPC.
    GRPC,
}

impl EgressProtocol {
    /// The word that the egress selector has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HTTPConnect => "HTTPConnect",
            Self::GRPC => "GRPC",
        }
    }
}

/// Which way kube-apiserver takes for what it dials for itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ControlPlaneEgress {
    /// From the tenant's network.
    Tunnel,
    /// From the management cluster's network: a tenant can then make kube-apiserver dial in it.
    Direct,
}

/// The agents in the tenant cluster.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("!has(self.replicas) || self.replicas == 0 || !has(self.mode) || self.mode != 'DaemonSet'")
        .message("addons.konnectivity.agent.replicas: a DaemonSet has one agent on each node; remove replicas or set mode to Deployment"),
    Rule::new("!has(self.replicas) || self.replicas != 0 || !has(self.mode) || self.mode != 'Deployment'")
        .message("addons.konnectivity.agent.replicas: 0 agents carry nothing; set 1 or more, or remove addons.konnectivity"),
]))]
pub struct KonnectivityAgent {
    /// One agent on each node, or as many as `replicas` says.
    #[schemars(extend("x-default" = "DaemonSet"))]
    pub mode: AgentMode,

    /// Number of agents. Only with mode Deployment; when unset, left to the Deployment, so that an
    /// autoscaler may own it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Image without a tag. The default means the image of this product; any other is taken as it
    /// is and given only the flags of the upstream program.
    #[schemars(extend("x-default" = DEFAULT_AGENT_IMAGE))]
    pub image: String,

    /// Tag of an image that is named above; when unset, the one that goes with the tenant's
    /// version. The image of this product has the operator's own tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// Taints that agents tolerate.
    #[schemars(extend("x-default" = [{"key": "CriticalAddonsOnly", "operator": "Exists"}]))]
    pub tolerations: Vec<Toleration>,

    /// Whether agents run in the node's own network.
    #[schemars(extend("x-default" = false))]
    pub host_network: bool,

    /// Further arguments, as `--flag=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<String>,

    /// CPU and memory. Not part of the published API: additive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

impl Default for KonnectivityAgent {
    fn default() -> Self {
        Self {
            mode: AgentMode::DaemonSet,
            replicas: None,
            image: DEFAULT_AGENT_IMAGE.to_owned(),
            version: None,
            tolerations: vec![Toleration {
                key: Some("CriticalAddonsOnly".to_owned()),
                operator: Some("Exists".to_owned()),
                ..Toleration::default()
            }],
            host_network: false,
            extra_args: Vec::new(),
            resources: None,
        }
    }
}

/// How agents are run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AgentMode {
    /// One on each node.
    #[default]
    DaemonSet,
    /// As many as `replicas` says.
    Deployment,
}

impl AgentMode {
    /// The kind of object that runs them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
        }
    }
}
