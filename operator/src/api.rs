//! The API: group `kamaji.clastix.io`, version `v1alpha1`.
//!
//! In: what users write (`spec`). Out: what they read back (`status`), and the
//! `CustomResourceDefinition`s made of both by [`schema`]. Field for field the published contract of
//! that group, so that manifests, dashboards and the Cluster API provider keep working; our own
//! fields are few, optional, and said to be ours in their description.
//!
//! Reading order: [`tenant_control_plane`], [`tenant_control_plane_status`], [`data_store`],
//! [`condition`].

pub mod condition;
pub mod data_store;
pub mod gateway;
pub mod schema;
pub mod tenant_control_plane;
pub mod tenant_control_plane_status;
pub mod unsupported;

pub use condition::{ConditionType, Finding, Reason};
pub use data_store::{DataStore, DataStoreSpec, DataStoreStatus};
pub use tenant_control_plane::{TenantControlPlane, TenantControlPlaneSpec};
pub use tenant_control_plane_status::TenantControlPlaneStatus;

/// The API group that is served.
pub const GROUP: &str = "kamaji.clastix.io";

/// The only version of it, served and stored.
pub const VERSION: &str = "v1alpha1";
