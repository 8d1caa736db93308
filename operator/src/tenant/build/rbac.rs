//! The grants of a tenant in few words: roles and bindings as the other builders need them.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::tenant::object::TenantObject;

const RBAC: &str = "rbac.authorization.k8s.io";

/// The kubelets of joined nodes.
pub(super) const NODES: &str = "system:nodes";
/// Those who hold a bootstrap token made by kubeadm.
pub(super) const NODE_TOKENS: &str = "system:bootstrappers:kubeadm:default-node-token";

/// Metadata of an object inside a namespace.
pub(super) fn within(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    }
}

/// Metadata of a cluster-wide object.
pub(super) fn everywhere(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

/// A group of users.
pub(super) fn group(name: &str) -> Subject {
    subject("Group", name)
}

/// One user.
pub(super) fn user(name: &str) -> Subject {
    subject("User", name)
}

/// A service account of kube-system.
pub(super) fn service_account(name: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(super::SYSTEM.to_owned()),
        api_group: None,
    }
}

fn subject(kind: &str, name: &str) -> Subject {
    Subject {
        kind: kind.to_owned(),
        name: name.to_owned(),
        namespace: None,
        api_group: Some(RBAC.to_owned()),
    }
}

/// One rule; `names` narrows it to objects of these names.
pub(super) fn rule(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: (!names.is_empty()).then(|| owned(names)),
        verbs: owned(verbs),
        non_resource_urls: None,
    }
}

/// A Role and the `RoleBinding` of the same name that gives it to `subjects`.
pub(super) fn granted(
    component: &str,
    metadata: &ObjectMeta,
    rules: Vec<PolicyRule>,
    subjects: Vec<Subject>,
) -> [TenantObject; 2] {
    let role = Role {
        metadata: metadata.clone(),
        rules: Some(rules),
    };
    let binding = RoleBinding {
        metadata: metadata.clone(),
        role_ref: reference("Role", metadata.name.as_deref().unwrap_or_default()),
        subjects: Some(subjects),
    };
    [
        TenantObject::new(component, role),
        TenantObject::new(component, binding),
    ]
}

/// A `ClusterRole`.
pub(super) fn cluster_role(component: &str, name: &str, rules: Vec<PolicyRule>) -> TenantObject {
    let role = ClusterRole {
        metadata: everywhere(name),
        rules: Some(rules),
        aggregation_rule: None,
    };
    TenantObject::new(component, role)
}

/// A `ClusterRoleBinding` that gives the `ClusterRole` `role` to one subject.
pub(super) fn bound(component: &str, name: &str, role: &str, subject: Subject) -> TenantObject {
    let binding = ClusterRoleBinding {
        metadata: everywhere(name),
        role_ref: reference("ClusterRole", role),
        subjects: Some(vec![subject]),
    };
    TenantObject::new(component, binding)
}

/// A service account of kube-system.
pub(super) fn account(component: &str, name: &str) -> TenantObject {
    let account = ServiceAccount {
        metadata: within(super::SYSTEM, name),
        ..ServiceAccount::default()
    };
    TenantObject::new(component, account)
}

fn reference(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: Some(RBAC.to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}
