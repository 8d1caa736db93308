//! Listeners and what happens to a socket: handshakes and serving run in the socket's own task, accepting only accepts.
//! In: a bound listener and how its clients are served. Out: nothing; it ends when it is dropped, and its clients with it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Unacknowledged bytes kill a link after this, as in the reference.
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Go's distance of TCP keepalive probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Bytes that the kernel holds unsent when many connections share a link: more would stand in front of a keystroke.
const BACKLOG: u32 = 128 * 1024;
/// After a failed accept, which out of descriptors fails again at once.
const BREATH: Duration = Duration::from_millis(100);

/// A listener of either family.
#[derive(Debug)]
pub(crate) enum Listener {
    /// For frontends in the same pod.
    Unix(UnixListener),
    /// For agents, and for frontends elsewhere.
    Tcp(TcpListener),
}

/// A client of either family.
#[derive(Debug)]
pub(crate) enum Socket {
    /// From a Unix listener.
    Unix(UnixStream),
    /// From a TCP listener.
    Tcp(TcpStream),
}

impl Socket {
    /// Where the client is, if by TCP.
    pub(crate) fn peer_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(socket) => socket.peer_addr().ok(),
        }
    }

    /// Keeps little unsent in the kernel, so that what is sent next is still to be decided.
    pub(crate) fn keep_backlog_short(&self) {
        if let Self::Tcp(socket) = self
            && let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(BACKLOG)
        {
            tracing::debug!(%error, "the kernel chooses how much it holds unsent");
        }
    }
}

impl Listener {
    /// Binds a TCP address. Every interface means both families where there are two.
    pub(crate) async fn tcp(address: &str) -> io::Result<Self> {
        let bound = TcpListener::bind(address).await;
        let bound = match (bound, address.strip_prefix("[::]:")) {
            (Err(_), Some(port)) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
            (bound, _) => bound,
        };
        bound.map(Self::Tcp)
    }

    /// The TCP address that was bound.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(listener) => listener
                .accept()
                .await
                .map(|(socket, _)| Socket::Unix(socket)),
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                tune(&socket)?;
                Ok(Socket::Tcp(socket))
            }
        }
    }
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE),
    )?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// A link of our own to another server, which many connections share.
pub(crate) fn tune_link(socket: &TcpStream) -> io::Result<()> {
    tune(socket)?;
    SockRef::from(socket).set_tcp_notsent_lowat(BACKLOG)
}

/// Room for clients: each takes one place of its listener and one of the process's descriptors.
#[derive(Debug)]
pub(crate) struct Places {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Places {
    /// `limit` places, of at most `all` together with the other listeners.
    pub(crate) fn new(limit: usize, all: &Arc<Semaphore>) -> Self {
        Self {
            own: Arc::new(Semaphore::new(limit)),
            all: Arc::clone(all),
        }
    }

    fn take(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let any = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some([own, any])
    }
}

/// Accepts for ever; clients that find no place are turned away.
pub(crate) async fn accept<F>(
    name: &'static str,
    listener: Listener,
    places: Places,
    serve: impl Fn(Socket) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match (accepted, places.take()) {
                (Ok(socket), Some(place)) => {
                    let served = serve(socket);
                    clients.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                (Ok(_turned_away), None) => {
                    tracing::warn!("{name} listener turns a client away: too many are connected");
                }
                (Err(error), _) => {
                    tracing::warn!(%error, "{name} listener cannot accept");
                    sleep(BREATH).await;
                }
            },
            Some(ended) = clients.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a client of the {name} listener failed inside the server");
            },
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tcp(socket) => Pin::new(socket).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tcp(socket) => Pin::new(socket).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(context, bytes),
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(socket) => Pin::new(socket).poll_flush(context),
            Self::Tcp(socket) => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(context),
        }
    }
}
