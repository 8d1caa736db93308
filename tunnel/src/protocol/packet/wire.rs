//! The reference's messages, field by field (konnectivity.md 1.1): proto3 without a package.
//!
//! Written by hand for prost: seven messages need no generator. Mind the order of fields in
//! [`DialResponse`] and [`CloseResponse`], where the error comes first.

use bytes::Bytes;

/// `PacketType`; the first is the default and therefore absent on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum PacketType {
    DialReq = 0,
    DialRsp = 1,
    CloseReq = 2,
    CloseRsp = 3,
    Data = 4,
    DialCls = 5,
    Drain = 6,
}

/// `Packet`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Wire {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(oneof = "Payload", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub(super) payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Payload {
    #[prost(message, tag = "2")]
    DialRequest(DialRequest),
    #[prost(message, tag = "3")]
    DialResponse(DialResponse),
    #[prost(message, tag = "4")]
    Data(Data),
    #[prost(message, tag = "5")]
    CloseRequest(CloseRequest),
    #[prost(message, tag = "6")]
    CloseResponse(CloseResponse),
    #[prost(message, tag = "7")]
    CloseDial(CloseDial),
    #[prost(message, tag = "8")]
    Drain(Drain),
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct DialRequest {
    #[prost(string, tag = "1")]
    pub(super) protocol: String,
    #[prost(string, tag = "2")]
    pub(super) address: String,
    #[prost(int64, tag = "3")]
    pub(super) random: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct DialResponse {
    #[prost(string, tag = "1")]
    pub(super) error: String,
    #[prost(int64, tag = "2")]
    pub(super) connect_id: i64,
    #[prost(int64, tag = "3")]
    pub(super) random: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Data {
    #[prost(int64, tag = "1")]
    pub(super) connect_id: i64,
    #[prost(string, tag = "2")]
    pub(super) error: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) bytes: Bytes,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct CloseRequest {
    #[prost(int64, tag = "1")]
    pub(super) connect_id: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct CloseResponse {
    #[prost(string, tag = "1")]
    pub(super) error: String,
    #[prost(int64, tag = "2")]
    pub(super) connect_id: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct CloseDial {
    #[prost(int64, tag = "1")]
    pub(super) random: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Drain {}
