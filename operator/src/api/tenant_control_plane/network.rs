//! Addresses, ports and ranges of a tenant cluster.
//!
//! In: `spec.networkProfile`. Out: the same as types, and the ranges as one list each.

use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses, ports and ranges of the tenant cluster.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkProfile {
    /// IP address that reaches the API server. When unset, that of the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,

    /// IP address that the API server announces to its cluster, where it differs from `address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("self == '' || isIP(self)").message("networkProfile.advertiseAddress: not an IP address; write one such as 192.0.2.10"),
    ]))]
    pub advertise_address: Option<String>,

    /// Adds `address` to the Service as an external IP. Not for load balancers.
    #[serde(
        rename = "allowAddressAsExternalIP",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub allow_address_as_external_ip: bool,

    /// Port of the API server, on the Service and in the pods.
    #[schemars(extend("x-default" = 6443))]
    pub port: i32,

    /// DNS domain of the tenant cluster. Cannot change.
    #[schemars(extend(
        "x-default" = "cluster.local",
        "pattern" = r".*\..*",
        "x-kubernetes-validations" = [
            Rule::new("self == oldSelf").message("networkProfile.clusterDomain: cannot change; put the former value back"),
        ]
    ))]
    pub cluster_domain: String,

    /// Further names and IP addresses in the API server's certificate.
    #[serde(rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    pub cert_sans: Vec<String>,

    /// Range of Service addresses. Deprecated: use `serviceCidrs`, which wins.
    #[schemars(extend("x-default" = "10.96.0.0/16", "x-kubernetes-validations" = [
        Rule::new("self == '' || isCIDR(self)").message("networkProfile.serviceCidr: not a CIDR; write one such as 10.96.0.0/16"),
    ]))]
    pub service_cidr: String,

    /// Range of pod addresses. Deprecated: use `podCidrs`, which wins.
    #[schemars(extend("x-default" = "10.244.0.0/16", "x-kubernetes-validations" = [
        Rule::new("self == '' || isCIDR(self)").message("networkProfile.podCidr: not a CIDR; write one such as 10.244.0.0/16"),
    ]))]
    pub pod_cidr: String,

    /// Ranges of Service addresses: one, or one of each IP family, the preferred first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-validations" = [
        Rule::new("self.all(x, isCIDR(x))").message("networkProfile.serviceCidrs: not every entry is a CIDR; write them such as 10.96.0.0/16"),
    ]))]
    pub service_cidrs: Vec<String>,

    /// Ranges of pod addresses: one, or one of each IP family, the preferred first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-validations" = [
        Rule::new("self.all(x, isCIDR(x))").message("networkProfile.podCidrs: not every entry is a CIDR; write them such as 10.244.0.0/16"),
    ]))]
    pub pod_cidrs: Vec<String>,

    /// Addresses of the tenant's DNS Service, inside the Service ranges. When unset, the tenth of
    /// each range.
    #[serde(rename = "dnsServiceIPs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub dns_service_ips: Vec<String>,

    /// Client ranges that the load balancer lets in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [
        Rule::new("self.all(r, isCIDR(r))").message("networkProfile.loadBalancerSourceRanges: not every entry is a CIDR; write them such as 192.0.2.0/24"),
    ]))]
    pub load_balancer_source_ranges: Vec<String>,

    /// Class of the load balancer. Cannot change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("x-kubernetes-validations" = [
        Rule::new("self == oldSelf").message("networkProfile.loadBalancerClass: cannot change; put the former value back"),
    ]))]
    pub load_balancer_class: Option<String>,
}

impl Default for NetworkProfile {
    fn default() -> Self {
        Self {
            address: None,
            advertise_address: None,
            allow_address_as_external_ip: false,
            port: 6443,
            cluster_domain: "cluster.local".to_owned(),
            cert_sans: Vec::new(),
            service_cidr: "10.96.0.0/16".to_owned(),
            pod_cidr: "10.244.0.0/16".to_owned(),
            service_cidrs: Vec::new(),
            pod_cidrs: Vec::new(),
            dns_service_ips: Vec::new(),
            load_balancer_source_ranges: Vec::new(),
            load_balancer_class: None,
        }
    }
}

impl NetworkProfile {
    /// The Service ranges that count: the list, or else the deprecated single one.
    pub fn service_ranges(&self) -> Vec<&str> {
        ranges(&self.service_cidrs, &self.service_cidr)
    }

    /// The pod ranges that count: the list, or else the deprecated single one.
    pub fn pod_ranges(&self) -> Vec<&str> {
        ranges(&self.pod_cidrs, &self.pod_cidr)
    }
}

fn ranges<'a>(list: &'a [String], single: &'a str) -> Vec<&'a str> {
    if list.is_empty() {
        Some(single)
            .filter(|range| !range.is_empty())
            .into_iter()
            .collect()
    } else {
        list.iter().map(String::as_str).collect()
    }
}
