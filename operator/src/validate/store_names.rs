//! Rules about the names that a tenant has in its store: the schema and the user.
//!
//! In: a name. Out: what is wrong with it. A schema becomes a key prefix and a role, a user the common name of a
//! certificate that the store trusts, so a name must be one part of a path and not that of the administrator.

use super::Review;
use crate::api::tenant_control_plane::TenantControlPlaneSpec;

/// etcd's administrator, as user and as role.
const ADMINISTRATOR: &str = "root";

pub(super) fn review(spec: &TenantControlPlaneSpec, review: &mut Review) {
    for (field, name) in [
        ("spec.dataStoreSchema", &spec.data_store_schema),
        ("spec.dataStoreUsername", &spec.data_store_username),
    ] {
        // An empty one is like none.
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty())
            && let Some(mistake) = mistake(name)
        {
            review.refuse(field, name, mistake);
        }
    }
}

/// What is wrong with the name of a schema or of a user, and what to do.
pub fn mistake(name: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name == ADMINISTRATOR {
        Some(
            "is the store's administrator, who reads every tenant; write another name, or remove the field to have the \
             object's UID",
        )
    } else if name.is_empty() || !name.bytes().all(allowed) || name == "." || name == ".." {
        Some(
            "is one part of a key's path and may lead nowhere else; use letters, digits, `_`, `.` and `-` only, or \
             remove the field to have the object's UID",
        )
    } else {
        None
    }
}
