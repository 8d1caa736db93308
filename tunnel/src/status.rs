//! Looking inside a running program: what the page `/status` says, and the command that shows it.
//!
//! ```text
//!  register ─► server::status, agent::status ─► Status ═ JSON, admin listener ═► command ─► table
//! ```
//!
//! [`document`] is the one description of it, shared by the page and the command; [`table`] shows
//! it to a person; both are pure. [`command`] asks: `konnectivity-server status`, `konnectivity-agent status`.

pub mod command;
pub mod document;
pub mod table;
