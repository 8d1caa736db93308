//! The agent's end; see [`crate::protocol::table`].

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::{FromAgent, ToAgent};

/// Dials and connections of one stream to a server. `C` is a connection from its dial on.
#[derive(Debug)]
pub struct AgentTable<C> {
    last_id: i64,
    connections: BTreeMap<ConnectId, Entry<C>>,
}

#[derive(Debug)]
struct Entry<C> {
    connection: C,
    /// Until it is answered.
    dial: Option<DialId>,
}

/// What a packet of the server means.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<C> {
    /// A connection is to be opened; it is in the table already.
    Dial {
        /// Its name.
        id: ConnectId,
        /// What must be answered.
        dial: DialId,
        /// The connection.
        connection: C,
        /// Go's name of a network.
        protocol: String,
        /// `host:port`.
        address: String,
    },
    /// Nobody waits for this connection any more; it is out of the table, and its dial must not be
    /// answered.
    GiveUp {
        /// The connection.
        connection: C,
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
    /// A connection is to be closed; it is out of the table. `CLOSE_RSP` must be sent behind what was
    /// read from the endpoint.
    Close {
        /// Its name.
        id: ConnectId,
        /// The connection.
        connection: C,
    },
    /// Not for any connection: this must be sent.
    Reply(FromAgent),
    /// Nothing: bytes for connection 0, a dial that was answered already.
    Nothing,
}

impl<C> Default for AgentTable<C> {
    fn default() -> Self {
        Self {
            last_id: 0,
            connections: BTreeMap::new(),
        }
    }
}

impl<C: Clone> AgentTable<C> {
    /// What a packet means. `mint` makes the handle of a connection that is to be opened.
    pub fn receive(&mut self, packet: ToAgent, mint: impl FnOnce(ConnectId) -> C) -> Request<C> {
        match packet {
            ToAgent::Dial {
                dial,
                protocol,
                address,
            } => {
                // Counted for failed dials too, as the reference does: names are never used again.
                self.last_id += 1;
                let id = ConnectId(self.last_id);
                let connection = mint(id);
                let entry = Entry {
                    connection: connection.clone(),
                    dial: Some(dial),
                };
                self.connections.insert(id, entry);
                Request::Dial {
                    id,
                    dial,
                    connection,
                    protocol,
                    address,
                }
            }
            ToAgent::CancelDial { dial } => self.give_up(dial),
            ToAgent::Data { id, .. } if id.is_none() => Request::Nothing,
            ToAgent::Data { id, data } => match self.answered(id) {
                Some(entry) => Request::Deliver {
                    id,
                    connection: entry.connection.clone(),
                    data,
                },
                None => closed(id, "unrecognized connectID"),
            },
            ToAgent::Close { id } => {
                match self.answered(id).map(|entry| entry.connection.clone()) {
                    Some(connection) => {
                        self.connections.remove(&id);
                        Request::Close { id, connection }
                    }
                    None => closed(id, "Unknown connectID"),
                }
            }
        }
    }

    /// A dial succeeded: what must be sent, or nothing if the server has given it up.
    pub fn dialled(&mut self, id: ConnectId) -> Option<FromAgent> {
        let dial = self.connections.get_mut(&id)?.dial.take()?;
        Some(FromAgent::Dialled { dial, id })
    }

    /// A dial failed: what must be sent, or nothing if the server has given it up.
    pub fn failed(&mut self, id: ConnectId, error: String) -> Option<FromAgent> {
        let dial = self.connections.get_mut(&id)?.dial.take()?;
        self.connections.remove(&id);
        Some(FromAgent::DialFailed { dial, error })
    }

    /// A connection ended by itself: what must be sent behind its last bytes, or nothing if the
    /// server has closed it, and been answered, before.
    pub fn ended(&mut self, id: ConnectId, error: String) -> Option<FromAgent> {
        let entry = self.connections.remove(&id)?;
        Some(match entry.dial {
            Some(dial) => FromAgent::DialFailed { dial, error },
            None => FromAgent::Closed { id, error },
        })
    }

    /// How many connections there are, dials included.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is no connection and no dial.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The stream is gone: every connection once.
    pub fn lose(&mut self) -> Vec<C> {
        let connections = std::mem::take(&mut self.connections);
        connections
            .into_values()
            .map(|entry| entry.connection)
            .collect()
    }

    fn answered(&self, id: ConnectId) -> Option<&Entry<C>> {
        self.connections
            .get(&id)
            .filter(|entry| entry.dial.is_none())
    }

    /// Of two dials with one name, the older one is meant.
    fn give_up(&mut self, dial: DialId) -> Request<C> {
        let named = self
            .connections
            .iter()
            .find(|(_, entry)| entry.dial == Some(dial));
        let Some(id) = named.map(|(id, _)| *id) else {
            return Request::Nothing;
        };
        match self.connections.remove(&id) {
            Some(entry) => Request::GiveUp {
                connection: entry.connection,
            },
            None => Request::Nothing,
        }
    }
}

fn closed<C>(id: ConnectId, error: &str) -> Request<C> {
    Request::Reply(FromAgent::Closed {
        id,
        error: error.to_owned(),
    })
}
