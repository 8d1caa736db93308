//! A dial is a CONNECT and its answer.
//!
//! In: a destination and how long the agent may take; what came of it. Out: heads, and back. The
//! texts of failures are the agent's own, in Go's words, as reference agents send them.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Uri};

use super::{ERROR, error_text, error_value};
use crate::protocol::destination::Destination;

/// How long the agent may take, in milliseconds, decimal.
pub const TIMEOUT: HeaderName = HeaderName::from_static("knp-timeout-ms");

/// An agent that is not told otherwise takes this long at most.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server asks an agent for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialRequest {
    /// Where to.
    pub destination: Destination,
    /// The agent answers within this.
    pub timeout: Duration,
}

/// Why a dial failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What a program needs to know.
    pub kind: RefusalKind,
    /// What a person needs to know, in Go's words.
    pub text: String,
}

/// Kinds of failed dials; each is one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// 400: the destination is none.
    BadDestination,
    /// 502: refused, unreachable, unknown name.
    Failed,
    /// 503: the agent itself takes no dial now; another one might.
    Unavailable,
    /// 504: nobody answered in time.
    Timeout,
}

impl DialRequest {
    /// The CONNECT.
    ///
    /// # Errors
    /// [`RefusalKind::BadDestination`]: HTTP/2 cannot name it.
    pub fn request(&self) -> Result<Request<()>, Refusal> {
        let address = self.destination.to_string();
        let authority = Authority::try_from(address.as_str()).map_err(|error| {
            bad_destination(format!(
                "dial tcp: address {address}: invalid host: {error}"
            ))
        })?;
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::from(authority);
        let timeout = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        request
            .headers_mut()
            .insert(TIMEOUT, HeaderValue::from(timeout));
        Ok(request)
    }

    /// What the server asks for; a timeout that is none is the default of 5 s.
    ///
    /// # Errors
    /// What must be answered.
    pub fn read<B>(request: &Request<B>) -> Result<Self, Refusal> {
        if request.method() != Method::CONNECT {
            let method = request.method();
            return Err(bad_destination(format!("{method} is no dial; use CONNECT")));
        }
        let address = request.uri().authority().map_or("", Authority::as_str);
        let destination = Destination::tcp(address)
            .map_err(|error| bad_destination(format!("dial tcp: {error}")))?;
        let timeout = request
            .headers()
            .get(TIMEOUT)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map_or(DEFAULT_TIMEOUT, Duration::from_millis);
        Ok(Self {
            destination,
            timeout,
        })
    }
}

impl Refusal {
    /// A failed dial.
    pub fn new(kind: RefusalKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// The answer; no body follows.
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.kind.status();
        response
            .headers_mut()
            .insert(ERROR, error_value(&self.text));
        response
    }

    /// What the head of an answer means: nothing to complain about, or why there is no connection.
    ///
    /// # Errors
    /// Every status but 200.
    pub fn check<B>(response: &Response<B>) -> Result<(), Self> {
        if response.status() == StatusCode::OK {
            return Ok(());
        }
        let said = error_text(response.headers()).filter(|text| !text.is_empty());
        Err(Self {
            kind: RefusalKind::of(response.status()),
            text: said.unwrap_or_else(|| format!("the agent answered {}", response.status())),
        })
    }
}

impl RefusalKind {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadDestination => StatusCode::BAD_REQUEST,
            Self::Failed => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::BadDestination,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => Self::Timeout,
            _ => Self::Failed,
        }
    }
}

fn bad_destination(text: String) -> Refusal {
    Refusal::new(RefusalKind::BadDestination, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [RefusalKind; 4] = [
        RefusalKind::BadDestination,
        RefusalKind::Failed,
        RefusalKind::Unavailable,
        RefusalKind::Timeout,
    ];

    #[test]
    fn dial_is_a_connect_by_authority() {
        let dial = DialRequest {
            destination: Destination::tcp("[::1]:443").unwrap(),
            timeout: Duration::from_millis(4500),
        };
        let request = dial.request().unwrap();
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(request.uri(), "[::1]:443");
        assert_eq!(request.headers()["knp-timeout-ms"], "4500");
        assert_eq!(DialRequest::read(&request), Ok(dial));
    }

    #[test]
    fn what_is_no_dial_is_refused_with_the_reason() {
        for (method, uri, text) in [
            (Method::GET, "https://a/b", "GET is no dial; use CONNECT"),
            (
                Method::CONNECT,
                "node1",
                "dial tcp: address node1: missing port in address",
            ),
            (
                Method::CONNECT,
                "/",
                "dial tcp: address : missing port in address",
            ),
        ] {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let refusal = DialRequest::read(&request).unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::BadDestination);
            assert_eq!(refusal.text, text);
        }
    }

    #[test]
    fn status_without_words_is_named() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        let refusal = Refusal::check(&response).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Failed);
        assert_eq!(refusal.text, "the agent answered 418 I'm a teapot");
        assert_eq!(Refusal::check(&Response::new(())), Ok(()));
    }

    proptest! {
        #[test]
        fn every_dial_arrives(host in "[a-z0-9][a-z0-9.-]{0,40}", port: u16, millis: u64) {
            let destination = Destination::tcp(&format!("{host}:{port}")).unwrap();
            let dial = DialRequest { destination, timeout: Duration::from_millis(millis) };
            prop_assert_eq!(DialRequest::read(&dial.request().unwrap()), Ok(dial));
        }

        #[test]
        fn every_refusal_arrives(kind in 0..4_usize, text in ".{1,200}") {
            let refusal = Refusal::new(KINDS[kind], text);
            prop_assert_eq!(Refusal::check(&refusal.response()), Err(refusal));
        }

        #[test]
        fn no_destination_makes_the_writer_panic(address in "[ -~]{0,40}") {
            let Ok(destination) = Destination::tcp(&address) else { return Ok(()) };
            let timeout = Duration::ZERO;
            let _outcome = DialRequest { destination, timeout }.request();
        }
    }
}
