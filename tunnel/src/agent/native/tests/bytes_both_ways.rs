//! What happens to bytes: order, ends, resets, and connections that stand still.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::support::*;
use crate::protocol::native::{error_text, error_trailers};

/// Bytes without a period that frames or buffers have.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

async fn rest_of(endpoint: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    let read = timeout(SOON, endpoint.read_to_end(&mut rest)).await;
    read.expect("it closes").map(|_count| rest)
}

async fn all_closed(server: &Server) {
    let closed = async {
        while server.door.metrics.open_endpoints.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, closed).await.expect("it ends by itself");
}

/// Sends and hears once through a connection.
async fn echo(tunnel: &mut Tunnel, endpoint: &mut TcpStream) {
    let there_and_back = async {
        tunnel.to.send(Bytes::from_static(b"ping")).await;
        let mut ping = [0; 4];
        endpoint.read_exact(&mut ping).await.unwrap();
        endpoint.write_all(b"pong").await.unwrap();
        assert_eq!(tunnel.from.exactly(4).await, b"pong");
    };
    timeout(SOON, there_and_back).await.expect("not held up");
}

#[tokio::test]
async fn megabytes_arrive_unchanged_both_ways_at_once() {
    let mut server = Server::start().await;
    let (mut tunnel, mut endpoint) = server.open().await;
    let (down, up) = (noise(5_000_003), noise(7_000_001));
    let sending = async {
        tunnel.to.send(Bytes::from(down.clone())).await;
        tunnel.to.end();
    };
    let (mut reader, mut writer) = endpoint.split();
    let reading = async {
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        received
    };
    let writing = async {
        writer.write_all(&up).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let all = async { tokio::join!(sending, reading, writing, tunnel.from.rest()) };
    let ((), received, (), (sent_up, trailers)) = timeout(SOON, all).await.expect("all arrives");
    assert!(received == down && sent_up == up);
    assert!(trailers.is_none(), "an end in order has no words");
    all_closed(&server).await;
    assert!(server.door.packets("DATA", "to_agent") > 50);
    assert!(server.door.packets("DATA", "from_agent") > 50);
}

#[tokio::test]
async fn the_server_may_end_its_direction_alone() {
    let mut server = Server::start().await;
    let (mut tunnel, mut endpoint) = server.open().await;
    tunnel.to.send(Bytes::from_static(b"question")).await;
    tunnel.to.end();
    assert_eq!(rest_of(&mut endpoint).await.unwrap(), b"question");
    endpoint.write_all(b"answer").await.unwrap();
    assert_eq!(tunnel.from.exactly(6).await, b"answer");
    assert_eq!(server.door.metrics.open_endpoints.get(), 1);
    drop(endpoint);
    assert_eq!(tunnel.from.rest().await, (Vec::new(), None));
    all_closed(&server).await;
}

#[tokio::test]
async fn the_endpoint_may_end_its_direction_alone() {
    let mut server = Server::start().await;
    let (mut tunnel, mut endpoint) = server.open().await;
    endpoint.write_all(b"question").await.unwrap();
    endpoint.shutdown().await.unwrap();
    assert_eq!(tunnel.from.rest().await, (b"question".to_vec(), None));
    tunnel.to.send(Bytes::from_static(b"answer")).await;
    let mut answer = [0; 6];
    endpoint.read_exact(&mut answer).await.unwrap();
    assert_eq!(
        (&answer, server.door.metrics.open_endpoints.get()),
        (b"answer", 1)
    );
    tunnel.to.end();
    assert!(rest_of(&mut endpoint).await.unwrap().is_empty());
    all_closed(&server).await;
}

#[tokio::test]
async fn an_endpoint_that_breaks_is_told_in_trailers_behind_its_last_words() {
    let mut server = Server::start().await;
    let (mut tunnel, mut endpoint) = server.open().await;
    endpoint.write_all(b"last words").await.unwrap();
    assert_eq!(tunnel.from.exactly(10).await, b"last words");
    SockRef::from(&endpoint)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(endpoint);
    let (rest, trailers) = tunnel.from.rest().await;
    let text = error_text(&trailers.expect("trailers")).expect("a reason");
    assert!(rest.is_empty());
    assert!(
        text.starts_with("reading from the endpoint failed: Connection reset"),
        "{text}"
    );
    all_closed(&server).await;
}

#[tokio::test]
async fn what_the_endpoint_wrote_before_it_hung_up_on_us_arrives() {
    let mut server = Server::start().await;
    let (mut tunnel, mut endpoint) = server.open().await;
    let answer = noise(100_000);
    endpoint.write_all(&answer).await.unwrap();
    drop(endpoint);
    // This meets a closed socket.
    tunnel
        .to
        .0
        .send_data(Bytes::from(vec![0; 100_000]), false)
        .unwrap();
    tunnel
        .to
        .0
        .send_data(Bytes::from(vec![0; 100_000]), false)
        .unwrap();
    let mut received = Vec::new();
    while let Some(Ok(data)) = tunnel.from.next().await {
        received.extend_from_slice(&data);
    }
    assert!(received == answer, "{} bytes", received.len());
    all_closed(&server).await;
}

#[tokio::test]
async fn what_breaks_at_the_server_resets_the_endpoint() {
    let mut server = Server::start().await;
    let (mut by_words, mut first) = server.open().await;
    let (mut by_reset, mut second) = server.open().await;
    by_words
        .to
        .0
        .send_trailers(error_trailers("the client hung up"))
        .unwrap();
    by_reset.to.0.send_reset(Reason::CANCEL);
    for endpoint in [&mut first, &mut second] {
        let error = rest_of(endpoint).await.expect_err("no end in order");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    all_closed(&server).await;
}

#[tokio::test]
async fn a_reset_reaches_a_connection_whose_other_direction_has_ended() {
    let mut server = Server::start().await;
    let (mut tunnel, mut endpoint) = server.open().await;
    tunnel.to.end();
    assert!(rest_of(&mut endpoint).await.unwrap().is_empty());
    drop(tunnel);
    all_closed(&server).await;
}

#[tokio::test]
async fn endpoints_that_stand_still_stop_nobody_else_and_cost_one_window() {
    let mut server = Server::start().await;
    let (mut lively, mut endpoint) = server.open().await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let (mut tunnel, unread) = server.open().await;
        let flood = tunnel.to.send(Bytes::from(vec![0; 64 << 20]));
        let held_up = timeout(Duration::from_millis(100), flood).await;
        assert!(held_up.is_err(), "64 MiB do not fit into a window");
        // The kernel still takes some; the agent itself no more than the window.
        assert!(tunnel.to.0.capacity() <= 256 * 1024);
        stalled.push((tunnel, unread));
    }
    for _ in 0..100 {
        echo(&mut lively, &mut endpoint).await;
    }
    let begun = Instant::now();
    let (mut fresh, mut other) = server.open().await;
    echo(&mut fresh, &mut other).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(server.door.metrics.open_endpoints.get(), 22);
}

#[tokio::test]
async fn a_server_that_takes_nothing_of_one_connection_gets_the_others() {
    let mut server = Server::start().await;
    let (mut lively, mut endpoint) = server.open().await;
    let (stalled, mut flooding) = server.open().await;
    let flood = vec![0; 64 << 20];
    let held_up = timeout(Duration::from_millis(500), flooding.write_all(&flood)).await;
    assert!(
        held_up.is_err(),
        "64 MiB do not fit into windows and sockets"
    );
    for _ in 0..100 {
        echo(&mut lively, &mut endpoint).await;
    }
    drop(stalled);
    let error = rest_of(&mut flooding).await.expect_err("given up");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn idle_connections_leave_the_window_to_those_that_work() {
    // If each asked for a buffer's worth before it has anything, sixteen would take all of it.
    let window = 1 << 20;
    let mut server = Server::shaped(Shape {
        window,
        ..Shape::default()
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        let (mut tunnel, mut endpoint) = server.open().await;
        echo(&mut tunnel, &mut endpoint).await;
        idle.push((tunnel, endpoint));
    }
    let (mut tunnel, mut endpoint) = server.open().await;
    let (down, up) = (noise(3_000_000), noise(3_000_000));
    let back = async {
        endpoint.write_all(&up).await.unwrap();
        let mut received = vec![0; down.len()];
        endpoint.read_exact(&mut received).await.unwrap();
        received
    };
    let there = async {
        let sent_up = tunnel.from.exactly(up.len()).await;
        tunnel.to.send(Bytes::from(down.clone())).await;
        sent_up
    };
    let (received, sent_up) = timeout(SOON, async { tokio::join!(back, there) })
        .await
        .expect("all arrives");
    assert!(received == down && sent_up == up);
}
