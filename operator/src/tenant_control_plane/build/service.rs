//! The Service: how the control plane is reached.
//!
//! Port names and their order are part of the contract: `kube-apiserver` first, `konnectivity-server` second, then the
//! user's. A node port equals the Service's port, so that one endpoint holds inside and outside.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::tenant_control_plane::{AdditionalPort, ServiceType};
use crate::labels;
use crate::tenant_control_plane::control_plane::ControlPlane;

use super::metadata;

/// Name of the first port.
const API_SERVER: &str = "kube-apiserver";
/// Name of the second port.
const KONNECTIVITY: &str = "konnectivity-server";

pub(super) fn build(control_plane: &ControlPlane) -> Service {
    let exposure = &control_plane.service;
    let additional = &exposure.additional_metadata;
    let name = control_plane.names.name();
    let head = metadata::of(control_plane, name.to_owned(), labels::COMPONENT_SERVICE);
    Service {
        metadata: metadata::with_additional(head, &additional.labels, &additional.annotations),
        spec: Some(ServiceSpec {
            type_: Some(exposure.service_type.as_str().to_owned()),
            selector: Some(labels::selector(name)),
            ports: Some(ports(control_plane)),
            external_ips: external_ips(control_plane),
            ..load_balancer(control_plane)
        }),
        status: None,
    }
}

fn ports(control_plane: &ControlPlane) -> Vec<ServicePort> {
    let exposure = control_plane.service.service_type;
    let tunnel = control_plane.tunnel.as_ref();
    let mut ports = vec![ours(API_SERVER, control_plane.network.port, exposure)];
    ports.extend(tunnel.map(|tunnel| ours(KONNECTIVITY, tunnel.port, exposure)));
    ports.extend(control_plane.service.additional_ports.iter().map(theirs));
    ports
}

fn ours(name: &str, port: u16, exposure: ServiceType) -> ServicePort {
    let port = i32::from(port);
    ServicePort {
        name: Some(name.to_owned()),
        port,
        target_port: Some(IntOrString::Int(port)),
        node_port: (exposure == ServiceType::NodePort).then_some(port),
        protocol: Some("TCP".to_owned()),
        app_protocol: None,
    }
}

fn theirs(port: &AdditionalPort) -> ServicePort {
    ServicePort {
        name: Some(port.name.clone()),
        port: port.port,
        target_port: Some(port.target_port.clone()),
        // Left to the API server, which keeps what it once chose.
        node_port: None,
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    }
}

fn external_ips(control_plane: &ControlPlane) -> Option<Vec<String>> {
    let wanted = control_plane.service.service_type != ServiceType::LoadBalancer;
    let addresses = control_plane.network.external_ips.clone();
    (wanted && !addresses.is_empty()).then_some(addresses)
}

/// The fields that only a load balancer may have.
fn load_balancer(control_plane: &ControlPlane) -> ServiceSpec {
    if control_plane.service.service_type != ServiceType::LoadBalancer {
        return ServiceSpec::default();
    }
    let network = &control_plane.network;
    ServiceSpec {
        allocate_load_balancer_node_ports: Some(
            control_plane
                .service
                .allocate_load_balancer_node_ports
                .unwrap_or(true),
        ),
        load_balancer_class: network.load_balancer_class.clone(),
        load_balancer_source_ranges: Some(network.source_ranges.clone())
            .filter(|ranges| !ranges.is_empty()),
        ..ServiceSpec::default()
    }
}
