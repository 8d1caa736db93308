//! Step 2 inside a tenant: from the custom resource and its authority to [`TenantInputs`]. Pure.
//!
//! The management side has judged the spec by now; what is still missing here makes the tenant wait, and says for
//! what.

use crate::api::TenantControlPlane;
use crate::api::tenant_control_plane::addons::DEFAULT_AGENT_IMAGE;
use crate::api::tenant_control_plane::{
    AgentMode, CgroupDriver, ImageOverride, JsonPatch, Konnectivity, KonnectivityAgent,
};
use crate::tenant_control_plane::control_plane::TunnelImage;

use super::build::core_dns;
use super::inputs::{
    Addons, Agent, HostPort, Kubelet, Network, Placement, PodNetwork, TenantInputs, TenantVersion,
};

/// Kubernetes' own registry.
const REGISTRY: &str = "registry.k8s.io";

/// What keeps a tenant's objects from being built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nodes could not be told where to go.
    #[error("the control plane has no endpoint yet: see the condition EndpointReady")]
    NoEndpoint,
    /// Neither spec nor status name the DNS address.
    #[error("networkProfile.serviceCidrs `{0}` leaves no address for DNS: use a larger range")]
    NoDnsAddress(String),
    /// The version does not read.
    #[error("kubernetes.version `{0}` is no version: write one such as v1.33.0")]
    Version(String),
    /// The port is no port.
    #[error("addons.konnectivity.server.port {0} is no port: use 1 to 65535")]
    Port(i32),
    /// The patch is no patch.
    #[error(
        "kubernetes.kubelet.configurationJSONPatches is not RFC 6902: correct the operation its cause names"
    )]
    KubeletPatch(String),
}

/// Reads what the tenant is to be built from. `agent_image` is the operator's own, with tag or digest.
pub fn read(
    tcp: &TenantControlPlane,
    authority: &str,
    agent_image: &str,
) -> Result<TenantInputs, ReadError> {
    let spec = &tcp.spec;
    let version = version(&spec.kubernetes.version)?;
    let endpoint = endpoint(tcp)?;
    let addons = Addons {
        konnectivity: match &spec.addons.konnectivity {
            Some(konnectivity) => Some(agent(konnectivity, &endpoint, &version, agent_image)?),
            None => None,
        },
        kube_proxy: spec
            .addons
            .kube_proxy
            .as_ref()
            .map(|image| addon_image(image, REGISTRY, "kube-proxy", &version.text)),
        core_dns: spec.addons.core_dns.as_ref().map(|image| {
            let usual = format!("{REGISTRY}/coredns");
            addon_image(image, &usual, "coredns", core_dns::version(version.minor))
        }),
    };
    Ok(TenantInputs {
        name: tcp.metadata.name.clone().unwrap_or_default(),
        network: network(tcp)?,
        kubelet: Kubelet {
            cgroup_driver: match spec.kubernetes.kubelet.cgroupfs {
                Some(CgroupDriver::Cgroupfs) => "cgroupfs".to_owned(),
                Some(CgroupDriver::Systemd) | None => "systemd".to_owned(),
            },
            patch: patch(&spec.kubernetes.kubelet.configuration_json_patches)?,
        },
        authority: authority.to_owned(),
        registry: REGISTRY.to_owned(),
        version,
        endpoint,
        addons,
    })
}

fn version(text: &str) -> Result<TenantVersion, ReadError> {
    let minor = text
        .trim_start_matches('v')
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse().ok());
    let minor = minor.ok_or_else(|| ReadError::Version(text.to_owned()))?;
    Ok(TenantVersion {
        text: text.to_owned(),
        minor,
    })
}

/// Where nodes go: what the status shows, by the advertised address where one is asked for.
fn endpoint(tcp: &TenantControlPlane) -> Result<HostPort, ReadError> {
    let shown = tcp
        .status
        .as_ref()
        .and_then(|status| status.control_plane_endpoint.as_deref());
    let mut endpoint = shown
        .and_then(HostPort::parse)
        .ok_or(ReadError::NoEndpoint)?;
    let advertised = tcp.spec.network_profile.advertise_address.as_deref();
    if let Some(address) = advertised.filter(|address| !address.is_empty()) {
        address.clone_into(&mut endpoint.host);
    }
    Ok(endpoint)
}

fn network(tcp: &TenantControlPlane) -> Result<Network, ReadError> {
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let profile = &tcp.spec.network_profile;
    let service_cidrs = owned(profile.service_ranges());
    let mut dns_addresses = profile.dns_service_ips.clone();
    if dns_addresses.is_empty() {
        for cidr in &service_cidrs {
            let address = tenth(cidr).ok_or_else(|| ReadError::NoDnsAddress(cidr.clone()))?;
            dns_addresses.push(address);
        }
    }
    Ok(Network {
        domain: profile.cluster_domain.clone(),
        pod_cidrs: owned(profile.pod_ranges()),
        service_cidrs,
        dns_addresses,
    })
}

/// The address that kubeadm gives to DNS: the tenth of the range.
fn tenth(cidr: &str) -> Option<String> {
    let range: ipnet::IpNet = cidr.parse().ok()?;
    let address = match range {
        ipnet::IpNet::V4(range) => {
            std::net::Ipv4Addr::from_bits(range.network().to_bits().checked_add(10)?).into()
        }
        ipnet::IpNet::V6(range) => {
            std::net::Ipv6Addr::from_bits(range.network().to_bits().checked_add(10)?).into()
        }
    };
    let address: std::net::IpAddr = address;
    range.contains(&address).then(|| address.to_string())
}

fn patch(operations: &[JsonPatch]) -> Result<json_patch::Patch, ReadError> {
    let value = serde_json::to_value(operations).unwrap_or_default();
    serde_json::from_value(value).map_err(|error| ReadError::KubeletPatch(error.to_string()))
}

fn agent(
    konnectivity: &Konnectivity,
    endpoint: &HostPort,
    version: &TenantVersion,
    ours: &str,
) -> Result<Agent, ReadError> {
    let agent = &konnectivity.agent;
    let port = konnectivity.server.port;
    let port = u16::try_from(port)
        .ok()
        .filter(|port| *port != 0)
        .ok_or(ReadError::Port(port))?;
    Ok(Agent {
        image: agent_image(agent, version, ours),
        placement: match agent.mode {
            AgentMode::DaemonSet => Placement::EveryNode,
            AgentMode::Deployment => Placement::Replicas(agent.replicas),
        },
        network: if agent.host_network {
            PodNetwork::Host
        } else {
            PodNetwork::Cluster
        },
        tolerations: agent.tolerations.clone(),
        resources: agent.resources.clone(),
        extra_args: agent.extra_args.clone(),
        server: HostPort {
            host: endpoint.host.clone(),
            port,
        },
    })
}

/// The contract's default image means ours, with the operator's own tag: the contract's tags do not exist for it. Any
/// other is taken as it stands.
fn agent_image(agent: &KonnectivityAgent, version: &TenantVersion, ours: &str) -> TunnelImage {
    if agent.image == DEFAULT_AGENT_IMAGE || agent.image.is_empty() {
        return TunnelImage::Ours(ours.to_owned());
    }
    TunnelImage::Literal(
        match agent.version.as_deref().filter(|tag| !tag.is_empty()) {
            Some(tag) => format!("{}:{tag}", repository(&agent.image)),
            None if repository(&agent.image) != agent.image => agent.image.clone(),
            None => format!("{}:v0.{}.0", agent.image, version.minor),
        },
    )
}

/// An image without tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

fn addon_image(image: &ImageOverride, usual: &str, name: &str, tag: &str) -> String {
    let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let repository = set(&image.image_repository).unwrap_or_else(|| usual.to_owned());
    let tag = set(&image.image_tag).unwrap_or_else(|| tag.to_owned());
    format!("{repository}/{name}:{tag}")
}

#[cfg(test)]
mod tests;
