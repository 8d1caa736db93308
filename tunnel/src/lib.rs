//! The tunnel: kube-apiserver reaches nodes that nobody can dial.
//!
//! Two programs, one crate. `konnectivity-server` stands beside kube-apiserver, `konnectivity-agent`
//! in the tenant's network. Agents dial out to every server; over that one connection a server asks
//! for connections and both send their bytes. Both ends speak the wire of the reference
//! (sigs.k8s.io/apiserver-network-proxy), so either can be paired with it, and with each other
//! [a better one](protocol::native) that TLS chooses by ALPN.
//!
//! The reference's wire, one gRPC stream for all connections:
//!
//! ```text
//!  kube-apiserver                                                             kubelet, pod, webhook
//!       │ gRPC, or HTTP CONNECT (Unix socket, TLS)                                      ▲ TCP
//!       ▼                                                                               │
//!  server::frontend ── dial ──► server::backends ── DIAL_REQ ─► agent::session ─► agent::dial
//!       │                          (a strategy picks an agent)         │                │
//!       │   ◄────────── Connection ◄────────── DIAL_RSP ◄──────────────┘           TcpStream
//!       ▼                                                                               │
//!   Lane ─► Outbox ═► PacketWriter ══ one gRPC stream ══► PacketReader ═► Inbox ═► relay::write
//!   Inbox ◄═ PacketReader ◄══════════ of an agent ═══════ PacketWriter ◄═ Outbox ◄─ relay::read
//! ```
//!
//! The native mode, HTTP/2 with its roles swapped, one stream for each connection:
//!
//! ```text
//!  server::frontend ── dial ──► server::backends ── CONNECT ──► agent::native ─► agent::dial
//!       │  ◄─────────── Connection ◄────────────── 200 ◄─────────────┘               │
//!       ▼                                                                        TcpStream
//!    sockets ══ DATA, windows of its own, END_STREAM is half-close ══ sockets
//! ```
//!
//! A byte is read from a socket into a [`bytes::Bytes`] once, and after that only reference counts
//! move until another socket takes it.
//!
//! # Reading order
//!
//! [`protocol`] says what the wire means, pure: packets, [tables](protocol::table) of connections,
//! the rules of [standing still](protocol::budget). [`queue`] and [`relay`] carry bytes by them.
//! [`grpc`], [`h2_limits`], [`authority`] and [`tls`] are the transport. [`server`] and [`agent`]
//! put these together; [`register`] lists what is open, [`status`] shows it; [`admin`], [`metrics`],
//! [`drain`], [`telemetry`], [`fault`], [`flags`], [`backoff`], [`kube_client`], [`threads`] and [`descriptors`]
//! are what any program needs.
//!
//! # What may import what
//!
//! `bin → server | agent → relay → queue → protocol`, and `server | agent → grpc → protocol`;
//! beside the bytes `server | agent → register → status`.
//! `protocol` names no runtime, no transport and no clock; time comes in as a value. `relay` does
//! not know gRPC, a frontend does not know which agent it got nor which wire that speaks, `server`
//! and `agent` do not know each other.
//!
//! # One that stands still stops nobody else
//!
//! In the native mode a connection that stands still fills its own window and nothing else: whoever
//! takes bytes from the stream gives window back only for what the other socket has taken
//! ([`h2_limits`] sees to it that the window of the whole connection is never the limit).
//!
//! The reference's wire has no windows for a single connection, so whoever reads a shared stream takes what
//! comes: it goes to the [`queue::Inbox`] of its connection and the reader goes on. A taker that
//! stands still is closed alone, by [`protocol::budget`]. What is left of the problem: one that
//! moves, but slowly, and has 8 MiB waiting, slows down everybody on its stream, because the
//! alternative is to close it; `shared_stream_waits_total` counts that.
//!
//! # Seams
//!
//! * Wires: ALPN decides before the first byte of HTTP/2 ([`tls`]); `server` and `agent` each have
//!   one place where a connection is either the reference's or native.
//! * Control messages: unknown kinds are skipped ([`protocol::native::control`]), so membership,
//!   drain and tokens can grow there.
//! * Peering: a sibling is a backend like an agent ([`protocol::peer`]); what it relays goes no further.
//! * Resuming: tables belong to a stream instance and give up all they hold at its end
//!   ([`protocol::table::ServerTable::lose`]); that is where a session would be kept instead.

pub mod admin;
pub mod agent;
pub mod authority;
pub mod backoff;
pub mod descriptors;
pub mod drain;
pub mod fault;
pub mod flags;
pub mod grpc;
pub mod h2_limits;
mod heard;
pub mod kube_client;
pub mod metrics;
pub mod protocol;
pub mod queue;
pub mod register;
pub mod relay;
mod room;
pub mod server;
pub mod status;
pub mod telemetry;
pub mod threads;
pub mod tls;
mod trips;
