//! Fields that are accepted and have no effect, most of them not yet: the one list of them.
//!
//! In: a spec. Out: which of these fields it uses, for the condition `FieldsIgnored` and for the
//! admission warning. A field leaves this list in the change that makes it work.

use super::TenantControlPlaneSpec;
use super::tenant_control_plane::addons::{DEFAULT_AGENT_IMAGE, DEFAULT_SERVER_IMAGE};

/// A field that has no effect yet.
#[derive(Clone, Copy, Debug)]
pub struct Ignored {
    /// Its path.
    pub field: &'static str,
    /// That it has no effect, and what to do instead.
    pub message: &'static str,
    is_used: fn(&TenantControlPlaneSpec) -> bool,
}

/// The list.
pub const IGNORED: &[Ignored] = &[
    Ignored {
        field: "spec.controlPlane.ingress",
        message: "accepted and not acted on yet; clients reach the API server by its Service, so expose that",
        is_used: |spec| spec.control_plane.ingress.is_some(),
    },
    Ignored {
        field: "spec.controlPlane.gateway",
        message: "accepted and not acted on yet; clients reach the API server by its Service, so expose that",
        is_used: |spec| spec.control_plane.gateway.is_some(),
    },
    Ignored {
        field: "spec.dataStoreOverrides",
        message: "accepted and not acted on yet; every kind of object is kept in spec.dataStore",
        is_used: |spec| !spec.data_store_overrides.is_empty(),
    },
    Ignored {
        field: "spec.writePermissions",
        message: "accepted and not acted on yet; writes inside the tenant cluster are not limited",
        is_used: |spec| {
            spec.write_permissions.is_some_and(|limits| {
                limits.block_creation || limits.block_update || limits.block_deletion
            })
        },
    },
    Ignored {
        field: "spec.controlPlane.deployment.extraArgs.kine",
        message: "accepted and not acted on yet; etcd is the only driver that is served, and has no kine",
        is_used: |spec| !spec.control_plane.deployment.extra_args.kine.is_empty(),
    },
    Ignored {
        field: "spec.controlPlane.deployment.resources.kine",
        message: "accepted and not acted on yet; etcd is the only driver that is served, and has no kine",
        is_used: |spec| spec.control_plane.deployment.resources.kine.is_some(),
    },
    Ignored {
        field: "spec.addons.konnectivity.server.version",
        message: "no effect with the default image, whose tag is the operator's own; name an image too, or remove it",
        is_used: |spec| {
            spec.addons.konnectivity.as_ref().is_some_and(|addon| {
                let version = addon.server.version.as_deref();
                addon.server.image == DEFAULT_SERVER_IMAGE
                    && version.is_some_and(|text| !text.is_empty())
            })
        },
    },
    Ignored {
        field: "spec.addons.konnectivity.agent.version",
        message: "no effect with the default image, whose tag is the operator's own; name an image too, or remove it",
        is_used: |spec| {
            spec.addons.konnectivity.as_ref().is_some_and(|addon| {
                let version = addon.agent.version.as_deref();
                addon.agent.image == DEFAULT_AGENT_IMAGE
                    && version.is_some_and(|text| !text.is_empty())
            })
        },
    },
];

/// The fields of the list that a spec uses.
pub fn ignored_fields(spec: &TenantControlPlaneSpec) -> impl Iterator<Item = &'static Ignored> {
    IGNORED.iter().filter(|ignored| (ignored.is_used)(spec))
}
