//! Why a connection ends, as the server sees it: the frontend's last packet, the log's word, the metric's label.

use crate::protocol::budget::Stalled;

/// Why no more bytes come from the agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ending {
    /// The agent closed it: the endpoint hung up, or our `CLOSE_REQ` was answered.
    #[error("{0}")]
    AgentClosed(String),
    /// The endpoint sends nothing more, but still takes; only the native mode can tell.
    #[error("the endpoint has sent all")]
    EndpointDone,
    /// The agent's stream ended.
    #[error("connection to the agent was lost")]
    AgentLost,
    /// The frontend drained nothing while much waited for it.
    #[error("closed because the frontend {0}")]
    Stalled(Stalled),
}

impl Ending {
    /// The text of the last packet; the reference says nothing about an agent that was lost.
    pub(crate) fn to_frontend(&self) -> String {
        match self {
            Self::AgentLost | Self::EndpointDone => String::new(),
            Self::AgentClosed(_) | Self::Stalled(_) => self.to_string(),
        }
    }

    /// The metric's label.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::AgentClosed(_) | Self::EndpointDone => "agent_closed",
            Self::AgentLost => "agent_lost",
            Self::Stalled(_) => "stalled",
        }
    }
}
