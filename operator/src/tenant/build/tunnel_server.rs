//! What konnectivity-server, which runs in the management cluster, may do inside the tenant.
//!
//! It asks whether agents' tokens are good, and publishes itself as a Lease so that agents can count the servers.
//! Nothing more: it is not an administrator.

use super::SYSTEM;
use super::rbac::{bound, granted, rule, user, within};
use crate::tenant::object::TenantObject;

/// As whom konnectivity-server calls the tenant, and the name of its grants. Also the audience of agents' tokens.
pub const IDENTITY: &str = "system:konnectivity-server";
/// The label on the Leases of servers.
pub const LEASE_SELECTOR: &str = "k8s-app=konnectivity-server";
const COMPONENT: &str = "konnectivity-server";

/// The grants.
pub(super) fn objects() -> Vec<TenantObject> {
    let verbs = ["get", "list", "watch", "create", "update", "delete"];
    let mut objects = vec![bound(
        COMPONENT,
        IDENTITY,
        "system:auth-delegator",
        user(IDENTITY),
    )];
    objects.extend(granted(
        COMPONENT,
        &within(SYSTEM, IDENTITY),
        vec![rule("coordination.k8s.io", "leases", &[], &verbs)],
        vec![user(IDENTITY)],
    ));
    objects
}
