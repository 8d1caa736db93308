//! The native mode, seen from the server: a dial is a CONNECT, a connection is an HTTP/2 stream with windows of its own.
//! In: destinations. Out: connections whose bytes wait in HTTP/2's windows and nowhere else: one that stands still
//! stops nobody. The HTTP/2 connection itself belongs to `session.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, SendStream};

use super::connection;
use super::{Backend, Connection, DialFailure};
use crate::protocol::destination::Destination;
use crate::protocol::id::ConnectId;
use crate::protocol::native::dial::{DialRequest, Refusal, RefusalKind};
use crate::server::metrics::{Metrics, PacketKind, Segment};

pub(crate) mod session;
mod way;

pub(super) use way::Way;

/// An agent takes this long for a dial, as the reference's does.
const DIAL: Duration = Duration::from_secs(5);
/// A sibling is given this much less than there is, so that its answer comes in time.
const MARGIN: Duration = Duration::from_millis(500);

/// Opens streams to one agent.
#[derive(Debug)]
pub(super) struct Streams {
    sender: SendRequest<Bytes>,
    last: AtomicI64,
    /// What a dial may take at the other end, of what there is.
    allowance: fn(Duration) -> Duration,
    metrics: Metrics,
}

impl Streams {
    /// To an agent.
    pub(super) fn new(sender: SendRequest<Bytes>, metrics: Metrics) -> Self {
        Self {
            sender,
            last: AtomicI64::new(0),
            allowance: |patience| patience.min(DIAL),
            metrics,
        }
    }

    /// To a sibling, which may try several of its agents.
    pub(super) fn to_sibling(sender: SendRequest<Bytes>, metrics: Metrics) -> Self {
        Self {
            allowance: |patience| patience.saturating_sub(MARGIN),
            ..Self::new(sender, metrics)
        }
    }

    /// Asks the agent for a connection. Dropping the future resets the stream.
    pub(super) async fn dial(
        &self,
        backend: &Arc<Backend>,
        destination: &Destination,
        patience: Duration,
    ) -> Result<Connection, DialFailure> {
        let dial = DialRequest {
            destination: destination.clone(),
            timeout: (self.allowance)(patience),
        };
        let request = dial.request().map_err(refused)?;
        let leaving = |error: h2::Error| {
            tracing::debug!(agent = backend.agent(), %error, "agent takes no dial");
            DialFailure::Lost
        };
        let mut sender = self.sender.clone().ready().await.map_err(leaving)?;
        self.metrics.packet(Segment::ToAgent, PacketKind::DialReq);
        let (answer, stream) = sender.send_request(request, false).map_err(leaving)?;
        let mut unanswered = Unanswered {
            stream: Some(stream),
            metrics: &self.metrics,
        };
        let answered = answer.await;
        let Some(stream) = unanswered.stream.take() else {
            return Err(DialFailure::Lost);
        };
        let response = answered.map_err(|error| failure(&error))?;
        self.metrics.packet(Segment::FromAgent, PacketKind::DialRsp);
        Refusal::check(&response).map_err(refused)?;
        let way = Way::new(stream, response.into_body(), self.metrics.clone());
        let id = ConnectId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let way = connection::Way::Native(Arc::new(way));
        let destination = destination.to_string();
        Ok(Connection::new(Arc::clone(backend), id, way, &destination))
    }
}

/// A dial that its frontend may give up.
struct Unanswered<'a> {
    stream: Option<SendStream<Bytes>>,
    metrics: &'a Metrics,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            self.metrics.packet(Segment::ToAgent, PacketKind::DialCls);
            stream.send_reset(Reason::CANCEL);
        }
    }
}

fn refused(refusal: Refusal) -> DialFailure {
    match refusal.kind {
        RefusalKind::Unavailable => DialFailure::Unavailable(refusal.text),
        RefusalKind::BadDestination | RefusalKind::Failed | RefusalKind::Timeout => {
            DialFailure::Refused(refusal.text)
        }
    }
}

/// A stream that was reset before its answer did nothing; all else is the whole connection's failure.
fn failure(error: &h2::Error) -> DialFailure {
    match error.reason().filter(|_| error.is_reset()) {
        Some(reason) => DialFailure::Unavailable(format!("the agent reset the dial: {reason}")),
        None => DialFailure::Lost,
    }
}
