//! The validated form of a `TenantControlPlane`: what `issue` and `build` work from.
//!
//! No `Option` here stands for a default, no name is underived, every address parses. What Kubernetes itself takes
//! verbatim (tolerations, extra containers) stays in the API's types.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::api::tenant_control_plane::{
    AddressType, ControlPlaneDeployment, ControlPlaneEgress, ControlPlaneService, EgressProtocol,
};
use crate::names::Names;
use crate::pki::KeyPair;
use crate::pki::leaf::San;
use crate::version::Version;

/// What the operator was told to take where a spec is silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// `DataStore` for tenants that name none.
    pub data_store: Option<String>,
    /// Our own images.
    pub images: Images,
}

/// Our own images, each complete with tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// konnectivity-server.
    pub konnectivity_server: String,
    /// konnectivity-agent.
    pub konnectivity_agent: String,
}

/// A control plane as it is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlPlane {
    /// Its name, and every name derived from it.
    pub names: Names,
    /// What makes the custom resource the owner of an object.
    pub owner: OwnerReference,
    /// Version of Kubernetes.
    pub version: Version,
    /// How far its exposure has come.
    pub stage: Stage,
    /// Addresses and ranges.
    pub network: Network,
    /// The Service, as the API has it.
    pub service: ControlPlaneService,
    /// The pods, as the API has them.
    pub pods: ControlPlaneDeployment,
    /// Admission plugins of kube-apiserver.
    pub admission_plugins: Vec<String>,
    /// Which addresses of a node kube-apiserver dials, in this order.
    pub kubelet_addresses: Vec<AddressType>,
    /// The tenant's place in its store.
    pub tenancy: Tenancy,
    /// The store, once it can be used.
    pub storage: Storage,
    /// The tunnel, when it is asked for.
    pub tunnel: Option<Tunnel>,
}

impl ControlPlane {
    /// Whether the konnectivity-servers of its replicas know each other: ours do, the reference's cannot.
    pub fn has_peers(&self) -> bool {
        let image = self.tunnel.as_ref().map(|tunnel| &tunnel.image);
        matches!(image, Some(TunnelImage::Ours(_)))
    }
}

/// How far the exposure of a control plane has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nobody knows yet under which address it will be reached: only the Service can be built.
    Exposing,
    /// The address is known.
    Serving(Endpoint),
}

impl Stage {
    /// The endpoint, once it is known.
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Exposing => None,
            Self::Serving(endpoint) => Some(endpoint),
        }
    }
}

/// Where a control plane is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The assigned host: what status reports.
    pub assigned: String,
    /// The host that kubeconfigs, nodes and agents dial: the advertised address, else the assigned host.
    pub host: String,
    /// The address kube-apiserver announces inside the tenant.
    pub advertise: IpAddr,
    /// Port of kube-apiserver.
    pub port: u16,
}

impl Endpoint {
    /// `host:port` as nodes and kubeconfigs dial it.
    pub fn authority(&self) -> String {
        host_port(&self.host, self.port)
    }

    /// `host:port` as `status.controlPlaneEndpoint` reports it.
    pub fn reported(&self) -> String {
        host_port(&self.assigned, self.port)
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Addresses and ranges of a tenant cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Port of kube-apiserver, on the Service and in the pods.
    pub port: u16,
    /// DNS domain of the tenant cluster.
    pub cluster_domain: String,
    /// Ranges of Services, the preferred family first.
    pub service_cidrs: Vec<IpNet>,
    /// Ranges of pods, the preferred family first.
    pub pod_cidrs: Vec<IpNet>,
    /// Addresses of the tenant's DNS Service.
    pub dns_service_ips: Vec<IpAddr>,
    /// Names the user wants in the serving certificate, and the addresses the spec states.
    pub stated_names: BTreeSet<San>,
    /// Client ranges the load balancer lets in.
    pub source_ranges: Vec<String>,
    /// Class of the load balancer.
    pub load_balancer_class: Option<String>,
    /// External addresses of the Service.
    pub external_ips: Vec<String>,
}

impl Network {
    /// The address of the Service `kubernetes` in each Service range: the first one.
    pub fn kubernetes_service_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.service_cidrs.iter().filter_map(|range| nth(range, 1))
    }
}

/// The address at `index` of a range, when the range reaches so far.
pub fn nth(range: &IpNet, index: u128) -> Option<IpAddr> {
    let address = match range.network() {
        IpAddr::V4(base) => {
            let bits = u32::from(base).checked_add(u32::try_from(index).ok()?)?;
            IpAddr::V4(Ipv4Addr::from(bits))
        }
        IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from(u128::from(base).checked_add(index)?)),
    };
    range.contains(&address).then_some(address)
}

/// The tenant's place in its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenancy {
    /// Name of the `DataStore`, when one is named anywhere.
    pub data_store: Option<String>,
    /// Key prefix, database or bucket.
    pub schema: String,
    /// User: the common name of the client certificate.
    pub user: String,
}

/// The store of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// It cannot be used now. What runs goes on; nothing that depends on it is built or removed.
    Waiting,
    /// etcd, spoken to by kube-apiserver itself.
    Etcd(EtcdStorage),
}

/// etcd as one tenant uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdStorage {
    /// Where it answers, each as `https://host:port`.
    pub endpoints: Vec<String>,
    /// Who signs its certificate and the tenant's.
    pub authority: KeyPair,
}

/// konnectivity-server as it is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Tunnel {
    /// Which program.
    pub image: TunnelImage,
    /// Port on which agents reach it.
    pub port: u16,
    /// How kube-apiserver speaks to it.
    pub protocol: EgressProtocol,
    /// Which way kube-apiserver takes for webhooks by URL and the like.
    pub control_plane_egress: ControlPlaneEgress,
    /// The user's arguments.
    pub extra_args: Vec<String>,
    /// The user's CPU and memory.
    pub resources: Option<ResourceRequirements>,
    /// The user's security settings.
    pub security_context: Option<SecurityContext>,
}

/// Which tunnel program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelImage {
    /// Ours: it is given our flags.
    Ours(String),
    /// One that the user names: it is given the reference's flags only.
    Literal(String),
}

impl TunnelImage {
    /// Settles an image: the contract's default, and no image at all, mean ours; any other is taken as it is, with
    /// the version the user gives or the reference's release for the tenant's minor.
    pub fn settle(
        image: &str,
        version: Option<&str>,
        contract_default: &str,
        ours: &str,
        tenant: &Version,
    ) -> Self {
        if Self::means_ours(image, contract_default) {
            return Self::Ours(ours.to_owned());
        }
        let version = version
            .filter(|version| !version.is_empty())
            .map_or_else(|| format!("v0.{}.0", tenant.minor()), str::to_owned);
        Self::Literal(format!("{image}:{version}"))
    }

    /// Whether that image in a spec stands for ours.
    pub fn means_ours(image: &str, contract_default: &str) -> bool {
        image.is_empty() || image == contract_default
    }

    /// The image to pull.
    pub fn reference(&self) -> &str {
        match self {
            Self::Ours(image) | Self::Literal(image) => image,
        }
    }

    /// Whether the program knows the flags by which servers are counted through Leases: ours does, another when its tag
    /// says so, and one whose tag says nothing when the tenant's version does.
    pub fn counts_leases(&self, tenant_minor: u64) -> bool {
        match self {
            Self::Ours(_) => true,
            Self::Literal(image) => release(image).unwrap_or(tenant_minor) >= FIRST_LEASES,
        }
    }
}

/// The reference counts servers by Leases from its release v0.31 on, which goes with Kubernetes v1.31.
const FIRST_LEASES: u64 = 31;

/// The N of a tag `v0.N.P`.
fn release(image: &str) -> Option<u64> {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    let (_, tag) = image.rsplit_once(':')?;
    let numbers = tag.trim_start_matches('v').strip_prefix("0.")?;
    numbers.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_flags_follow_the_program_and_not_the_tenant() {
        for (image, minor, known) in [
            ("r.example/a:v0.28.6", 33, false),
            ("r.example/a:v0.30.9-fips", 33, false),
            ("r.example:5000/a:v0.31.0", 30, true),
            ("r.example/a:0.34.1@sha256:00", 30, true),
            ("r.example/a:stable", 31, true),
            ("r.example:5000/a", 30, false),
            ("r.example/a@sha256:00", 30, false),
        ] {
            let literal = TunnelImage::Literal(image.to_owned());
            assert_eq!(literal.counts_leases(minor), known, "{image}");
        }
        assert!(TunnelImage::Ours("r.example/w:v0.1.0".to_owned()).counts_leases(30));
    }
}
