//! konnectivity-agent: sits in the tenant cluster, dials out to every konnectivity-server, and opens
//! the connections they ask for.
//!
//! Read in this order: [`args`] → [`settings`] → [`plan`] (how many servers, which are held) →
//! [`dial`].

pub mod args;
pub mod dial;
pub mod leases;
pub mod metrics;
pub mod plan;
pub mod settings;

pub use args::Args;
pub use settings::Settings;
