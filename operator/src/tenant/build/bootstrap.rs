//! What lets a machine with a bootstrap token become a node, and administrators administrate.
//!
//! The same grants that `kubeadm init phase bootstrap-token` and kubeadm's administrator kubeconfig leave behind. No
//! token is made: that is the administrator's deed (`kubeadm token create`).

use super::rbac::{NODE_TOKENS, NODES, bound, cluster_role, group, rule, user};
use crate::tenant::object::TenantObject;

const COMPONENT: &str = "bootstrap";

/// kubeadm's group of administrators and the binding that makes them so.
pub(super) const CLUSTER_ADMINS: &str = "kubeadm:cluster-admins";
/// As whom kube-apiserver calls kubelets.
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
/// May a node's certificate request be approved at once?
const APPROVED_AT_ONCE: &str = "system:certificates.k8s.io:certificatesigningrequests";

/// The grants, those of administrators first.
pub(super) fn objects() -> Vec<TenantObject> {
    let nodes = rule("", "nodes", &[], &["get"]);
    vec![
        bound(
            COMPONENT,
            CLUSTER_ADMINS,
            "cluster-admin",
            group(CLUSTER_ADMINS),
        ),
        bound(
            COMPONENT,
            "kubeadm:apiserver-kubelet-client",
            "system:kubelet-api-admin",
            user(KUBELET_CLIENT),
        ),
        bound(
            COMPONENT,
            "kubeadm:kubelet-bootstrap",
            "system:node-bootstrapper",
            group(NODE_TOKENS),
        ),
        bound(
            COMPONENT,
            "kubeadm:node-autoapprove-bootstrap",
            &format!("{APPROVED_AT_ONCE}:nodeclient"),
            group(NODE_TOKENS),
        ),
        bound(
            COMPONENT,
            "kubeadm:node-autoapprove-certificate-rotation",
            &format!("{APPROVED_AT_ONCE}:selfnodeclient"),
            group(NODES),
        ),
        cluster_role(COMPONENT, "kubeadm:get-nodes", vec![nodes]),
        bound(
            COMPONENT,
            "kubeadm:get-nodes",
            "kubeadm:get-nodes",
            group(NODE_TOKENS),
        ),
    ]
}
