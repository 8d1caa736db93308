//! The server's end of a native connection, by the letter, over a pipe in memory.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::agent::dial::Dialer;
use crate::agent::metrics::Metrics;
use crate::agent::native::{NativeError, Session, Shared, open};
use crate::agent::plan::SessionKey;
use crate::agent::session::End;
use crate::agent::words::{self, Said, Words};
use crate::drain::{self, Trigger};
use crate::protocol::native::control::{Control, Decoder};
use crate::protocol::native::hello::{AgentHello, ServerHello};
use crate::register::connection::Peer;

pub(super) const SOON: Duration = Duration::from_secs(10);
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);

pub(super) type Ended = Result<End<NativeError>, NativeError>;

/// What differs between tests.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Connections the agent takes at most.
    pub(super) room: usize,
    /// Window of the server for all its streams together.
    pub(super) window: u32,
}

impl Default for Shape {
    fn default() -> Self {
        let window = (1 << 31) - 1;
        Self { room: 1000, window }
    }
}

/// A server whose agent has not been greeted yet.
pub(super) struct Door {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) metrics: Metrics,
    pub(super) drain: Trigger,
    pub(super) said: mpsc::Receiver<Said>,
    pub(super) agent: JoinSet<Ended>,
    freeze: oneshot::Sender<()>,
    _driving: JoinSet<()>,
}

/// A server and its control stream.
pub(super) struct Server {
    pub(super) door: Door,
    pub(super) hello: Response<()>,
    sending: SendStream<Bytes>,
    body: RecvStream,
    decoder: Decoder,
}

/// One connection, seen from the server.
pub(super) struct Tunnel {
    pub(super) to: To,
    pub(super) from: From,
}

/// What the server sends on it.
pub(super) struct To(pub(super) SendStream<Bytes>);

/// What the agent sends on it.
pub(super) struct From(pub(super) RecvStream);

pub(super) fn hello() -> AgentHello {
    AgentHello {
        agent_id: "agent-1".to_owned(),
        identifiers: "host=node".to_owned(),
        authorization: vec!["Bearer secret".to_owned()],
        features: Vec::new(),
    }
}

impl Door {
    pub(super) async fn open() -> Self {
        Self::shaped(Shape::default()).await
    }

    pub(super) async fn shaped(shape: Shape) -> Self {
        let (ours, theirs) = duplex(256 * 1024);
        let (drain, watcher) = drain::channel();
        let (say, said) = words::channel();
        let metrics = Metrics::new();
        let peer = Arc::new(Peer::new("server-1", "native"));
        let shared = Shared::new(Arc::new(Dialer::default()), metrics.clone(), peer);
        let mut agent = JoinSet::new();
        agent.spawn(async move {
            let opened = open(theirs, &hello(), KEEPALIVE).await?;
            let words = Words::new(say, SessionKey::default());
            let mut session = Session::new(opened, shared, words);
            session.room = shape.room;
            Ok(session.run(watcher).await)
        });
        let (sender, connection) = builder(shape.window).handshake(ours).await.unwrap();
        let (freeze, frozen) = oneshot::channel();
        let mut driving = JoinSet::new();
        driving.spawn(drive(connection, frozen));
        Self {
            sender,
            metrics,
            drain,
            said,
            agent,
            freeze,
            _driving: driving,
        }
    }

    pub(super) async fn ask(
        &mut self,
        request: Request<()>,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let ready = poll_fn(|cx| self.sender.poll_ready(cx));
        timeout(SOON, ready)
            .await
            .expect("room for a stream")
            .unwrap();
        self.sender.send_request(request, false).unwrap()
    }

    pub(super) async fn greet(mut self) -> Server {
        let said = ServerHello {
            server_id: "a".to_owned(),
            server_count: 2,
            features: Vec::new(),
        };
        let (answer, sending) = self.ask(said.request().unwrap()).await;
        let (head, body) = answer.await.unwrap().into_parts();
        Server {
            door: self,
            hello: Response::from_parts(head, ()),
            sending,
            body,
            decoder: Decoder::default(),
        }
    }

    /// How the agent's side ended.
    pub(super) async fn ended(&mut self) -> Ended {
        let ended = timeout(SOON * 100, self.agent.join_next()).await;
        ended.expect("it ends").unwrap().unwrap()
    }

    pub(super) fn packets(&self, name: &str, segment: &str) -> u64 {
        self.metrics
            .packets
            .with_label_values(&[name, segment])
            .get()
    }
}

impl Server {
    /// An agent that was let in.
    pub(super) async fn start() -> Self {
        Self::shaped(Shape::default()).await
    }

    pub(super) async fn shaped(shape: Shape) -> Self {
        let mut server = Door::shaped(shape).await.greet().await;
        server.say(Control::Admitted);
        server
    }

    pub(super) fn say(&mut self, message: Control) {
        self.say_raw(message.encode().unwrap());
    }

    pub(super) fn say_raw(&mut self, bytes: impl Into<Bytes>) {
        self.sending.send_data(bytes.into(), false).unwrap();
    }

    pub(super) fn end_control(&mut self) {
        self.sending.send_data(Bytes::new(), true).unwrap();
    }

    /// The agent's next message; `None` at the end.
    pub(super) async fn hear(&mut self) -> Option<Control> {
        loop {
            if let Some(message) = self.decoder.next_message().unwrap() {
                return Some(message);
            }
            let data = self.body.data().await?.ok()?;
            self.body
                .flow_control()
                .release_capacity(data.len())
                .unwrap();
            self.decoder.push(&data);
        }
    }

    /// The agent's next message that is no ping; pings are answered.
    pub(super) async fn hear_word(&mut self) -> Option<Control> {
        loop {
            match self.hear().await? {
                Control::Ping { nonce } => self.say(Control::Pong { nonce }),
                word => return Some(word),
            }
        }
    }

    /// Stops answering, without hanging up.
    pub(super) fn freeze(self) -> (Door, SendStream<Bytes>) {
        let (unused, _) = oneshot::channel();
        let mut door = self.door;
        std::mem::replace(&mut door.freeze, unused)
            .send(())
            .unwrap();
        (door, self.sending)
    }

    pub(super) async fn connect(
        &mut self,
        address: &str,
        timeout_ms: u64,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::connect(address)
            .header("knp-timeout-ms", timeout_ms)
            .body(())
            .unwrap();
        self.door.ask(request).await
    }

    /// A dial's answer: the connection, or status and text.
    pub(super) async fn dial(&mut self, address: &str) -> Result<Tunnel, (u16, String)> {
        let (answer, sending) = self.connect(address, 5000).await;
        let answer = timeout(SOON, answer).await.expect("every dial is answered");
        answered(answer.unwrap(), sending)
    }

    /// Opens a connection to a new endpoint; gives back both its ends.
    pub(super) async fn open(&mut self) -> (Tunnel, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let tunnel = self.dial(&address).await.unwrap();
        (tunnel, listener.accept().await.unwrap().0)
    }
}

pub(super) fn answered(
    answer: Response<RecvStream>,
    sending: SendStream<Bytes>,
) -> Result<Tunnel, (u16, String)> {
    let (head, body) = answer.into_parts();
    if head.status == 200 {
        let (to, from) = (To(sending), From(body));
        return Ok(Tunnel { to, from });
    }
    let text = head
        .headers
        .get("knp-error")
        .map(|text| text.to_str().unwrap());
    Err((head.status.as_u16(), text.unwrap_or_default().to_owned()))
}

impl To {
    /// Sends as the windows allow; waits until all is on its way.
    pub(super) async fn send(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            self.0.reserve_capacity(bytes.len());
            if self.0.capacity() == 0 {
                poll_fn(|cx| self.0.poll_capacity(cx))
                    .await
                    .unwrap()
                    .unwrap();
            }
            let count = self.0.capacity().min(bytes.len());
            self.0.send_data(bytes.split_to(count), false).unwrap();
        }
    }

    pub(super) fn end(&mut self) {
        self.0.send_data(Bytes::new(), true).unwrap();
    }
}

impl From {
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let data = timeout(SOON, self.0.data())
            .await
            .expect("the agent sends")?;
        Some(data.inspect(|data| {
            self.0.flow_control().release_capacity(data.len()).unwrap();
        }))
    }

    /// All that comes to its end, and the trailers.
    pub(super) async fn rest(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut received = Vec::new();
        while let Some(data) = self.next().await {
            received.extend_from_slice(&data.unwrap());
        }
        let trailers = timeout(SOON, self.0.trailers()).await.expect("an end");
        (received, trailers.unwrap())
    }

    pub(super) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut received = Vec::new();
        while received.len() < length {
            received.extend_from_slice(&self.next().await.expect("more").unwrap());
        }
        received
    }
}

fn builder(window: u32) -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(window)
        .max_frame_size(64 * 1024)
        .max_send_buffer_size(256 * 1024)
        .data_frame_budget(64 << 20)
        .initial_max_send_streams(1024)
        .enable_push(false);
    builder
}

/// Drives until frozen; then the pipe stays open and nobody reads it.
async fn drive(connection: client::Connection<DuplexStream, Bytes>, frozen: oneshot::Receiver<()>) {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ended = &mut connection => {}
        Ok(()) = frozen => std::future::pending().await,
    }
}
