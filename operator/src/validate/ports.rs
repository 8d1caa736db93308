//! Rules about ports: in the pod, where every container shares them, and on the Service.
//!
//! In: the whole spec, and the node ports that the management cluster has. Out: what breaks a rule.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Limits, Review, syntax};
use crate::api::tenant_control_plane::{AdditionalPort, ServiceType, TenantControlPlaneSpec};

/// Ports that our containers listen on whatever the spec says.
const FIXED: &[(i32, &str)] = &[
    (8133, "konnectivity-server's admin endpoint"),
    (8134, "konnectivity-server's health endpoint"),
    (8135, "konnectivity-server's peers"),
    (10257, "kube-controller-manager"),
    (10259, "kube-scheduler"),
];

const API_SERVER: &str = "spec.networkProfile.port";
const SERVER: &str = "spec.addons.konnectivity.server.port";

pub(super) fn review(spec: &TenantControlPlaneSpec, limits: &Limits, review: &mut Review) {
    let server = spec
        .addons
        .konnectivity
        .as_ref()
        .map(|addon| addon.server.port);
    let mut ours = vec![(API_SERVER, spec.network_profile.port)];
    ours.extend(server.map(|port| (SERVER, port)));
    for &(field, port) in &ours {
        listening(field, port, review);
        if spec.control_plane.service.service_type == ServiceType::NodePort {
            node_port(field, port, limits, review);
        }
    }
    if server == Some(spec.network_profile.port) {
        let message = "is kube-apiserver's port, networkProfile.port; both are in one pod and on one Service, choose another";
        review.refuse(SERVER, spec.network_profile.port, message);
    }
    let service = &spec.control_plane.service;
    if service.allocate_load_balancer_node_ports.is_some()
        && service.service_type != ServiceType::LoadBalancer
    {
        let message = "only for a load balancer; remove it or set serviceType to LoadBalancer";
        let field = "spec.controlPlane.service.allocateLoadBalancerNodePorts";
        review.refuse(
            field,
            service
                .allocate_load_balancer_node_ports
                .unwrap_or_default(),
            message,
        );
    }
    for index in 0..service.additional_ports.len() {
        additional(&service.additional_ports, index, &ours, review);
    }
}

fn listening(field: &str, port: i32, review: &mut Review) {
    if !syntax::is_port(port) {
        review.refuse(field, port, "is no port; write one from 1 to 65535");
    } else if let Some((_, taken_by)) = FIXED.iter().find(|(fixed, _)| *fixed == port) {
        review.refuse(
            field,
            port,
            format!("is taken in the pod by {taken_by}; choose another"),
        );
    }
}

fn node_port(field: &str, port: i32, limits: &Limits, review: &mut Review) {
    if syntax::is_port(port) && !limits.node_ports.contains(&port) {
        let message = format!(
            "with serviceType NodePort the port is also the node port and must lie in the management \
             cluster's range, {} to {}; choose one of these, or another serviceType",
            limits.node_ports.start(),
            limits.node_ports.end()
        );
        review.refuse(field, port, message);
    }
}

fn additional(ports: &[AdditionalPort], index: usize, ours: &[(&str, i32)], review: &mut Review) {
    let Some(port) = ports.get(index) else { return };
    let base = format!("spec.controlPlane.service.additionalPorts[{index}]");
    if !syntax::is_port(port.port) {
        review.refuse(
            format!("{base}.port"),
            port.port,
            "is no port; write one from 1 to 65535",
        );
    }
    if !syntax::is_dns_1123_label(&port.name) {
        let message = "is no name of a port; use lower-case letters, digits and hyphens";
        review.refuse(format!("{base}.name"), &port.name, message);
    }
    if matches!(port.name.as_str(), "kube-apiserver" | "konnectivity-server") {
        review.refuse(
            format!("{base}.name"),
            &port.name,
            "is the name of one of our ports; choose another",
        );
    }
    let target_is_good = match &port.target_port {
        IntOrString::Int(number) => syntax::is_port(*number),
        IntOrString::String(name) => syntax::is_port_name(name),
    };
    if !target_is_good {
        let value = match &port.target_port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => name.clone(),
        };
        let message = "is neither a port from 1 to 65535 nor the name of a container port of at most 15 letters";
        review.refuse(format!("{base}.targetPort"), value, message);
    }
    if port.protocol == "TCP"
        && let Some((field, _)) = ours.iter().find(|(_, taken)| *taken == port.port)
    {
        review.refuse(
            format!("{base}.port"),
            port.port,
            format!("is taken on the Service by {field}; choose another"),
        );
    }
    let earlier = || ports.iter().take(index);
    if earlier().any(|other| other.port == port.port && other.protocol == port.protocol) {
        review.refuse(
            format!("{base}.port"),
            port.port,
            "is there twice for that protocol; remove one",
        );
    }
    if earlier().any(|other| other.name == port.name) {
        review.refuse(
            format!("{base}.name"),
            &port.name,
            "is there twice; rename one",
        );
    }
}
