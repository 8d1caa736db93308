//! The relays that say what is possible: two processes that only copy, one connection between them for each tunnelled
//! one. Clear, they are the kernel's limit; over TLS, the limit of everything that encrypts.
//!
//! The entry takes a client's connection from the Unix socket and copies it whole; the exit reads the CONNECT, dials,
//! answers and copies. Each runs on one thread, as each of our programs carries bytes on one.

use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::client::read_head;
use super::tls;
use super::{Listening, listen, serve_while_wanted, tell};
use crate::error::{Error, Result};

/// What is copied at once.
const BUFFER: usize = 64 * 1024;

/// Flags of the entry.
#[derive(Debug, clap::Args)]
pub struct EntryArgs {
    /// The socket to serve.
    #[arg(long)]
    socket: PathBuf,
    /// Where the exit listens.
    #[arg(long)]
    exit: String,
    /// A folder of certificates; in the clear without it.
    #[arg(long)]
    tls: Option<PathBuf>,
}

/// Flags of the exit.
#[derive(Debug, clap::Args)]
pub struct ExitArgs {
    /// A folder of certificates; in the clear without it.
    #[arg(long)]
    tls: Option<PathBuf>,
}

/// Serves the Unix socket.
pub async fn entry(args: EntryArgs) -> Result<()> {
    let listener = UnixListener::bind(&args.socket);
    let listener = listener.map_err(Error::file("listen on", &args.socket))?;
    let connector = args.tls.as_deref().map(tls::connector).transpose()?;
    tell(&Listening {
        address: args.socket.display().to_string(),
    })?;
    let exit: Arc<str> = args.exit.into();
    serve_while_wanted(listener, "the entry's socket", |client| {
        enter(client, exit.clone(), connector.clone())
    })
    .await
}

async fn enter(
    mut client: UnixStream,
    exit: Arc<str>,
    connector: Option<TlsConnector>,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(&*exit).await?;
    stream.set_nodelay(true)?;
    match connector {
        None => copy(&mut client, &mut stream).await,
        Some(connector) => {
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            let mut stream = connector.connect(name, stream).await?;
            copy(&mut client, &mut stream).await
        }
    }
}

/// Serves entries.
pub async fn exit(args: ExitArgs) -> Result<()> {
    let acceptor = args.tls.as_deref().map(tls::acceptor).transpose()?;
    let (listener, address) = listen("127.0.0.1").await?;
    tell(&Listening {
        address: address.to_string(),
    })?;
    serve_while_wanted(listener, "the exit's port", |stream| {
        leave(stream, acceptor.clone())
    })
    .await
}

async fn leave(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match acceptor {
        None => connect(stream).await,
        Some(acceptor) => connect(acceptor.accept(stream).await?).await,
    }
}

async fn connect(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    let destination = head.split(' ').nth(1).unwrap_or_default();
    let mut target = TcpStream::connect(destination).await?;
    target.set_nodelay(true)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    stream.flush().await?;
    copy(&mut stream, &mut target).await
}

async fn copy(
    one: &mut (impl AsyncRead + AsyncWrite + Unpin),
    other: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> std::io::Result<()> {
    copy_bidirectional_with_sizes(one, other, BUFFER, BUFFER)
        .await
        .map(drop)
}
