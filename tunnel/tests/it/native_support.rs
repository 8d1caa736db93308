//! A scripted agent of the native mode: the test decides what it says, which dials it answers, and when it freezes.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tunnel::protocol::native::ALPN;
use tunnel::protocol::native::control::{Control, Decoder};
use tunnel::protocol::native::dial::{DialRequest, Refusal};
use tunnel::protocol::native::hello::{AgentHello, ServerHello};
use tunnel::{h2_limits, tls};

use crate::server_support::{House, soon};

type Stream = (Request<RecvStream>, SendResponse<Bytes>);

/// An agent whose every word the test decides; pings are answered until it freezes.
pub(crate) struct NativeAgent {
    pub(crate) hello: ServerHello,
    streams: mpsc::Receiver<Stream>,
    said: mpsc::Receiver<Control>,
    saying: mpsc::Sender<Control>,
    frozen: Arc<watch::Sender<bool>>,
    _tasks: JoinSet<()>,
}

/// A dial that waits for the test.
pub(crate) struct Dial {
    pub(crate) request: DialRequest,
    body: RecvStream,
    respond: SendResponse<Bytes>,
}

/// An open connection, seen from the agent.
pub(crate) struct Opened {
    pub(crate) sending: SendStream<Bytes>,
    pub(crate) receiving: RecvStream,
}

/// A TLS connection to the agents' door.
pub(crate) async fn knock(house: &House, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let alpn: Vec<String> = alpn
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let config = tls::client_config(&house.file("ca.crt"), None, &alpn).expect("TLS");
    let socket = TcpStream::connect(house.agents).await.expect("it listens");
    let name = "localhost".try_into().expect("a legal name");
    TlsConnector::from(config).connect(name, socket).await
}

impl NativeAgent {
    /// Connects and says this.
    pub(crate) async fn knocks(house: &House, hello: AgentHello) -> Self {
        let socket = knock(house, &[ALPN, b"h2"]).await.expect("a handshake");
        assert_eq!(socket.get_ref().1.alpn_protocol(), Some(ALPN));
        let handshake = h2_limits::native_agent_side().handshake(socket).await;
        let mut connection = handshake.expect("HTTP/2");
        let greeting = soon("the hello", connection.accept()).await;
        let (request, mut respond) = greeting.expect("a stream").expect("it lives");
        let said = ServerHello::read(&request).expect("a hello");
        let response = hello.response().expect("legal headers");
        let sending = respond.send_response(response, false).expect("it lives");
        let (frozen, mut freeze) = watch::channel(false);
        let (streams_in, streams) = mpsc::channel(64);
        let (said_in, heard) = mpsc::channel(64);
        let (saying, to_say) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        let control = control(request.into_body(), sending, said_in, to_say);
        tasks.spawn(async move {
            let mut control = std::pin::pin!(control);
            let mut control_over = false;
            loop {
                tokio::select! {
                    accepted = connection.accept() => match accepted {
                        Some(Ok(stream)) => streams_in.send(stream).await.unwrap_or_default(),
                        Some(Err(_)) | None => return,
                    },
                    () = &mut control, if !control_over => control_over = true,
                    () = freezing(&mut freeze) => std::future::pending().await,
                }
            }
        });
        Self {
            hello: said,
            streams,
            said: heard,
            saying,
            frozen: Arc::new(frozen),
            _tasks: tasks,
        }
    }

    /// An agent of that name that is let in.
    pub(crate) async fn enter(house: &House, name: &str) -> Self {
        let hello = AgentHello {
            agent_id: name.to_owned(),
            ..AgentHello::default()
        };
        let mut agent = Self::knocks(house, hello).await;
        assert_eq!(agent.hears().await, Some(Control::Admitted));
        agent
    }

    /// What the server says next, but for pings and pongs; `None` at the end.
    pub(crate) async fn hears(&mut self) -> Option<Control> {
        soon("a word of the server", self.said.recv()).await
    }

    pub(crate) async fn says(&self, message: Control) {
        self.saying.send(message).await.expect("it lives");
    }

    /// From now on it does nothing, but its connection stays.
    pub(crate) fn freezes(&self) {
        self.frozen.send_replace(true);
    }

    /// Takes the next dial.
    pub(crate) async fn dial(&mut self) -> Dial {
        let stream = soon("a dial", self.streams.recv()).await;
        let (request, respond) = stream.expect("the connection lives");
        Dial {
            request: DialRequest::read(&request).expect("a dial"),
            body: request.into_body(),
            respond,
        }
    }

    /// Answers the next dial with a connection.
    pub(crate) async fn opens(&mut self) -> Opened {
        self.dial().await.opens()
    }
}

impl Dial {
    pub(crate) fn opens(mut self) -> Opened {
        let sending = self.respond.send_response(Response::new(()), false);
        Opened {
            sending: sending.expect("the dial lives"),
            receiving: self.body,
        }
    }

    pub(crate) fn refuses(mut self, refusal: &Refusal) {
        let sent = self.respond.send_response(refusal.response(), true);
        drop(sent.expect("the dial lives"));
    }

    /// How the server cancels it.
    pub(crate) async fn cancelled(&mut self) -> Reason {
        let reset = poll_fn(|cx| self.respond.poll_reset(cx));
        soon("a reset", reset).await.expect("it is reset")
    }
}

impl Opened {
    /// Everything that comes until the server's end, window given back as it comes; and what the trailers say.
    pub(crate) async fn rest(&mut self) -> Result<(Vec<u8>, Option<String>), h2::Error> {
        let mut all = Vec::new();
        while let Some(data) = soon("bytes", self.receiving.data()).await {
            let data = data?;
            self.receiving.flow_control().release_capacity(data.len())?;
            all.extend_from_slice(&data);
        }
        let trailers = soon("trailers", self.receiving.trailers()).await?;
        let text = trailers.and_then(|it| tunnel::protocol::native::error_text(&it));
        Ok((all, text))
    }

    /// How the server resets it.
    pub(crate) async fn reset(&mut self) -> Reason {
        let reset = poll_fn(|cx| self.sending.poll_reset(cx));
        soon("a reset", reset).await.expect("it is reset")
    }
}

/// Resolves when the test wants the agent frozen.
async fn freezing(freeze: &mut watch::Receiver<bool>) {
    if freeze.wait_for(|frozen| *frozen).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Answers pings, passes on all else, says what it is given.
async fn control(
    mut body: RecvStream,
    mut sending: SendStream<Bytes>,
    said: mpsc::Sender<Control>,
    mut to_say: mpsc::Receiver<Control>,
) {
    let mut decoder = Decoder::default();
    loop {
        tokio::select! {
            piece = body.data() => {
                let Some(Ok(piece)) = piece else { return };
                drop(body.flow_control().release_capacity(piece.len()));
                decoder.push(&piece);
            }
            Some(message) = to_say.recv() => say(&mut sending, message),
        }
        while let Ok(Some(message)) = decoder.next_message() {
            match message {
                Control::Ping { nonce } => say(&mut sending, Control::Pong { nonce }),
                Control::Pong { .. } => {}
                other => said.send(other).await.unwrap_or_default(),
            }
        }
    }
}

fn say(sending: &mut SendStream<Bytes>, message: Control) {
    let bytes = message.encode().expect("short");
    drop(sending.send_data(bytes, false));
}
