//! How an agent finds servers, proves itself to them, comes back to them and leaves them.

use std::error::Error as _;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tunnel::agent::connect::{ConnectError, Connector};
use tunnel::agent::dial::Dialer;
use tunnel::protocol::id::DialId;
use tunnel::protocol::packet::{FromAgent, ToAgent};

use crate::agent_support::{Place, SOON, closed};

#[tokio::test]
async fn agent_names_itself_and_shows_the_token_as_it_is_now() {
    let place = Place::new().await;
    let token = place.folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let flag = format!("--service-account-token-path={}", token.display());
    let _agent = place.agent(&[&flag, "--agent-identifiers=ipv4=10.0.0.1&host=node"]);
    let knock = place.knock().await;
    assert_eq!(knock.path, "/AgentService/Connect");
    assert_eq!(knock.header("content-type"), Some("application/grpc"));
    assert_eq!(knock.header("te"), Some("trailers"));
    assert_eq!(knock.header("agentid"), Some("agent-1"));
    assert_eq!(
        knock.header("agentidentifiers"),
        Some("ipv4=10.0.0.1&host=node")
    );
    assert_eq!(knock.header("authorization"), Some("Bearer first"));
    std::fs::write(&token, "second").unwrap();
    drop(knock.welcome("a", "1"));
    let knock = place.knock().await;
    assert_eq!(knock.header("authorization"), Some("Bearer second"));
}

#[tokio::test]
async fn agent_without_token_and_identifiers_sends_them_empty_or_not_at_all() {
    let place = Place::new().await;
    let _agent = place.agent(&[]);
    let knock = place.knock().await;
    assert_eq!(knock.header("agentidentifiers"), Some(""));
    assert_eq!(knock.header("authorization"), None);
}

#[tokio::test]
async fn a_lost_server_is_dialled_again() {
    let place = Place::new().await;
    let agent = place.agent(&[]);
    for _ in 0..3 {
        let mut server = place.accept("a", "1").await;
        let (_, mut endpoint) = server.open().await;
        assert_eq!(agent.metrics.open_servers.get(), 1);
        drop(server);
        let mut rest = Vec::new();
        timeout(SOON, endpoint.read_to_end(&mut rest))
            .await
            .expect("it closes")
            .unwrap();
    }
    assert_eq!(agent.metrics.open_endpoints.get(), 0);
}

#[tokio::test]
async fn a_duplicate_is_closed_and_the_missing_server_is_found() {
    let place = Place::new().await;
    let agent = place.agent(&[]);
    let mut first = place.accept("a", "2").await;
    place.accept("a", "2").await.gone().await;
    place.accept("a", "2").await.gone().await;
    let mut second = place.accept("b", "2").await;
    first.open().await;
    second.open().await;
    assert_eq!(
        (
            agent.metrics.open_servers.get(),
            agent.metrics.known_servers.get()
        ),
        (2, 2)
    );
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_told() {
    let place = Place::new().await;
    let connector = Connector::new(place.settings(&[]), Arc::new(Dialer::default()));
    let refusal = async {
        let message = "Failed to validate authentication token, err:lookup failed";
        place.knock().await.refuse("2", message).await;
    };
    let (opened, ()) = tokio::join!(connector.open(), refusal);
    let error = opened.map(drop).unwrap_err();
    let cause = error.source().expect("the server's own words").to_string();
    assert!(
        cause.contains("Failed to validate authentication token"),
        "{error}: {cause}"
    );
}

#[tokio::test]
async fn a_server_without_id_is_named_as_such() {
    let place = Place::new().await;
    let connector = Connector::new(place.settings(&[]), Arc::new(Dialer::default()));
    let answer = async { place.accept("a", "many").await };
    let (opened, _served) = tokio::join!(connector.open(), answer);
    let error = opened.map(drop).unwrap_err().to_string();
    assert!(
        error.contains("servercount") && error.contains("many"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_costs_one_deadline() {
    let place = Place::new().await;
    let connector = Connector::new(place.settings(&[]), Arc::new(Dialer::default()));
    let error = connector.open().await.map(drop).unwrap_err();
    assert!(
        matches!(error, ConnectError::Deadline | ConnectError::Dial(..)),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let (place, other) = (Place::new().await, Place::new().await);
    let ca = format!("--ca-cert={}", other.folder.path().join("ca.crt").display());
    let connector = Connector::new(place.settings(&[&ca]), Arc::new(Dialer::default()));
    let error = tokio::select! {
        opened = connector.open() => opened.map(drop).unwrap_err(),
        _ = timeout(SOON, place.accept_raw()) => panic!("no handshake should succeed"),
    };
    assert!(matches!(error, ConnectError::Handshake(..)), "{error}");
}

#[tokio::test]
async fn draining_serves_what_is_open_then_ends() {
    let place = Place::new().await;
    let mut agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    let (id, mut endpoint) = server.open().await;
    agent.drain.start();
    assert_eq!(server.next().await, FromAgent::Drain);
    server.data(id, "more").await;
    let mut more = [0; 4];
    timeout(SOON, endpoint.read_exact(&mut more))
        .await
        .expect("still served")
        .unwrap();
    endpoint.write_all(b"bye").await.unwrap();
    assert_eq!(
        server.next().await,
        FromAgent::Data {
            id,
            data: "bye".into()
        }
    );
    server.send(ToAgent::Close { id }).await;
    assert_eq!(server.next().await, closed(id, ""));
    assert_eq!(server.try_next().await, None);
    agent.ended().await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let place = Place::new().await;
    let mut agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    let (_, mut endpoint) = server.open().await;
    agent.drain.start();
    agent.drain.force();
    agent.ended().await;
    let mut rest = Vec::new();
    timeout(SOON, endpoint.read_to_end(&mut rest))
        .await
        .expect("it closes")
        .ok();
}

#[tokio::test]
async fn the_drain_deadline_ends_what_does_not_end_itself() {
    let place = Place::new().await;
    let mut agent = place.agent(&["--graceful-shutdown-timeout=300ms"]);
    let mut server = place.accept("a", "1").await;
    let (_, _endpoint) = server.open().await;
    agent.drain.start();
    agent.ended().await;
}

#[tokio::test]
async fn servers_are_reached_through_a_proxy() {
    let place = Place::new().await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--https-proxy=http://{}", proxy.local_addr().unwrap());
    // `localhost` is exempt, as in Go, so the server is named by what only the proxy knows.
    let _agent = place.agent(&[&url, "--proxy-server-host=server.example"]);
    let (mut socket, _) = timeout(SOON, proxy.accept())
        .await
        .expect("it comes")
        .unwrap();
    let mut request = vec![0; 1024];
    let count = socket.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..count]).into_owned();
    let line = format!(
        "CONNECT server.example:{} HTTP/1.1\r\n",
        place.address().port()
    );
    assert!(request.starts_with(&line), "{request}");
}

#[tokio::test]
async fn an_unresolvable_name_is_answered_not_dropped() {
    let place = Place::new().await;
    let _agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    let answer = server.dial("no-such-host.invalid:80").await;
    let FromAgent::DialFailed {
        dial: DialId(5),
        error,
    } = answer
    else {
        panic!("{answer:?}")
    };
    assert!(
        error.starts_with("dial tcp: lookup no-such-host.invalid: "),
        "{error}"
    );
}
