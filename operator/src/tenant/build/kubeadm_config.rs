//! kubeadm's `ClusterConfiguration`, which `kubeadm join` and `kubeadm upgrade node` read.
//!
//! Written in the form of kubeadm's own API that the tenant's minor version knows: `v1beta4` came with 1.31. The data
//! store is left out: it is the control plane's affair, and nodes have no way there.

use serde_json::{Value, json};

use super::SYSTEM;
use super::config_map::{config_map, yaml};
use super::rbac::{NODE_TOKENS, NODES, granted, group, rule, within};
use crate::tenant::inputs::TenantInputs;
use crate::tenant::object::TenantObject;

const COMPONENT: &str = "kubeadm-config";
const NAME: &str = "kubeadm-config";
const READERS: &str = "kubeadm:nodes-kubeadm-config";
/// The first minor whose kubeadm reads `v1beta4`.
const FIRST_V1BETA4: u64 = 31;

/// The `ConfigMap` and the right of nodes to read it.
pub(super) fn objects(inputs: &TenantInputs) -> Vec<TenantObject> {
    let text = yaml(&cluster_configuration(inputs));
    let metadata = within(SYSTEM, NAME);
    let mut objects = vec![config_map(
        COMPONENT,
        metadata,
        [("ClusterConfiguration", text)],
    )];
    objects.extend(granted(
        COMPONENT,
        &within(SYSTEM, READERS),
        vec![rule("", "configmaps", &[NAME], &["get"])],
        vec![group(NODE_TOKENS), group(NODES)],
    ));
    objects
}

fn cluster_configuration(inputs: &TenantInputs) -> Value {
    let network = &inputs.network;
    let mut configuration = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta3",
        "kind": "ClusterConfiguration",
        "apiServer": {},
        "certificatesDir": "/etc/kubernetes/pki",
        "clusterName": inputs.name,
        "controlPlaneEndpoint": inputs.endpoint.to_string(),
        "controllerManager": {},
        "dns": {},
        "imageRepository": inputs.registry,
        "kubernetesVersion": inputs.version.text,
        "networking": {
            "dnsDomain": network.domain,
            "podSubnet": network.pod_cidrs.join(","),
            "serviceSubnet": network.service_cidrs.join(","),
        },
        "scheduler": {},
    });
    if inputs.version.minor >= FIRST_V1BETA4 {
        let newer = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "proxy": {},
        });
        json_patch::merge(&mut configuration, &newer);
    }
    configuration
}
