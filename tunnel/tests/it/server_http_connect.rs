//! HTTP CONNECT over the Unix socket, as kube-apiserver uses it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tunnel::protocol::packet::{FromAgent, ToAgent};

use crate::server_support::{ESTABLISHED, House, expect_bytes, rest, soon};

#[tokio::test]
async fn bytes_pass_both_ways_and_the_agents_close_ends_the_socket() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    assert_eq!(
        (agent.server.as_str(), agent.count.as_str()),
        ("server-1", "1")
    );
    let mut client = house.connect("10.0.0.7:10250").await;
    let (dial, address) = agent.dial().await;
    assert_eq!(address, "10.0.0.7:10250");
    let id = tunnel::protocol::id::ConnectId(1);
    agent.send(FromAgent::Dialled { dial, id }).await;
    expect_bytes(&mut client, ESTABLISHED).await;
    client.write_all(b"ping").await.expect("it reads");
    assert_eq!(
        agent.next().await,
        ToAgent::Data {
            id,
            data: "ping".into()
        }
    );
    agent.data(id, "pong").await;
    agent
        .send(FromAgent::Closed {
            id,
            error: String::new(),
        })
        .await;
    assert_eq!(rest(&mut client).await, "pong");
    house.metric_becomes("established_connections", 0.0).await;
    house.metric_becomes("http_connections", 0.0).await;
}

#[tokio::test]
async fn bytes_sent_ahead_of_the_answer_reach_the_endpoint() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    let _client = house
        .client("CONNECT x:1 HTTP/1.1\r\n\r\nearly\r\n\r\nbird")
        .await;
    let id = agent.open(1).await;
    assert_eq!(
        agent.next().await,
        ToAgent::Data {
            id,
            data: "early\r\n\r\nbird".into()
        }
    );
}

#[tokio::test]
async fn client_that_is_done_closes_behind_its_last_byte_and_still_reads() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    let mut client = house.connect("x:1").await;
    let id = agent.open(1).await;
    expect_bytes(&mut client, ESTABLISHED).await;
    client.write_all(b"last").await.expect("it reads");
    client.shutdown().await.expect("a half-close");
    assert_eq!(
        agent.next().await,
        ToAgent::Data {
            id,
            data: "last".into()
        }
    );
    assert_eq!(agent.next().await, ToAgent::Close { id });
    agent.data(id, "on its way").await;
    agent
        .send(FromAgent::Closed {
            id,
            error: String::new(),
        })
        .await;
    assert_eq!(rest(&mut client).await, "on its way");
}

#[tokio::test]
async fn without_an_agent_the_answer_comes_at_once() {
    let house = House::open("http-connect", &[]).await;
    let mut client = house.connect("x:1").await;
    let answer = rest(&mut client).await;
    assert!(
        answer.starts_with("HTTP/1.1 500 Internal Server Error: "),
        "{answer}"
    );
    assert!(
        answer.ends_with("currently no tunnels available: No agent available"),
        "{answer}"
    );
    house
        .metric_becomes("dial_failure_count{reason=\"no_agent\"}", 1.0)
        .await;
}

#[tokio::test]
async fn refused_endpoint_is_a_bad_gateway_in_the_agents_words() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    let mut client = house.connect("x:1").await;
    let (dial, _) = agent.dial().await;
    let error = "dial tcp 10.0.0.1:1: connect: connection refused".to_owned();
    agent.send(FromAgent::DialFailed { dial, error }).await;
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway: "), "{answer}");
    assert!(answer.ends_with("connect: connection refused"), "{answer}");
    house
        .metric_becomes("dial_failure_count{reason=\"error_response\"}", 1.0)
        .await;
}

#[tokio::test]
async fn other_methods_are_refused() {
    let house = House::open("http-connect", &[]).await;
    let mut client = house.client("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        rest(&mut client)
            .await
            .starts_with("HTTP/1.1 405 Method Not Allowed\r\n")
    );
    let mut client = house
        .client(&format!("CONNECT x:1 HTTP/1.1\r\nA: {}", "a".repeat(9000)))
        .await;
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn client_that_vanishes_cancels_the_dial_and_a_late_connection_is_closed() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    let client = house.connect("x:1").await;
    let (dial, _) = agent.dial().await;
    drop(client);
    assert_eq!(agent.next().await, ToAgent::CancelDial { dial });
    let id = tunnel::protocol::id::ConnectId(5);
    agent.send(FromAgent::Dialled { dial, id }).await;
    assert_eq!(agent.next().await, ToAgent::Close { id });
    house
        .metric_becomes("dial_failure_count{reason=\"frontend_close\"}", 1.0)
        .await;
    house.metric_becomes("pending_backend_dials", 0.0).await;
}

#[tokio::test]
async fn dial_that_dies_with_its_agent_is_repeated_on_another() {
    let house = House::open("http-connect", &[]).await;
    let mut first = house.agent("a").await;
    let mut client = house.connect("x:1").await;
    first.dial().await;
    let mut second = house.agent("b").await;
    drop(first);
    second.open(1).await;
    expect_bytes(&mut client, ESTABLISHED).await;
    house.metric_becomes("dial_retries_total", 1.0).await;
}

#[tokio::test]
async fn dial_that_dies_with_the_last_agent_is_answered_when_none_follows() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    let mut client = house.connect("x:1").await;
    agent.dial().await;
    drop(agent);
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway: "), "{answer}");
    assert!(answer.contains("Backend context error: "), "{answer}");
}

#[tokio::test]
async fn silent_agent_is_given_up_within_the_flag() {
    let house = House::open("http-connect", &["--backend-dial-timeout=200ms"]).await;
    let mut agent = house.agent("a").await;
    let mut client = house.connect("x:1").await;
    let (dial, _) = agent.dial().await;
    let answer = tokio::time::timeout(Duration::from_secs(4), rest(&mut client)).await;
    let answer = answer.expect("within the flag, not when an agent may come");
    assert!(
        answer.starts_with("HTTP/1.1 504 Gateway Timeout: "),
        "{answer}"
    );
    assert!(
        answer.ends_with("timed out waiting for backend dial\r\n"),
        "{answer}"
    );
    assert_eq!(agent.next().await, ToAgent::CancelDial { dial });
}

#[tokio::test]
async fn client_that_reads_nothing_is_closed_alone() {
    let house = House::open("http-connect", &["--stalled-connection-timeout=300ms"]).await;
    let mut agent = house.agent("a").await;
    let mut stalled = house.connect("x:1").await;
    let stalled_id = agent.open(1).await;
    expect_bytes(&mut stalled, ESTABLISHED).await;
    let mut lively = house.connect("y:1").await;
    let lively_id = agent.open(2).await;
    expect_bytes(&mut lively, ESTABLISHED).await;
    for _ in 0..40 {
        agent.data(stalled_id, vec![0; 64 * 1024]).await;
        agent.data(lively_id, "tick").await;
        expect_bytes(&mut lively, "tick").await;
    }
    house.metric_becomes("stalled_connections_total", 1.0).await;
    assert_eq!(agent.next().await, ToAgent::Close { id: stalled_id });
    agent.data(lively_id, "still here").await;
    expect_bytes(&mut lively, "still here").await;
    house.metric_becomes("queued_bytes", 0.0).await;
}

#[tokio::test]
async fn agent_that_is_lost_ends_its_connections() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    let mut client = house.connect("x:1").await;
    let id = agent.open(1).await;
    expect_bytes(&mut client, ESTABLISHED).await;
    agent.data(id, "tail").await;
    expect_bytes(&mut client, "tail").await;
    drop(agent);
    assert_eq!(rest(&mut client).await, "");
    house
        .metric_becomes("grpc_connections{service_method=\"Connect\"}", 0.0)
        .await;
}

#[tokio::test]
async fn drain_waits_for_the_last_client_and_removes_the_socket() {
    let mut house = House::open("http-connect", &["--graceful-shutdown-timeout=60s"]).await;
    let mut agent = house.agent("a").await;
    let mut client = house.connect("x:1").await;
    let id = agent.open(1).await;
    expect_bytes(&mut client, ESTABLISHED).await;
    house.trigger.start();
    // What is open goes on, and what kube-apiserver still needs is still dialled.
    agent.data(id, "goes on").await;
    expect_bytes(&mut client, "goes on").await;
    let mut late = house.connect("y:1").await;
    let late_id = agent.open(2).await;
    expect_bytes(&mut late, ESTABLISHED).await;
    let early = tokio::time::timeout(Duration::from_millis(300), house.running.join_next()).await;
    assert!(early.is_err(), "it ended with clients connected");
    for id in [id, late_id] {
        agent
            .send(FromAgent::Closed {
                id,
                error: String::new(),
            })
            .await;
    }
    drop((client, late));
    soon("the end of the server", house.running.join_next())
        .await
        .expect("it ran")
        .expect("well");
}

#[tokio::test]
async fn drain_without_grace_ends_at_once() {
    let mut house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    let mut client = house.connect("x:1").await;
    agent.open(1).await;
    expect_bytes(&mut client, ESTABLISHED).await;
    house.trigger.start();
    soon("the end of the server", house.running.join_next())
        .await
        .expect("it ran")
        .expect("well");
}

#[tokio::test]
async fn frontend_on_tcp_must_show_a_certificate() {
    let tcp = [
        "--uds-name=",
        "--server-port=8090",
        "--server-cert=DIR/tls.crt",
        "--server-key=DIR/tls.key",
        "--server-ca-cert=DIR/ca.crt",
    ];
    let house = House::open("http-connect", &tcp).await;
    let mut agent = house.agent("a").await;
    let identity = (house.file("tls.crt"), house.file("tls.key"));
    let mut client = house
        .tls_client(Some(identity))
        .await
        .expect("it is let in");
    client
        .write_all(b"CONNECT x:1 HTTP/1.1\r\n\r\n")
        .await
        .expect("it reads");
    let id = agent.open(1).await;
    let mut answer = vec![0; ESTABLISHED.len()];
    soon("an answer", client.read_exact(&mut answer))
        .await
        .expect("it comes");
    assert_eq!(answer, ESTABLISHED.as_bytes());
    agent.data(id, "pong").await;
    agent
        .send(FromAgent::Closed {
            id,
            error: String::new(),
        })
        .await;
    let mut rest = String::new();
    soon("the end", client.read_to_string(&mut rest))
        .await
        .expect("it ends in order");
    assert_eq!(rest, "pong");

    // With TLS 1.3 the client learns of the refusal when it reads.
    if let Ok(mut stranger) = house.tls_client(None).await {
        drop(stranger.write_all(b"CONNECT x:1 HTTP/1.1\r\n\r\n").await);
        let read = soon("a refusal", stranger.read_to_string(&mut rest)).await;
        read.expect_err("a stranger must not be answered");
    }
}
