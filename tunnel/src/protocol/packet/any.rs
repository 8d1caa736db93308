//! A packet of either direction, and its encoding.
//!
//! A type that does not match its payload counts as one with an empty payload, as the reference's
//! nil-safe getters have it; unknown types are no packets, unknown fields are skipped.

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::DecodeError;
use super::wire::{CloseDial, CloseRequest, CloseResponse, DialRequest, DialResponse, Drain};
use super::wire::{PacketType, Payload, Wire};
use crate::protocol::id::{ConnectId, DialId};

/// What any side may say; the directions are [`super::ToAgent`] and its kin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are documented at the directions")]
pub enum AnyPacket {
    /// `DIAL_REQ`.
    DialReq {
        dial: DialId,
        protocol: String,
        address: String,
    },
    /// `DIAL_RSP`.
    DialRsp {
        dial: DialId,
        id: ConnectId,
        error: String,
    },
    /// `DIAL_CLS`.
    DialCls { dial: DialId },
    /// DATA.
    Data { id: ConnectId, data: Bytes },
    /// `CLOSE_REQ`.
    CloseReq { id: ConnectId },
    /// `CLOSE_RSP`.
    CloseRsp { id: ConnectId, error: String },
    /// DRAIN.
    Drain,
}

/// The payload of a kind, or its default.
macro_rules! payload {
    ($wire:expr, $variant:ident) => {
        match $wire.payload {
            Some(Payload::$variant(payload)) => payload,
            _ => Default::default(),
        }
    };
}

impl AnyPacket {
    /// Decodes one message; `None` for a type nobody knows.
    ///
    /// # Errors
    /// The bytes are no packet at all.
    pub fn decode(message: Bytes) -> Result<Option<Self>, DecodeError> {
        let wire = Wire::decode(message)?;
        let Ok(kind) = PacketType::try_from(wire.kind) else {
            return Ok(None);
        };
        Ok(Some(match kind {
            PacketType::DialReq => {
                let DialRequest {
                    protocol,
                    address,
                    random,
                } = payload!(wire, DialRequest);
                Self::DialReq {
                    dial: DialId(random),
                    protocol,
                    address,
                }
            }
            PacketType::DialRsp => {
                let DialResponse {
                    error,
                    connect_id,
                    random,
                } = payload!(wire, DialResponse);
                Self::DialRsp {
                    dial: DialId(random),
                    id: ConnectId(connect_id),
                    error,
                }
            }
            PacketType::DialCls => Self::DialCls {
                dial: DialId(payload!(wire, CloseDial).random),
            },
            PacketType::Data => {
                let payload = payload!(wire, Data);
                Self::Data {
                    id: ConnectId(payload.connect_id),
                    data: payload.bytes,
                }
            }
            PacketType::CloseReq => Self::CloseReq {
                id: ConnectId(payload!(wire, CloseRequest).connect_id),
            },
            PacketType::CloseRsp => {
                let CloseResponse { error, connect_id } = payload!(wire, CloseResponse);
                Self::CloseRsp {
                    id: ConnectId(connect_id),
                    error,
                }
            }
            PacketType::Drain => Self::Drain,
        }))
    }

    /// The encoded message in two parts; the second one is the payload, not copied.
    pub fn encode(self) -> (BytesMut, Bytes) {
        let (kind, payload) = match self {
            Self::DialReq {
                dial,
                protocol,
                address,
            } => {
                let request = DialRequest {
                    protocol,
                    address,
                    random: dial.0,
                };
                (PacketType::DialReq, Payload::DialRequest(request))
            }
            Self::DialRsp { dial, id, error } => {
                let response = DialResponse {
                    error,
                    connect_id: id.0,
                    random: dial.0,
                };
                (PacketType::DialRsp, Payload::DialResponse(response))
            }
            Self::DialCls { dial } => (
                PacketType::DialCls,
                Payload::CloseDial(CloseDial { random: dial.0 }),
            ),
            Self::Data { id, data } => return encode_data(id, data),
            Self::CloseReq { id } => (
                PacketType::CloseReq,
                Payload::CloseRequest(CloseRequest { connect_id: id.0 }),
            ),
            Self::CloseRsp { id, error } => {
                let response = CloseResponse {
                    error,
                    connect_id: id.0,
                };
                (PacketType::CloseRsp, Payload::CloseResponse(response))
            }
            Self::Drain => (PacketType::Drain, Payload::Drain(Drain {})),
        };
        let wire = Wire {
            kind: kind.into(),
            payload: Some(payload),
        };
        let mut head = BytesMut::with_capacity(wire.encoded_len());
        wire.encode_raw(&mut head);
        (head, Bytes::new())
    }
}

/// What prost would write, without copying the bytes.
fn encode_data(id: ConnectId, data: Bytes) -> (BytesMut, Bytes) {
    let mut inner = BytesMut::with_capacity(24);
    if !id.is_none() {
        prost::encoding::int64::encode(1, &id.0, &mut inner);
    }
    if !data.is_empty() {
        encode_key(3, WireType::LengthDelimited, &mut inner);
        encode_varint(data.len() as u64, &mut inner);
    }
    let length = (inner.len() + data.len()) as u64;
    let mut head = BytesMut::with_capacity(3 + encoded_len_varint(length) + inner.len());
    prost::encoding::int32::encode(1, &PacketType::Data.into(), &mut head);
    encode_key(4, WireType::LengthDelimited, &mut head);
    encode_varint(length, &mut head);
    head.unsplit(inner);
    (head, data)
}
