//! What the servers of one cluster tell each other, pure.
//!
//! A server without an agent for a destination asks one that has it. Each holds a connection to each other, over
//! mutual TLS that chose [`ALPN`]:
//!
//! ```text
//!  server ── GET /knp/v1/agents, who it is ─────────► sibling
//!         ◄── 200, who it is; then a Word for each change of its agents
//!         ── CONNECT host:port ─────────────────────►           a stream for each connection,
//!         ◄══ as between a server and a native agent ══►        see `native`
//! ```
//!
//! A CONNECT that came this way is answered by the sibling's own agents and goes no further, so there are no loops.
//! Unknown fields are skipped: that is where extensions find room.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use prost::Message as _;

use super::delimited::{self, Delimited, MAX_MESSAGE, MessageError};
use super::metadata::{self, Identifiers};

/// The application protocol of TLS between servers.
pub const ALPN: &[u8] = b"knp-peer/1";
/// The name in every server's certificate for its siblings.
pub const NAME: &str = "konnectivity-server-peer";
/// Where a sibling's agents are asked for.
pub const PATH: &str = "/knp/v1/agents";
/// The port on which the asking server hears its siblings, decimal.
pub const PORT: HeaderName = HeaderName::from_static("knp-peer-port");

const URI: &str = "https://konnectivity-server-peer/knp/v1/agents";
/// Messages are filled to this, in bytes: an agent's names come from headers of 16 KiB and fit behind it.
const FULL: usize = MAX_MESSAGE / 8;
/// Keys that leave room for agents in the same message.
const KEYS: usize = 512;

/// A head that is no hello between servers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The sibling answered with another status than 200.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// It does not say who it is.
    #[error("header {} must be there exactly once", metadata::SERVER_ID)]
    Id,
    /// An id that no header can carry.
    #[error("--server-id={0:?} has characters that no header can carry")]
    Value(String),
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerHello {
    /// Its id.
    pub server_id: String,
    /// Where it hears its siblings, if it says so.
    pub port: Option<u16>,
}

impl PeerHello {
    /// The question for a sibling's agents.
    ///
    /// # Errors
    /// [`PeerError::Value`].
    pub fn request(&self) -> Result<Request<()>, PeerError> {
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_static(URI);
        self.write(request.headers_mut())?;
        Ok(request)
    }

    /// The head of its answer; the words follow.
    ///
    /// # Errors
    /// [`PeerError::Value`].
    pub fn response(&self) -> Result<Response<()>, PeerError> {
        let mut response = Response::new(());
        self.write(response.headers_mut())?;
        Ok(response)
    }

    /// Whether a request asks for agents.
    pub fn is_asked_by<B>(request: &Request<B>) -> bool {
        request.method() == Method::GET && request.uri().path() == PATH
    }

    /// Who asks.
    ///
    /// # Errors
    /// [`PeerError::Id`].
    pub fn asker<B>(request: &Request<B>) -> Result<Self, PeerError> {
        Self::read(request.headers())
    }

    /// Who answered.
    ///
    /// # Errors
    /// [`PeerError::Status`] or [`PeerError::Id`].
    pub fn answerer<B>(response: &Response<B>) -> Result<Self, PeerError> {
        if response.status() != StatusCode::OK {
            return Err(PeerError::Status(response.status()));
        }
        Self::read(response.headers())
    }

    fn write(&self, headers: &mut HeaderMap) -> Result<(), PeerError> {
        let id = HeaderValue::from_str(&self.server_id)
            .map_err(|_not_legal| PeerError::Value(self.server_id.clone()))?;
        headers.insert(metadata::SERVER_ID, id);
        if let Some(port) = self.port {
            headers.insert(PORT, HeaderValue::from(port));
        }
        Ok(())
    }

    fn read(headers: &HeaderMap) -> Result<Self, PeerError> {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let mut ids = headers.get_all(metadata::SERVER_ID).iter();
        let (Some(server_id), None) = (ids.next().and_then(text), ids.next()) else {
            return Err(PeerError::Id);
        };
        let port = headers.get(PORT).and_then(text);
        Ok(Self {
            server_id,
            port: port.and_then(|port| port.parse().ok()),
        })
    }
}

/// One change of a sibling's agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Agents that came.
    pub came: Vec<RemoteAgent>,
    /// Keys of agents that left.
    pub left: Vec<u64>,
    /// Whether the sibling itself is leaving: only asked when nobody else can serve.
    pub is_draining: bool,
}

/// An agent of a sibling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteAgent {
    /// Its stream's name at the sibling.
    pub key: u64,
    /// Its own name.
    pub agent: String,
    /// What it can reach.
    pub identifiers: Identifiers,
    /// Whether it is leaving.
    pub is_draining: bool,
}

impl Word {
    /// The messages that say this, each short enough.
    ///
    /// # Errors
    /// [`MessageError::TooLong`]: one agent calls itself by too many names.
    pub fn encode(self) -> Result<Vec<Bytes>, MessageError> {
        let mut messages = Vec::new();
        let mut wire = Wire {
            is_draining: self.is_draining,
            ..Wire::default()
        };
        let empty = wire.clone();
        for keys in self.left.chunks(KEYS) {
            wire.left = keys.to_vec();
            messages.push(delimited::encode(&std::mem::replace(
                &mut wire,
                empty.clone(),
            ))?);
        }
        for agent in self.came.into_iter().map(Agent::from) {
            wire.came.push(agent);
            if wire.encoded_len() > FULL {
                messages.push(delimited::encode(&std::mem::replace(
                    &mut wire,
                    empty.clone(),
                ))?);
            }
        }
        if wire != empty || messages.is_empty() {
            messages.push(delimited::encode(&wire)?);
        }
        Ok(messages)
    }
}

/// Turns pieces of the answer's body into words.
#[derive(Debug, Default)]
pub struct Decoder(Delimited);

impl Decoder {
    /// Takes what was received next. Ask for words until there is none before the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.0.push(piece);
    }

    /// The next word, or `None` until more is pushed.
    ///
    /// # Errors
    /// The connection must be ended.
    pub fn next_word(&mut self) -> Result<Option<Word>, MessageError> {
        let Some(bytes) = self.0.next_bytes()? else {
            return Ok(None);
        };
        Ok(Some(Wire::decode(bytes)?.into()))
    }
}

/// `Word`, field by field.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Wire {
    #[prost(message, repeated, tag = "1")]
    came: Vec<Agent>,
    #[prost(uint64, repeated, tag = "2")]
    left: Vec<u64>,
    #[prost(bool, tag = "3")]
    is_draining: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Agent {
    #[prost(uint64, tag = "1")]
    key: u64,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(string, repeated, tag = "3")]
    ipv4: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    ipv6: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    host: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    cidr: Vec<String>,
    #[prost(bool, tag = "7")]
    default_route: bool,
    #[prost(bool, tag = "8")]
    is_draining: bool,
}

impl From<Wire> for Word {
    fn from(wire: Wire) -> Self {
        Self {
            came: wire.came.into_iter().map(RemoteAgent::from).collect(),
            left: wire.left,
            is_draining: wire.is_draining,
        }
    }
}

impl From<RemoteAgent> for Agent {
    fn from(it: RemoteAgent) -> Self {
        let Identifiers {
            ipv4,
            ipv6,
            host,
            cidr,
            default_route,
        } = it.identifiers;
        Self {
            key: it.key,
            id: it.agent,
            ipv4,
            ipv6,
            host,
            cidr,
            default_route,
            is_draining: it.is_draining,
        }
    }
}

impl From<Agent> for RemoteAgent {
    fn from(it: Agent) -> Self {
        Self {
            key: it.key,
            agent: it.id,
            identifiers: Identifiers {
                ipv4: it.ipv4,
                ipv6: it.ipv6,
                host: it.host,
                cidr: it.cidr,
                default_route: it.default_route,
            },
            is_draining: it.is_draining,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agent(key: u64, host: &str) -> RemoteAgent {
        RemoteAgent {
            key,
            agent: format!("agent-{key}"),
            identifiers: Identifiers {
                host: vec![host.to_owned()],
                ..Identifiers::default()
            },
            is_draining: key % 2 == 1,
        }
    }

    fn decoded(pieces: &[Bytes]) -> Vec<Word> {
        let mut decoder = Decoder::default();
        let mut words = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(word) = decoder.next_word().unwrap() {
                words.push(word);
            }
        }
        words
    }

    #[test]
    fn servers_say_who_they_are() {
        let hello = PeerHello {
            server_id: "s1".to_owned(),
            port: Some(8135),
        };
        let request = hello.request().unwrap();
        assert!(PeerHello::is_asked_by(&request));
        assert_eq!(PeerHello::asker(&request), Ok(hello.clone()));
        assert_eq!(PeerHello::answerer(&hello.response().unwrap()), Ok(hello));
        let mut nobody = Response::new(());
        assert_eq!(PeerHello::answerer(&nobody), Err(PeerError::Id));
        *nobody.status_mut() = StatusCode::NOT_FOUND;
        let error = PeerHello::answerer(&nobody).unwrap_err();
        assert_eq!(error.to_string(), "the server answered 404 Not Found");
    }

    #[test]
    fn draining_is_said_without_any_agent() {
        let word = Word {
            is_draining: true,
            ..Word::default()
        };
        assert_eq!(decoded(&word.clone().encode().unwrap()), [word]);
    }

    proptest! {
        #[test]
        fn every_agent_arrives_in_order_and_no_message_is_too_long(
            hosts in proptest::collection::vec("[a-z]{1,300}|[é]{20000}", 0..40),
            left in proptest::collection::vec(any::<u64>(), 0..5000),
        ) {
            let came: Vec<_> = (0..).zip(&hosts).map(|(key, host)| agent(key, host)).collect();
            let word = Word { came: came.clone(), left: left.clone(), is_draining: false };
            let words = decoded(&word.encode().unwrap());
            let arrived: Vec<_> = words.iter().flat_map(|word| word.came.clone()).collect();
            prop_assert_eq!(arrived, came);
            let gone: Vec<_> = words.iter().flat_map(|word| word.left.clone()).collect();
            prop_assert_eq!(gone, left);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_word() {}
        }
    }
}
