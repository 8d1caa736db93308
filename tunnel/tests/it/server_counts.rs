//! What a frontend does to its stream, seen on the metrics page under the reference's names.

use h2::Reason;
use tunnel::h2_limits;
use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::packet::{FromAgent, FromFrontend, ToAgent, ToFrontend};

use crate::server_support::{Agent, Frontend, House};

const SEND_RSP: &str = "dial_failure_count{reason=\"send_rsp\"}";
const FULL: &str = "full_receive_channels{service_method=\"Proxy\"}";
const STREAMS: &str = "grpc_connections{service_method=\"Proxy\"}";

fn packets(kind: &str, segment: &str) -> String {
    format!("stream_packets_total{{packet_type=\"{kind}\",segment=\"{segment}\"}}")
}

fn errors(kind: &str, segment: &str) -> String {
    format!("stream_errors_total{{code=\"Canceled\",packet_type=\"{kind}\",segment=\"{segment}\"}}")
}

/// A frontend that takes so many bytes and no more.
async fn frontend_with_room(house: &House, bytes: u32) -> Frontend {
    let mut http2 = h2_limits::client();
    http2.initial_window_size(bytes);
    house.frontend_with(&http2).await
}

#[tokio::test]
async fn answer_to_a_dial_that_the_frontend_did_not_wait_for_is_counted_and_closed() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = frontend_with_room(&house, 0).await;
    frontend.dial(1, "x:1").await;
    let id = agent.open(1).await;
    let answers = packets("DIAL_RSP", "to_client");
    house.metric_becomes(&answers, 1.0).await;
    frontend.writer.reset(Reason::CANCEL);
    house.metric_becomes(SEND_RSP, 1.0).await;
    house
        .metric_becomes(&errors("DIAL_RSP", "to_client"), 1.0)
        .await;
    assert_eq!(agent.next().await, ToAgent::Close { id });
    house.metric_becomes("established_connections", 0.0).await;
}

#[tokio::test]
async fn frontend_that_never_takes_its_answer_is_given_up() {
    let house = House::open("grpc", &["--stalled-connection-timeout=300ms"]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = frontend_with_room(&house, 0).await;
    frontend.dial(1, "x:1").await;
    let id = agent.open(1).await;
    for _ in 0..20 {
        agent.data(id, vec![0; 64 * 1024]).await;
    }
    house.metric_becomes(SEND_RSP, 1.0).await;
    assert_eq!(agent.next().await, ToAgent::Close { id });
    house.metric_becomes("stalled_connections_total", 1.0).await;
    house.metric_becomes("queued_bytes", 0.0).await;
}

#[tokio::test]
async fn client_that_left_before_its_200_is_counted_and_closed() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    // So much ahead of the answer that the server reads no more, and does not see the end.
    let request = format!("CONNECT x:1 HTTP/1.1\r\n\r\n{}", "x".repeat(70_000));
    let client = house.client(&request).await;
    let (dial, _) = agent.dial().await;
    drop(client);
    let id = ConnectId(1);
    agent.send(FromAgent::Dialled { dial, id }).await;
    house.metric_becomes(SEND_RSP, 1.0).await;
    assert_eq!(agent.next().await, ToAgent::Close { id });
}

#[tokio::test]
async fn packet_that_breaks_off_with_its_stream_is_counted() {
    for asks_for_the_close in [false, true] {
        let house = House::open("grpc", &[]).await;
        let mut agent = house.agent("a").await;
        let mut frontend = frontend_with_room(&house, 64).await;
        frontend.dial(1, "x:1").await;
        let id = agent.open(1).await;
        let dial = DialId(1);
        assert_eq!(frontend.next().await, ToFrontend::Dialled { dial, id });
        agent.data(id, vec![0; 1000]).await;
        let data = packets("DATA", "to_client");
        house.metric_becomes(&data, 1.0).await;
        if asks_for_the_close {
            frontend.send(FromFrontend::Close { id }).await;
            assert_eq!(agent.next().await, ToAgent::Close { id });
        }
        frontend.writer.reset(Reason::CANCEL);
        house.metric_becomes(STREAMS, 0.0).await;
        let failed = house.metric(&errors("DATA", "to_client"));
        assert!((failed - 1.0).abs() < 0.1, "{asks_for_the_close}: {failed}");
    }
}

#[tokio::test]
async fn stream_that_waits_for_its_agent_is_counted_while_it_waits() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let id = agent.open(1).await;
    let dial = DialId(1);
    assert_eq!(frontend.next().await, ToFrontend::Dialled { dial, id });
    house.metric_becomes(FULL, 0.0).await;
    tokio::select! {
        () = sends(&mut frontend, id) => {}
        () = house.metric_becomes(FULL, 1.0) => {}
    }
    tokio::select! {
        () = takes(&mut agent) => {}
        () = house.metric_becomes(FULL, 0.0) => {}
    }
}

/// Sends without end.
async fn sends(frontend: &mut Frontend, id: ConnectId) {
    loop {
        let data = vec![0; 64 * 1024].into();
        frontend.send(FromFrontend::Data { id, data }).await;
    }
}

/// Takes whatever comes.
async fn takes(agent: &mut Agent) {
    loop {
        agent.next().await;
    }
}

#[tokio::test]
async fn dial_beyond_the_limit_is_no_lack_of_agents() {
    let house = House::open("grpc", &["--max-pending-dials=1"]).await;
    let mut agent = house.agent("a").await;
    let mut first = house.frontend().await;
    first.dial(1, "x:1").await;
    agent.dial().await;
    let mut second = house.frontend().await;
    second.dial(2, "x:1").await;
    let error = "too many dials are waiting for agents (--max-pending-dials)".to_owned();
    let dial = DialId(2);
    assert_eq!(second.next().await, ToFrontend::DialFailed { dial, error });
    for (reason, count) in [("too_many_pending", 1.0), ("no_agent", 0.0)] {
        let line = format!("dial_failure_count{{reason=\"{reason}\"}}");
        house.metric_becomes(&line, count).await;
    }
}
