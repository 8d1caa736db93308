//! What must hold for any bytes at all.
//!
//! Each function is one target of `cargo fuzz run <name>` (from `tunnel/fuzz`, with a nightly
//! compiler). `tests/it/fuzz.rs` replays the corpus through the same functions, so that a finding
//! that is kept in `corpus/<name>/` stays found.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use tunnel::authority::Scanner;
use tunnel::protocol::framing::{Decoder, frame};
use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::native::control::{Control, Decoder as ControlDecoder};
use tunnel::protocol::native::dial::{DialRequest, Refusal};
use tunnel::protocol::native::hello::{AgentHello, ServerHello};
use tunnel::protocol::packet::{AnyPacket, FromAgent, ToAgent};
use tunnel::protocol::table::{AgentTable, Answer, Request, ServerTable};
use tunnel::protocol::token::{self, Keys, Rule};
use tunnel::server::connect_request as head;

/// What is decoded can be encoded, and is the same again.
pub(super) fn packet(bytes: &[u8]) {
    let Ok(Some(packet)) = AnyPacket::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let (head, body) = packet.clone().encode();
    let again = AnyPacket::decode([head.freeze(), body].concat().into());
    assert_eq!(again, Ok(Some(packet)));
}

/// How a stream is cut changes nothing. The first byte says where.
pub(super) fn framing(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else {
        return;
    };
    let whole = decode(stream, usize::MAX);
    let cut = decode(stream, usize::from(cut) + 1);
    assert_eq!(whole, cut);
}

/// All packets, written again with neighbouring DATA joined, and how it ended.
fn decode(stream: &[u8], piece: usize) -> (Vec<u8>, String) {
    let mut decoder = Decoder::<FromAgent>::default();
    let mut out: Vec<FromAgent> = Vec::new();
    let mut end = String::new();
    for piece in stream.chunks(piece.max(1)) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => join(&mut out, packet),
                Ok(None) => break,
                Err(error) => {
                    end = error.to_string();
                    break;
                }
            }
        }
        if !end.is_empty() {
            break;
        }
    }
    // Inside a broken message a part of its payload may have been passed on.
    if !end.is_empty() || decoder.finish().is_err() {
        while let Some(FromAgent::Data { .. }) = out.last() {
            out.pop();
        }
    }
    (
        out.into_iter()
            .flat_map(|packet| frame(packet).concat())
            .collect(),
        end,
    )
}

fn join(out: &mut Vec<FromAgent>, packet: FromAgent) {
    match (out.last_mut(), packet) {
        (
            Some(FromAgent::Data { id, data }),
            FromAgent::Data {
                id: next,
                data: more,
            },
        ) if *id == next => {
            *data = [data.as_ref(), more.as_ref()].concat().into();
        }
        (_, packet) => out.push(packet),
    }
}

/// Each dial and each connection ends once, at both ends. Two bytes are one event.
pub(super) fn table(bytes: &[u8]) {
    server_table(bytes);
    agent_table(bytes);
}

fn server_table(bytes: &[u8]) {
    let mut table = ServerTable::<i64, ConnectId>::default();
    let (mut waiting, mut open, mut last) = (BTreeSet::new(), BTreeSet::new(), 0);
    for event in bytes.chunks_exact(2) {
        let (dial, id) = (
            DialId(i64::from(event[1] >> 4)),
            ConnectId(i64::from(event[1] & 15)),
        );
        let packet = match event[0] % 8 {
            0 => {
                last += 1;
                table.dial(last);
                waiting.insert(last);
                continue;
            }
            1 => {
                if let Some(waiter) = table.give_up(dial) {
                    assert!(waiting.remove(&waiter));
                }
                continue;
            }
            2 => {
                if let Some(id) = table.close(id) {
                    assert!(open.remove(&id));
                }
                continue;
            }
            3 => FromAgent::Dialled { dial, id },
            4 => FromAgent::DialFailed {
                dial,
                error: "refused".to_owned(),
            },
            5 => FromAgent::CancelDial { dial },
            6 => FromAgent::Data {
                id,
                data: Bytes::from_static(b"x"),
            },
            _ => FromAgent::Closed {
                id,
                error: String::new(),
            },
        };
        match table.receive(packet, |id| id) {
            Ok(Answer::Opened { waiter, id, .. }) => {
                assert!(waiting.remove(&waiter) && open.insert(id));
            }
            Ok(Answer::Refused { waiter, .. } | Answer::GivenUp { waiter }) => {
                assert!(waiting.remove(&waiter));
            }
            Ok(Answer::Deliver { id, .. }) => assert!(open.contains(&id)),
            Ok(Answer::Closed { id, .. }) => assert!(open.remove(&id)),
            Ok(
                Answer::Unwanted { .. } | Answer::Unknown { .. } | Answer::Drain | Answer::Nothing,
            ) => {}
            Err(_) => break,
        }
        assert_eq!(table.len(), waiting.len() + open.len());
    }
    let (waiters, connections) = table.lose();
    assert_eq!(waiters.into_iter().collect::<BTreeSet<_>>(), waiting);
    assert_eq!(connections.into_iter().collect::<BTreeSet<_>>(), open);
}

fn agent_table(bytes: &[u8]) {
    let mut table = AgentTable::<ConnectId>::default();
    let (mut dialling, mut open) = (BTreeSet::new(), BTreeSet::new());
    for event in bytes.chunks_exact(2) {
        let (dial, id) = (
            DialId(i64::from(event[1] >> 4)),
            ConnectId(i64::from(event[1] & 15)),
        );
        let packet = match event[0] % 8 {
            0 | 1 => ToAgent::Dial {
                dial,
                protocol: "tcp".to_owned(),
                address: "a:1".to_owned(),
            },
            2 => ToAgent::CancelDial { dial },
            3 => ToAgent::Data {
                id,
                data: Bytes::from_static(b"x"),
            },
            4 => ToAgent::Close { id },
            5 => {
                if table.dialled(id).is_some() {
                    assert!(dialling.remove(&id) && open.insert(id));
                }
                continue;
            }
            6 => {
                if table.failed(id, "refused".to_owned()).is_some() {
                    assert!(dialling.remove(&id));
                }
                continue;
            }
            _ => {
                if table.ended(id, String::new()).is_some() {
                    assert!(dialling.remove(&id) || open.remove(&id));
                }
                continue;
            }
        };
        match table.receive(packet, |id| id) {
            Request::Dial { id, .. } => assert!(dialling.insert(id)),
            Request::GiveUp { connection } => assert!(dialling.remove(&connection)),
            Request::Deliver { id, .. } => assert!(open.contains(&id)),
            Request::Close { id, .. } => assert!(open.remove(&id)),
            Request::Reply(_) | Request::Nothing => {}
        }
        assert_eq!(table.len(), dialling.len() + open.len());
    }
}

/// The adaptor in front of h2: no panic, no memory without bound, and cuts change nothing.
pub(super) fn authority(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else {
        return;
    };
    let whole = scan(stream, usize::MAX);
    let cut = scan(stream, usize::from(cut) + 1);
    assert_eq!(whole, cut);
}

fn scan(stream: &[u8], piece: usize) -> Result<Vec<u8>, String> {
    let mut scanner = Scanner::default();
    let mut out = BytesMut::new();
    for piece in stream.chunks(piece.max(1)) {
        let kept = scanner.pass(piece);
        out.extend_from_slice(&piece[..kept]);
        scanner
            .divert(&piece[kept..], &mut out)
            .map_err(|error| error.to_string())?;
    }
    Ok(out.to_vec())
}

/// A key of ECDSA over P-256 whose private half nobody kept.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEI4cF0SbfZQqN2cXmTioDnDZC17XZ
amt6SEK7oqKNhLJdx5HH2ovjLqcSQ7Jxwj/PikSHANbtub8h1XLZjUCVpg==
-----END PUBLIC KEY-----
";

/// Agents' tokens: nothing unsigned is accepted, and claims that are accepted name what the rule names.
pub(super) fn token(bytes: &[u8]) {
    let rule = Rule {
        issuers: Vec::new(),
        audience: "a".to_owned(),
        namespace: "n".to_owned(),
        service_account: "s".to_owned(),
    };
    let now = 1_800_000_000;
    if let Ok(text) = std::str::from_utf8(bytes) {
        let keys = Keys::from_pem(KEY.as_bytes()).expect("a key");
        assert!(token::verify(text, &keys, &rule, now).is_err());
        let _ = token::expiry(text);
    }
    if let Ok(identity) = token::judge(bytes, &rule, now) {
        let text = String::from_utf8_lossy(bytes);
        assert!(text.contains("kubernetes.io") || text.contains('\\'));
        let last = identity.expires.saturating_add(token::LEEWAY);
        assert!(last >= now);
        if let Some(later) = last.checked_add(1) {
            assert!(token::judge(bytes, &rule, later).is_err());
        }
    }
    let _ = Keys::from_pem(bytes).map(|keys| assert!(keys.count() > 0));
}

/// The head of a CONNECT request: what is accepted stays accepted with more behind it.
pub(super) fn connect_request(bytes: &[u8]) {
    let Ok(Some(request)) = head::parse(bytes) else {
        return;
    };
    assert!(request.head <= bytes.len() && request.head <= head::LIMIT);
    let more = [bytes, b"more".as_slice()].concat();
    assert_eq!(head::parse(&more), Ok(Some(request)));
}

/// Control messages: how the stream is cut changes nothing, and what is understood can be said again. The first byte
/// says where it is cut.
pub(super) fn native_control(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else {
        return;
    };
    let whole = control(stream, usize::MAX);
    assert_eq!(whole, control(stream, usize::from(cut) + 1));
    let again: Vec<u8> = whole
        .0
        .iter()
        .flat_map(|message| message.clone().encode().expect("no longer than it came"))
        .collect();
    assert_eq!(control(&again, usize::MAX), (whole.0, String::new()));
}

/// All messages, and how it ended.
fn control(stream: &[u8], piece: usize) -> (Vec<Control>, String) {
    let mut decoder = ControlDecoder::default();
    let mut out = Vec::new();
    for piece in stream.chunks(piece.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => out.push(message),
                Ok(None) => break,
                Err(error) => return (out, error.to_string()),
            }
        }
    }
    let end = decoder.finish();
    (
        out,
        end.err().map(|error| error.to_string()).unwrap_or_default(),
    )
}

/// Heads of the native mode: a method and a URI on the first line, headers on the others. What is understood can be
/// said again, and means the same.
pub(super) fn native_head(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let at = first
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(first.len());
    let (method, uri) = first.split_at(at);
    let uri = uri.get(1..).unwrap_or_default();
    let (Ok(method), Ok(uri)) = (http::Method::from_bytes(method), http::Uri::try_from(uri)) else {
        return;
    };
    let mut headers = http::HeaderMap::new();
    for line in lines {
        let at = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name),
            http::HeaderValue::from_bytes(value.get(1..).unwrap_or_default()),
        ) {
            headers.append(name, value);
        }
    }
    let mut request = http::Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers.clone();
    if let Ok(hello) = ServerHello::read(&request)
        && let Ok(again) = hello.request()
    {
        assert_eq!(ServerHello::read(&again), Ok(hello));
    }
    if let Ok(dial) = DialRequest::read(&request)
        && let Ok(again) = dial.request()
    {
        assert_eq!(DialRequest::read(&again), Ok(dial));
    }
    let mut response = http::Response::new(());
    *response.headers_mut() = headers;
    if let Ok(hello) = AgentHello::read(&response)
        && let Ok(again) = hello.response()
    {
        assert_eq!(AgentHello::read(&again), Ok(hello));
    }
    *response.status_mut() = http::StatusCode::BAD_GATEWAY;
    let refusal = Refusal::check(&response).expect_err("it is refused");
    assert!(Refusal::check(&refusal.response()).is_err());
}
