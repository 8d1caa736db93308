//! A scripted konnectivity-server over real TLS sockets, and an agent that runs against it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::{RecvStream, SendStream, server};
use http::{HeaderMap, Response, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tunnel::agent::metrics::Metrics;
use tunnel::agent::{self, Settings};
use tunnel::drain::{self, Trigger};
use tunnel::flags;
use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::packet::{FromAgent, Packet as _, ToAgent};

/// Long enough for whatever should happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A place where servers listen, with its certificates.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::speaking(&[b"h2"]).await
    }

    /// A place whose TLS knows these protocols, the best one first.
    pub(crate) async fn speaking(alpn: &[&[u8]]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        std::fs::write(folder.path().join("ca.crt"), ca_pem).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf
            .signed_by(&key, &Issuer::from_params(&ca, &ca_key))
            .unwrap();
        let leaf = CertificateDer::from_pem_slice(leaf.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Self {
            folder,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Settings of an agent that dials here.
    pub(crate) fn settings(&self, more: &[&str]) -> Settings {
        let ca = format!("--ca-cert={}", self.folder.path().join("ca.crt").display());
        let port = format!("--proxy-server-port={}", self.address().port());
        let fixed = [
            "konnectivity-agent",
            &ca,
            &port,
            "--proxy-server-host=localhost",
            "--agent-id=agent-1",
            "--health-server-host=127.0.0.1",
            "--sync-interval=20ms",
            "--sync-interval-cap=100ms",
        ];
        let words = fixed.iter().chain(more).map(|word| (*word).to_owned());
        Settings::new(&flags::parse::<agent::Args>(words).unwrap().args).unwrap()
    }

    /// A running agent.
    pub(crate) fn agent(&self, more: &[&str]) -> Agent {
        let (trigger, _) = drain::channel();
        let metrics = Metrics::new();
        let mut running = JoinSet::new();
        let (settings, counted, drain) = (self.settings(more), metrics.clone(), trigger.clone());
        running.spawn(async move {
            agent::serve(settings, counted, drain, &Handle::current())
                .await
                .unwrap();
        });
        Agent {
            metrics,
            drain: trigger,
            running,
        }
    }

    /// Takes the agent's next connection as far as its Connect request.
    pub(crate) async fn knock(&self) -> Knock {
        let accepted = async {
            let (socket, _) = self.listener.accept().await.unwrap();
            let stream = self.acceptor.accept(socket).await.unwrap();
            let mut connection = server::handshake(stream).await.unwrap();
            let (request, answer) = connection.accept().await.unwrap().unwrap();
            let (head, body) = request.into_parts();
            Knock {
                path: head.uri.path().to_owned(),
                headers: head.headers,
                body,
                answer,
                connection,
            }
        };
        timeout(SOON, accepted).await.expect("an agent comes soon")
    }

    /// Takes the agent's next connection as far as the TLS handshake, if it gets there.
    pub(crate) async fn accept_raw(&self) -> TlsStream<TcpStream> {
        loop {
            let (socket, _) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(socket).await {
                return stream;
            }
        }
    }

    /// The agent's next TCP connection.
    pub(crate) async fn socket(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// A handshake with this place's protocols.
    pub(crate) async fn secure(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(socket).await
    }

    /// Takes the agent's next connection as a server of this name among so many.
    pub(crate) async fn accept(&self, server: &str, count: &str) -> Served {
        self.knock().await.welcome(server, count)
    }
}

/// An agent whose request is not answered yet.
pub(crate) struct Knock {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    body: RecvStream,
    answer: server::SendResponse<Bytes>,
    connection: server::Connection<TlsStream<TcpStream>, Bytes>,
}

impl Knock {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn welcome(mut self, server: &str, count: &str) -> Served {
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .header("serverid", server)
            .header("servercount", count)
            .body(())
            .unwrap();
        let sending = self.answer.send_response(head, false).unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(drive(self.connection));
        Served {
            body: self.body,
            sending,
            received: BytesMut::new(),
            driving,
        }
    }

    /// Refuses as grpc-go does: the status comes in the only headers.
    pub(crate) async fn refuse(mut self, code: &str, message: &str) {
        let head = Response::builder()
            .status(StatusCode::OK)
            .header("content-type", "application/grpc")
            .header("grpc-status", code)
            .header("grpc-message", message)
            .body(())
            .unwrap();
        self.answer.send_response(head, true).unwrap();
        drop((self.body, self.answer));
        let _ = timeout(SOON, drive(self.connection)).await;
    }
}

async fn drive(mut connection: server::Connection<TlsStream<TcpStream>, Bytes>) {
    while connection
        .accept()
        .await
        .is_some_and(|accepted| accepted.is_ok())
    {}
}

/// A stream to an agent, seen from the server. Dropping it cuts the TCP connection.
pub(crate) struct Served {
    body: RecvStream,
    sending: SendStream<Bytes>,
    received: BytesMut,
    driving: JoinSet<()>,
}

impl Served {
    pub(crate) async fn send(&mut self, packet: ToAgent) {
        let (head, payload) = packet.encode();
        self.send_message(&[&head[..], &payload[..]].concat()).await;
    }

    /// Any bytes as one gRPC message.
    pub(crate) async fn send_message(&mut self, message: &[u8]) {
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        self.send_bytes(Bytes::from(frame)).await;
    }

    pub(crate) async fn send_bytes(&mut self, mut bytes: Bytes) {
        self.sending.reserve_capacity(bytes.len());
        while !bytes.is_empty() {
            let capacity = self.sending.capacity().min(bytes.len());
            if capacity > 0 {
                self.sending
                    .send_data(bytes.split_to(capacity), false)
                    .unwrap();
            } else {
                let room = std::future::poll_fn(|cx| self.sending.poll_capacity(cx));
                timeout(SOON, room)
                    .await
                    .expect("the agent reads")
                    .unwrap()
                    .unwrap();
            }
        }
    }

    /// The agent's next packet; `None` when it ended the stream or the connection.
    pub(crate) async fn try_next(&mut self) -> Option<FromAgent> {
        loop {
            if let Some(length) = self.received.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.received.len() >= 5 + length {
                    self.received.advance(5);
                    let message = self.received.split_to(length).freeze();
                    return Some(FromAgent::decode(message).unwrap().expect("a known packet"));
                }
            }
            let frame = timeout(SOON, self.body.data())
                .await
                .expect("the agent sends")?
                .ok()?;
            self.body
                .flow_control()
                .release_capacity(frame.len())
                .unwrap();
            self.received.extend_from_slice(&frame);
        }
    }

    pub(crate) async fn next(&mut self) -> FromAgent {
        self.try_next().await.expect("the agent stays")
    }

    /// Waits until the agent's TCP connection is gone.
    pub(crate) async fn gone(mut self) {
        while self.try_next().await.is_some() {}
        timeout(SOON, self.driving.join_next())
            .await
            .expect("the connection ends");
    }

    pub(crate) async fn dial(&mut self, address: &str) -> FromAgent {
        let (protocol, address) = ("tcp".to_owned(), address.to_owned());
        self.send(ToAgent::Dial {
            dial: DialId(5),
            protocol,
            address,
        })
        .await;
        self.next().await
    }

    /// Opens a connection to a new endpoint; gives back both its ends.
    pub(crate) async fn open(&mut self) -> (ConnectId, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answer = self.dial(&listener.local_addr().unwrap().to_string()).await;
        let FromAgent::Dialled {
            dial: DialId(5),
            id,
        } = answer
        else {
            panic!("{answer:?}")
        };
        (id, listener.accept().await.unwrap().0)
    }

    pub(crate) async fn data(&mut self, id: ConnectId, data: impl Into<Bytes>) {
        self.send(ToAgent::Data {
            id,
            data: data.into(),
        })
        .await;
    }

    /// Everything of one connection up to its close: bytes and error text.
    pub(crate) async fn until_closed(&mut self, connection: ConnectId) -> (Vec<u8>, String) {
        let mut received = Vec::new();
        loop {
            match self.next().await {
                FromAgent::Data { id, data } if id == connection => received.extend(data),
                FromAgent::Closed { id, error } if id == connection => return (received, error),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// An agent in this process.
pub(crate) struct Agent {
    pub(crate) metrics: Metrics,
    pub(crate) drain: Trigger,
    running: JoinSet<()>,
}

impl Agent {
    /// Waits for its end.
    pub(crate) async fn ended(&mut self) {
        timeout(SOON, self.running.join_next())
            .await
            .expect("the agent ends")
            .unwrap()
            .unwrap();
    }
}

pub(crate) fn closed(id: ConnectId, error: &str) -> FromAgent {
    FromAgent::Closed {
        id,
        error: error.to_owned(),
    }
}
