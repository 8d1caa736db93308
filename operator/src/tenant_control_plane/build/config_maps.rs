//! What kubeadm would have been told, and where kube-apiserver sends its traffic.
//!
//! Both are read by programs, so both are JSON, which every YAML reader takes and none misreads.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use crate::api::tenant_control_plane::{ControlPlaneEgress, EgressProtocol};
use crate::names::{ConfigMapName, key};
use crate::tenant_control_plane::control_plane::{ControlPlane, Endpoint, Storage, Tunnel};
use crate::{checksum, labels};

use super::{metadata, tunnel_server};

/// The first minor whose kubeadm reads `v1beta4`.
const FIRST_V1BETA4: u32 = 31;

/// kubeadm's configuration.
pub(super) fn kubeadm(control_plane: &ControlPlane, endpoint: &Endpoint) -> ConfigMap {
    let data = BTreeMap::from([
        (
            key::INIT_CONFIGURATION,
            init_configuration(control_plane, endpoint),
        ),
        (
            key::CLUSTER_CONFIGURATION,
            cluster_configuration(control_plane, endpoint),
        ),
    ]);
    config_map(control_plane, ConfigMapName::KubeadmConfig, &data)
}

/// kube-apiserver's egress selection. `etcd` is never among the selections: a store is reached directly.
pub(super) fn egress_selector(control_plane: &ControlPlane, tunnel: &Tunnel) -> ConfigMap {
    let through = json!({
        "proxyProtocol": tunnel.protocol.as_str(),
        "transport": {"uds": {"udsName": tunnel_server::SOCKET}},
    });
    let own = match tunnel.control_plane_egress {
        ControlPlaneEgress::Tunnel => through.clone(),
        ControlPlaneEgress::Direct => json!({"proxyProtocol": "Direct"}),
    };
    let configuration = json!({
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {"name": "cluster", "connection": through},
            {"name": "controlplane", "connection": own},
        ],
    });
    let data = BTreeMap::from([(key::EGRESS_SELECTOR, configuration)]);
    config_map(control_plane, ConfigMapName::EgressSelector, &data)
}

/// The protocol as konnectivity-server's `--mode` spells it.
pub(super) const fn mode(protocol: EgressProtocol) -> &'static str {
    match protocol {
        EgressProtocol::HTTPConnect => "http-connect",
        EgressProtocol::GRPC => "grpc",
    }
}

fn init_configuration(control_plane: &ControlPlane, endpoint: &Endpoint) -> Value {
    json!({
        "apiVersion": api_version(control_plane),
        "kind": "InitConfiguration",
        "localAPIEndpoint": {
            "advertiseAddress": endpoint.advertise.to_string(),
            "bindPort": endpoint.port,
        },
        "nodeRegistration": {"name": "node"},
    })
}

fn cluster_configuration(control_plane: &ControlPlane, endpoint: &Endpoint) -> Value {
    let network = &control_plane.network;
    let names: Vec<_> = network
        .stated_names
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut configuration = json!({
        "apiVersion": api_version(control_plane),
        "kind": "ClusterConfiguration",
        "clusterName": control_plane.names.name(),
        "controlPlaneEndpoint": endpoint.authority(),
        "kubernetesVersion": control_plane.version.as_str(),
        "imageRepository": control_plane.pods.registry_settings.registry,
        "certificatesDir": "/etc/kubernetes/pki",
        "apiServer": {"certSANs": names},
        "networking": {
            "dnsDomain": network.cluster_domain,
            "podSubnet": joined(&network.pod_cidrs),
            "serviceSubnet": joined(&network.service_cidrs),
        },
    });
    if let (Storage::Etcd(etcd), Some(fields)) =
        (&control_plane.storage, configuration.as_object_mut())
    {
        let external = json!({"external": {
            "endpoints": etcd.endpoints,
            "caFile": "/etc/kubernetes/pki/etcd/ca.crt",
            "certFile": "/etc/kubernetes/pki/etcd/server.crt",
            "keyFile": "/etc/kubernetes/pki/etcd/server.key",
        }});
        fields.insert("etcd".to_owned(), external);
    }
    configuration
}

fn api_version(control_plane: &ControlPlane) -> &'static str {
    if control_plane.version.minor() < FIRST_V1BETA4 {
        "kubeadm.k8s.io/v1beta3"
    } else {
        "kubeadm.k8s.io/v1beta4"
    }
}

/// Several ranges in the form flags and kubeadm take.
pub(super) fn joined<T: ToString>(items: &[T]) -> String {
    let texts: Vec<_> = items.iter().map(ToString::to_string).collect();
    texts.join(",")
}

fn config_map(
    control_plane: &ControlPlane,
    name: ConfigMapName,
    data: &BTreeMap<&str, Value>,
) -> ConfigMap {
    let texts: BTreeMap<_, _> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), format!("{value:#}\n")))
        .collect();
    let mut head = metadata::of(
        control_plane,
        control_plane.names.config_map(name),
        name.suffix(),
    );
    metadata::annotate(&mut head, labels::CHECKSUM, &checksum::of(&texts));
    ConfigMap {
        metadata: head,
        data: Some(texts),
        ..ConfigMap::default()
    }
}
