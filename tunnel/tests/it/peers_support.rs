//! Servers that know each other, and agents at one of them.

use tokio::net::UnixStream;
use tunnel::protocol::native::dial::{Refusal, RefusalKind};

use crate::native_support::{NativeAgent, Opened};
use crate::server_support::{ESTABLISHED, House, expect_bytes, rest, soon};

pub(crate) const SIBLINGS: &str = "peer_servers";
pub(crate) const RELAYED: &str = "peer_relayed_connections";

/// Two servers that are connected to each other. The first is found by no name: it hears of the second by its visit.
pub(crate) async fn two() -> (House, House) {
    let first = House::open(
        "http-connect",
        &[
            "--server-id=first",
            "--peer-dns=127.0.0.1:1",
            "--peer-cert=DIR/tls.crt",
            "--peer-key=DIR/tls.key",
            "--peer-ca-cert=DIR/ca.crt",
            "--graceful-shutdown-timeout=1m",
        ],
    )
    .await;
    let second = beside(&[&first], "second").await;
    for house in [&first, &second] {
        house.metric_becomes(SIBLINGS, 1.0).await;
    }
    (first, second)
}

/// Another server that knows where these are, and has the certificate of the first.
pub(crate) async fn beside(others: &[&House], id: &str) -> House {
    let file = |name: &str| others[0].file(name).display().to_string();
    let names: Vec<String> = others
        .iter()
        .map(|other| other.peers.expect("it has siblings").to_string())
        .collect();
    let flags = [
        format!("--server-id={id}"),
        format!("--peer-dns={}", names.join(",")),
        format!("--peer-cert={}", file("tls.crt")),
        format!("--peer-key={}", file("tls.key")),
        format!("--peer-ca-cert={}", file("ca.crt")),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    House::open("http-connect", &flags).await
}

/// A connection from the second server's frontend to the first server's agent.
pub(crate) async fn across(second: &House, agent: &mut NativeAgent) -> (UnixStream, Opened) {
    let mut client = second.connect("10.0.0.7:10250").await;
    let opened = agent.opens().await;
    expect_bytes(&mut client, ESTABLISHED).await;
    (client, opened)
}

/// The second server has heard of the agent.
pub(crate) async fn is_known(second: &House) {
    soon("the agent to be known there", async {
        loop {
            let mut client = second.connect("10.0.0.7:1").await;
            let answer = rest(&mut client).await;
            if !answer.contains("No agent available") {
                return;
            }
        }
    })
    .await;
}

/// A native agent at the first server, of which the second has heard.
pub(crate) async fn agent_at(first: &House, second: &House) -> NativeAgent {
    let mut agent = NativeAgent::enter(first, "a").await;
    tokio::select! {
        () = is_known(second) => {}
        () = refuse_all(&mut agent) => {}
    }
    agent
}

async fn refuse_all(agent: &mut NativeAgent) {
    loop {
        let refusal = Refusal::new(RefusalKind::Failed, "not now");
        agent.dial().await.refuses(&refusal);
    }
}
