//! warren-operator.

pub mod api;
pub mod checksum;
pub mod etcd;
pub mod labels;
pub mod names;
pub mod objects;
pub mod pki;
pub mod tenant_control_plane;
pub mod validate;
pub mod tenant;
pub mod version;
