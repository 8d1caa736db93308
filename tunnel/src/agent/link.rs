//! A stream to a server, whichever wire it speaks: two kinds behind one small interface.
//!
//! In: a [`Link`] that [`super::connect`] opened. Out: its whole life as one future, and how it
//! ended. Nobody above knows which wire it was.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::connection::Shared;
use super::dial::Dialer;
use super::metrics::Metrics;
use super::native::{self, NativeError, Opened};
use super::session::{End, Session};
use super::transport::{Packets, Transport, TransportError};
use super::words::Words;
use crate::drain::Watcher;
use crate::register::Entered;
use crate::register::connection::Peer;

/// What still waits for a server when its session ends in order gets this long to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A stream to a server that let this agent in.
#[derive(Debug)]
pub struct Link {
    /// Who it is.
    pub server: String,
    /// How many servers it says there are.
    pub count: usize,
    /// What carries it.
    pub wire: Wire,
}

/// The two wires.
#[derive(Debug)]
pub enum Wire {
    /// One gRPC stream for all connections.
    Reference {
        /// What the server sends.
        packets: Packets,
        /// What carries both directions.
        transport: Transport,
    },
    /// A stream for each connection.
    Native(Opened<TlsStream<TcpStream>>),
}

/// Why a stream broke.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// On the reference's wire.
    #[error(transparent)]
    Reference(#[from] TransportError),
    /// In the native mode.
    #[error(transparent)]
    Native(#[from] NativeError),
}

/// What a session needs of its agent.
#[derive(Debug)]
pub struct Surroundings {
    /// Opens endpoints.
    pub dialer: Arc<Dialer>,
    /// Counts.
    pub metrics: Metrics,
    /// The shutdown.
    pub drain: Watcher,
    /// Hears what the server says about servers.
    pub words: Words,
    /// The session's place among all.
    pub place: Entered<Peer>,
}

impl Wire {
    /// For the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reference { .. } => "reference",
            Self::Native(_) => "native",
        }
    }

    /// Ends a stream that is not needed; over the reference's wire that is done by dropping it.
    pub async fn part(self) {
        if let Self::Native(opened) = self
            && let Err(error) = opened.part("agent is connected already").await
        {
            tracing::debug!(%error, "no goodbye to a server that is held already");
        }
    }

    /// One session from the first dial to the last byte. Dropping it closes every connection.
    pub async fn live(self, around: Surroundings) -> End<LinkError> {
        let Surroundings {
            dialer,
            metrics,
            drain,
            words,
            place,
        } = around;
        match self {
            Self::Reference { packets, transport } => {
                let shared = Shared::new(dialer, metrics, place.share());
                let end = live(packets, transport, shared, drain).await;
                end.map(LinkError::from)
            }
            Self::Native(opened) => {
                let shared = native::Shared::new(dialer, metrics, place.share());
                let session = native::Session::new(opened, shared, words);
                session.run(drain).await.map(LinkError::from)
            }
        }
    }
}

async fn live(
    packets: Packets,
    transport: Transport,
    shared: Shared,
    drain: Watcher,
) -> End<TransportError> {
    let (metrics, outbox) = (shared.metrics.clone(), shared.outbox.clone());
    let packets = packets.counted(metrics.clone());
    let mut carrying = JoinSet::new();
    carrying.spawn(transport.carry(outbox.clone(), metrics));
    let end = tokio::select! {
        end = Session::new(shared).run(packets, drain) => end,
        Some(carried) = carrying.join_next() => match carried {
            Ok(error) => End::Broken(error),
            Err(error) => End::Panicked(error),
        },
    };
    outbox.close();
    if matches!(end, End::Drained) {
        let last_words = tokio::time::timeout(LAST_WORDS, carrying.join_next()).await;
        tracing::debug!(in_time = last_words.is_ok(), "said goodbye");
    }
    end
}
