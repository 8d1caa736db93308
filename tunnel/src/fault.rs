//! Whose fault a failure is: the one word that each line of the log about a failure carries as `fault`.
//!
//! ```text
//!  frontend ──► server ◄══ tunnel ══ agent ──► endpoint
//! ```
//!
//! It names the party to look at first, seen from the program that writes the line; an end in order is nobody's fault.

/// A party of a tunnelled connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kube-apiserver, or whoever else dials.
    Frontend,
    /// konnectivity-server, its limits or the way to it.
    Server,
    /// konnectivity-agent, its files or the way to it.
    Agent,
    /// What was dialled, its name or the way to it.
    Endpoint,
}

impl Fault {
    /// The log's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Server => "server",
            Self::Agent => "agent",
            Self::Endpoint => "endpoint",
        }
    }
}
