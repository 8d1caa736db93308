//! What `/status` says, as types: pure, written by the page and read by the command.
//!
//! Times are milliseconds before now, so reader and writer need not agree on a clock. Counts are of
//! one moment, but not all of the same one.

use serde::{Deserialize, Serialize};

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// Beside kube-apiserver.
    #[serde(rename = "konnectivity-server")]
    Server,
    /// In the tenant's network.
    #[serde(rename = "konnectivity-agent")]
    Agent,
}

impl Program {
    /// As it is started.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "konnectivity-server",
            Self::Agent => "konnectivity-agent",
        }
    }

    /// Where its admin listener is unless flags say otherwise.
    pub const fn admin_address(self) -> &'static str {
        match self {
            Self::Server => "127.0.0.1:8095",
            Self::Agent => "127.0.0.1:8094",
        }
    }

    /// The flag that moves it.
    pub const fn admin_flag(self) -> &'static str {
        match self {
            Self::Server => "--admin-port",
            Self::Agent => "--admin-server-port",
        }
    }
}

/// One program, now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which one.
    pub program: Program,
    /// Its version.
    pub version: String,
    /// Its name among its kind.
    pub id: String,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// Whether it is leaving.
    pub draining: bool,
    /// Dials that wait for an answer, where they are counted.
    pub pending_dials: Option<u64>,
    /// Servers that are known to exist, connected or not.
    pub known_servers: usize,
    /// Streams of agents, the oldest first; none at an agent.
    pub agents: Vec<Peer>,
    /// Streams to servers, the oldest first; at a server, to the others.
    pub servers: Vec<Peer>,
    /// What is open through them.
    pub connections: Connections,
}

/// One stream to the other half of the tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// As the peer calls itself.
    pub name: String,
    /// `native` or `reference`.
    pub wire: String,
    /// `ready`, `congested`, `draining`, …
    pub state: String,
    /// What it can reach, as it says itself: `host=node1`.
    pub identifiers: Vec<String>,
    /// How long it has been there.
    pub age_ms: u64,
    /// Connections through it.
    pub connections: usize,
}

/// Open connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// How many there are.
    pub open: usize,
    /// How many of them are not listed.
    pub truncated: usize,
    /// Those that stand still the longest first, then the oldest.
    pub listed: Vec<Connection>,
}

/// One open connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its number in this program, in order of opening.
    pub number: u64,
    /// The agent or server it goes through.
    pub peer: String,
    /// `native` or `reference`.
    pub wire: String,
    /// What was dialled.
    pub destination: String,
    /// How long it has been open.
    pub age_ms: u64,
    /// From kube-apiserver to what it dialled.
    pub to_endpoint: Flow,
    /// Back.
    pub from_endpoint: Flow,
}

/// One direction of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Bytes that passed.
    pub bytes: u64,
    /// Bytes that wait here, as far as the wire knows; what HTTP/2 or the kernel holds besides is not among them.
    pub waiting: u64,
    /// For how long nothing moved.
    pub idle_ms: u64,
    /// For how long nothing moved although somebody should have taken something; 0 if nothing is held up.
    pub stalled_ms: u64,
}
