//! etcd as the place where tenants keep their state.
//!
//! In: the endpoints of a `DataStore` and the operator's own client certificate. Out: a member that
//! answers ([`Etcd::connect`]), and a tenant that has its own user, role and key range there
//! ([`tenancy`]). Nothing here knows Kubernetes.
//!
//! ```text
//! DataStore ─► TlsMaterial ─► connect ─► Etcd ─┬─► ensure_tenant   user ── role ── [/<schema>/ , /<schema>0)
//!                              (every endpoint │
//!                               tried in turn) └─► remove_tenant   role, keys, user
//! ```

mod connect;
mod enforce;
mod error;
pub mod range;
mod rpc;
pub mod tenancy;

pub use connect::{Etcd, Health, TlsMaterial};
pub use error::{Error, Fault};
