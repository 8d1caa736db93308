//! What happens to a socket once it is accepted: the handshake its listener asks for, then the protocol it speaks.
//! In: a socket. Out: a future that serves it to its end, with every deadline that keeps a silent client from staying.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::backend::admission::Gate;
use super::backend::native::session::{self, SessionError};
use super::frontend::{Dialer, grpc as proxy, http_connect};
use super::h2_connection::{self, ConnectionError, Pings};
use super::listener::Socket;
use super::metrics::Metrics;
use super::peers::PINGS;
use super::peers::door::Host;
use super::settings::{self, Mode};
use crate::authority::LegalAuthority;
use crate::grpc::{self, PacketReader, PacketWriter};
use crate::h2_limits;
use crate::protocol::native;
use crate::protocol::native::mode::TunnelMode;
use crate::protocol::peer;
use crate::tls::Acceptor;

/// A TLS handshake must be over within this.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at the same time: they are the dearest thing a stranger can ask for.
const HANDSHAKES: usize = 32;

/// Why a client was not served to an orderly end.
#[derive(Debug, thiserror::Error)]
enum DoorError {
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("TLS handshake not over within {HANDSHAKE:?}")]
    Slow,
    #[error("connection failed")]
    Http2(#[from] ConnectionError),
    #[error("CONNECT failed")]
    Connect(#[from] http_connect::ConnectError),
    #[error("native connection failed")]
    Native(#[from] SessionError),
    #[error("the agent does not speak the native mode, and --tunnel-mode=native allows no other")]
    NotNative,
    #[error(
        "no server of this kind: it does not speak {}",
        String::from_utf8_lossy(peer::ALPN)
    )]
    NotPeer,
    #[error("the client's certificate does not name {}", peer::NAME)]
    NoSibling,
}

/// Where agents come in.
#[derive(Debug)]
pub(crate) struct AgentDoor {
    tls: Tls,
    gate: Arc<Gate>,
    keepalive: Duration,
    mode: TunnelMode,
}

impl AgentDoor {
    /// Agents must get through `tls` and then `gate`.
    pub(crate) fn new(tls: Acceptor, gate: Gate, settings: &settings::Agents) -> Self {
        Self {
            tls: Tls::new(tls),
            gate: Arc::new(gate),
            keepalive: settings.keepalive,
            mode: settings.mode,
        }
    }

    /// Serves one agent's connection on the wire that TLS chose.
    pub(crate) fn serve(&self, socket: Socket) -> impl Future<Output = ()> + Send + 'static {
        let (tls, gate) = (self.tls.clone(), Arc::clone(&self.gate));
        let (keepalive, mode) = (self.keepalive, self.mode);
        async move {
            let served = async {
                let socket = tls.accept(socket).await?;
                let (tcp, tls) = socket.get_ref();
                if tls.alpn_protocol() == Some(native::ALPN) {
                    tcp.keep_backlog_short();
                    return Ok(session::serve(socket, &gate).await?);
                }
                if !mode.speaks_reference() {
                    return Err(DoorError::NotNative);
                }
                h2_connection::serve(
                    socket,
                    &h2_limits::server(),
                    Pings::reference(keepalive),
                    |request, respond| Arc::clone(&gate).connect(request, respond),
                )
                .await?;
                Ok(())
            };
            report("agent", served.await);
        }
    }
}

/// Where frontends come in.
#[derive(Debug)]
pub(crate) struct FrontendDoor {
    tls: Option<Tls>,
    visit: Visit,
}

/// What a frontend's connection needs.
#[derive(Clone, Debug)]
struct Visit {
    mode: Mode,
    keepalive: Duration,
    dialer: Dialer,
    metrics: Metrics,
}

impl FrontendDoor {
    /// Frontends dial through `dialer`.
    pub(crate) fn new(
        settings: &settings::Frontend,
        tls: Option<Acceptor>,
        dialer: Dialer,
        metrics: Metrics,
    ) -> Self {
        let visit = Visit {
            mode: settings.mode,
            keepalive: settings.keepalive,
            dialer,
            metrics,
        };
        Self {
            tls: tls.map(Tls::new),
            visit,
        }
    }

    /// Serves one frontend's connection.
    pub(crate) fn serve(&self, socket: Socket) -> impl Future<Output = ()> + Send + 'static {
        let (tls, visit) = (self.tls.clone(), self.visit.clone());
        async move {
            let served = async {
                match tls {
                    Some(tls) => visit.speak(tls.accept(socket).await?).await,
                    None => visit.speak(socket).await,
                }
            };
            report("frontend", served.await);
        }
    }
}

impl Visit {
    async fn speak<S>(self, socket: S) -> Result<(), DoorError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        match self.mode {
            Mode::HttpConnect => Ok(http_connect::serve(socket, self.dialer, self.metrics).await?),
            Mode::Grpc => {
                let socket = LegalAuthority::new(socket);
                let pings = Pings::reference(self.keepalive);
                let stream = |request, respond| self.clone().proxy(request, respond);
                Ok(h2_connection::serve(socket, &h2_limits::frontend(), pings, stream).await?)
            }
        }
    }

    async fn proxy(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if let Err(status) = grpc::check(&request, "ProxyService", "Proxy") {
            return grpc::refuse(&mut respond, &status);
        }
        let served = match grpc::accept(&mut respond, &[]) {
            Ok(stream) => {
                let reader = PacketReader::new(request.into_body());
                proxy::serve(reader, PacketWriter::new(stream), self.dialer, self.metrics).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a frontend's stream ended early");
        }
    }
}

/// Where the other servers come in.
#[derive(Debug)]
pub(crate) struct PeerDoor {
    tls: Tls,
    host: Host,
}

impl PeerDoor {
    /// They must get through `tls`; `host` tells them of agents and dials for them.
    pub(crate) fn new(tls: Acceptor, host: Host) -> Self {
        let tls = Tls::new(tls);
        Self { tls, host }
    }

    /// Serves one server's connection.
    pub(crate) fn serve(&self, socket: Socket) -> impl Future<Output = ()> + Send + 'static {
        let (tls, host, from) = (self.tls.clone(), self.host.clone(), socket.peer_address());
        async move {
            let served = async {
                let socket = tls.accept(socket).await?;
                let (tcp, tls) = socket.get_ref();
                if tls.alpn_protocol() != Some(peer::ALPN) {
                    return Err(DoorError::NotPeer);
                }
                if !is_sibling(tls.peer_certificates()) {
                    return Err(DoorError::NoSibling);
                }
                tcp.keep_backlog_short();
                let stream = |request, respond| host.clone().stream(from, request, respond);
                Ok(h2_connection::serve(socket, &h2_limits::peer_server(), PINGS, stream).await?)
            };
            report("server", served.await);
        }
    }
}

/// Whether the certificate names a server of this kind; that the authority signed it is known already.
fn is_sibling(chain: Option<&[CertificateDer<'_>]>) -> bool {
    let leaf = chain.and_then(|chain| ParsedCertificate::try_from(chain.first()?).ok());
    let name = ServerName::try_from(peer::NAME);
    leaf.zip(name.ok())
        .is_some_and(|(leaf, name)| verify_server_name(&leaf, &name).is_ok())
}

/// TLS with a deadline and a limit on handshakes at once.
#[derive(Clone, Debug)]
struct Tls {
    acceptor: Acceptor,
    places: Arc<Semaphore>,
}

impl Tls {
    fn new(acceptor: Acceptor) -> Self {
        Self {
            acceptor,
            places: Arc::new(Semaphore::new(HANDSHAKES)),
        }
    }

    async fn accept<S>(&self, socket: S) -> Result<tokio_rustls::server::TlsStream<S>, DoorError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = async {
            let _place = self.places.acquire().await;
            self.acceptor.accept(socket).await
        };
        let done = timeout(HANDSHAKE, handshake)
            .await
            .map_err(|_elapsed| DoorError::Slow)?;
        done.map_err(DoorError::Handshake)
    }
}

/// One line for each client that ended badly; a hang-up is nobody's fault.
fn report(whom: &'static str, served: Result<(), DoorError>) {
    if let Err(error) = served {
        let cause = error.source().map(ToString::to_string);
        tracing::debug!(whom, %error, cause, "connection ended");
    }
}
