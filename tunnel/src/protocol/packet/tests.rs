//! Holds `packet.rs` to what it promises.

use proptest::prelude::*;
use prost::Message as _;

use super::wire::{Data, DialResponse, Payload, Wire};
use super::*;

fn whole(packet: AnyPacket) -> Bytes {
    let (head, body) = packet.encode();
    [head.freeze(), body].concat().into()
}

fn any_packet() -> impl Strategy<Value = AnyPacket> {
    let dial = any::<i64>().prop_map(DialId);
    let id = any::<i64>().prop_map(ConnectId);
    let data = prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    prop_oneof![
        (dial.clone(), ".*", ".*").prop_map(|(dial, protocol, address)| AnyPacket::DialReq {
            dial,
            protocol,
            address
        }),
        (dial.clone(), id.clone(), ".*").prop_map(|(dial, id, error)| AnyPacket::DialRsp {
            dial,
            id,
            error
        }),
        dial.prop_map(|dial| AnyPacket::DialCls { dial }),
        (id.clone(), data).prop_map(|(id, data)| AnyPacket::Data { id, data }),
        id.clone().prop_map(|id| AnyPacket::CloseReq { id }),
        (id, ".*").prop_map(|(id, error)| AnyPacket::CloseRsp { id, error }),
        Just(AnyPacket::Drain),
    ]
}

proptest! {
    #[test]
    fn packets_survive_the_wire(packet in any_packet()) {
        prop_assert_eq!(AnyPacket::decode(whole(packet.clone())).unwrap(), Some(packet));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _any_result = AnyPacket::decode(bytes.into());
    }

    #[test]
    fn data_is_written_as_prost_writes_it(id: i64, data: Vec<u8>) {
        let data = Bytes::from(data);
        let wire = Data { connect_id: id, error: String::new(), bytes: data.clone() };
        let wire = Wire { kind: 4, payload: Some(Payload::Data(wire)) };
        let ours = whole(AnyPacket::Data { id: ConnectId(id), data });
        prop_assert_eq!(ours, wire.encode_to_vec());
    }
}

#[test]
fn dial_request_has_no_type_on_the_wire() {
    let packet = AnyPacket::DialReq {
        dial: DialId(7),
        protocol: "tcp".into(),
        address: "a:1".into(),
    };
    assert_eq!(
        whole(packet),
        b"\x12\x0c\x0a\x03tcp\x12\x03a:1\x18\x07".as_slice()
    );
}

#[test]
fn dial_response_has_its_error_first() {
    let packet = AnyPacket::DialRsp {
        dial: DialId(7),
        id: ConnectId(9),
        error: "no".into(),
    };
    assert_eq!(
        whole(packet),
        b"\x08\x01\x1a\x08\x0a\x02no\x10\x09\x18\x07".as_slice()
    );
}

#[test]
fn empty_message_is_a_dial_of_nothing() {
    let empty = ToAgent::decode(Bytes::new()).unwrap();
    let nothing = ToAgent::Dial {
        dial: DialId(0),
        protocol: String::new(),
        address: String::new(),
    };
    assert_eq!(empty, Some(nothing));
}

#[test]
fn mismatched_payload_counts_as_empty() {
    let response = DialResponse {
        error: "x".into(),
        connect_id: 3,
        random: 4,
    };
    let wire = Wire {
        kind: 4,
        payload: Some(Payload::DialResponse(response)),
    };
    let decoded = FromAgent::decode(wire.encode_to_vec().into()).unwrap();
    assert_eq!(
        decoded,
        Some(FromAgent::Data {
            id: ConnectId::NONE,
            data: Bytes::new()
        })
    );
}

#[test]
fn unknown_types_and_other_directions_are_ignored() {
    let unknown = Wire {
        kind: 64,
        payload: None,
    }
    .encode_to_vec();
    assert_eq!(ToAgent::decode(unknown.into()), Ok(None));
    let drain = whole(AnyPacket::Drain);
    assert_eq!(ToAgent::decode(drain.clone()), Ok(None));
    assert_eq!(FromAgent::decode(drain), Ok(Some(FromAgent::Drain)));
}

#[test]
fn unknown_fields_are_skipped() {
    let mut bytes = whole(AnyPacket::CloseReq { id: ConnectId(5) }).to_vec();
    bytes.extend([0x9a, 0x06, 0x02, b'h', b'i']);
    assert_eq!(
        ToAgent::decode(bytes.into()),
        Ok(Some(ToAgent::Close { id: ConnectId(5) }))
    );
}

#[test]
fn payload_is_a_slice_of_the_message() {
    let message = whole(AnyPacket::Data {
        id: ConnectId(1),
        data: Bytes::from(vec![7; 1000]),
    });
    let Some(ToAgent::Data { data, .. }) = ToAgent::decode(message.clone()).unwrap() else {
        panic!("a DATA packet");
    };
    assert!(message.as_ptr_range().contains(&data.as_ptr()));
}
