//! Carries bytes between a sibling's stream and a connection through an agent of ours.
//!
//! In: both, open. Out: nothing; it returns when both directions are over. Each side's window is given back only when
//! the other side took the bytes, so one that stands still stops nobody else on its way through two servers.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::time::sleep;

use crate::protocol::native::{error_text, error_trailers};
use crate::room::poll_room;
use crate::server::backend::{Connection, Ending};

/// After the sibling is done, the agent has this long to confirm.
const CLOSE: Duration = Duration::from_secs(10);

/// How the sibling's direction ended.
enum Up {
    /// It sends nothing more.
    Eof,
    /// Its frontend broke; its words.
    Broken(String),
    /// It is gone.
    Reset,
    /// The agent takes nothing more; the other direction tells why.
    Refused,
}

/// How the agent's direction ended.
enum Down {
    /// The endpoint sends nothing more, but still takes.
    Half,
    /// Both directions are over, and the sibling was told.
    Over,
}

/// The stream to the sibling is gone.
struct Cut;

/// Returns when the connection is over; dropping it closes both sides.
pub(super) async fn relay(
    connection: &Connection,
    body: &mut RecvStream,
    sending: &mut SendStream<Bytes>,
) {
    let sending = Sending(Mutex::new(sending));
    let mut down = std::pin::pin!(download(connection, &sending));
    let mut up = std::pin::pin!(upload(connection, body));
    let mut half_done = false;
    loop {
        tokio::select! {
            ended = &mut down, if !half_done => match ended {
                Ok(Down::Half) => half_done = true,
                Ok(Down::Over) | Err(Cut) => return,
            },
            () = connection.gone(), if half_done => return,
            () = sending.reset(), if half_done => return,
            ended = &mut up => match ended {
                Up::Eof => break,
                Up::Broken(text) => return connection.fail(&text),
                Up::Reset => return,
                Up::Refused => {
                    if !half_done {
                        drop(down.await);
                    }
                    return;
                }
            },
        }
    }
    connection.finish();
    if half_done {
        return;
    }
    tokio::select! {
        _over = &mut down => {}
        () = unconfirmed(connection) => {
            tracing::debug!(connection = %connection.id(), "agent did not confirm the close");
        }
    }
}

/// Resolves when the agent has not answered `CLOSE_REQ` in time.
async fn unconfirmed(connection: &Connection) {
    sleep(CLOSE).await;
    if connection.half_closes() || connection.is_ended() {
        std::future::pending::<()>().await;
    }
}

async fn upload(connection: &Connection, body: &mut RecvStream) -> Up {
    while let Some(data) = poll_fn(|cx| body.poll_data(cx)).await {
        let Ok(data) = data else {
            return Up::Reset;
        };
        let length = data.len();
        if connection.send(data).await.is_err() {
            return Up::Refused;
        }
        if body.flow_control().release_capacity(length).is_err() {
            return Up::Reset;
        }
    }
    match body.trailers().await {
        Ok(trailers) => match trailers.as_ref().and_then(error_text) {
            Some(text) => Up::Broken(text),
            None => Up::Eof,
        },
        Err(_) => Up::Reset,
    }
}

async fn download(connection: &Connection, sending: &Sending<'_>) -> Result<Down, Cut> {
    loop {
        let next = tokio::select! {
            next = connection.next() => next,
            () = sending.reset() => return Err(Cut),
        };
        match next {
            Ok(bytes) => {
                let sent = tokio::select! {
                    sent = sending.send(connection, bytes) => sent,
                    ending = connection.cut_off() => return sending.tell(&ending),
                };
                sent?;
            }
            Err(ending) => return sending.tell(&ending),
        }
    }
}

/// The way to the sibling, which two sides of one task look at; locked for a step, never while waiting.
struct Sending<'a>(Mutex<&'a mut SendStream<Bytes>>);

impl<'a> Sending<'a> {
    /// Resolves when the sibling wants nothing more, of either direction.
    async fn reset(&self) {
        let reset = poll_fn(|cx| self.stream().poll_reset(cx)).await;
        tracing::trace!(?reset, "another server gave a connection up");
    }

    /// The last word: an end of this direction alone, or of both with the reason.
    fn tell(&self, ending: &Ending) -> Result<Down, Cut> {
        let mut stream = self.stream();
        let (said, down) = match ending {
            Ending::EndpointDone => (stream.send_data(Bytes::new(), true), Down::Half),
            Ending::AgentClosed(_) | Ending::AgentLost | Ending::Stalled(_) => {
                let text = match ending {
                    Ending::AgentClosed(text) => text.clone(),
                    other => other.to_string(),
                };
                (stream.send_trailers(error_trailers(&text)), Down::Over)
            }
        };
        said.map(|()| down).map_err(|_gone| Cut)
    }

    /// Sends as the sibling gives window for it; the connection gets its window back for what was sent.
    async fn send(&self, connection: &Connection, mut bytes: Bytes) -> Result<(), Cut> {
        while !bytes.is_empty() {
            let room = poll_fn(|cx| poll_room(&mut self.stream(), bytes.len(), cx));
            let Some(Ok(room)) = room.await else {
                return Err(Cut);
            };
            let piece = bytes.split_to(room.min(bytes.len()));
            let length = piece.len();
            let sent = self.stream().send_data(piece, false);
            sent.map_err(|_gone| Cut)?;
            connection.took(length);
        }
        Ok(())
    }

    fn stream(&self) -> MutexGuard<'_, &'a mut SendStream<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
