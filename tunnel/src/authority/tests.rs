//! Holds `authority.rs` to what it promises.

use std::time::Duration;

use bytes::BytesMut;
use h2::server;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

const SOCKET: &str = "%2Fetc%2Fkubernetes%2Fkonnectivity-server%2Fkonnectivity-server.socket";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

/// The fields that grpc-go sends, with an authority of the caller's.
fn fields(authority: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/ProxyService/Proxy"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.72.1"),
        ("te", "trailers"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec()
}

fn block(encoder: &mut loona_hpack::Encoder<'_>, authority: &str) -> Vec<u8> {
    let fields = fields(authority);
    encoder.encode(
        fields
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice())),
    )
}

fn plain(authority: &str) -> Vec<u8> {
    block(&mut loona_hpack::Encoder::new(), authority)
}

/// Feeds `bytes` in pieces, as the adaptor does, and returns what h2 would read.
fn scan(pieces: &[&[u8]]) -> Result<Vec<u8>, ScanError> {
    let mut scanner = Scanner::default();
    let mut out = BytesMut::new();
    for piece in pieces {
        let kept = scanner.pass(piece);
        out.extend_from_slice(&piece[..kept]);
        scanner.divert(&piece[kept..], &mut out)?;
    }
    Ok(out.to_vec())
}

/// Frames of a byte stream behind the preface: kind, flags, stream, payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut found = Vec::new();
    bytes.advance(PREFACE.len());
    while !bytes.is_empty() {
        let length = usize::try_from(bytes.get_uint(3)).unwrap();
        let (kind, flags, stream) = (bytes.get_u8(), bytes.get_u8(), bytes.get_u32());
        found.push((kind, flags, stream, bytes[..length].to_vec()));
        bytes.advance(length);
    }
    found
}

fn authority_of(block: &[u8]) -> Vec<u8> {
    let list = loona_hpack::Decoder::new().decode(block).unwrap();
    list.into_iter()
        .find(|(name, _)| name == b":authority")
        .unwrap()
        .1
}

/// Serves one request of a raw client through the adaptor; the status that the client is sent.
async fn serve(client_bytes: Vec<u8>) -> (http::request::Parts, DuplexStream) {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    client.write_all(&client_bytes).await.unwrap();
    let mut connection = server::handshake(LegalAuthority::new(server))
        .await
        .unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let reply = http::Response::builder()
        .status(StatusCode::OK)
        .body(())
        .unwrap();
    respond.send_response(reply, true).unwrap();
    connection.graceful_shutdown();
    tokio::time::timeout(Duration::from_millis(50), connection.accept())
        .await
        .ok();
    (request.into_parts().0, client)
}

async fn reaches_h2(authority: &str, expected: &str) {
    let bytes = [
        PREFACE.to_vec(),
        settings(),
        frame(1, 4, 1, &plain(authority)),
    ]
    .concat();
    let (request, mut client) = serve(bytes).await;
    assert_eq!(request.uri.path(), "/ProxyService/Proxy");
    assert_eq!(request.uri.authority().unwrap().as_str(), expected);
    assert_eq!(request.headers["user-agent"], "grpc-go/1.72.1");
    let mut answer = vec![0; 4096];
    let n = client.read(&mut answer).await.unwrap();
    let answered = frames(&[PREFACE, &answer[..n]].concat());
    assert!(
        answered
            .iter()
            .any(|(kind, _, stream, _)| (*kind, *stream) == (1, 1)),
        "HEADERS"
    );
    assert!(
        !answered.iter().any(|(kind, ..)| *kind == 3),
        "no RST_STREAM"
    );
}

#[tokio::test]
async fn authority_of_kube_apiserver_is_served() {
    reaches_h2(SOCKET, "localhost").await;
}

#[tokio::test]
async fn raw_path_is_served() {
    reaches_h2(
        "/etc/kubernetes/konnectivity-server/konnectivity-server.socket",
        "localhost",
    )
    .await;
}

#[tokio::test]
async fn empty_authority_is_served() {
    reaches_h2("", "localhost").await;
}

#[tokio::test]
async fn legal_authorities_are_kept() {
    reaches_h2("localhost", "localhost").await;
    reaches_h2("konnectivity.example:8090", "konnectivity.example:8090").await;
    reaches_h2("[::1]:8090", "[::1]:8090").await;
}

#[tokio::test]
async fn stock_h2_refuses_what_the_adaptor_makes_legal() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let bytes = [PREFACE.to_vec(), settings(), frame(1, 4, 1, &plain(SOCKET))].concat();
    client.write_all(&bytes).await.unwrap();
    let mut connection = server::handshake(server).await.unwrap();
    let accepted = tokio::time::timeout(Duration::from_millis(50), connection.accept()).await;
    assert!(
        accepted.is_err(),
        "the adaptor can go: h2 serves this authority by itself"
    );
    let mut answer = vec![0; 4096];
    let n = client.read(&mut answer).await.unwrap();
    let answered = frames(&[PREFACE, &answer[..n]].concat());
    assert!(answered.iter().any(|(kind, ..)| *kind == 3), "RST_STREAM");
}

#[test]
fn every_split_gives_the_same_frames() {
    let head = plain(SOCKET);
    let (first, second) = head.split_at(11);
    let bytes = [
        PREFACE.to_vec(),
        settings(),
        frame(6, 0, 0, b"pingpong"),
        frame(1, 0, 1, first),
        frame(9, 4, 1, second),
        frame(0, 0, 1, b"hello"),
        frame(8, 0, 0, &[0, 0, 1, 0]),
        frame(0, 1, 1, b""),
    ]
    .concat();
    let whole = scan(&[&bytes]).unwrap();
    let found = frames(&whole);
    assert_eq!(
        found.iter().map(|f| f.0).collect::<Vec<_>>(),
        [4, 6, 1, 0, 8, 0]
    );
    assert_eq!(authority_of(&found[2].3), b"localhost");
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(scan(&[left, right]).unwrap(), whole, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(scan(&single).unwrap(), whole);
}

#[test]
fn padding_and_priority_are_removed() {
    let mut payload = vec![3, 0, 0, 0, 0, 15];
    payload.extend(plain(SOCKET));
    payload.extend([0; 3]);
    let bytes = [PREFACE.to_vec(), frame(1, 0x2d, 1, &payload)].concat();
    let found = frames(&scan(&[&bytes]).unwrap());
    assert_eq!((found[0].0, found[0].1, found[0].2), (1, 5, 1));
    assert_eq!(authority_of(&found[0].3), b"localhost");
    let short = [PREFACE.to_vec(), frame(1, 0x2c, 1, &[9, 0, 0, 0, 0, 1, 2])].concat();
    assert_eq!(scan(&[&short]), Err(ScanError::Padding));
    let empty = [PREFACE.to_vec(), frame(1, 0x0c, 1, &[])].concat();
    assert_eq!(scan(&[&empty]), Err(ScanError::Padding));
}

#[test]
fn second_request_uses_the_table_of_the_first() {
    let mut encoder = loona_hpack::Encoder::new();
    let first = block(&mut encoder, SOCKET);
    let second = block(&mut encoder, SOCKET);
    assert!(second.len() < first.len());
    let bytes = [
        PREFACE.to_vec(),
        frame(1, 4, 1, &first),
        frame(1, 4, 3, &second),
    ]
    .concat();
    let found = frames(&scan(&[&bytes]).unwrap());
    assert_eq!(found[0].3, found[1].3, "each block stands alone");
}

#[test]
fn size_updates_are_followed_and_swallowed() {
    let mut with_update = vec![0x20, 0x3f, 0xe1, 0x1f];
    with_update.extend(plain(SOCKET));
    let found = frames(&scan(&[PREFACE, &frame(1, 4, 1, &with_update)]).unwrap());
    assert_eq!(authority_of(&found[0].3), b"localhost");
    for hostile in [
        &[0x3f][..],
        &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x3f, 0xff, 0xff, 3],
    ] {
        let scanned = scan(&[PREFACE, &frame(1, 4, 1, hostile)]);
        assert!(matches!(scanned, Err(ScanError::Block(_))), "{hostile:x?}");
    }
    let behind = [plain(SOCKET), vec![0x20]].concat();
    assert!(scan(&[PREFACE, &frame(1, 4, 1, &behind)]).is_err());
}

#[test]
fn header_blocks_are_bounded() {
    let flood: Vec<u8> = (0..65)
        .flat_map(|n| frame(if n == 0 { 1 } else { 9 }, 0, 1, &[]))
        .collect();
    assert_eq!(scan(&[PREFACE, &flood]), Err(ScanError::Fragments));
    let big = frame(1, 4, 1, &vec![0x82; 17_000]);
    assert_eq!(scan(&[PREFACE, &big]), Err(BlockError::TooLarge.into()));
    let bomb = frame(1, 4, 1, &vec![0x82; 16_000]);
    assert_eq!(scan(&[PREFACE, &bomb]), Err(BlockError::TooLarge.into()));
    let interrupted = [frame(1, 0, 1, &[]), settings()].concat();
    assert_eq!(
        scan(&[PREFACE, &interrupted]),
        Err(ScanError::Interrupted(4))
    );
}

#[test]
fn long_values_survive() {
    let long = "x".repeat(9000);
    let found = frames(&scan(&[PREFACE, &frame(1, 4, 1, &plain(&long))]).unwrap());
    assert_eq!(authority_of(&found[0].3), long.as_bytes());
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, at: usize) {
        let bytes = [PREFACE, &frame(1, 4, 1, &bytes), &bytes].concat();
        let (left, right) = bytes.split_at(at % bytes.len());
        let split = scan(&[left, right]);
        proptest::prop_assert_eq!(scan(&[&bytes]), split);
    }
}
