//! warren-operator.

pub mod api;
pub mod labels;
pub mod names;
pub mod objects;
pub mod pki;
pub mod tenant;
