//! A connection to one sibling, from its first packet to its end.
//!
//! In: an address. Out: who is there; then a backend for strategies to choose, whose agents come and go as the sibling
//! says. Certificates are read anew for each connection, so rotated ones need no restart.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Connection, SendRequest};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PINGS;
use crate::protocol::delimited::MessageError;
use crate::protocol::peer::{ALPN, Decoder, NAME, PeerError, PeerHello};
use crate::server::backend::Backend;
use crate::server::backends::{Backends, Membership};
use crate::server::h2_connection::silence;
use crate::server::listener::tune_link;
use crate::server::metrics::Metrics;
use crate::server::settings::{self, TlsFiles};
use crate::{h2_limits, tls};

/// From the first packet to the sibling's id.
const OPEN: Duration = Duration::from_secs(10);
/// Why there is no connection to a sibling, or no longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// TCP.
    #[error("no TCP connection")]
    Tcp(#[source] io::Error),
    /// The certificates.
    #[error("cannot use the TLS files")]
    Tls(#[from] tls::TlsError),
    /// The handshake.
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// Whoever listens there is no sibling.
    #[error("no server of this kind listens there")]
    Stranger,
    /// HTTP/2.
    #[error("HTTP/2 failed")]
    Http(#[from] h2::Error),
    /// It does not say who it is.
    #[error(transparent)]
    Hello(#[from] PeerError),
    /// What it says of its agents makes no sense.
    #[error("it breaks the protocol")]
    Word(#[from] MessageError),
    /// It took too long.
    #[error("no answer within {OPEN:?}")]
    Slow,
    /// It is gone without a word, or frozen.
    #[error("no answer to a ping within {0:?}")]
    Silent(Duration),
}

/// Opens connections to siblings. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Linker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls: TlsFiles,
    hello: PeerHello,
}

/// A connection on which the sibling said who it is.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) server_id: String,
    sender: SendRequest<Bytes>,
    connection: Connection<TlsStream<TcpStream>, Bytes>,
    words: RecvStream,
}

impl Linker {
    pub(super) fn new(settings: &settings::Peers, server_id: &str) -> Self {
        Self(Arc::new(Inner {
            tls: settings.tls.clone(),
            hello: PeerHello {
                server_id: server_id.to_owned(),
                port: Some(settings.port),
            },
        }))
    }

    /// Who opens them.
    pub(super) fn server_id(&self) -> &str {
        &self.0.hello.server_id
    }

    /// Connects and asks who is there.
    pub(super) async fn open(self, address: SocketAddr) -> Result<Opened, LinkError> {
        let opened = timeout(OPEN, self.0.open(address)).await;
        opened.map_err(|_elapsed| LinkError::Slow)?
    }
}

impl Inner {
    async fn open(&self, address: SocketAddr) -> Result<Opened, LinkError> {
        let stream = self.secured(address).await?;
        let handshake = h2_limits::peer_client().handshake(stream);
        let (sender, mut connection) = handshake.await?;
        let asked = self.ask(sender.clone());
        let (hello, words) = tokio::select! {
            asked = asked => asked?,
            ended = &mut connection => {
                ended?;
                return Err(LinkError::Stranger);
            }
        };
        Ok(Opened {
            server_id: hello.server_id,
            sender,
            connection,
            words,
        })
    }

    async fn secured(&self, address: SocketAddr) -> Result<TlsStream<TcpStream>, LinkError> {
        let files = &self.tls;
        let ca = files.client_ca.clone().unwrap_or_default();
        let identity = (files.cert.clone(), files.key.clone());
        let alpn = [String::from_utf8_lossy(ALPN).into_owned()];
        let config = tls::client_config(&ca, Some(&identity), &alpn)?;
        let socket = TcpStream::connect(address).await.map_err(LinkError::Tcp)?;
        tune_link(&socket).map_err(LinkError::Tcp)?;
        let name = ServerName::try_from(NAME).map_err(|_not_a_name| LinkError::Stranger)?;
        let handshake = TlsConnector::from(config).connect(name, socket).await;
        let mut stream = handshake.map_err(LinkError::Handshake)?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(LinkError::Stranger);
        }
        stream.get_mut().1.set_buffer_limit(Some(tls::BUFFER));
        Ok(stream)
    }

    async fn ask(&self, sender: SendRequest<Bytes>) -> Result<(PeerHello, RecvStream), LinkError> {
        let request = self.hello.request()?;
        let (answer, _no_body) = sender.ready().await?.send_request(request, true)?;
        let response = answer.await?;
        Ok((PeerHello::answerer(&response)?, response.into_body()))
    }
}

impl Opened {
    /// A backend from now on; returns when the sibling is gone.
    pub(super) async fn live(
        self,
        backends: &Arc<Backends>,
        metrics: Metrics,
    ) -> Result<(), LinkError> {
        let Self {
            server_id,
            sender,
            mut connection,
            mut words,
        } = self;
        let ping_pong = connection.ping_pong();
        let place = backends.admit_sibling(Backend::sibling(&server_id, sender, metrics));
        tokio::select! {
            ended = connection => Ok(ended?),
            ended = listen(&mut words, &place) => ended,
            () = silence(ping_pong, PINGS) => Err(LinkError::Silent(PINGS.patience)),
        }
    }
}

/// Passes on what the sibling says of its agents until it says no more.
async fn listen(words: &mut RecvStream, place: &Membership) -> Result<(), LinkError> {
    let mut decoder = Decoder::default();
    while let Some(piece) = poll_fn(|cx| words.poll_data(cx)).await {
        let piece = piece?;
        words.flow_control().release_capacity(piece.len())?;
        decoder.push(&piece);
        while let Some(word) = decoder.next_word()? {
            place.hears(word);
        }
    }
    Ok(())
}
