//! Names on the wire. Ids of one hop are not ids of the other, and of one stream not of the next.

use std::fmt;

/// `random`: the dialling side's name for a dial until it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub i64);

/// `connectID`: the agent's name for a connection of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectId(pub i64);

/// What an agent calls itself; any text, also none, and no two agents need to differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub String);

/// What a server calls itself; agents hold one stream per server id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub String);

impl DialId {
    /// A dial by its wire number.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }
}

impl ConnectId {
    /// What the wire says where there is no connection.
    pub const NONE: Self = Self(0);

    /// Whether this names no connection at all.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for DialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ConnectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
