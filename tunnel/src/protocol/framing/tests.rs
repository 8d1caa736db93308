//! Holds `framing.rs` to what it promises.

use proptest::prelude::*;

use super::*;
use crate::protocol::id::DialId;
use crate::protocol::packet::{FromAgent, ToAgent};

fn bytes_of(packets: &[FromAgent]) -> Vec<u8> {
    packets
        .iter()
        .flat_map(|packet| frame(packet.clone()).concat())
        .collect()
}

/// All packets of a stream cut into pieces of these sizes, over and over.
fn decode(bytes: &[u8], sizes: &[usize]) -> Result<Vec<FromAgent>, FramingError> {
    let mut decoder = Decoder::default();
    let mut packets = Vec::new();
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
        decoder.push(rest.split_to(size));
        while let Some(packet) = decoder.next_packet()? {
            packets.push(packet);
        }
    }
    decoder.finish()?;
    Ok(packets)
}

/// Joins neighbouring DATA of one connection: how they are cut means nothing.
fn joined(packets: Vec<FromAgent>) -> Vec<FromAgent> {
    let mut joined: Vec<FromAgent> = Vec::new();
    for packet in packets {
        match (joined.last_mut(), packet) {
            (
                Some(FromAgent::Data { id, data }),
                FromAgent::Data {
                    id: next,
                    data: more,
                },
            ) if *id == next => {
                *data = [data.as_ref(), more.as_ref()].concat().into();
            }
            (_, packet) => joined.push(packet),
        }
    }
    joined
}

fn packet() -> impl Strategy<Value = FromAgent> {
    let id = (-2_i64..5).prop_map(ConnectId);
    let data = prop::collection::vec(any::<u8>(), 0..400).prop_map(Bytes::from);
    prop_oneof![
        4 => (id.clone(), data).prop_map(|(id, data)| FromAgent::Data { id, data }),
        1 => id.clone().prop_map(|id| FromAgent::Dialled { dial: DialId(3), id }),
        1 => (id, ".{0,40}").prop_map(|(id, error)| FromAgent::Closed { id, error }),
        1 => Just(FromAgent::Drain),
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        packets in prop::collection::vec(packet(), 0..12),
        sizes in prop::collection::vec(1_usize..200, 1..8),
    ) {
        let decoded = decode(&bytes_of(&packets), &sizes).unwrap();
        prop_assert_eq!(joined(decoded), joined(packets));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, sizes in prop::collection::vec(1_usize..9, 1..4)) {
        let whole = decode(&bytes, &[usize::MAX]).map(joined);
        prop_assert_eq!(decode(&bytes, &sizes).map(joined), whole);
    }
}

#[test]
fn large_data_passes_through_as_it_arrives() {
    let data = FromAgent::Data {
        id: ConnectId(1),
        data: Bytes::from(vec![1; 1000]),
    };
    let bytes = Bytes::from(bytes_of(&[data]));
    let mut decoder = Decoder::<FromAgent>::default();
    decoder.push(bytes.slice(..100));
    let Some(FromAgent::Data { data, .. }) = decoder.next_packet().unwrap() else {
        panic!("a piece")
    };
    assert!(!data.is_empty());
    assert!(bytes.as_ptr_range().contains(&data.as_ptr()), "not copied");
    assert_eq!(decoder.next_packet(), Ok(None));
    assert_eq!(decoder.finish(), Err(FramingError::Truncated));
}

#[test]
fn data_in_an_unusual_order_is_gathered() {
    let payload = [[0x1a, 50].as_slice(), &[7; 50], &[0x08, 0x09]].concat();
    let mut message = vec![0x08, 0x04, 0x22, u8::try_from(payload.len()).unwrap()];
    message.extend(payload);
    let mut bytes = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
    bytes.extend(message);
    let expected = FromAgent::Data {
        id: ConnectId(9),
        data: Bytes::from(vec![7; 50]),
    };
    assert_eq!(decode(&bytes, &[3]), Ok(vec![expected]));
}

#[test]
fn oversized_message_is_refused_by_its_length() {
    let length = u32::try_from(MAX_MESSAGE + 1).unwrap();
    let prefix = [[0].as_slice(), &length.to_be_bytes()].concat();
    assert_eq!(
        decode(&prefix, &[5]),
        Err(FramingError::TooLarge(MAX_MESSAGE + 1))
    );
    let error = decode(&prefix, &[1]).unwrap_err().to_string();
    assert_eq!(
        error,
        "grpc: received message larger than max (4194305 vs. 4194304)"
    );
}

#[test]
fn largest_message_is_taken() {
    let payload = Bytes::from(vec![3; MAX_MESSAGE - 16]);
    let packet = ToAgent::Data {
        id: ConnectId(1),
        data: payload.clone(),
    };
    let mut decoder = Decoder::<ToAgent>::default();
    for part in frame(packet) {
        decoder.push(part);
    }
    let mut received = 0;
    while let Some(packet) = decoder.next_packet().unwrap() {
        let ToAgent::Data { data, .. } = packet else {
            panic!("DATA")
        };
        received += data.len();
    }
    assert_eq!(received, payload.len());
}

#[test]
fn compression_and_nonsense_are_refused() {
    assert_eq!(
        decode(&[1, 0, 0, 0, 0], &[5]),
        Err(FramingError::Compressed)
    );
    assert_eq!(decode(&[9, 0, 0, 0, 0], &[5]), Err(FramingError::Flag(9)));
    let broken = decode(&[0, 0, 0, 0, 2, 0x0a, 0x7f], &[7]);
    assert!(matches!(broken, Err(FramingError::Packet(_))));
}
