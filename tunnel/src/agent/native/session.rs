//! One native session: the server's streams in, a task for each connection.
//!
//! The driver drives HTTP/2, hears the control stream and starts connections; it never waits for one
//! of them. It ends with the connection, when the server is silent, or, draining, with the last
//! connection.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::server::SendResponse;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::Connection;
use super::control::Event;
use super::{NativeError, Opened, Shared, Stream, next_stream, refuse};
use crate::agent::session::{CROSSING, End};
use crate::agent::words::{Word, Words};
use crate::drain::Watcher;
use crate::protocol::native::control::Control;
use crate::protocol::native::dial::{DialRequest, RefusalKind};

/// Connections of one session at most, dials included.
const ROOM: usize = 20_000;

/// A session's connections.
#[derive(Debug)]
pub struct Session<S> {
    opened: Opened<S>,
    shared: Arc<Shared>,
    words: Words,
    tasks: JoinSet<()>,
    /// How many connections there may be, dials included.
    pub(super) room: usize,
    /// When dials are no longer taken.
    refuses_from: Option<Instant>,
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// No connections yet. What the server says besides goes to `words`.
    pub fn new(opened: Opened<S>, shared: Shared, words: Words) -> Self {
        Self {
            opened,
            shared: Arc::new(shared),
            words,
            tasks: JoinSet::new(),
            room: ROOM,
            refuses_from: None,
        }
    }

    /// Drives the session until the connection ends or, when draining, the last of its connections
    /// does. Dropping it closes every one.
    pub async fn run(mut self, mut drain: Watcher) -> End<NativeError> {
        for stream in std::mem::take(&mut self.opened.early) {
            self.start(stream);
        }
        let mut draining = std::pin::pin!(drain.draining());
        loop {
            let open = self.tasks.len();
            let idle_at = self.refuses_from.filter(|_| self.tasks.is_empty());
            tokio::select! {
                event = self.opened.control.next() => match event {
                    Ok(event) => if let Some(end) = self.heard(event).await {
                        return end;
                    },
                    Err(error) => return End::Broken(error),
                },
                stream = next_stream(&mut self.opened.connection) => match stream {
                    Ok(stream) => self.start(stream),
                    Err(NativeError::Ended) => return self.lost().await,
                    Err(error) => return End::Broken(error),
                },
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(()) => {}
                    Err(error) => return End::Panicked(error),
                },
                size = self.opened.trips.next(|| open) => {
                    if let Err(error) = self.opened.connection.set_initial_window_size(size) {
                        return End::Broken(error.into());
                    }
                }
                () = &mut draining, if self.refuses_from.is_none() => {
                    if let Err(error) = self.start_drain() {
                        return End::Broken(error);
                    }
                }
                () = until(idle_at), if idle_at.is_some() => return self.leave().await,
            }
        }
    }

    /// The connection is gone: in order if the server said so before, on the control stream.
    async fn lost(&mut self) -> End<NativeError> {
        while let Some(event) = self.opened.control.next().now_or_never() {
            match event {
                Ok(event) => {
                    if let Some(end) = self.heard(event).await {
                        return end;
                    }
                }
                Err(error) => return End::Broken(error),
            }
        }
        End::ServerLeft
    }

    async fn heard(&mut self, event: Event) -> Option<End<NativeError>> {
        match event {
            Event::Admitted => {}
            Event::Members(count) => self.words.say(Word::Count(count)).await,
            Event::Drain => {
                tracing::info!(
                    server = self.opened.server,
                    connections = self.tasks.len(),
                    "the server drains"
                );
                self.words.say(Word::Leaving).await;
            }
            Event::Refused(reason) => return Some(End::Broken(NativeError::Refused(reason))),
            Event::Ended => return Some(End::ServerLeft),
        }
        None
    }

    fn start(&mut self, (request, mut respond): Stream) {
        self.shared.traffic.dials.inc();
        let is_late = self.refuses_from.is_some_and(|at| at <= Instant::now());
        if is_late {
            return self.refuse(&mut respond, "agent is draining");
        }
        if self.tasks.len() >= self.room {
            tracing::warn!(
                connections = self.room,
                "a dial is refused: no room for more connections"
            );
            return self.refuse(&mut respond, "agent has no room for more connections");
        }
        let dial = match DialRequest::read(&request) {
            Ok(dial) => dial,
            Err(refusal) => return self.refuse_as(&mut respond, refusal.kind, &refusal.text),
        };
        let connection = Connection {
            dial,
            body: request.into_body(),
            respond,
        };
        self.tasks.spawn(connection.run(Arc::clone(&self.shared)));
    }

    fn refuse(&self, respond: &mut SendResponse<Bytes>, text: &str) {
        self.refuse_as(respond, RefusalKind::Unavailable, text);
    }

    fn refuse_as(&self, respond: &mut SendResponse<Bytes>, kind: RefusalKind, text: &str) {
        self.shared.traffic.answers.inc();
        refuse(respond, kind, text);
    }

    fn start_drain(&mut self) -> Result<(), NativeError> {
        tracing::info!(connections = self.tasks.len(), "draining");
        self.opened.control.send(Control::Drain)?;
        self.shared.traffic.drains.inc();
        self.refuses_from = Some(Instant::now() + CROSSING);
        Ok(())
    }

    /// Nothing is open any more: says goodbye.
    async fn leave(self) -> End<NativeError> {
        match Box::pin(self.opened.part("agent is draining")).await {
            Ok(()) => End::Drained,
            Err(error) => End::Broken(error),
        }
    }
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
