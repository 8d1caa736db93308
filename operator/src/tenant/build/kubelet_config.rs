//! The `KubeletConfiguration` every node of the tenant starts from.
//!
//! Only fields that kubelets of 1.30 and of all later minors know: a kubelet refuses a file with a field it has never
//! heard of, so nothing here may be newer than the oldest node. The user's RFC 6902 patch comes last and wins.

use serde_json::{Value, json};

use super::config_map::{config_map, yaml};
use super::rbac::{NODE_TOKENS, NODES, granted, group, rule, within};
use super::{BuildError, SYSTEM};
use crate::tenant::inputs::TenantInputs;
use crate::tenant::object::TenantObject;

const COMPONENT: &str = "kubelet-config";
const NAME: &str = "kubelet-config";
const READERS: &str = "kubeadm:kubelet-config";

/// The `ConfigMap` and the right of nodes to read it.
pub(super) fn objects(inputs: &TenantInputs) -> Result<Vec<TenantObject>, BuildError> {
    let text = yaml(&configuration(inputs)?);
    let mut objects = vec![config_map(
        COMPONENT,
        within(SYSTEM, NAME),
        [("kubelet", text)],
    )];
    objects.extend(granted(
        COMPONENT,
        &within(SYSTEM, READERS),
        vec![rule("", "configmaps", &[NAME], &["get"])],
        vec![group(NODES), group(NODE_TOKENS)],
    ));
    Ok(objects)
}

fn configuration(inputs: &TenantInputs) -> Result<Value, BuildError> {
    let mut configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": "/etc/kubernetes/pki/ca.crt" },
        },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": inputs.kubelet.cgroup_driver,
        "clusterDNS": inputs.network.dns_addresses,
        "clusterDomain": inputs.network.domain,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "rotateCertificates": true,
        "staticPodPath": "/etc/kubernetes/manifests",
    });
    json_patch::patch(&mut configuration, &inputs.kubelet.patch)?;
    Ok(configuration)
}
