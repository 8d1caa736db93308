//! How a control plane is reached: Service, Ingress, Gateway.
//!
//! In: `spec.controlPlane.{service,ingress,gateway}`. Out: the same as types.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deployment::AdditionalMetadata;
use crate::api::gateway::ParentReference;

/// The Service in front of the pods.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlaneService {
    /// How the Service is exposed.
    pub service_type: ServiceType,

    /// Labels and annotations for the Service, beside ours.
    #[serde(default)]
    pub additional_metadata: AdditionalMetadata,

    /// Further ports, for containers that you add to the pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_ports: Vec<AdditionalPort>,

    /// Whether a load balancer also gets node ports. Only with serviceType LoadBalancer; true when
    /// unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocate_load_balancer_node_ports: Option<bool>,
}

/// How a Service is exposed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ServiceType {
    /// Only inside the management cluster.
    #[default]
    ClusterIP,
    /// On every node of the management cluster. The node port equals the Service port.
    NodePort,
    /// By the load balancer of the management cluster.
    LoadBalancer,
}

impl ServiceType {
    /// The word that Kubernetes has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// One more port of the Service.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdditionalPort {
    /// Name of the port, unique in the Service.
    pub name: String,

    /// Port of the Service.
    pub port: i32,

    /// Port of the pod, by number or by the container port's name.
    pub target_port: IntOrString,

    /// Transport protocol.
    #[serde(default = "tcp")]
    #[schemars(extend("x-default" = tcp(), "enum" = ["TCP", "UDP", "SCTP"]))]
    pub protocol: String,

    /// Hint to load balancers about what is spoken on the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

fn tcp() -> String {
    "TCP".to_owned()
}

/// An Ingress in front of the Service. Accepted, not acted on yet.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressExposure {
    /// Host name of the API server, with or without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,

    /// Class of the Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_class_name: Option<String>,

    /// Labels and annotations for the Ingress, beside ours.
    #[serde(default)]
    pub additional_metadata: AdditionalMetadata,
}

/// A Gateway API route in front of the Service. Accepted, not acted on yet.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayExposure {
    /// Host name of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("pattern" = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"))]
    pub hostname: Option<String>,

    /// Gateways that the route attaches to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,

    /// Labels and annotations for the route, beside ours.
    #[serde(default)]
    pub additional_metadata: AdditionalMetadata,
}
