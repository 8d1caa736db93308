//! The server with agents of the native mode: who is let in, what a dial means, what outlives an agent.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;
use tunnel::protocol::native::ALPN;
use tunnel::protocol::native::control::Control;
use tunnel::protocol::native::dial::{Refusal, RefusalKind};
use tunnel::protocol::native::hello::AgentHello;
use tunnel::protocol::packet::{FromFrontend, ToFrontend};

use crate::native_support::{NativeAgent, knock};
use crate::server_support::{ESTABLISHED, House, expect_bytes, rest, soon};

const READY: &str = "ready_backends{proxy_strategy=\"default\"}";

#[tokio::test]
async fn agent_that_is_let_in_is_told_so_and_counts() {
    let house = House::open("http-connect", &["--server-count=3"]).await;
    let mut agent = NativeAgent::enter(&house, "a").await;
    assert_eq!(agent.hello.server_id, "server-1");
    assert_eq!(agent.hello.server_count, 3);
    let members = Control::Members {
        count: 3,
        ids: vec!["server-1".to_owned()],
    };
    assert_eq!(agent.hears().await, Some(members));
    house.metric_becomes(READY, 1.0).await;
    drop(agent);
    house.metric_becomes(READY, 0.0).await;
}

#[tokio::test]
async fn agent_without_its_token_is_refused_in_the_words_of_the_reference() {
    let flags = [
        "--agent-namespace=kube-system",
        "--agent-service-account=konnectivity-agent",
        "--authentication-audience=system:konnectivity-server",
    ];
    let house = House::open("http-connect", &flags).await;
    let hello = AgentHello::default();
    let mut agent = NativeAgent::knocks(&house, hello).await;
    let reason = "Authentication context was not found in metadata".to_owned();
    assert_eq!(agent.hears().await, Some(Control::Refused { reason }));
    assert_eq!(agent.hears().await, None);
    house.metric_becomes(READY, 0.0).await;
}

#[tokio::test]
async fn bytes_pass_both_ways_and_packets_are_counted() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = NativeAgent::enter(&house, "a").await;
    let mut client = house.connect("10.0.0.7:10250").await;
    let dial = agent.dial().await;
    assert_eq!(dial.request.destination.to_string(), "10.0.0.7:10250");
    assert_eq!(dial.request.timeout, Duration::from_secs(5));
    let mut opened = dial.opens();
    expect_bytes(&mut client, ESTABLISHED).await;
    client.write_all(b"ping").await.expect("it reads");
    client.shutdown().await.expect("a half-close");
    assert_eq!(
        opened.rest().await.expect("in order"),
        (b"ping".to_vec(), None)
    );
    let pong = Bytes::from_static(b"pong, after the client was done");
    opened.sending.send_data(pong, true).expect("it lives");
    assert_eq!(rest(&mut client).await, "pong, after the client was done");
    house.metric_becomes("established_connections", 0.0).await;
    for (kind, segment) in [
        ("DIAL_REQ", "to_agent"),
        ("DIAL_RSP", "from_agent"),
        ("DATA", "to_agent"),
        ("DATA", "from_agent"),
        ("CLOSE_REQ", "to_agent"),
        ("CLOSE_RSP", "from_agent"),
    ] {
        let line = format!("stream_packets_total{{packet_type=\"{kind}\",segment=\"{segment}\"}}");
        house.metric_becomes(&line, 1.0).await;
    }
}

#[tokio::test]
async fn endpoint_that_is_done_still_hears_the_client() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = NativeAgent::enter(&house, "a").await;
    let mut client = house.connect("x:1").await;
    let mut opened = agent.opens().await;
    expect_bytes(&mut client, ESTABLISHED).await;
    let all = Bytes::from_static(b"all there is");
    opened.sending.send_data(all, true).expect("it lives");
    assert_eq!(rest(&mut client).await, "all there is");
    client.write_all(b"thank you").await.expect("it reads");
    drop(client);
    let heard = opened.rest().await.expect("in order");
    assert_eq!(heard, (b"thank you".to_vec(), None));
    house.metric_becomes("established_connections", 0.0).await;
}

#[tokio::test]
async fn agents_words_decide_the_answer_of_a_failed_dial() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = NativeAgent::enter(&house, "a").await;
    for (kind, text, status) in [
        (
            RefusalKind::Failed,
            "dial tcp 10.0.0.1:1: connect: connection refused",
            "502 Bad Gateway",
        ),
        (
            RefusalKind::Timeout,
            "dial tcp 10.0.0.1:1: i/o timeout",
            "504 Gateway Timeout",
        ),
        (
            RefusalKind::Unavailable,
            "no room",
            "503 Service Unavailable",
        ),
    ] {
        let mut client = house.connect("10.0.0.1:1").await;
        agent.dial().await.refuses(&Refusal::new(kind, text));
        let answer = rest(&mut client).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}: {text}\r\n")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn client_that_vanishes_cancels_its_dial() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = NativeAgent::enter(&house, "a").await;
    let client = house.connect("x:1").await;
    let mut dial = agent.dial().await;
    drop(client);
    assert_eq!(dial.cancelled().await, Reason::CANCEL);
    house.metric_becomes("pending_backend_dials", 0.0).await;
}

#[tokio::test]
async fn dial_that_one_agent_refuses_or_loses_is_repeated_on_another() {
    let house = House::open("http-connect", &[]).await;
    for is_lost in [false, true] {
        let mut first = NativeAgent::enter(&house, "a").await;
        let mut client = house.connect("x:1").await;
        let dial = first.dial().await;
        let mut second = NativeAgent::enter(&house, "b").await;
        if is_lost {
            drop((dial, first));
        } else {
            dial.refuses(&Refusal::new(RefusalKind::Unavailable, "draining"));
        }
        let _opened = second.opens().await;
        expect_bytes(&mut client, ESTABLISHED).await;
    }
}

#[tokio::test]
async fn frozen_agent_is_noticed_and_its_dial_moves_to_another() {
    let house = House::open("http-connect", &["--native-keepalive-time=500ms"]).await;
    let mut frozen = NativeAgent::enter(&house, "a").await;
    let mut client = house.connect("x:1").await;
    let _unanswered = frozen.dial().await;
    let mut other = NativeAgent::enter(&house, "b").await;
    frozen.freezes();
    let begun = Instant::now();
    let _opened = other.opens().await;
    expect_bytes(&mut client, ESTABLISHED).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "by silence");
    house.metric_becomes(READY, 1.0).await;
}

#[tokio::test]
async fn draining_agent_gets_no_dial_while_another_is_there() {
    let house = House::open("http-connect", &[]).await;
    let mut leaving = NativeAgent::enter(&house, "a").await;
    let mut client = house.connect("x:1").await;
    let _opened = leaving.opens().await;
    expect_bytes(&mut client, ESTABLISHED).await;
    leaving.says(Control::Drain).await;
    let drained = "stream_packets_total{packet_type=\"DRAIN\",segment=\"from_agent\"}";
    house.metric_becomes(drained, 1.0).await;
    let mut staying = NativeAgent::enter(&house, "b").await;
    house.metric_becomes(READY, 2.0).await;
    for _ in 0..10 {
        let mut client = house.connect("x:2").await;
        let _opened = staying.opens().await;
        expect_bytes(&mut client, ESTABLISHED).await;
    }
}

#[tokio::test]
async fn cause_of_an_end_travels_both_ways() {
    let house = House::open("grpc", &[]).await;
    let mut agent = NativeAgent::enter(&house, "a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let mut opened = agent.opens().await;
    let ToFrontend::Dialled { id, .. } = frontend.next().await else {
        panic!("no connection");
    };
    let why = "reading from the endpoint failed: connection reset by peer";
    let trailers = tunnel::protocol::native::error_trailers(why);
    opened.sending.send_trailers(trailers).expect("it lives");
    let closed = ToFrontend::Closed {
        id,
        error: why.to_owned(),
    };
    assert_eq!(frontend.next().await, closed);
    assert_eq!(opened.reset().await, Reason::CANCEL);

    let mut frontend = house.frontend().await;
    frontend.dial(2, "x:1").await;
    let mut opened = agent.opens().await;
    let ToFrontend::Dialled { id, .. } = frontend.next().await else {
        panic!("no connection");
    };
    let other = tunnel::protocol::id::ConnectId(id.0 + 77);
    let data = Bytes::from_static(b"whose?");
    frontend.send(FromFrontend::Data { id: other, data }).await;
    let heard = opened.rest().await.expect("trailers");
    assert_eq!(heard.1.as_deref(), Some("mismatched connection IDs"));
}

#[tokio::test]
async fn frontend_that_reads_nothing_takes_one_window_and_no_more() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = NativeAgent::enter(&house, "a").await;
    let mut stalled = house.connect("x:1").await;
    let mut filled = agent.opens().await;
    expect_bytes(&mut stalled, ESTABLISHED).await;
    let mut sent = 0;
    let block = Bytes::from(vec![0x79; 64 * 1024]);
    // Until the window and the buffers of the client's socket are full.
    loop {
        filled.sending.reserve_capacity(block.len());
        let room = std::future::poll_fn(|cx| filled.sending.poll_capacity(cx));
        match tokio::time::timeout(Duration::from_millis(500), room).await {
            Ok(Some(Ok(room))) => {
                let piece = block.slice(..room.min(block.len()));
                sent += piece.len();
                filled.sending.send_data(piece, false).expect("it lives");
            }
            Ok(other) => panic!("{other:?}"),
            Err(_full) if sent >= 256 * 1024 => break,
            Err(_slow) => {}
        }
    }
    assert!((256 * 1024..2 << 20).contains(&sent), "{sent} bytes");
    for _ in 0..20 {
        let mut client = house.connect("x:2").await;
        let mut opened = agent.opens().await;
        expect_bytes(&mut client, ESTABLISHED).await;
        let pong = Bytes::from_static(b"pong");
        opened.sending.send_data(pong, false).expect("it lives");
        expect_bytes(&mut client, "pong").await;
    }
    // It is not closed, and loses nothing.
    filled
        .sending
        .send_data(Bytes::new(), true)
        .expect("it lives");
    assert_eq!(rest(&mut stalled).await.len(), sent);
}

#[tokio::test]
async fn agents_of_the_reference_are_served_beside_native_ones() {
    let house = House::open("http-connect", &[]).await;
    let reference = house.agent("reference").await;
    assert_eq!(reference.server, "server-1");
    let _native = NativeAgent::enter(&house, "native").await;
    house.metric_becomes(READY, 2.0).await;
}

#[tokio::test]
async fn mode_decides_what_agents_are_offered() {
    let house = House::open("http-connect", &["--tunnel-mode=legacy"]).await;
    let socket = knock(&house, &[ALPN, b"h2"]).await.expect("a handshake");
    assert_eq!(
        socket.get_ref().1.alpn_protocol(),
        Some(b"h2".as_slice()),
        "legacy"
    );
    assert!(knock(&house, &[ALPN]).await.is_err(), "legacy");

    let house = House::open("http-connect", &["--tunnel-mode=native"]).await;
    assert!(knock(&house, &[b"h2"]).await.is_err(), "native");
    let _agent = NativeAgent::enter(&house, "a").await;
    let mut silent = knock(&house, &[]).await.expect("no ALPN at all");
    let mut nothing = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut nothing);
    drop(soon("the end", ended).await);
    assert!(nothing.is_empty(), "native");
}
