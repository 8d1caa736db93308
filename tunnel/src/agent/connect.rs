//! One try to reach a server: name → TCP → TLS, which chooses the wire → HTTP/2 → the reference's
//! Connect stream, or the hello of the native mode.
//!
//! In: where the servers are, who we are. Out: a [`Link`], or a [`ConnectError`] that says which
//! step failed and why, a refused token included. Files are read anew at each try, so rotated
//! tokens and certificates need no restart. No step waits longer than 15 s in all.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use h2::client::ResponseFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use rustls::AlertDescription;
use rustls_pki_types::{InvalidDnsNameError, ServerName};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dial::{DialFailure, Dialer, race};
use super::link::{Link, Wire};
use super::native::{self, NativeError};
use super::proxy::{Proxy, ProxyError};
use super::settings::Settings;
use super::transport::{Packets, Transport};
use crate::fault::Fault;
use crate::protocol::native::ALPN;
use crate::protocol::native::hello::AgentHello;
use crate::protocol::native::mode::TunnelMode;
use crate::{grpc, h2_limits, tls};

/// For a try in all.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);
/// Sent bytes that nobody acknowledges for this long end the connection, as grpc-go has it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// Bytes the kernel may hold unsent: more would only stand in front of the next answer.
const UNSENT: u32 = 128 * 1024;
const PATH: &str = "/AgentService/Connect";

/// Why a try led to no stream.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("cannot reach {0}")]
    Dial(String, #[source] DialFailure),
    /// The proxy leads nowhere.
    #[error("cannot reach the server through proxy {0:?}")]
    Proxy(Proxy, #[source] ProxyError),
    /// A socket option.
    #[error("cannot set up the socket")]
    Socket(#[source] io::Error),
    /// The TLS files.
    #[error("cannot use the TLS files")]
    Tls(#[from] tls::TlsError),
    /// The host is no name TLS could check.
    #[error("--proxy-server-host={0} is neither a DNS name nor an address")]
    Name(String, #[source] InvalidDnsNameError),
    /// The handshake.
    #[error("TLS handshake with {0} failed")]
    Handshake(SocketAddr, #[source] io::Error),
    /// The token.
    #[error("cannot read --service-account-token-path={path}", path = path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something of ours that cannot travel in a header.
    #[error("{0} has characters that no header can carry")]
    Header(&'static str, #[source] http::Error),
    /// HTTP/2.
    #[error("HTTP/2 with the server failed")]
    Http(#[from] h2::Error),
    /// The server said no; for a wrong token this is where it says so.
    #[error("the server refused this agent")]
    Refused(#[from] grpc::Status),
    /// The server does not speak the native mode.
    #[error("the server does not speak the native mode; use --tunnel-mode=auto or a newer server")]
    NotNative,
    /// The native mode failed before it began.
    #[error("no native session with the server")]
    Native(#[source] NativeError),
    /// The server's headers lack what every server sends.
    #[error("expected one {0} in the server's headers, got {1:?}")]
    Headers(&'static str, Vec<HeaderValue>),
    /// It took too long.
    #[error("no stream within {CONNECT_DEADLINE:?}")]
    Deadline,
}

impl ConnectError {
    /// The agent's own files, flags and token, or else the server and the way to it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Socket(_)
            | Self::Tls(_)
            | Self::Name(..)
            | Self::Token { .. }
            | Self::Header(..)
            | Self::Refused(_) => Fault::Agent,
            Self::Dial(..)
            | Self::Proxy(..)
            | Self::Handshake(..)
            | Self::Http(_)
            | Self::NotNative
            | Self::Native(_)
            | Self::Headers(..)
            | Self::Deadline => Fault::Server,
        }
    }
}

/// Makes tries. Clones share the turn of addresses.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    dialer: Arc<Dialer>,
    turn: AtomicUsize,
    /// Whether the servers' side refused to hear of the native mode.
    is_refused: AtomicBool,
}

impl Connector {
    /// Towards the servers of the settings.
    pub fn new(settings: Settings, dialer: Arc<Dialer>) -> Self {
        Self(Arc::new(Inner {
            settings,
            dialer,
            turn: AtomicUsize::new(0),
            is_refused: AtomicBool::new(false),
        }))
    }

    /// One try.
    pub async fn open(self) -> Result<Box<Link>, ConnectError> {
        let opened = tokio::time::timeout(CONNECT_DEADLINE, self.0.open()).await;
        opened
            .map_err(|_elapsed| ConnectError::Deadline)?
            .map(Box::new)
    }
}

impl Inner {
    /// Offers the native mode unless it was refused; then until the reference's wire fails too.
    async fn open(&self) -> Result<Link, ConnectError> {
        let mode = self.settings.server.mode;
        if mode == TunnelMode::Auto && self.is_refused.load(Ordering::Relaxed) {
            let opened = self.attempt(TunnelMode::Legacy).await;
            self.is_refused.store(opened.is_ok(), Ordering::Relaxed);
            return opened;
        }
        match self.attempt(mode).await {
            Err(ConnectError::Handshake(peer, error))
                if mode == TunnelMode::Auto && knows_no_protocol(&error) =>
            {
                tracing::info!(%peer, "the native mode is refused; trying without it");
                let opened = self.attempt(TunnelMode::Legacy).await;
                self.is_refused.store(opened.is_ok(), Ordering::Relaxed);
                opened
            }
            opened => opened,
        }
    }

    async fn attempt(&self, mode: TunnelMode) -> Result<Link, ConnectError> {
        let stream = self.secured(mode).await?;
        if stream.get_ref().1.alpn_protocol() == Some(ALPN) {
            self.native(stream).await
        } else if mode.speaks_reference() {
            self.reference(stream).await
        } else {
            Err(ConnectError::NotNative)
        }
    }

    /// A TLS connection that offered the protocols of `mode`.
    async fn secured(&self, mode: TunnelMode) -> Result<TlsStream<TcpStream>, ConnectError> {
        let server = &self.settings.server;
        let socket = self.socket().await?;
        let peer = socket.peer_addr().map_err(ConnectError::Socket)?;
        let native = String::from_utf8_lossy(ALPN).into_owned();
        let native = Some(native).filter(|_| mode.speaks_native());
        let legacy = server.alpn.iter().filter(|_| mode.speaks_reference());
        let alpn: Vec<_> = native.into_iter().chain(legacy.cloned()).collect();
        let config = tls::client_config(&server.ca, server.identity.as_ref(), &alpn)?;
        let name = ServerName::try_from(server.host.clone())
            .map_err(|error| ConnectError::Name(server.host.clone(), error))?;
        let handshake = TlsConnector::from(config).connect(name, socket).await;
        let mut stream = handshake.map_err(|error| ConnectError::Handshake(peer, error))?;
        stream.get_mut().1.set_buffer_limit(Some(tls::BUFFER));
        Ok(stream)
    }

    async fn native(&self, stream: TlsStream<TcpStream>) -> Result<Link, ConnectError> {
        let settings = &self.settings;
        let bearer = self.token()?.map(|token| format!("Bearer {token}"));
        let hello = AgentHello {
            agent_id: settings.agent_id.clone(),
            identifiers: settings.identifiers.clone(),
            authorization: bearer.into_iter().collect(),
            features: Vec::new(),
        };
        let opened = native::open(stream, &hello, settings.server.native_keepalive).await;
        let opened = opened.map_err(|error| match error {
            NativeError::Refused(reason) => grpc::Status::unknown(reason).into(),
            NativeError::Http(error) => error.into(),
            other => ConnectError::Native(other),
        })?;
        Ok(Link {
            server: opened.server.clone(),
            count: opened.count,
            wire: Wire::Native(opened),
        })
    }

    async fn reference(&self, stream: TlsStream<TcpStream>) -> Result<Link, ConnectError> {
        let request = self.request()?;
        let (mut sender, mut connection) = h2_limits::client().handshake(stream).await?;
        let pings = connection.ping_pong();
        let (answer, sending) = sender.send_request(request, false)?;
        let (server, count, packets) = tokio::select! {
            answered = headers(answer) => answered?,
            ended = &mut connection => return Err(ended.err().unwrap_or_else(closed).into()),
        };
        let keepalive = self.settings.server.keepalive;
        let transport = Transport::new(connection, sending, pings, keepalive);
        Ok(Link {
            server,
            count,
            wire: Wire::Reference { packets, transport },
        })
    }

    /// A socket to a server or through the proxy. Every address of the name gets its turn to be
    /// first; the others stand in for it when it is silent.
    async fn socket(&self) -> Result<TcpStream, ConnectError> {
        let server = &self.settings.server;
        let (host, port) = match &server.proxy {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&server.host, server.port),
        };
        let failed = |failure| ConnectError::Dial(format!("{host}:{port}"), failure);
        let mut addresses = self.dialer.resolve(host, port).await.map_err(failed)?;
        addresses.sort_unstable();
        let turn = self
            .turn
            .fetch_add(1, Ordering::Relaxed)
            .checked_rem(addresses.len());
        addresses.rotate_left(turn.unwrap_or(0));
        let mut socket = race(addresses).await.map_err(failed)?;
        SockRef::from(&socket)
            .set_tcp_user_timeout(Some(UNACKNOWLEDGED))
            .map_err(ConnectError::Socket)?;
        SockRef::from(&socket)
            .set_tcp_notsent_lowat(UNSENT)
            .map_err(ConnectError::Socket)?;
        if let Some(proxy) = &server.proxy {
            let connected = proxy.connect(&mut socket, &server.host, server.port).await;
            connected.map_err(|error| ConnectError::Proxy(proxy.clone(), error))?;
        }
        Ok(socket)
    }

    fn request(&self) -> Result<Request<()>, ConnectError> {
        let settings = &self.settings;
        let server = &settings.server;
        let host = if server.host.contains(':') {
            format!("[{}]", server.host)
        } else {
            server.host.clone()
        };
        let uri = format!("https://{host}:{}{PATH}", server.port);
        let mut request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(uri)
            .header(TE, "trailers")
            .header(CONTENT_TYPE, grpc::GRPC)
            .header(
                USER_AGENT,
                concat!("konnectivity-agent/", env!("CARGO_PKG_VERSION")),
            )
            .body(())
            .map_err(|error| ConnectError::Header("--proxy-server-host", error))?;
        let headers = request.headers_mut();
        headers.insert("agentid", value("--agent-id", &settings.agent_id)?);
        let identifiers = value("--agent-identifiers", &settings.identifiers)?;
        headers.insert("agentidentifiers", identifiers);
        if let Some(token) = self.token()? {
            let mut bearer = value("the token", &format!("Bearer {token}"))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        Ok(request)
    }

    /// The token as it is now, if one is shown at all.
    fn token(&self) -> Result<Option<String>, ConnectError> {
        let Some(path) = &self.settings.server.token else {
            return Ok(None);
        };
        let read = std::fs::read_to_string(path).map_err(|source| ConnectError::Token {
            path: path.clone(),
            source,
        })?;
        Ok(Some(read.trim().to_owned()))
    }
}

fn value(what: &'static str, text: &str) -> Result<HeaderValue, ConnectError> {
    HeaderValue::from_str(text).map_err(|error| ConnectError::Header(what, error.into()))
}

/// The server's id and count, and the stream behind them; or why it refuses.
async fn headers(answer: ResponseFuture) -> Result<(String, usize, Packets), ConnectError> {
    let (head, body) = answer.await?.into_parts();
    grpc::accepted(head.status, &head.headers)?;
    let server = one(&head.headers, "serverid")?;
    let count = one(&head.headers, "servercount")?;
    let count = count
        .parse()
        .map_err(|_not_a_number: std::num::ParseIntError| {
            ConnectError::Headers(
                "servercount",
                HeaderValue::from_str(&count).into_iter().collect(),
            )
        })?;
    Ok((server, count, Packets::new(body)))
}

fn one(headers: &HeaderMap, name: &'static str) -> Result<String, ConnectError> {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    match values.as_slice() {
        [value] if value.to_str().is_ok() => Ok(value.to_str().unwrap_or_default().to_owned()),
        _ => Err(ConnectError::Headers(
            name,
            values.into_iter().cloned().collect(),
        )),
    }
}

/// Whether the other end answered that it knows none of the protocols we offered.
fn knows_no_protocol(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            AlertDescription::NoApplicationProtocol
        ))
    )
}

/// An HTTP/2 connection that ended without an error before it was used.
fn closed() -> h2::Error {
    h2::Error::from(h2::Reason::NO_ERROR)
}
