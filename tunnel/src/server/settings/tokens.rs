//! What the flags about agents' tokens mean.
//! In: flags that the rules have passed. Out: whose tokens open the door, and what else is asked about them.

use std::path::PathBuf;
use std::time::Duration;

use crate::flags::string_slice;
use crate::protocol::token::Rule;
use crate::server::args::{AgentArgs, TokenArgs};

/// Whose tokens open the agent listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRule {
    /// Namespace of the service account.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// What the token must be made for.
    pub audience: String,
    /// The key that confirms tokens; without one, the API server does.
    pub key: Option<TokenKey>,
    /// Whether agents may claim any node.
    pub binding: Binding,
}

/// How tokens are judged without the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// Public keys, PEM.
    pub file: PathBuf,
    /// Who may issue tokens; empty means whoever holds the key.
    pub issuers: Vec<String>,
    /// Whether the API server is asked afterwards.
    pub opinion: SecondOpinion,
}

/// Whether the API server is asked about tokens that the key accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondOpinion {
    /// The key decides alone.
    None,
    /// In the background; a refusal ends the agent's stream.
    Background,
}

/// Whether an agent's identifiers must fit its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// What it says is believed, as by the reference.
    None,
    /// A token that names a node admits `host` identifiers of that node alone.
    Node,
}

/// What happens to agents when nothing says how they prove themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// They are refused.
    Refuse,
    /// They are agents, as by the reference.
    Admit,
}

/// How many token reviews are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReviewLimits {
    /// At the same time.
    pub in_flight: usize,
    /// How long an accepted token needs no second look; never longer than it is valid.
    pub fresh: Duration,
}

impl TokenRule {
    /// None without an audience: then there are no tokens.
    pub(super) fn from_flags(agents: &AgentArgs, tokens: &TokenArgs) -> Option<Self> {
        let audience = super::text(&agents.authentication_audience)?;
        let key = super::path(&tokens.service_account_public_key_file).map(|file| TokenKey {
            file,
            issuers: string_slice(&tokens.service_account_issuer),
            opinion: if tokens.review_accepted_tokens {
                SecondOpinion::Background
            } else {
                SecondOpinion::None
            },
        });
        Some(Self {
            namespace: agents.agent_namespace.clone(),
            service_account: agents.agent_service_account.clone(),
            audience,
            key,
            binding: if tokens.bind_agent_identifiers {
                Binding::Node
            } else {
                Binding::None
            },
        })
    }

    /// What a token must say to be judged by that key.
    pub(crate) fn for_key(&self, key: &TokenKey) -> Rule {
        Rule {
            issuers: key.issuers.clone(),
            audience: self.audience.clone(),
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
        }
    }
}

impl ReviewLimits {
    pub(super) fn from_flags(tokens: &TokenArgs) -> Self {
        Self {
            in_flight: tokens.token_reviews_in_flight,
            fresh: tokens.token_review_cache_ttl,
        }
    }
}
