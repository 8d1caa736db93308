//! What the two ends of a native connection tell each other beside the bytes.
//!
//! In: messages; pieces of the hello's body, cut anywhere. Out: bytes with a varint length in front
//! of each message; messages. Unknown kinds and fields are skipped, so that newer peers are
//! understood. A decoder keeps no more than one message and the piece that was pushed last.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;

use crate::protocol::delimited::{self, Delimited};

pub use crate::protocol::delimited::{MAX_MESSAGE, MessageError as ControlError};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The server's first word: dials may come.
    Admitted,
    /// The server's only word: it ends the connection.
    Refused {
        /// Why, in the reference's words.
        reason: String,
    },
    /// Must be answered at once by a [`Control::Pong`] of the same number.
    Ping {
        /// Which ping.
        nonce: u64,
    },
    /// The answer to a [`Control::Ping`].
    Pong {
        /// Which ping.
        nonce: u64,
    },
    /// No new dials; what is open goes on.
    Drain,
    /// The servers that are alive.
    Members {
        /// How many there are.
        count: u32,
        /// Their ids, as far as they are known.
        ids: Vec<String>,
    },
    /// The agent's token, renewed.
    Token(Token),
}

/// A token; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Control {
    /// The message with its length.
    ///
    /// # Errors
    /// [`ControlError::TooLong`].
    pub fn encode(self) -> Result<Bytes, ControlError> {
        delimited::encode(&Wire {
            kind: Some(self.into()),
        })
    }
}

/// Turns pieces of a body into messages.
#[derive(Debug, Default)]
pub struct Decoder(Delimited);

impl Decoder {
    /// Takes what was received next. Ask for messages until there is none before the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.0.push(piece);
    }

    /// The next message that is known, or `None` until more is pushed.
    ///
    /// # Errors
    /// The connection must be ended.
    pub fn next_message(&mut self) -> Result<Option<Control>, ControlError> {
        while let Some(bytes) = self.0.next_bytes()? {
            if let Some(kind) = Wire::decode(bytes)?.kind {
                return Ok(Some(kind.into()));
            }
        }
        Ok(None)
    }

    /// Says whether the body may end here.
    ///
    /// # Errors
    /// [`ControlError::Truncated`].
    pub fn finish(&self) -> Result<(), ControlError> {
        self.0.finish()
    }
}

/// `Control`, field by field.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Wire {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Admitted(Empty),
    #[prost(message, tag = "2")]
    Refused(Text),
    #[prost(message, tag = "3")]
    Ping(Nonce),
    #[prost(message, tag = "4")]
    Pong(Nonce),
    #[prost(message, tag = "5")]
    Drain(Empty),
    #[prost(message, tag = "6")]
    Members(Members),
    #[prost(message, tag = "7")]
    Token(Text),
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Empty {}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Nonce {
    #[prost(uint64, tag = "1")]
    nonce: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Members {
    #[prost(uint32, tag = "1")]
    count: u32,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

impl From<Control> for Kind {
    fn from(control: Control) -> Self {
        match control {
            Control::Admitted => Self::Admitted(Empty {}),
            Control::Refused { reason } => Self::Refused(Text { text: reason }),
            Control::Ping { nonce } => Self::Ping(Nonce { nonce }),
            Control::Pong { nonce } => Self::Pong(Nonce { nonce }),
            Control::Drain => Self::Drain(Empty {}),
            Control::Members { count, ids } => Self::Members(Members { count, ids }),
            Control::Token(Token(text)) => Self::Token(Text { text }),
        }
    }
}

impl From<Kind> for Control {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Admitted(Empty {}) => Self::Admitted,
            Kind::Refused(Text { text }) => Self::Refused { reason: text },
            Kind::Ping(Nonce { nonce }) => Self::Ping { nonce },
            Kind::Pong(Nonce { nonce }) => Self::Pong { nonce },
            Kind::Drain(Empty {}) => Self::Drain,
            Kind::Members(Members { count, ids }) => Self::Members { count, ids },
            Kind::Token(Text { text }) => Self::Token(Token(text)),
        }
    }
}

#[cfg(test)]
mod tests;
