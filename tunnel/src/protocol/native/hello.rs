//! The first stream of a native connection: both ends say who they are, in headers.
//!
//! In: ids, counts, identifiers, a token. Out: the head of a request or of its answer, and back.
//! Names and values are the reference's metadata wherever it has some.

use std::num::ParseIntError;

use http::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use http::{Method, Request, Response, StatusCode};

use crate::protocol::metadata::{self, Identifiers, MetadataError};

/// What the hello is posted to; the authority is always `agent`.
pub const PATH: &str = "/knp/v1/hello";
/// The version of the protocol, decimal.
pub const VERSION: HeaderName = HeaderName::from_static("knp-version");
/// What the end can do besides: names between commas, none so far.
pub const FEATURES: HeaderName = HeaderName::from_static("knp-features");

const URI: &str = "https://agent/knp/v1/hello";

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// Its id.
    pub server_id: String,
    /// How many servers there are.
    pub server_count: usize,
    /// What it can do besides; unknown names are kept and mean nothing.
    pub features: Vec<String>,
}

/// What an agent says of itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgentHello {
    /// Its id, may be empty.
    pub agent_id: String,
    /// [`Identifiers`] as the flag has them; empty for none.
    pub identifiers: String,
    /// Values of `authorization`, `Bearer` and token; at most one is legal, and the server decides.
    pub authorization: Vec<String>,
    /// What it can do besides; unknown names are kept and mean nothing.
    pub features: Vec<String>,
}

/// A head that is no hello, or a value that cannot be sent in one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Another method or path.
    #[error("{0} is no hello; the first stream must be POST {PATH}")]
    NoHello(String),
    /// The agent answered with another status than 200.
    #[error("the agent answered the hello with {0}")]
    Status(StatusCode),
    /// A header that must be there once is not.
    #[error("header {0} must be there exactly once")]
    Missing(HeaderName),
    /// The number of servers is none.
    #[error("header {name} is {value:?}, not a decimal number")]
    Number {
        /// Which header.
        name: HeaderName,
        /// What it has.
        value: String,
        /// Why it is no number.
        source: ParseIntError,
    },
    /// A version that this end does not speak.
    #[error("the peer speaks version {0:?} of the native mode, this end speaks {version}; use --tunnel-mode=legacy on one of them", version = super::VERSION)]
    Version(String),
    /// The agent's metadata makes no sense.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A header cannot carry the value.
    #[error("{0} has characters that no header can carry")]
    Value(HeaderName),
}

impl ServerHello {
    /// The request that opens the hello; its body stays open.
    ///
    /// # Errors
    /// [`HelloError::Value`].
    pub fn request(&self) -> Result<Request<()>, HelloError> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static(URI);
        let headers = request.headers_mut();
        common(headers, &self.features)?;
        put(headers, metadata::SERVER_ID, &self.server_id)?;
        put(
            headers,
            metadata::SERVER_COUNT,
            &self.server_count.to_string(),
        )?;
        Ok(request)
    }

    /// What the server said.
    ///
    /// # Errors
    /// Every [`HelloError`] but [`HelloError::Status`], [`HelloError::Metadata`] and
    /// [`HelloError::Value`].
    pub fn read<B>(request: &Request<B>) -> Result<Self, HelloError> {
        if request.method() != Method::POST || request.uri().path() != PATH {
            let asked = format!("{} {}", request.method(), request.uri());
            return Err(HelloError::NoHello(asked));
        }
        let headers = request.headers();
        let features = spoken(headers)?;
        let name = HeaderName::from_static(metadata::SERVER_COUNT);
        let value = one(headers, &name)?;
        let server_count = value.parse().map_err(|source| HelloError::Number {
            name,
            value: value.clone(),
            source,
        })?;
        Ok(Self {
            server_id: one(headers, &HeaderName::from_static(metadata::SERVER_ID))?,
            server_count,
            features,
        })
    }
}

impl AgentHello {
    /// The head of the answer; its body stays open.
    ///
    /// # Errors
    /// [`HelloError::Value`].
    pub fn response(&self) -> Result<Response<()>, HelloError> {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        common(headers, &self.features)?;
        put(headers, metadata::AGENT_ID, &self.agent_id)?;
        if !self.identifiers.is_empty() {
            put(headers, metadata::AGENT_IDENTIFIERS, &self.identifiers)?;
        }
        for value in &self.authorization {
            put(headers, metadata::AUTHORIZATION, value)?;
        }
        Ok(response)
    }

    /// What the agent said. The identifiers are legal; the authorization is not looked at.
    ///
    /// # Errors
    /// [`HelloError::Status`], [`HelloError::Missing`], [`HelloError::Version`] or
    /// [`HelloError::Metadata`].
    pub fn read<B>(response: &Response<B>) -> Result<Self, HelloError> {
        if response.status() != StatusCode::OK {
            return Err(HelloError::Status(response.status()));
        }
        let headers = response.headers();
        let features = spoken(headers)?;
        let agents = all(headers, metadata::AGENT_ID);
        let mut identifiers = all(headers, metadata::AGENT_IDENTIFIERS);
        metadata::agent_identifiers(identifiers.iter().map(String::as_str))?;
        Ok(Self {
            agent_id: metadata::agent_id(agents.iter().map(String::as_str))?,
            identifiers: identifiers.pop().unwrap_or_default(),
            authorization: all(headers, metadata::AUTHORIZATION),
            features,
        })
    }

    /// What the agent can reach.
    ///
    /// # Errors
    /// [`MetadataError::Identifiers`], never after [`AgentHello::read`].
    pub fn identifiers(&self) -> Result<Identifiers, MetadataError> {
        Identifiers::parse(&self.identifiers)
    }
}

/// Never shows the token.
impl std::fmt::Debug for AgentHello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentHello")
            .field("agent_id", &self.agent_id)
            .field("identifiers", &self.identifiers)
            .field("authorization", &self.authorization.len())
            .field("features", &self.features)
            .finish()
    }
}

fn common(headers: &mut HeaderMap, features: &[String]) -> Result<(), HelloError> {
    headers.insert(VERSION, HeaderValue::from_static(super::VERSION));
    put(headers, FEATURES.as_str(), &features.join(","))
}

/// The features, once the version is one that this end speaks.
fn spoken(headers: &HeaderMap) -> Result<Vec<String>, HelloError> {
    let version = one(headers, &VERSION)?;
    if version != super::VERSION {
        return Err(HelloError::Version(version));
    }
    let list = all(headers, FEATURES.as_str()).join(",");
    let names = list.split(',').map(str::trim);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), HelloError> {
    let name = HeaderName::try_from(name).unwrap_or(VERSION);
    let value = HeaderValue::try_from(value)
        .map_err(|_not_legal: InvalidHeaderValue| HelloError::Value(name.clone()))?;
    headers.append(name, value);
    Ok(())
}

fn one(headers: &HeaderMap, name: &HeaderName) -> Result<String, HelloError> {
    let mut values = all(headers, name.as_str());
    match (values.pop(), values.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(HelloError::Missing(name.clone())),
    }
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.get_all(name).iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server() -> ServerHello {
        ServerHello {
            server_id: "s1".to_owned(),
            server_count: 3,
            features: Vec::new(),
        }
    }

    #[test]
    fn hello_of_a_server_is_a_post_with_its_metadata() {
        let request = server().request().unwrap();
        assert_eq!(request.uri(), "https://agent/knp/v1/hello");
        assert_eq!(request.headers()["servercount"], "3");
        assert_eq!(request.headers()["knp-version"], "1");
        assert_eq!(ServerHello::read(&request), Ok(server()));
    }

    #[test]
    fn another_version_is_refused_with_a_remedy() {
        let mut request = server().request().unwrap();
        request
            .headers_mut()
            .insert(VERSION, HeaderValue::from_static("2"));
        let error = ServerHello::read(&request).unwrap_err().to_string();
        assert!(error.contains("version \"2\""), "{error}");
        assert!(error.contains("--tunnel-mode=legacy"), "{error}");
        request.headers_mut().remove(VERSION);
        assert_eq!(
            ServerHello::read(&request),
            Err(HelloError::Missing(VERSION))
        );
    }

    #[test]
    fn what_is_no_hello_is_named() {
        let request = Request::get("https://agent/").body(()).unwrap();
        let error = ServerHello::read(&request).unwrap_err();
        assert_eq!(
            error,
            HelloError::NoHello("GET https://agent/".to_owned()),
            "{error}"
        );
        let mut response = AgentHello::default().response().unwrap();
        *response.status_mut() = StatusCode::NOT_FOUND;
        assert_eq!(
            AgentHello::read(&response),
            Err(HelloError::Status(StatusCode::NOT_FOUND))
        );
    }

    #[test]
    fn agents_tokens_are_never_shown() {
        let hello = AgentHello {
            authorization: vec!["Bearer secret".to_owned()],
            ..AgentHello::default()
        };
        assert!(!format!("{hello:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn what_an_agent_says_arrives(
            agent_id in "[!-~]{0,20}",
            host in "[a-z0-9.-]{0,20}",
            token in proptest::option::of("[A-Za-z0-9._-]{1,40}"),
            features in proptest::collection::vec("[a-z]{1,8}", 0..3),
        ) {
            let identifiers = if host.is_empty() { host } else { format!("host={host}") };
            let authorization = token.map(|token| format!("Bearer {token}")).into_iter().collect();
            let hello = AgentHello { agent_id, identifiers, authorization, features };
            let response = hello.response().unwrap();
            prop_assert_eq!(AgentHello::read(&response), Ok(hello));
        }

        #[test]
        fn no_value_makes_the_parsers_panic(
            name in "serverid|servercount|knp-version|knp-features|agentid|agentidentifiers",
            value in proptest::collection::vec(32_u8..=255, 0..40),
        ) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let name = HeaderName::try_from(name).unwrap();
            let mut request = server().request().unwrap();
            request.headers_mut().insert(name.clone(), value.clone());
            let _outcome = ServerHello::read(&request);
            let mut response = AgentHello::default().response().unwrap();
            response.headers_mut().insert(name, value);
            let _outcome = AgentHello::read(&response);
        }
    }
}
