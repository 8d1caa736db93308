//! The headless Service of the peers: how the konnectivity-servers of one tenant find each other.
//!
//! Its name resolves to the addresses of all control-plane pods, also of those that do not serve yet: a server that looks
//! for its siblings is not ready before kube-apiserver is, and needs them before. Nobody outside of the pods is meant.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::labels;
use crate::names::PEERS;
use crate::tenant_control_plane::control_plane::ControlPlane;

use super::metadata;
use super::tunnel_server::PEER_PORT;

/// Name of its port.
const PORT: &str = "konnectivity-peer";

pub(super) fn build(control_plane: &ControlPlane) -> Service {
    let names = &control_plane.names;
    let port = i32::from(PEER_PORT);
    Service {
        metadata: metadata::of(control_plane, names.peers_service(), PEERS),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(labels::selector(names.name())),
            ports: Some(vec![ServicePort {
                name: Some(PORT.to_owned()),
                port,
                target_port: Some(IntOrString::Int(port)),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
