//! Several servers that know each other: any of them reaches any agent, and none of them waits for another.

use bytes::Bytes;
use h2::Reason;
use tokio::io::AsyncWriteExt as _;
use tunnel::protocol::native::control::Control;
use tunnel::protocol::native::dial::{Refusal, RefusalKind};
use tunnel::protocol::packet::FromAgent;

use crate::native_support::NativeAgent;
use crate::peers_support::{RELAYED, SIBLINGS, across, agent_at, beside, is_known, two};
use crate::server_support::{ESTABLISHED, expect_bytes, rest, soon};

#[tokio::test]
async fn bytes_reach_an_agent_of_another_server_and_halves_close_alone() {
    let (first, second) = two().await;
    let mut agent = agent_at(&first, &second).await;
    let (mut client, mut opened) = across(&second, &mut agent).await;
    first.metric_becomes(RELAYED, 1.0).await;
    client.write_all(b"ping").await.expect("it reads");
    client.shutdown().await.expect("a half-close");
    let said = opened.rest().await.expect("in order");
    assert_eq!(said, (b"ping".to_vec(), None));
    let pong = Bytes::from_static(b"pong, after the client was done");
    opened.sending.send_data(pong, true).expect("it lives");
    assert_eq!(rest(&mut client).await, "pong, after the client was done");
    first.metric_becomes(RELAYED, 0.0).await;
    for house in [&first, &second] {
        house.metric_becomes("established_connections", 0.0).await;
    }
}

#[tokio::test]
async fn agent_of_the_reference_serves_other_servers_too() {
    let (first, second) = two().await;
    let mut agent = first.agent("a").await;
    let refusing = async {
        loop {
            let (dial, _) = agent.dial().await;
            let error = "not now".to_owned();
            agent.send(FromAgent::DialFailed { dial, error }).await;
        }
    };
    tokio::select! {
        () = is_known(&second) => {}
        () = refusing => {}
    }
    let mut client = second.connect("10.0.0.7:10250").await;
    let id = agent.open(7).await;
    expect_bytes(&mut client, ESTABLISHED).await;
    agent.data(id, "hello").await;
    expect_bytes(&mut client, "hello").await;
    let error = String::new();
    agent.send(FromAgent::Closed { id, error }).await;
    assert_eq!(
        rest(&mut client).await,
        "",
        "the end of one side is the end of both"
    );
    first.metric_becomes(RELAYED, 0.0).await;
}

#[tokio::test]
async fn client_that_hangs_up_closes_the_connection_at_the_agent() {
    let (first, second) = two().await;
    let mut agent = agent_at(&first, &second).await;
    let (client, mut opened) = across(&second, &mut agent).await;
    drop(client);
    let ended = opened.rest().await;
    assert!(
        matches!(&ended, Ok((bytes, _)) if bytes.is_empty()) || ended.is_err(),
        "{ended:?}"
    );
    drop(opened);
    first.metric_becomes(RELAYED, 0.0).await;
    let mut client = second.connect("10.0.0.7:10250").await;
    let mut dial = agent.dial().await;
    client.shutdown().await.expect("it lives");
    drop(client);
    assert_eq!(dial.cancelled().await, Reason::CANCEL);
}

#[tokio::test]
async fn agents_refusal_reaches_the_client_in_its_own_words() {
    let (first, second) = two().await;
    let mut agent = agent_at(&first, &second).await;
    let text = "dial tcp 10.0.0.7:1: connect: connection refused";
    let mut client = second.connect("10.0.0.7:1").await;
    let refusal = Refusal::new(RefusalKind::Failed, text);
    agent.dial().await.refuses(&refusal);
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway"), "{answer}");
    assert!(answer.ends_with(text), "{answer}");
}

#[tokio::test]
async fn nobody_asks_further_when_no_server_has_an_agent() {
    let (first, second) = two().await;
    for house in [&first, &second] {
        let mut client = house.connect("10.0.0.7:1").await;
        let answer = rest(&mut client).await;
        assert!(answer.contains("No agent available"), "{answer}");
    }
    assert!(second.metric("dial_failure_count{reason=\"no_agent\"}") >= 1.0);
}

#[tokio::test]
async fn agents_are_told_of_servers_as_they_come_and_go() {
    let (first, second) = two().await;
    let mut agent = NativeAgent::enter(&first, "a").await;
    let members = |ids: &[&str]| Control::Members {
        count: u32::try_from(ids.len()).expect("few"),
        ids: ids.iter().map(|&id| id.to_owned()).collect(),
    };
    let mut heard = Vec::new();
    let mut until = async |wanted: Control| {
        while heard.last() != Some(&wanted) {
            heard.extend(agent.hears().await);
        }
    };
    until(members(&["first", "second"])).await;
    let third = beside(&[&first], "third").await;
    let mut both = members(&["first", "second", "third"]);
    if third.peers > second.peers {
        until(both).await;
    } else {
        both = members(&["first", "third", "second"]);
        until(both).await;
    }
    drop(third);
    until(members(&["first", "second"])).await;
    drop(second);
    until(members(&["first"])).await;
}

#[tokio::test]
async fn loss_of_a_server_ends_what_it_relayed_and_nothing_else() {
    let (first, mut second) = two().await;
    let mut agent = agent_at(&first, &second).await;
    let (mut client, _opened) = across(&second, &mut agent).await;
    let mut own = first.connect("10.0.0.7:10250").await;
    let mut direct = agent.opens().await;
    expect_bytes(&mut own, ESTABLISHED).await;
    second.running.shutdown().await;
    first.metric_becomes(RELAYED, 0.0).await;
    first.metric_becomes(SIBLINGS, 0.0).await;
    assert_eq!(rest(&mut client).await, "");
    let text = Bytes::from_static(b"still here");
    direct.sending.send_data(text, false).expect("it lives");
    expect_bytes(&mut own, "still here").await;
}

#[tokio::test]
async fn reader_that_stands_still_stops_nobody_on_the_same_way() {
    let (first, second) = two().await;
    let mut agent = agent_at(&first, &second).await;
    let (_stalled, mut filling) = across(&second, &mut agent).await;
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut filled = 0;
    for _ in 0..64 {
        filling.sending.reserve_capacity(chunk.len());
        filling
            .sending
            .send_data(chunk.clone(), false)
            .expect("it lives");
        filled += chunk.len();
    }
    assert!(filled >= 4 << 20, "more than every window on the way");
    for _ in 0..3 {
        let (mut client, mut opened) = across(&second, &mut agent).await;
        client.write_all(b"ping").await.expect("it reads");
        client.shutdown().await.expect("a half-close");
        assert_eq!(opened.rest().await.expect("in order").0, b"ping");
        let pong = Bytes::from_static(b"pong");
        opened.sending.send_data(pong, true).expect("it lives");
        assert_eq!(rest(&mut client).await, "pong");
    }
}

#[tokio::test]
async fn agent_at_this_server_is_preferred() {
    let (first, second) = two().await;
    let mut far = agent_at(&first, &second).await;
    let mut near = NativeAgent::enter(&second, "b").await;
    for _ in 0..8 {
        let mut client = second.connect("10.0.0.7:10250").await;
        let _opened = tokio::select! {
            opened = near.opens() => opened,
            dial = far.dial() => panic!("the other server was asked for {:?}", dial.request),
        };
        expect_bytes(&mut client, ESTABLISHED).await;
    }
    drop(near);
    second
        .metric_becomes("ready_backends{proxy_strategy=\"default\"}", 0.0)
        .await;
    across(&second, &mut far).await;
}

#[tokio::test]
async fn dial_whose_agent_is_lost_moves_to_the_next_one_of_the_same_server() {
    let (first, second) = two().await;
    let mut agent = agent_at(&first, &second).await;
    let mut client = second.connect("10.0.0.7:10250").await;
    let dial = agent.dial().await;
    drop((dial, agent));
    let mut next = NativeAgent::enter(&first, "b").await;
    let _opened = next.opens().await;
    expect_bytes(&mut client, ESTABLISHED).await;
}

#[tokio::test]
async fn draining_server_is_asked_only_when_no_other_can_serve() {
    let (first, second) = two().await;
    let third = beside(&[&first, &second], "third").await;
    let mut leaving = agent_at(&first, &second).await;
    let mut staying = NativeAgent::enter(&third, "b").await;
    let mut own = first.connect("10.0.0.7:10250").await;
    let _kept = leaving.opens().await;
    expect_bytes(&mut own, ESTABLISHED).await;
    first.trigger.start();
    soon("the third server alone to be asked", async {
        let mut in_a_row = 0;
        while in_a_row < 8 {
            let _client = second.connect("10.0.0.7:10250").await;
            in_a_row = tokio::select! {
                _opened = staying.opens() => in_a_row + 1,
                _opened = leaving.opens() => 0,
            };
        }
    })
    .await;
}

#[tokio::test]
async fn dial_that_comes_between_two_agents_waits_for_the_next() {
    let (first, second) = two().await;
    let agent = agent_at(&first, &second).await;
    drop(agent);
    first
        .metric_becomes("ready_backends{proxy_strategy=\"default\"}", 0.0)
        .await;
    let mut here = first.connect("10.0.0.7:10250").await;
    let mut there = second.connect("10.0.0.8:10250").await;
    for house in [&first, &second] {
        house.metric_becomes("pending_backend_dials", 1.0).await;
    }
    let mut next = NativeAgent::enter(&first, "a").await;
    let _opened = [next.opens().await, next.opens().await];
    expect_bytes(&mut here, ESTABLISHED).await;
    expect_bytes(&mut there, ESTABLISHED).await;
}
