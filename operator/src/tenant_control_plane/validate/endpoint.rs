//! Where the control plane will be reached: what the spec says, else what the Service was given.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;

use crate::api::TenantControlPlaneSpec;
use crate::api::tenant_control_plane::ServiceType;

use super::violation;
use crate::tenant_control_plane::control_plane::{Endpoint, Network, Stage};
use crate::tenant_control_plane::observed::Observed;
use crate::validate::Violation;

/// `Serving` as soon as a host is known and there is an address to advertise.
pub(super) fn settle(
    spec: &TenantControlPlaneSpec,
    network: &Network,
    observed: &Observed,
) -> Result<Stage, Violation> {
    let profile = &spec.network_profile;
    let stated = address("spec.networkProfile.address", profile.address.as_deref())?;
    let advertised = address(
        "spec.networkProfile.advertiseAddress",
        profile.advertise_address.as_deref(),
    )?;
    let service = observed.service.as_ref();
    let assigned = stated.map(|address| address.to_string()).or_else(|| {
        match spec.control_plane.service.service_type {
            ServiceType::LoadBalancer => service.and_then(load_balancer_host),
            ServiceType::ClusterIP | ServiceType::NodePort => {
                service.and_then(service_address).map(|ip| ip.to_string())
            }
        }
    });
    let Some(assigned) = assigned else {
        return Ok(Stage::Exposing);
    };
    // A load balancer may be known by name only; inside the tenant an address must be announced all the same.
    let advertise = advertised
        .or_else(|| assigned.parse().ok())
        .or_else(|| service.and_then(service_address));
    Ok(advertise.map_or(Stage::Exposing, |advertise| {
        Stage::Serving(Endpoint {
            host: advertised.map_or_else(|| assigned.clone(), |address| address.to_string()),
            assigned,
            advertise,
            port: network.port,
        })
    }))
}

fn address(field: &str, text: Option<&str>) -> Result<Option<IpAddr>, Violation> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let address = text.parse().ok().map(Some);
    address.ok_or_else(|| {
        violation(
            field,
            text,
            "is no IP address; write one such as 192.0.2.10",
        )
    })
}

/// The cluster address of a Service.
pub fn service_address(service: &Service) -> Option<IpAddr> {
    service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok()
}

/// The first address of the load balancer, or its first name when it has no address.
fn load_balancer_host(service: &Service) -> Option<String> {
    let ingress = service
        .status
        .as_ref()?
        .load_balancer
        .as_ref()?
        .ingress
        .as_ref()?;
    let address = ingress.iter().find_map(|entry| entry.ip.clone());
    address
        .or_else(|| ingress.iter().find_map(|entry| entry.hostname.clone()))
        .filter(|host| !host.is_empty())
}
