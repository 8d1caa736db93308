//! The connections of one agent stream: who waits, who is open, and what a packet means for them.
//!
//! One table for each end, because the ends know different things: the server names dials, the
//! agent names connections. A table belongs to one stream instance; ids of another stream, even of
//! the same agent, cannot reach it. In: packets, and what our side wants. Out: for each packet one
//! meaning, which the owner carries out. Handles are the owner's: tables never look into them.
//!
//! ```text
//!  server:  dial ─► Dialling ── DIAL_RSP ──► Open ── CLOSE_RSP ──────────► gone
//!                      │ give_up               │ close ─► Closing ─ CLOSE_RSP ─► gone
//!                      └─► gone (DIAL_CLS)     (CLOSE_REQ)
//!  agent:   DIAL_REQ ─► Dialling ── dialled ─► Open ── CLOSE_REQ or end ──► gone (CLOSE_RSP)
//!                      └─ DIAL_CLS, failed ──► gone
//! ```

mod agent;
mod server;

#[cfg(test)]
mod tests;

pub use agent::{AgentTable, Request};
pub use server::{Answer, Broken, MAX_CLOSING, ServerTable};
