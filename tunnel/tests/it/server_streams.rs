//! The gRPC frontend and the agents' streams: the reference's answers, and what nonsense leads to.

use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::packet::{FromAgent, FromFrontend, ToAgent, ToFrontend};

use crate::server_support::{ESTABLISHED, House, descriptors, expect_bytes, soon};

#[tokio::test]
async fn frontend_dials_sends_and_closes() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(77, "10.0.0.7:10250").await;
    let (dial, address) = agent.dial().await;
    assert_eq!(address, "10.0.0.7:10250");
    let id = ConnectId(1);
    agent.send(FromAgent::Dialled { dial, id }).await;
    assert_eq!(
        frontend.next().await,
        ToFrontend::Dialled {
            dial: DialId(77),
            id
        }
    );
    frontend
        .send(FromFrontend::Data {
            id,
            data: "ping".into(),
        })
        .await;
    assert_eq!(
        agent.next().await,
        ToAgent::Data {
            id,
            data: "ping".into()
        }
    );
    agent.data(id, "pong").await;
    assert_eq!(
        frontend.next().await,
        ToFrontend::Data {
            id,
            data: "pong".into()
        }
    );
    frontend.send(FromFrontend::Close { id }).await;
    assert_eq!(agent.next().await, ToAgent::Close { id });
    agent
        .send(FromAgent::Closed {
            id,
            error: String::new(),
        })
        .await;
    assert_eq!(
        frontend.next().await,
        ToFrontend::Closed {
            id,
            error: String::new()
        }
    );
    drop(frontend);
    house
        .metric_becomes("grpc_connections{service_method=\"Proxy\"}", 0.0)
        .await;
    house.metric_becomes("established_connections", 0.0).await;
    assert!(
        house.metric("stream_packets_total{packet_type=\"DATA\",segment=\"from_agent\"}") > 0.5
    );
}

#[tokio::test]
async fn frontend_is_told_that_no_agent_is_there() {
    let house = House::open("grpc", &[]).await;
    let mut frontend = house.frontend().await;
    frontend.dial(3, "x:1").await;
    let error = "No agent available".to_owned();
    assert_eq!(
        frontend.next().await,
        ToFrontend::DialFailed {
            dial: DialId(3),
            error
        }
    );
}

#[tokio::test]
async fn packets_before_the_dial_get_the_references_answers() {
    let house = House::open("grpc", &[]).await;
    let mut frontend = house.frontend().await;
    let id = ConnectId(9);
    frontend.send(FromFrontend::Close { id }).await;
    let error = "backend uninitialized".to_owned();
    assert_eq!(frontend.next().await, ToFrontend::Closed { id, error });
    frontend
        .send(FromFrontend::Data {
            id,
            data: "x".into(),
        })
        .await;
    let error = "backend not initialized".to_owned();
    assert_eq!(frontend.next().await, ToFrontend::Closed { id, error });
}

#[tokio::test]
async fn packets_of_another_connection_end_both() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let id = agent.open(1).await;
    assert_eq!(
        frontend.next().await,
        ToFrontend::Dialled {
            dial: DialId(1),
            id
        }
    );
    frontend
        .send(FromFrontend::Data {
            id: ConnectId(2),
            data: "x".into(),
        })
        .await;
    assert_eq!(agent.next().await, ToAgent::Close { id });
    for id in [id, ConnectId(2)] {
        let error = "mismatched connection IDs".to_owned();
        assert_eq!(frontend.next().await, ToFrontend::Closed { id, error });
    }
}

#[tokio::test]
async fn only_tcp_is_dialled() {
    let house = House::open("grpc", &[]).await;
    let _agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    let (dial, protocol, address) = (DialId(1), "unix".to_owned(), "/run/x.sock".to_owned());
    frontend
        .send(FromFrontend::Dial {
            dial,
            protocol,
            address,
        })
        .await;
    match frontend.next().await {
        ToFrontend::DialFailed { error, .. } => assert!(error.contains("only tcp"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn cancelled_dial_is_cancelled_at_the_agent_and_the_stream_may_dial_again() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let (dial, _) = agent.dial().await;
    frontend
        .send(FromFrontend::CancelDial { dial: DialId(1) })
        .await;
    assert_eq!(agent.next().await, ToAgent::CancelDial { dial });
    frontend.dial(2, "x:1").await;
    let id = agent.open(1).await;
    assert_eq!(
        frontend.next().await,
        ToFrontend::Dialled {
            dial: DialId(2),
            id
        }
    );
}

#[tokio::test]
async fn agent_without_a_name_is_refused_with_the_references_text() {
    let house = House::open("grpc", &[]).await;
    let refused = house
        .agent_with(&[])
        .await
        .map(drop)
        .expect_err("it must be refused")
        .status();
    assert_eq!(refused.code_name(), "Unknown");
    assert_eq!(
        refused.message,
        "expected one agent ID in the context, got []"
    );
}

#[tokio::test]
async fn agent_without_a_token_is_refused_when_tokens_are_asked_for() {
    let tokens = [
        "--agent-namespace=kube-system",
        "--agent-service-account=konnectivity-agent",
        "--authentication-audience=system:konnectivity-server",
    ];
    let house = House::open("grpc", &tokens).await;
    let headers = [("agentid", "a")];
    assert_eq!(
        house.refusal(&headers).await,
        "Authentication context was not found in metadata"
    );
    let headers = [("agentid", "a"), ("authorization", "Basic x")];
    assert_eq!(
        house.refusal(&headers).await,
        "received token does not have \"Bearer \" prefix"
    );
}

#[tokio::test]
async fn data_for_unknown_connections_is_answered_once() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    for _ in 0..100 {
        agent.data(ConnectId(7), "who?").await;
    }
    agent.data(ConnectId(8), "and who?").await;
    assert_eq!(agent.next().await, ToAgent::Close { id: ConnectId(7) });
    assert_eq!(agent.next().await, ToAgent::Close { id: ConnectId(8) });
}

#[tokio::test]
async fn message_above_the_limit_ends_only_its_stream() {
    let house = House::open("grpc", &[]).await;
    let mut good = house.agent("good").await;
    let mut bad = house.agent("bad").await;
    let (id, data) = (ConnectId(1), vec![0; (4 << 20) + 1].into());
    // The server does not wait for the end of such a message.
    drop(bad.writer.send(FromAgent::Data { id, data }).await);
    let status = bad.ended().await.expect_err("it is too large");
    assert_eq!(status.code_name(), "ResourceExhausted");
    good.data(ConnectId(7), "still served").await;
    assert_eq!(good.next().await, ToAgent::Close { id: ConnectId(7) });
}

#[tokio::test]
async fn two_agents_of_one_name_never_meet_in_a_table() {
    let house = House::open("http-connect", &[]).await;
    let mut old = house.agent("same").await;
    let mut one = house.connect("x:1").await;
    let id = old.open(1).await;
    expect_bytes(&mut one, ESTABLISHED).await;
    let mut new = house.agent("same").await;
    let mut two = house.connect("x:1").await;
    assert_eq!(new.open(1).await, id);
    expect_bytes(&mut two, ESTABLISHED).await;
    old.data(id, "old").await;
    new.data(id, "new").await;
    expect_bytes(&mut one, "old").await;
    expect_bytes(&mut two, "new").await;
    drop(old);
    new.data(id, "only").await;
    expect_bytes(&mut two, "only").await;
}

#[tokio::test]
async fn draining_agent_gets_no_dials_while_another_is_there() {
    let house = House::open("grpc", &[]).await;
    let mut leaving = house.agent("a").await;
    let mut staying = house.agent("b").await;
    leaving.send(FromAgent::Drain).await;
    leaving
        .data(ConnectId(7), "marks that DRAIN was read")
        .await;
    assert_eq!(leaving.next().await, ToAgent::Close { id: ConnectId(7) });
    let mut frontends = Vec::new();
    for number in 1..10 {
        let mut frontend = house.frontend().await;
        frontend.dial(number, "x:1").await;
        staying.open(number).await;
        frontends.push(frontend);
    }
}

#[tokio::test]
async fn nothing_is_left_open_after_many_connections() {
    let house = House::open("http-connect", &[]).await;
    let mut agent = house.agent("a").await;
    let mut before = 0;
    for round in 1..=60 {
        let mut client = house.connect("x:1").await;
        let id = agent.open(round).await;
        expect_bytes(&mut client, ESTABLISHED).await;
        drop(client);
        assert_eq!(agent.next().await, ToAgent::Close { id });
        agent
            .send(FromAgent::Closed {
                id,
                error: String::new(),
            })
            .await;
        house.metric_becomes("http_connections", 0.0).await;
        if round == 10 {
            before = descriptors();
        }
    }
    // Other tests of this process open some too: what leaks here would be fifty.
    soon("descriptors to be given back", async {
        while descriptors() > before + 40 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    house.metric_becomes("established_connections", 0.0).await;
}
