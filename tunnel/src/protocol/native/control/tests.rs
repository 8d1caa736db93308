//! Control messages arrive whole however the stream is cut, and nonsense ends in an error.

use proptest::prelude::*;

use super::*;

fn message() -> impl Strategy<Value = Control> {
    prop_oneof![
        Just(Control::Admitted),
        ".{0,60}".prop_map(|reason| Control::Refused { reason }),
        any::<u64>().prop_map(|nonce| Control::Ping { nonce }),
        any::<u64>().prop_map(|nonce| Control::Pong { nonce }),
        Just(Control::Drain),
        (
            any::<u32>(),
            proptest::collection::vec("[a-z0-9-]{0,40}", 0..6)
        )
            .prop_map(|(count, ids)| Control::Members { count, ids }),
        ".{0,300}".prop_map(|text| Control::Token(Token(text))),
    ]
}

fn decode(stream: &[u8], piece: usize) -> (Vec<Control>, Result<(), ControlError>) {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => out.push(message),
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
    }
    (out, decoder.finish())
}

#[test]
fn bytes_of_the_wire_are_these() {
    for (message, bytes) in [
        (Control::Admitted, &[2, 0x0a, 0][..]),
        (Control::Ping { nonce: 5 }, &[4, 0x1a, 2, 8, 5]),
        (Control::Drain, &[2, 0x2a, 0]),
    ] {
        assert_eq!(message.clone().encode().unwrap(), bytes, "{message:?}");
        assert_eq!(decode(bytes, 1), (vec![message], Ok(())));
    }
}

#[test]
fn unknown_kinds_and_fields_are_skipped() {
    // Field 15 of the message, then an Admitted with a field of its own.
    let stream = [2, 0x7a, 0, 4, 0x0a, 2, 8, 1];
    assert_eq!(decode(&stream, 3), (vec![Control::Admitted], Ok(())));
}

#[test]
fn too_long_a_message_is_refused_before_it_is_kept() {
    let ids = vec!["x".repeat(MAX_MESSAGE)];
    let members = Control::Members { count: 1, ids };
    assert_eq!(members.encode(), Err(ControlError::TooLong));
    for stream in [&[0x81, 0x80, 0x04][..], &[0xff, 0xff, 0xff, 0x01]] {
        assert_eq!(decode(stream, 1), (Vec::new(), Err(ControlError::TooLong)));
    }
}

#[test]
fn end_inside_a_message_is_told() {
    assert_eq!(
        decode(&[2, 0x0a], 1),
        (Vec::new(), Err(ControlError::Truncated))
    );
}

#[test]
fn tokens_are_never_shown() {
    let token = Control::Token(Token("secret".to_owned()));
    assert_eq!(format!("{token:?}"), "Token(Token(..))");
}

proptest! {
    #[test]
    fn messages_arrive_however_they_are_cut(
        messages in proptest::collection::vec(message(), 0..8),
        piece in 1_usize..40,
    ) {
        let stream: Vec<u8> = messages
            .iter()
            .flat_map(|message| message.clone().encode().unwrap())
            .collect();
        prop_assert_eq!(decode(&stream, piece), (messages, Ok(())));
    }

    #[test]
    fn nonsense_never_panics_and_cuts_change_nothing(
        stream in proptest::collection::vec(any::<u8>(), 1..300),
        piece in 1_usize..40,
    ) {
        prop_assert_eq!(decode(&stream, piece), decode(&stream, stream.len()));
    }
}
