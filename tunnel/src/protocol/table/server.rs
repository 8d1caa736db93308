//! The server's end; see [`crate::protocol::table`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::FromAgent;

/// Connections that we closed and the agent has not confirmed, and ones it made up. One that goes
/// beyond makes no sense, and its stream ends.
pub const MAX_CLOSING: usize = 65_536;

/// Dials and connections of one agent stream. `W` waits for an answer, `C` is an open connection.
#[derive(Debug)]
pub struct ServerTable<W, C> {
    last_dial: i64,
    dialling: BTreeMap<DialId, W>,
    open: BTreeMap<ConnectId, C>,
    /// What still comes for these is dropped; each got one `CLOSE_REQ`.
    closing: BTreeSet<ConnectId>,
}

/// What a packet of the agent means.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<W, C> {
    /// A dial succeeded; its connection is in the table.
    Opened {
        /// Who waited.
        waiter: W,
        /// The connection's name.
        id: ConnectId,
        /// The connection.
        connection: C,
    },
    /// A dial failed.
    Refused {
        /// Who waited.
        waiter: W,
        /// The agent's words.
        error: String,
    },
    /// A dial was given up by the agent.
    GivenUp {
        /// Who waited.
        waiter: W,
    },
    /// An answer to a dial that nobody waits for; `close` is what `CLOSE_REQ` must be sent for.
    Unwanted {
        /// The connection that was opened in vain.
        close: Option<ConnectId>,
    },
    /// Bytes for an open connection.
    Deliver {
        /// Its name.
        id: ConnectId,
        /// The connection.
        connection: C,
        /// The bytes.
        data: Bytes,
    },
    /// The first bytes for a connection that does not exist: `CLOSE_REQ` must be sent.
    Unknown {
        /// Its name.
        close: ConnectId,
    },
    /// A connection is over and out of the table.
    Closed {
        /// Its name.
        id: ConnectId,
        /// What it was.
        connection: C,
        /// The agent's words; empty for an end in order.
        error: String,
    },
    /// The agent wants no more dials.
    Drain,
    /// Nothing: late bytes, a late confirmation, bytes for connection 0.
    Nothing,
}

/// The agent makes no sense: its stream must be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Two connections of one name.
    #[error("the agent gave connection {0} to a second dial while it was open")]
    Reused(ConnectId),
    /// A dial answered with connection 0 and no error.
    #[error("the agent answered a dial with neither a connection nor an error")]
    NoConnection,
    /// See [`MAX_CLOSING`].
    #[error("the agent sends for more than {MAX_CLOSING} connections that do not exist")]
    TooManyUnknown,
}

impl<W, C> Default for ServerTable<W, C> {
    fn default() -> Self {
        Self {
            last_dial: 0,
            dialling: BTreeMap::new(),
            open: BTreeMap::new(),
            closing: BTreeSet::new(),
        }
    }
}

impl<W, C: Clone> ServerTable<W, C> {
    /// Somebody wants a connection: `DIAL_REQ` must be sent with this id.
    pub fn dial(&mut self, waiter: W) -> DialId {
        self.last_dial += 1;
        let dial = DialId(self.last_dial);
        self.dialling.insert(dial, waiter);
        dial
    }

    /// Nobody waits any more. If the dial was not answered yet, `DIAL_CLS` must be sent.
    pub fn give_up(&mut self, dial: DialId) -> Option<W> {
        self.dialling.remove(&dial)
    }

    /// We close a connection. If it was open, `CLOSE_REQ` must be sent.
    pub fn close(&mut self, id: ConnectId) -> Option<C> {
        let connection = self.open.remove(&id)?;
        self.closing.insert(id);
        Some(connection)
    }

    /// What a packet means. `mint` makes the handle of a connection that was just opened.
    ///
    /// # Errors
    /// The stream must be ended.
    pub fn receive(
        &mut self,
        packet: FromAgent,
        mint: impl FnOnce(ConnectId) -> C,
    ) -> Result<Answer<W, C>, Broken> {
        Ok(match packet {
            FromAgent::Dialled { dial, id } => return self.dialled(dial, id, mint),
            FromAgent::DialFailed { dial, error } => match self.dialling.remove(&dial) {
                Some(waiter) => Answer::Refused { waiter, error },
                None => Answer::Unwanted { close: None },
            },
            FromAgent::CancelDial { dial } => match self.dialling.remove(&dial) {
                Some(waiter) => Answer::GivenUp { waiter },
                None => Answer::Nothing,
            },
            FromAgent::Data { id, data } => match self.open.get(&id) {
                Some(connection) => Answer::Deliver {
                    id,
                    connection: connection.clone(),
                    data,
                },
                None => return self.unknown(id),
            },
            FromAgent::Closed { id, error } => {
                self.closing.remove(&id);
                match self.open.remove(&id) {
                    Some(connection) => Answer::Closed {
                        id,
                        connection,
                        error,
                    },
                    None => Answer::Nothing,
                }
            }
            FromAgent::Drain => Answer::Drain,
        })
    }

    fn dialled(
        &mut self,
        dial: DialId,
        id: ConnectId,
        mint: impl FnOnce(ConnectId) -> C,
    ) -> Result<Answer<W, C>, Broken> {
        if self.open.contains_key(&id) {
            return Err(Broken::Reused(id));
        }
        let Some(waiter) = self.dialling.remove(&dial) else {
            let is_new = !id.is_none() && self.remember_closing(id)?;
            return Ok(Answer::Unwanted {
                close: is_new.then_some(id),
            });
        };
        if id.is_none() {
            self.dialling.insert(dial, waiter);
            return Err(Broken::NoConnection);
        }
        self.closing.remove(&id);
        let connection = mint(id);
        self.open.insert(id, connection.clone());
        Ok(Answer::Opened {
            waiter,
            id,
            connection,
        })
    }

    fn unknown(&mut self, id: ConnectId) -> Result<Answer<W, C>, Broken> {
        let must_be_told = !id.is_none() && self.remember_closing(id)?;
        Ok(if must_be_told {
            Answer::Unknown { close: id }
        } else {
            Answer::Nothing
        })
    }

    /// Whether this is news: the agent is told once for each connection, not for each packet.
    fn remember_closing(&mut self, id: ConnectId) -> Result<bool, Broken> {
        let is_new = self.closing.insert(id);
        if self.closing.len() > MAX_CLOSING {
            Err(Broken::TooManyUnknown)
        } else {
            Ok(is_new)
        }
    }

    /// Dials and connections that end with this stream.
    pub fn len(&self) -> usize {
        self.dialling.len() + self.open.len()
    }

    /// Whether nothing would end with this stream.
    pub fn is_empty(&self) -> bool {
        self.dialling.is_empty() && self.open.is_empty()
    }

    /// How many dials wait.
    pub fn dialling(&self) -> usize {
        self.dialling.len()
    }

    /// An open connection.
    pub fn get(&self, id: ConnectId) -> Option<&C> {
        self.open.get(&id)
    }

    /// All open connections, by name.
    pub fn open(&self) -> impl Iterator<Item = (ConnectId, &C)> {
        self.open.iter().map(|(id, connection)| (*id, connection))
    }

    /// The stream is gone: everybody who waits and everything that is open, each once.
    pub fn lose(&mut self) -> (Vec<W>, Vec<C>) {
        self.closing.clear();
        let dialling = std::mem::take(&mut self.dialling).into_values().collect();
        let open = std::mem::take(&mut self.open).into_values().collect();
        (dialling, open)
    }
}
