//! What the tenant side is built from: validated values, and nothing that could ask a cluster.
//!
//! They are read once per pass by [`super::read`], go into [`super::build`], and make the builders testable one by one.
//! No `Option` here stands for a default.

use std::fmt;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};

use crate::tenant_control_plane::control_plane::TunnelImage;

/// Everything the objects inside one tenant depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantInputs {
    /// Name of the `TenantControlPlane`; also kubeadm's cluster name.
    pub name: String,
    /// Version of the tenant's control plane.
    pub version: TenantVersion,
    /// Where nodes reach kube-apiserver.
    pub endpoint: HostPort,
    /// Certificate of the cluster authority, PEM.
    pub authority: String,
    /// Where names, services and pods live.
    pub network: Network,
    /// What the nodes' kubelets are told.
    pub kubelet: Kubelet,
    /// Registry of Kubernetes' own images.
    pub registry: String,
    /// The addons that are on.
    pub addons: Addons,
}

/// The tenant's addressing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// DNS domain of the cluster.
    pub domain: String,
    /// Ranges of Services, primary family first.
    pub service_cidrs: Vec<String>,
    /// Ranges of pods, primary family first.
    pub pod_cidrs: Vec<String>,
    /// Addresses of the cluster's DNS, primary family first.
    pub dns_addresses: Vec<String>,
}

impl Network {
    /// Whether the primary family is IPv6.
    pub fn family(&self) -> Family {
        match self.service_cidrs.first() {
            Some(cidr) if cidr.contains(':') => Family::V6,
            _ => Family::V4,
        }
    }
}

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What kubelets are configured with beyond kubeadm's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubelet {
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: String,
    /// The user's RFC 6902 operations on the `KubeletConfiguration`.
    pub patch: json_patch::Patch,
}

/// The addons of a tenant; absent is off.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Addons {
    /// konnectivity: the tunnel's side in the tenant.
    pub konnectivity: Option<Agent>,
    /// kube-proxy, with its image.
    pub kube_proxy: Option<String>,
    /// CoreDNS, with its image.
    pub core_dns: Option<String>,
}

/// konnectivity-agent as it is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Image with tag or digest.
    pub image: TunnelImage,
    /// How many agents there are, and where.
    pub placement: Placement,
    /// Whether it uses the node's network.
    pub network: PodNetwork,
    /// Taints it bears.
    pub tolerations: Vec<Toleration>,
    /// CPU and memory, where the user states them.
    pub resources: Option<ResourceRequirements>,
    /// The user's flags; each replaces ours of the same name.
    pub extra_args: Vec<String>,
    /// Where agents reach konnectivity-server.
    pub server: HostPort,
}

/// `spec.addons.konnectivity.agent.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// One on every node.
    EveryNode,
    /// A number of them, spread over the nodes; `None` leaves the number to the API server and autoscalers.
    Replicas(Option<i32>),
}

impl Placement {
    /// As the user spells it.
    pub const fn mode(self) -> &'static str {
        match self {
            Self::EveryNode => "DaemonSet",
            Self::Replicas(_) => "Deployment",
        }
    }
}

/// Which network a pod lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodNetwork {
    /// The cluster's.
    Cluster,
    /// The node's own.
    Host,
}

/// A host name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Host name, or address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl HostPort {
    /// Reads `host:port`, with brackets around an IPv6 address.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host
            .strip_prefix('[')
            .map_or(Some(host), |rest| rest.strip_suffix(']'))?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// A Kubernetes version of which only the minor decides anything here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantVersion {
    /// As the user wrote it, with `v`.
    pub text: String,
    /// The 33 of v1.33.0.
    pub minor: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written_alike() {
        for text in [
            "192.0.2.1:6443",
            "api.example.com:443",
            "[2001:db8::1]:6443",
        ] {
            let endpoint = HostPort::parse(text).expect(text);
            assert_eq!(endpoint.to_string(), text);
        }
        for text in [
            "",
            "host",
            "host:",
            ":6443",
            "host:0",
            "[::1:6443",
            "host:99999",
        ] {
            assert_eq!(HostPort::parse(text), None, "`{text}` was read");
        }
    }
}
