//! The protocol on one page, pure: no socket, no runtime, no clock; `now` is an argument.
//!
//! ```text
//!  frontend ── FromFrontend ──► server ── ToAgent ──► agent      DIAL_REQ DIAL_CLS DATA CLOSE_REQ
//!  frontend ◄─── ToFrontend ─── server ◄─ FromAgent ─ agent      DIAL_RSP DATA CLOSE_RSP DRAIN
//! ```
//!
//! A connection's life, on each of the two hops:
//!
//! ```text
//!  DIAL_REQ(random) ─► DIAL_RSP(random, connectID) ─► DATA ⇄ DATA ─► CLOSE_REQ ─► CLOSE_RSP
//!         │     └────► DIAL_RSP(random, error)           └─ endpoint ended: ────► CLOSE_RSP
//!         └─ DIAL_CLS(random): the dialling side gave up
//! ```
//!
//! Five facts of this wire that everything above must live with:
//! 1. One gRPC stream carries all connections of an agent, and there are no windows per connection:
//!    who reads it must never wait for one of them.
//! 2. There is no half-close: the end of one direction ends both, after what was read is sent.
//! 3. `random` is the dialling side's name for a dial; `connectID` is minted by the agent, for one
//!    stream, from 1 on, and 0 means none. Ids of one stream mean nothing on another.
//! 4. A packet whose type and payload differ counts as one with an empty payload; unknown types
//!    and fields are ignored. That is where extensions (native mode, peering, resume) find room.
//! 5. An empty error text means success.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod budget;
pub mod delimited;
pub mod destination;
pub mod framing;
pub mod id;
pub mod metadata;
pub mod native;
pub mod packet;
pub mod peer;
pub mod table;
pub mod token;
