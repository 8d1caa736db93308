//! How an agent and a server choose the native mode, and how an agent keeps servers by it.

use std::error::Error as _;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tunnel::agent::connect::{ConnectError, Connector};
use tunnel::agent::dial::Dialer;
use tunnel::agent::link::{Link, Wire};
use tunnel::h2_limits;
use tunnel::protocol::native::ALPN;
use tunnel::protocol::native::control::{Control, Decoder};
use tunnel::protocol::native::hello::ServerHello;

use crate::agent_support::{Agent, Place, SOON};

/// The server's end of a native connection. Dropping it cuts the connection.
struct Server {
    sender: SendRequest<Bytes>,
    hello: HeaderMap,
    sending: SendStream<Bytes>,
    body: RecvStream,
    decoder: Decoder,
    _driving: JoinSet<()>,
}

impl Server {
    /// Greets an agent as a server of this name among so many.
    async fn greet(stream: TlsStream<TcpStream>, name: &str, server_count: usize) -> Self {
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN));
        let handshake = h2_limits::native_server_side().handshake(stream).await;
        let (mut sender, connection) = handshake.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move { drop(connection.await) });
        let hello = ServerHello {
            server_id: name.to_owned(),
            server_count,
            features: Vec::new(),
        };
        let request = hello.request().unwrap();
        let (answer, sending) = sender.send_request(request, false).unwrap();
        let answer = timeout(SOON, answer).await.expect("an answer").unwrap();
        let (head, body) = answer.into_parts();
        assert_eq!(head.status, 200);
        Self {
            sender,
            hello: head.headers,
            sending,
            body,
            decoder: Decoder::default(),
            _driving: driving,
        }
    }

    async fn accept(place: &Place, name: &str, server_count: usize) -> Self {
        let stream = timeout(SOON, place.accept_raw()).await;
        let mut server = Self::greet(stream.expect("an agent"), name, server_count).await;
        server.say(Control::Admitted);
        server
    }

    fn say(&mut self, message: Control) {
        let bytes = message.encode().unwrap();
        self.sending.send_data(bytes, false).unwrap();
    }

    /// The agent's next message that is no ping.
    async fn hear(&mut self) -> Option<Control> {
        loop {
            match self.decoder.next_message().unwrap() {
                Some(Control::Ping { nonce }) => self.say(Control::Pong { nonce }),
                Some(message) => return Some(message),
                None => {
                    let data = timeout(SOON, self.body.data())
                        .await
                        .expect("a word")?
                        .ok()?;
                    self.body
                        .flow_control()
                        .release_capacity(data.len())
                        .unwrap();
                    self.decoder.push(&data);
                }
            }
        }
    }

    /// Sends a word through the agent to an endpoint that echoes, and hears it again.
    async fn echo(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        poll_fn(|cx| self.sender.poll_ready(cx)).await.unwrap();
        let request = Request::connect(&address).body(()).unwrap();
        let (answer, mut sending) = self.sender.send_request(request, false).unwrap();
        let answer = timeout(SOON, answer).await.expect("an answer").unwrap();
        assert_eq!(answer.status(), 200);
        let (mut endpoint, _) = listener.accept().await.unwrap();
        sending
            .send_data(Bytes::from_static(b"word"), true)
            .unwrap();
        let mut word = String::new();
        endpoint.read_to_string(&mut word).await.unwrap();
        endpoint.write_all(word.as_bytes()).await.unwrap();
        drop(endpoint);
        let mut body = answer.into_body();
        let back = timeout(SOON, body.data()).await.expect("an echo").unwrap();
        assert_eq!(back.unwrap(), "word");
    }
}

async fn until(agent: &Agent, what: &str, is_met: impl Fn(&Agent) -> bool) {
    let met = async {
        while !is_met(agent) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, met)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

async fn open(place: &Place, more: &[&str]) -> Result<Box<Link>, ConnectError> {
    let connector = Connector::new(place.settings(more), Arc::new(Dialer::default()));
    timeout(SOON, connector.open()).await.expect("a verdict")
}

#[tokio::test]
async fn two_ends_of_ours_take_the_native_mode_and_the_token_is_read_anew() {
    let place = Place::speaking(&[ALPN, b"h2"]).await;
    let token = place.folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let flag = format!("--service-account-token-path={}", token.display());
    let agent = place.agent(&[&flag, "--agent-identifiers=host=node"]);
    let mut server = Server::accept(&place, "a", 1).await;
    assert_eq!(server.hello["agentid"], "agent-1");
    assert_eq!(server.hello["agentidentifiers"], "host=node");
    assert_eq!(server.hello["authorization"], "Bearer first");
    server.echo().await;
    let is_open = |agent: &Agent| agent.metrics.open_servers.get() == 1;
    until(&agent, "it counts itself connected", is_open).await;
    std::fs::write(&token, "second").unwrap();
    drop(server);
    let server = Server::accept(&place, "a", 1).await;
    assert_eq!(server.hello["authorization"], "Bearer second");
    let failures = &agent.metrics.server_failures;
    assert_eq!(failures.with_label_values(&["from_server"]).get(), 1);
}

#[tokio::test]
async fn an_agent_is_connected_once_it_is_admitted_and_not_before() {
    let place = Place::speaking(&[ALPN]).await;
    let agent = place.agent(&[]);
    let stream = timeout(SOON, place.accept_raw()).await.expect("an agent");
    let mut server = Server::greet(stream, "a", 1).await;
    assert_eq!(agent.metrics.open_servers.get(), 0);
    server.say(Control::Admitted);
    let is_open = |agent: &Agent| agent.metrics.open_servers.get() == 1;
    until(&agent, "it counts itself connected", is_open).await;
}

#[tokio::test]
async fn members_make_the_agent_look_for_the_servers_that_are_missing() {
    let place = Place::speaking(&[ALPN, b"h2"]).await;
    let agent = place.agent(&[]);
    let mut first = Server::accept(&place, "a", 1).await;
    let (count, ids) = (2, Vec::new());
    first.say(Control::Members { count, ids });
    let mut second = Server::accept(&place, "b", 2).await;
    second.echo().await;
    first.echo().await;
    assert_eq!(agent.metrics.known_servers.get(), 2);
}

#[tokio::test]
async fn a_draining_server_is_replaced_while_its_connections_go_on() {
    let place = Place::speaking(&[ALPN, b"h2"]).await;
    let mut agent = place.agent(&[]);
    let mut leaving = Server::accept(&place, "a", 1).await;
    leaving.say(Control::Drain);
    let mut next = Server::accept(&place, "b", 1).await;
    leaving.echo().await;
    next.echo().await;
    assert_eq!(agent.metrics.open_servers.get(), 2);
    agent.drain.start();
    assert_eq!(leaving.hear().await, Some(Control::Drain));
    assert_eq!(next.hear().await, Some(Control::Drain));
    assert_eq!(leaving.hear().await, None);
    agent.ended().await;
}

#[tokio::test]
async fn a_refusal_is_told_as_the_reference_tells_it() {
    let reason = "Failed to validate authentication token, err:lookup failed";
    let native = Place::speaking(&[ALPN]).await;
    let refusal = async {
        let stream = timeout(SOON, native.accept_raw()).await.expect("an agent");
        let mut server = Server::greet(stream, "a", 1).await;
        let reason = reason.to_owned();
        server.say(Control::Refused { reason });
        server.hear().await
    };
    let (opened, _) = tokio::join!(open(&native, &[]), refusal);
    let by_native = opened.map(drop).unwrap_err();
    let reference = Place::new().await;
    let refusal = async { reference.knock().await.refuse("2", reason).await };
    let (opened, ()) = tokio::join!(open(&reference, &[]), refusal);
    let by_reference = opened.map(drop).unwrap_err();
    assert!(
        matches!(by_native, ConnectError::Refused(_)),
        "{by_native:?}"
    );
    assert_eq!(by_native.to_string(), by_reference.to_string());
    let cause = |error: &ConnectError| error.source().expect("a cause").to_string();
    assert_eq!(cause(&by_native), cause(&by_reference));
}

#[tokio::test]
async fn legacy_agents_take_the_references_wire_of_any_server() {
    let place = Place::speaking(&[ALPN, b"h2"]).await;
    let answer = async { place.accept("a", "1").await };
    let (opened, _served) = tokio::join!(open(&place, &["--tunnel-mode=legacy"]), answer);
    assert!(matches!(opened.unwrap().wire, Wire::Reference { .. }));
}

#[tokio::test]
async fn native_agents_take_nothing_else() {
    let deaf = Place::speaking(&[]).await;
    let (opened, _stream) = tokio::join!(open(&deaf, &["--tunnel-mode=native"]), deaf.accept_raw());
    let error = opened.map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::NotNative), "{error:?}");
    let reference = Place::new().await;
    let error = tokio::select! {
        opened = open(&reference, &["--tunnel-mode=native"]) => opened.map(drop).unwrap_err(),
        _ = reference.accept_raw() => panic!("no handshake should succeed"),
    };
    assert!(matches!(error, ConnectError::Handshake(..)), "{error:?}");
}

#[tokio::test]
async fn who_will_not_hear_of_the_native_mode_is_asked_without_it() {
    // What answers with an alert as long as the native mode is offered.
    let (strict, plain) = (Place::speaking(&[b"other"]).await, Place::new().await);
    let connector = Connector::new(plain.settings(&[]), Arc::new(Dialer::default()));
    for refusals in [1, 0] {
        let serving = async {
            for _ in 0..refusals {
                let socket = plain.socket().await;
                drop(strict.secure(socket).await.expect_err("no common protocol"));
            }
            plain.accept("a", "1").await
        };
        let (opened, _served) = timeout(SOON, async {
            tokio::join!(Box::pin(connector.clone().open()), serving)
        })
        .await
        .expect("a verdict");
        assert!(matches!(opened.unwrap().wire, Wire::Reference { .. }));
    }
}
