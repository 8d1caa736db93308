//! Packets as types, one enum per direction; the only room that knows their encoding.
//!
//! In: one message of the stream. Out: what it means, or nothing if this direction does not know
//! its type. Payload bytes are never copied: they are slices of what was received.

use bytes::{Bytes, BytesMut};

use super::id::{ConnectId, DialId};

mod any;
mod wire;

#[cfg(test)]
mod tests;

pub use any::AnyPacket;

/// The message is no packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed packet")]
pub struct DecodeError(#[from] prost::DecodeError);

/// A packet of one direction, from and to the bytes of one message.
pub trait Packet: Sized {
    /// The packet, if this direction knows its type.
    fn narrow(any: AnyPacket) -> Option<Self>;

    /// The packet without its direction.
    fn widen(self) -> AnyPacket;

    /// The wire's word for it, as metrics and logs have it.
    fn name(&self) -> &'static str;

    /// Decodes one message; `None` for a type that this direction does not know, to be ignored.
    ///
    /// # Errors
    /// The bytes are no packet at all.
    fn decode(message: Bytes) -> Result<Option<Self>, DecodeError> {
        Ok(AnyPacket::decode(message)?.and_then(Self::narrow))
    }

    /// The encoded message in two parts; the second one is the payload, not copied.
    fn encode(self) -> (BytesMut, Bytes) {
        self.widen().encode()
    }
}

/// The two directions that ask for connections say the same things.
macro_rules! requests {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            /// `DIAL_REQ`: open a connection.
            Dial {
                /// The dialling side's name for the dial.
                dial: DialId,
                /// Go's name of a network; kube-apiserver says `tcp`.
                protocol: String,
                /// `host:port`.
                address: String,
            },
            /// `DIAL_CLS`: nobody waits for this dial any more.
            CancelDial {
                /// Which dial.
                dial: DialId,
            },
            /// DATA towards the endpoint.
            Data {
                /// Of which connection.
                id: ConnectId,
                /// The bytes.
                data: Bytes,
            },
            /// `CLOSE_REQ`: close the connection and say so.
            Close {
                /// Which connection.
                id: ConnectId,
            },
        }

        impl Packet for $name {
            fn narrow(any: AnyPacket) -> Option<Self> {
                Some(match any {
                    AnyPacket::DialReq { dial, protocol, address } => {
                        Self::Dial { dial, protocol, address }
                    }
                    AnyPacket::DialCls { dial } => Self::CancelDial { dial },
                    AnyPacket::Data { id, data } => Self::Data { id, data },
                    AnyPacket::CloseReq { id } => Self::Close { id },
                    AnyPacket::DialRsp { .. } | AnyPacket::CloseRsp { .. } | AnyPacket::Drain => {
                        return None;
                    }
                })
            }

            fn widen(self) -> AnyPacket {
                match self {
                    Self::Dial { dial, protocol, address } => {
                        AnyPacket::DialReq { dial, protocol, address }
                    }
                    Self::CancelDial { dial } => AnyPacket::DialCls { dial },
                    Self::Data { id, data } => AnyPacket::Data { id, data },
                    Self::Close { id } => AnyPacket::CloseReq { id },
                }
            }

            fn name(&self) -> &'static str {
                match self {
                    Self::Dial { .. } => "DIAL_REQ",
                    Self::CancelDial { .. } => "DIAL_CLS",
                    Self::Data { .. } => "DATA",
                    Self::Close { .. } => "CLOSE_REQ",
                }
            }
        }
    };
}

requests!(
    /// What a server sends to an agent.
    ToAgent
);
requests!(
    /// What kube-apiserver sends to a server's gRPC frontend.
    FromFrontend
);

/// What an agent sends to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromAgent {
    /// `DIAL_RSP` without error: the connection is open.
    Dialled {
        /// The dial that is answered.
        dial: DialId,
        /// The connection's name from now on.
        id: ConnectId,
    },
    /// `DIAL_RSP` with an error.
    DialFailed {
        /// The dial that is answered.
        dial: DialId,
        /// Go's error text; it reaches the user.
        error: String,
    },
    /// `DIAL_CLS`: the agent gave the dial up.
    CancelDial {
        /// Which dial.
        dial: DialId,
    },
    /// DATA from the endpoint.
    Data {
        /// Of which connection.
        id: ConnectId,
        /// The bytes.
        data: Bytes,
    },
    /// `CLOSE_RSP`: the connection is over.
    Closed {
        /// Which connection.
        id: ConnectId,
        /// Why; empty for an end in order.
        error: String,
    },
    /// DRAIN: no new dials, please.
    Drain,
}

/// What a server's gRPC frontend sends to kube-apiserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToFrontend {
    /// `DIAL_RSP` without error: the connection is open.
    Dialled {
        /// The dial that is answered.
        dial: DialId,
        /// The connection's name from now on.
        id: ConnectId,
    },
    /// `DIAL_RSP` with an error.
    DialFailed {
        /// The dial that is answered.
        dial: DialId,
        /// The text kube-apiserver shows.
        error: String,
    },
    /// DATA from the endpoint.
    Data {
        /// Of which connection.
        id: ConnectId,
        /// The bytes.
        data: Bytes,
    },
    /// `CLOSE_RSP`: the connection is over.
    Closed {
        /// Which connection.
        id: ConnectId,
        /// Why; empty for an end in order.
        error: String,
    },
}

impl Packet for FromAgent {
    fn narrow(any: AnyPacket) -> Option<Self> {
        Some(match any {
            AnyPacket::DialRsp { dial, id, error } if error.is_empty() => {
                Self::Dialled { dial, id }
            }
            AnyPacket::DialRsp { dial, error, .. } => Self::DialFailed { dial, error },
            AnyPacket::DialCls { dial } => Self::CancelDial { dial },
            AnyPacket::Data { id, data } => Self::Data { id, data },
            AnyPacket::CloseRsp { id, error } => Self::Closed { id, error },
            AnyPacket::Drain => Self::Drain,
            AnyPacket::DialReq { .. } | AnyPacket::CloseReq { .. } => return None,
        })
    }

    fn widen(self) -> AnyPacket {
        match self {
            Self::Dialled { dial, id } => AnyPacket::DialRsp {
                dial,
                id,
                error: String::new(),
            },
            Self::DialFailed { dial, error } => AnyPacket::DialRsp {
                dial,
                id: ConnectId::NONE,
                error,
            },
            Self::CancelDial { dial } => AnyPacket::DialCls { dial },
            Self::Data { id, data } => AnyPacket::Data { id, data },
            Self::Closed { id, error } => AnyPacket::CloseRsp { id, error },
            Self::Drain => AnyPacket::Drain,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Dialled { .. } | Self::DialFailed { .. } => "DIAL_RSP",
            Self::CancelDial { .. } => "DIAL_CLS",
            Self::Data { .. } => "DATA",
            Self::Closed { .. } => "CLOSE_RSP",
            Self::Drain => "DRAIN",
        }
    }
}

impl Packet for ToFrontend {
    fn narrow(any: AnyPacket) -> Option<Self> {
        Some(match any {
            AnyPacket::DialRsp { dial, id, error } if error.is_empty() => {
                Self::Dialled { dial, id }
            }
            AnyPacket::DialRsp { dial, error, .. } => Self::DialFailed { dial, error },
            AnyPacket::Data { id, data } => Self::Data { id, data },
            AnyPacket::CloseRsp { id, error } => Self::Closed { id, error },
            AnyPacket::DialReq { .. }
            | AnyPacket::DialCls { .. }
            | AnyPacket::CloseReq { .. }
            | AnyPacket::Drain => return None,
        })
    }

    fn widen(self) -> AnyPacket {
        match self {
            Self::Dialled { dial, id } => AnyPacket::DialRsp {
                dial,
                id,
                error: String::new(),
            },
            Self::DialFailed { dial, error } => AnyPacket::DialRsp {
                dial,
                id: ConnectId::NONE,
                error,
            },
            Self::Data { id, data } => AnyPacket::Data { id, data },
            Self::Closed { id, error } => AnyPacket::CloseRsp { id, error },
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Dialled { .. } | Self::DialFailed { .. } => "DIAL_RSP",
            Self::Data { .. } => "DATA",
            Self::Closed { .. } => "CLOSE_RSP",
        }
    }
}
