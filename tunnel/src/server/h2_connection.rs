//! One HTTP/2 connection, of a frontend or of an agent: takes its streams, keeps it alive, sees it end.
//! In: a socket and what to do with a stream. Out: nothing; it returns when the connection and its streams are over.

use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{PingPong, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Preface, settings and the first stream must come within this.
const START: Duration = Duration::from_secs(10);
/// A peer that does not answer a ping for this long is gone.
const PONG: Duration = Duration::from_secs(20);
/// Streams of a connection that is gone end by themselves, at once.
const ENDING: Duration = Duration::from_secs(5);

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// HTTP/2 failed.
    #[error("HTTP/2 failed")]
    H2(#[from] h2::Error),
    /// Nothing came.
    #[error("no stream within {START:?}")]
    Slow,
    /// The peer is gone.
    #[error("no answer to a ping within {0:?}")]
    Silent(Duration),
}

/// How a connection is asked whether it lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pings {
    /// Time from one answer to the next ping.
    pub(crate) every: Duration,
    /// Time for an answer.
    pub(crate) patience: Duration,
}

impl Pings {
    /// As the reference's server has them.
    pub(crate) const fn reference(every: Duration) -> Self {
        let patience = PONG;
        Self { every, patience }
    }
}

/// Serves a connection; each stream becomes a task that ends with it.
pub(crate) async fn serve<S, F>(
    socket: S,
    builder: &h2::server::Builder,
    pings: Pings,
    mut stream: impl FnMut(Request<RecvStream>, SendResponse<Bytes>) -> F,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()> + Send + 'static,
{
    let handshake = timeout(START, builder.handshake::<_, Bytes>(socket)).await;
    let mut connection = handshake.map_err(|_elapsed| ConnectionError::Slow)??;
    let mut dead = std::pin::pin!(silence(connection.ping_pong(), pings));
    let mut slow = std::pin::pin!(sleep(START));
    let mut streams = JoinSet::new();
    let mut started = false;
    let result = loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    started = true;
                    streams.spawn(stream(request, respond));
                }
                // h2 repeats a fatal error for ever: the first one ends it.
                Some(Err(error)) => break Err(error.into()),
                None => break Ok(()),
            },
            Some(ended) = streams.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a stream's task failed");
            },
            () = &mut slow, if !started => break Err(ConnectionError::Slow),
            () = &mut dead => break Err(ConnectionError::Silent(pings.patience)),
        }
    };
    drop(connection);
    // Whoever does not end is ended: dropping the set aborts it.
    drop(
        timeout(ENDING, async {
            while streams.join_next().await.is_some() {}
        })
        .await,
    );
    result
}

/// Pings now and then; resolves when the peer does not answer.
pub(crate) async fn silence(ping_pong: Option<PingPong>, pings: Pings) {
    let Some(mut ping_pong) = ping_pong else {
        return std::future::pending().await;
    };
    loop {
        sleep(pings.every).await;
        match timeout(pings.patience, ping_pong.ping(h2::Ping::opaque())).await {
            Ok(Ok(_pong)) => {}
            // The connection itself reports its failure.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_elapsed) => return,
        }
    }
}
