//! warren-operator.

pub mod api;
