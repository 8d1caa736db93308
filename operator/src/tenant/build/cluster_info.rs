//! The public `ConfigMap` by which a machine that holds a token recognises the cluster.
//!
//! kube-controller-manager's bootstrap signer adds a `jws-kubeconfig-<token>` beside our text for each token. We own
//! the one key `kubeconfig` and apply the same bytes for the same endpoint and authority, so signatures stay valid.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::PUBLIC;
use super::config_map::{config_map, yaml};
use super::rbac::{granted, rule, user, within};
use crate::tenant::inputs::TenantInputs;
use crate::tenant::object::TenantObject;

const COMPONENT: &str = "cluster-info";
const NAME: &str = "cluster-info";
/// kubeadm's name for the grant that anybody may read it.
const READERS: &str = "kubeadm:bootstrap-signer-clusterinfo";

/// The `ConfigMap` and the right of the anonymous user to read it.
pub(super) fn objects(inputs: &TenantInputs) -> Vec<TenantObject> {
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "",
            "cluster": {
                "server": format!("https://{}", inputs.endpoint),
                "certificate-authority-data": STANDARD.encode(&inputs.authority),
            },
        }],
        "contexts": null,
        "current-context": "",
        "preferences": {},
        "users": null,
    });
    let text = yaml(&kubeconfig);
    let mut objects = vec![config_map(
        COMPONENT,
        within(PUBLIC, NAME),
        [("kubeconfig", text)],
    )];
    objects.extend(granted(
        COMPONENT,
        &within(PUBLIC, READERS),
        vec![rule("", "configmaps", &[NAME], &["get"])],
        vec![user("system:anonymous")],
    ));
    objects
}
