//! The session itself: its beginning, its pings, its words for the plan, its end.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::support::*;
use crate::agent::native::NativeError;
use crate::agent::plan::SessionKey;
use crate::agent::session::End;
use crate::agent::words::Word;
use crate::protocol::native::control::Control;

#[tokio::test]
async fn the_agent_says_who_it_is_and_shows_its_token() {
    let server = Server::start().await;
    assert_eq!(server.hello.status(), 200);
    let header = |name: &str| server.hello.headers()[name].to_str().unwrap();
    assert_eq!(header("agentid"), "agent-1");
    assert_eq!(header("agentidentifiers"), "host=node");
    assert_eq!(header("authorization"), "Bearer secret");
    assert_eq!(header("knp-version"), "1");
}

#[tokio::test]
async fn a_refusal_ends_the_try_with_the_servers_words() {
    let mut server = Door::open().await.greet().await;
    let reason = "Failed to validate authentication token".to_owned();
    server.say(Control::Refused {
        reason: reason.clone(),
    });
    let ended = server.door.ended().await;
    assert!(
        matches!(&ended, Err(NativeError::Refused(said)) if *said == reason),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_hello_that_is_none_is_answered_with_the_reason() {
    let mut door = Door::open().await;
    let request = Request::post("https://agent/knp/v1/hello")
        .header("serverid", "a")
        .header("servercount", "1")
        .header("knp-version", "9")
        .body(())
        .unwrap();
    let (answer, sending) = door.ask(request).await;
    let (status, text) = answered(answer.await.unwrap(), sending).err().unwrap();
    assert_eq!(status, 400);
    assert!(
        text.contains("version \"9\"") && text.contains("--tunnel-mode"),
        "{text}"
    );
    assert!(matches!(door.ended().await, Err(NativeError::Hello(_))));
}

#[tokio::test]
async fn what_the_server_says_of_servers_reaches_the_plan() {
    let mut server = Server::start().await;
    let ids = vec!["a".to_owned()];
    server.say(Control::Members { count: 3, ids });
    server.say(Control::Drain);
    let key = SessionKey::default();
    assert_eq!(server.door.said.recv().await, Some((key, Word::Count(3))));
    assert_eq!(server.door.said.recv().await, Some((key, Word::Leaving)));
    server.open().await;
}

#[tokio::test(start_paused = true)]
async fn pings_are_sent_and_answered_for_hours() {
    let mut server = Server::start().await;
    let begun = Instant::now();
    let mut pings = 0;
    server.say(Control::Ping { nonce: 77 });
    let mut was_answered = false;
    while begun.elapsed().as_secs() < 3600 {
        match server.hear().await.expect("the agent stays") {
            Control::Ping { nonce } => {
                pings += 1;
                server.say(Control::Pong { nonce });
            }
            Control::Pong { nonce: 77 } => was_answered = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(was_answered);
    assert!((700..800).contains(&pings), "{pings} in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_is_noticed_within_ten_seconds() {
    for alive in [0, 1, 4999, 5000, 17_000] {
        let mut server = Server::start().await;
        let until = Instant::now() + Duration::from_millis(alive);
        let answering = async { while server.hear_word().await.is_some() {} };
        assert!(timeout_at(until, answering).await.is_err());
        let frozen = Instant::now();
        let (mut door, _sending) = server.freeze();
        let ended = door.ended().await;
        assert!(
            matches!(
                &ended,
                Ok(End::Broken(NativeError::Silent(_))) | Err(NativeError::Silent(_))
            ),
            "{ended:?}"
        );
        assert!(frozen.elapsed() <= 2 * KEEPALIVE, "{:?}", frozen.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_pong_is_late_but_whose_bytes_come_lives() {
    let mut server = Server::start().await;
    for nonce in 0..60 {
        sleep(Duration::from_secs(1)).await;
        server.say(Control::Ping { nonce });
    }
    assert!(server.door.agent.try_join_next().is_none(), "it is alive");
    let begun = Instant::now();
    let ended = server.door.ended().await;
    assert!(matches!(ended, Ok(End::Broken(NativeError::Silent(_)))));
    assert!(begun.elapsed() <= 2 * KEEPALIVE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn control_that_makes_no_sense_ends_the_connection() {
    let mut server = Server::start().await;
    let (_tunnel, mut endpoint) = server.open().await;
    server.say_raw(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f]));
    let ended = server.door.ended().await;
    assert!(matches!(ended, Ok(End::Broken(NativeError::Control(_)))));
    let mut rest = Vec::new();
    let read = timeout(SOON, endpoint.read_to_end(&mut rest)).await;
    drop(read.expect("every endpoint is closed"));
    assert_eq!(server.door.metrics.open_endpoints.get(), 0);
}

#[tokio::test]
async fn a_server_that_leaves_in_order_is_no_failure() {
    let mut server = Server::start().await;
    server.end_control();
    assert!(matches!(server.door.ended().await, Ok(End::ServerLeft)));
}

#[tokio::test]
async fn a_draining_agent_serves_what_is_open_and_ends_when_it_is_empty() {
    let mut server = Server::start().await;
    let (mut tunnel, endpoint) = server.open().await;
    server.door.drain.start();
    assert_eq!(server.hear_word().await, Some(Control::Drain));
    assert_eq!(server.door.packets("DRAIN", "from_agent"), 1);
    // A dial that crossed the word on the wire.
    let (mut crossing, crossed) = server.open().await;
    crossing.to.end();
    drop(crossed);
    crossing.from.rest().await;
    let draining = Some((503, "agent is draining".to_owned()));
    let refused = async { while server.dial("127.0.0.1:1").await.err() != draining {} };
    timeout(SOON, refused)
        .await
        .expect("dials are refused soon");
    tunnel.to.send(Bytes::from_static(b"still here")).await;
    let mut endpoint = endpoint;
    let mut heard = [0; 10];
    endpoint.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
    tunnel.to.end();
    drop(endpoint);
    assert_eq!(tunnel.from.rest().await, (Vec::new(), None));
    assert!(matches!(server.door.ended().await, Ok(End::Drained)));
    while let Some(word) = server.hear().await {
        assert!(matches!(word, Control::Ping { .. }), "{word:?}");
    }
}
