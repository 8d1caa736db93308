//! Our server and our agent over real sockets in one process, and clients of both frontends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tunnel::agent::metrics::Metrics;
use tunnel::drain::{self, Trigger};
use tunnel::grpc::{PacketReader, PacketWriter};
use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::packet::{FromFrontend, ToFrontend};
use tunnel::server::{self, Server};
use tunnel::{agent, flags, h2_limits};

/// Long enough for whatever should happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The newest dial of all frontends.
static LAST: AtomicUsize = AtomicUsize::new(1);
const READY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Grpc,
    HttpConnect,
}

/// A server and an agent that found each other. Dropping it ends both.
pub(crate) struct Pair {
    folder: TempDir,
    pub(crate) mode: Mode,
    health: u16,
    _drain: Trigger,
    _running: JoinSet<()>,
}

impl Pair {
    pub(crate) async fn start(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(&folder);
        let health = free_port().await;
        let (drain, _) = drain::channel();
        let mut running = JoinSet::new();
        let server = Server::bind(server_settings(&folder, mode, health))
            .await
            .unwrap();
        let port = server.agent_address().unwrap().port();
        let trigger = drain.clone();
        running.spawn(async move { server.run(&Handle::current(), &trigger).await });
        let settings = agent_settings(&folder, port);
        let trigger = drain.clone();
        running.spawn(async move {
            agent::serve(settings, Metrics::new(), trigger, &Handle::current())
                .await
                .unwrap();
        });
        let pair = Self {
            folder,
            mode,
            health,
            _drain: drain,
            _running: running,
        };
        pair.until_metric("ready_backends{proxy_strategy=\"default\"}", |agents| {
            agents > 0.0
        })
        .await;
        pair
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("frontend.socket")
    }

    /// One of the server's metrics.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.health)).await.ok()?;
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let name = format!("konnectivity_network_proxy_server_{name} ");
        answer
            .lines()
            .find_map(|line| line.strip_prefix(&name)?.parse().ok())
    }

    pub(crate) async fn until_metric(&self, name: &str, is_met: impl Fn(f64) -> bool) {
        let met = async {
            while !self.metric(name).await.is_some_and(&is_met) {
                sleep(READY).await;
            }
        };
        timeout(SOON, met)
            .await
            .unwrap_or_else(|_| panic!("{name} never fits"));
    }

    /// Dials through the tunnel.
    pub(crate) async fn dial(&self, address: &str) -> Result<Client, String> {
        let dialled = async {
            match self.mode {
                Mode::Grpc => GrpcClient::dial(&self.socket(), address)
                    .await
                    .map(Client::Grpc),
                Mode::HttpConnect => connect(&self.socket(), address).await.map(Client::Connect),
            }
        };
        timeout(SOON, dialled)
            .await
            .expect("every dial is answered")
    }
}

fn certificates(folder: &TempDir) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let write = |name: &str, pem: String| std::fs::write(folder.path().join(name), pem).unwrap();
    write("ca.crt", ca.self_signed(&ca_key).unwrap().pem());
    let issuer = Issuer::from_params(&ca, &ca_key);
    for name in ["localhost", "agent"] {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        write(
            &format!("{name}.crt"),
            leaf.signed_by(&key, &issuer).unwrap().pem(),
        );
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

fn server_settings(folder: &TempDir, mode: Mode, health: u16) -> server::settings::Settings {
    let file = |name: &str| folder.path().join(name).display().to_string();
    let words = [
        "konnectivity-server".to_owned(),
        format!("--uds-name={}", file("frontend.socket")),
        "--server-port=0".to_owned(),
        format!(
            "--mode={}",
            if mode == Mode::Grpc {
                "grpc"
            } else {
                "http-connect"
            }
        ),
        format!("--cluster-cert={}", file("localhost.crt")),
        format!("--cluster-key={}", file("localhost.key")),
        format!("--cluster-ca-cert={}", file("ca.crt")),
        "--agent-bind-address=127.0.0.1".to_owned(),
        "--server-id=server-1".to_owned(),
    ];
    let args = flags::parse::<server::args::Args>(words).unwrap().args;
    let mut settings = server::settings::Settings::try_from(args).unwrap();
    settings.agents.address = "127.0.0.1:0".to_owned();
    settings.admin = "127.0.0.1:0".to_owned();
    settings.health = format!("127.0.0.1:{health}");
    settings
}

fn agent_settings(folder: &TempDir, port: u16) -> agent::Settings {
    let file = |name: &str| folder.path().join(name).display().to_string();
    let words = [
        "konnectivity-agent".to_owned(),
        format!("--ca-cert={}", file("ca.crt")),
        format!("--agent-cert={}", file("agent.crt")),
        format!("--agent-key={}", file("agent.key")),
        "--proxy-server-host=localhost".to_owned(),
        format!("--proxy-server-port={port}"),
        "--sync-interval=20ms".to_owned(),
        "--sync-interval-cap=100ms".to_owned(),
        "--agent-id=agent-1".to_owned(),
    ];
    let mut settings = agent::Settings::new(&flags::parse(words).unwrap().args).unwrap();
    settings.health = ("127.0.0.1:0".to_owned(), 0);
    settings.admin = "127.0.0.1:0".to_owned();
    settings
}

pub(crate) async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// A connection through the tunnel, as kube-apiserver has it.
pub(crate) enum Client {
    Connect(UnixStream),
    Grpc(GrpcClient),
}

impl Client {
    pub(crate) async fn send(&mut self, data: &[u8]) -> Result<(), String> {
        match self {
            Self::Connect(stream) => stream.write_all(data).await.map_err(|e| e.to_string()),
            Self::Grpc(client) => client.send(data).await,
        }
    }

    /// Sends until nothing is taken any more.
    pub(crate) async fn send_for_ever(&mut self, data: &[u8]) {
        while self.send(data).await.is_ok() {}
    }

    /// Some bytes; empty at the end.
    pub(crate) async fn receive(&mut self) -> Bytes {
        match self {
            Self::Connect(stream) => {
                let mut buffer = vec![0; 64 * 1024];
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                buffer.truncate(n);
                buffer.into()
            }
            Self::Grpc(client) => client.receive().await,
        }
    }

    pub(crate) async fn receive_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let data = self.receive().await;
            if data.is_empty() {
                return all;
            }
            all.extend_from_slice(&data);
        }
    }

    /// Closes as kube-apiserver's client does; in gRPC mode waits for the confirmation.
    pub(crate) async fn close(self) {
        match self {
            Self::Connect(mut stream) => stream.shutdown().await.unwrap_or_default(),
            Self::Grpc(mut client) => client.close().await,
        }
    }

    /// Sends a word and gets it back.
    pub(crate) async fn echo(&mut self, word: &[u8]) {
        self.send(word).await.unwrap();
        let mut back = Vec::new();
        while back.len() < word.len() {
            let data = self.receive().await;
            assert!(!data.is_empty(), "ended inside an echo");
            back.extend_from_slice(&data);
        }
        assert_eq!(back, word);
    }
}

async fn connect(socket: &PathBuf, address: &str) -> Result<UnixStream, String> {
    let mut stream = UnixStream::connect(socket)
        .await
        .map_err(|e| e.to_string())?;
    let request = format!("CONNECT {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.map_err(|e| e.to_string())? == 0 {
            break;
        }
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    if head.starts_with("HTTP/1.1 200 Connection Established\r\n") {
        return Ok(stream);
    }
    let mut body = String::new();
    stream.read_to_string(&mut body).await.unwrap();
    Err(format!(
        "{} {body}",
        head.lines().next().unwrap_or_default()
    ))
}

/// One Proxy stream on a connection of its own.
pub(crate) struct GrpcClient {
    reader: PacketReader<ToFrontend>,
    writer: PacketWriter,
    id: ConnectId,
    _sender: SendRequest<Bytes>,
    _driving: JoinSet<()>,
}

impl GrpcClient {
    async fn dial(socket: &PathBuf, address: &str) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).await.unwrap();
        let (sender, connection) = h2_limits::client().handshake(stream).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move { connection.await.unwrap_or_default() });
        let request = Request::post("http://localhost/ProxyService/Proxy")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let mut sender = sender.ready().await.unwrap();
        let (answer, stream) = sender
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        let mut writer = PacketWriter::new(stream);
        let dial = DialId(i64::try_from(LAST.fetch_add(1, Ordering::Relaxed)).unwrap());
        let (protocol, address) = ("tcp".to_owned(), address.to_owned());
        writer
            .send(FromFrontend::Dial {
                dial,
                protocol,
                address,
            })
            .await
            .unwrap();
        let mut reader = PacketReader::new(answer.await.unwrap().into_body());
        match reader.next().await.unwrap() {
            Some(ToFrontend::Dialled { dial: answered, id }) => {
                assert_eq!(answered, dial);
                Ok(Self {
                    reader,
                    writer,
                    id,
                    _sender: sender,
                    _driving: driving,
                })
            }
            Some(ToFrontend::DialFailed { error, .. }) => Err(error),
            other => Err(format!("not an answer: {other:?}")),
        }
    }

    async fn send(&mut self, data: &[u8]) -> Result<(), String> {
        for part in data.chunks(16 * 1024) {
            let data = Bytes::copy_from_slice(part);
            let sent = self
                .writer
                .send(FromFrontend::Data { id: self.id, data })
                .await;
            sent.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Bytes {
        match self.reader.next().await {
            Ok(Some(ToFrontend::Data { id, data })) => {
                assert_eq!(id, self.id);
                data
            }
            _ => Bytes::new(),
        }
    }

    async fn close(&mut self) {
        if self
            .writer
            .send(FromFrontend::Close { id: self.id })
            .await
            .is_err()
        {
            return;
        }
        let confirmed = async {
            while !matches!(
                self.reader.next().await,
                Ok(Some(ToFrontend::Closed { .. }) | None) | Err(_)
            ) {}
        };
        timeout(SOON, confirmed)
            .await
            .expect("CLOSE_REQ is confirmed");
    }
}

/// Endpoints of one kind on a port.
pub(crate) struct Endpoint {
    pub(crate) address: String,
    pub(crate) accepted: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Endpoint {
    pub(crate) async fn serve<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(each(socket));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            accepted,
            _serving: serving,
        }
    }

    pub(crate) async fn echo() -> Self {
        Self::serve(|mut socket| async move {
            let (mut reader, mut writer) = socket.split();
            tokio::io::copy(&mut reader, &mut writer)
                .await
                .unwrap_or_default();
        })
        .await
    }
}
