//! One `TenantControlPlane`, management side: from what is asked for to the objects that serve it.
//!
//! ```text
//!  observe ──► validate ──► issue ──► build ──► apply ──► report
//!  Observed    ControlPlane  Pki      Objects    Objects   status
//!                                     <Desired>  <Applied>
//! ```
//!
//! `validate`, `issue` and `build` are pure: they ask no cluster and no clock.

pub mod build;
pub mod control_plane;
pub mod issue;
pub mod observed;
pub mod validate;

#[cfg(test)]
mod fixtures;

pub use build::build;
pub use control_plane::{ControlPlane, Endpoint, Stage};
pub use issue::{Pki, issue};
pub use observed::Observed;
pub use validate::validate;
