//! A server on real sockets, scripted agents that speak packets to it, and frontends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tunnel::drain::{self, Trigger};
use tunnel::grpc::{self, GRPC, PacketReader, PacketWriter, Status, StreamError};
use tunnel::metrics::Registry;
use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::packet::{FromAgent, FromFrontend, Packet, ToAgent, ToFrontend};
use tunnel::server::Server;
use tunnel::server::args::Args;
use tunnel::server::settings::{Place, Settings};
use tunnel::{h2_limits, tls};

use crate::certificate_files::write_certificates;

/// Long enough for whatever should happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// What a successful CONNECT is answered with, to the byte.
pub(crate) const ESTABLISHED: &str = "HTTP/1.1 200 Connection Established\r\n\r\n";

/// Waits for what must happen soon.
pub(crate) async fn soon<T>(what: &str, happening: impl Future<Output = T>) -> T {
    timeout(SOON, happening).await.expect(what)
}

/// A running server with its certificates and its Unix socket.
pub(crate) struct House {
    folder: TempDir,
    pub(crate) trigger: Trigger,
    pub(crate) running: JoinSet<()>,
    pub(crate) agents: SocketAddr,
    frontend: Option<SocketAddr>,
    /// Where other servers connect.
    pub(crate) peers: Option<SocketAddr>,
    registry: Registry,
}

impl House {
    /// Starts a server; `flags` win, with `DIR` for its folder.
    pub(crate) async fn open(mode: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        write_certificates(&folder);
        let at = |flag: &str| flag.replace("DIR", &folder.path().display().to_string());
        let flags: Vec<String> = flags.iter().map(|flag| at(flag)).collect();
        let settings = settings(&folder, mode, &flags);
        let server = Server::bind(settings).await.expect("it starts");
        let agents = server.agent_address().expect("agents connect by TCP");
        let frontend = server.frontend_address();
        let peers = server.peer_address();
        let registry = server.registry().clone();
        let (trigger, _) = drain::channel();
        let mut running = JoinSet::new();
        let drain = trigger.clone();
        running.spawn(async move { server.run(&Handle::current(), &drain).await });
        Self {
            folder,
            trigger,
            running,
            agents,
            frontend,
            peers,
            registry,
        }
    }

    /// Connects an agent of that name.
    pub(crate) async fn agent(&self, name: &str) -> Agent {
        let agent = self
            .agent_with(&[("agentid", name), ("agentidentifiers", "")])
            .await;
        agent.expect("it is let in")
    }

    /// What an agent that sends these headers is refused with.
    pub(crate) async fn refusal(&self, headers: &[(&str, &str)]) -> String {
        let refused = self.agent_with(headers).await.map(drop);
        refused.expect_err("it must be refused").status().message
    }

    /// Connects an agent that sends these headers.
    pub(crate) async fn agent_with(&self, headers: &[(&str, &str)]) -> Result<Agent, StreamError> {
        let config =
            tls::client_config(&self.file("ca.crt"), None, &["h2".to_owned()]).expect("TLS");
        let socket = TcpStream::connect(self.agents)
            .await
            .expect("the server listens");
        let name = "localhost".try_into().expect("a legal name");
        let stream = TlsConnector::from(config)
            .connect(name, socket)
            .await
            .expect("a handshake");
        let (client, connection) = h2_limits::client()
            .handshake::<_, Bytes>(stream)
            .await
            .expect("HTTP/2");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        let (reader, writer, head) = call(client, "/AgentService/Connect", headers).await?;
        let header = |name: &str| {
            head.get(name)
                .map(|value| value.to_str().expect("text").to_owned())
                .unwrap_or_default()
        };
        Ok(Agent {
            reader,
            writer,
            server: header("serverid"),
            count: header("servercount"),
            _tasks: tasks,
        })
    }

    /// Opens a TLS connection to the frontend, with the client's certificate if `identity` says so.
    pub(crate) async fn tls_client(
        &self,
        identity: Option<(PathBuf, PathBuf)>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let ca = self.file("ca.crt");
        let alpn = ["http/1.1".to_owned()];
        let config = tls::client_config(&ca, identity.as_ref(), &alpn).expect("TLS");
        let address = self.frontend.expect("frontends connect by TCP");
        let socket = TcpStream::connect(address).await.expect("it listens");
        let name = "localhost".try_into().expect("a legal name");
        TlsConnector::from(config).connect(name, socket).await
    }

    /// Opens a Unix connection and sends these bytes.
    pub(crate) async fn client(&self, request: &str) -> UnixStream {
        let mut socket = UnixStream::connect(self.file("server.socket"))
            .await
            .expect("it listens");
        socket
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        socket
    }

    /// Asks for a connection as kube-apiserver does.
    pub(crate) async fn connect(&self, target: &str) -> UnixStream {
        self.client(&format!(
            "CONNECT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        ))
        .await
    }

    /// Opens a Proxy stream.
    pub(crate) async fn frontend(&self) -> Frontend {
        self.frontend_with(&h2_limits::client()).await
    }

    /// Opens a Proxy stream on a connection of that kind.
    pub(crate) async fn frontend_with(&self, http2: &h2::client::Builder) -> Frontend {
        let socket = UnixStream::connect(self.file("server.socket"))
            .await
            .expect("it listens");
        let (client, connection) = http2.handshake::<_, Bytes>(socket).await.expect("HTTP/2");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        let called = call(client, "/ProxyService/Proxy", &[]).await;
        let (reader, writer, _) = called.expect("the stream opens");
        Frontend {
            reader,
            writer,
            _tasks: tasks,
        }
    }

    /// The value of a metric, by name without prefix and with labels.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let name = format!("konnectivity_network_proxy_server_{line} ");
        let page = self.registry.page();
        let found = page.lines().find_map(|row| row.strip_prefix(&name));
        assert!(found.is_some(), "no {line} in {page}");
        found
            .and_then(|value| value.parse().ok())
            .expect("a number")
    }

    /// Waits until a metric has a value.
    pub(crate) async fn metric_becomes(&self, line: &str, value: f64) {
        let mut tick = interval(Duration::from_millis(10));
        soon(&format!("{line} {value}"), async {
            while (self.metric(line) - value).abs() > 0.1 {
                tick.tick().await;
            }
        })
        .await;
    }

    /// A file of the house.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn settings(folder: &TempDir, mode: &str, flags: &[String]) -> Settings {
    let path = |flag: &str, name: &str| format!("--{flag}={}", folder.path().join(name).display());
    let fixed = [
        "konnectivity-server".to_owned(),
        format!("--mode={mode}"),
        "--server-port=0".to_owned(),
        "--server-id=server-1".to_owned(),
        path("uds-name", "server.socket"),
        path("cluster-cert", "tls.crt"),
        path("cluster-key", "tls.key"),
    ];
    let words = fixed.into_iter().chain(flags.iter().cloned());
    let args = tunnel::flags::parse::<Args>(words)
        .expect("known flags")
        .args;
    let mut settings = Settings::try_from(args).expect("legal flags");
    for address in [
        &mut settings.agents.address,
        &mut settings.health,
        &mut settings.admin,
    ] {
        "127.0.0.1:0".clone_into(address);
    }
    if let Place::Tcp { address, .. } = &mut settings.frontend.place {
        "127.0.0.1:0".clone_into(address);
    }
    if let Some(peers) = &mut settings.peers {
        "127.0.0.1:0".clone_into(&mut peers.address);
    }
    settings
}

async fn call<P: Packet>(
    client: h2::client::SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(PacketReader<P>, PacketWriter, http::HeaderMap), StreamError> {
    let mut request = Request::post(format!("http://localhost{path}")).header("content-type", GRPC);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.ready().await?;
    let (response, stream) = client.send_request(request.body(()).expect("legal"), false)?;
    let (head, body) = response.await?.into_parts();
    grpc::accepted(head.status, &head.headers)?;
    Ok((
        PacketReader::new(body),
        PacketWriter::new(stream),
        head.headers,
    ))
}

/// An agent whose every packet the test decides.
pub(crate) struct Agent {
    pub(crate) reader: PacketReader<ToAgent>,
    pub(crate) writer: PacketWriter,
    pub(crate) server: String,
    pub(crate) count: String,
    _tasks: JoinSet<()>,
}

impl Agent {
    /// The next packet of the server.
    pub(crate) async fn next(&mut self) -> ToAgent {
        let next = soon("a packet of the server", self.reader.next()).await;
        next.expect("the stream lives").expect("the stream goes on")
    }

    /// How the server ends the stream.
    pub(crate) async fn ended(&mut self) -> Result<(), Status> {
        loop {
            match soon("the end of the stream", self.reader.next()).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(error.status()),
            }
        }
    }

    pub(crate) async fn send(&mut self, packet: FromAgent) {
        soon("a packet to leave", self.writer.send(packet))
            .await
            .expect("the stream lives");
    }

    /// Takes the next packet, which must be a dial.
    pub(crate) async fn dial(&mut self) -> (DialId, String) {
        let packet = self.next().await;
        let dial = match &packet {
            ToAgent::Dial { dial, address, .. } => Some((*dial, address.clone())),
            _ => None,
        };
        assert!(dial.is_some(), "{packet:?} instead of a dial");
        dial.expect("it was just asserted")
    }

    /// Answers the next dial with a connection.
    pub(crate) async fn open(&mut self, id: i64) -> ConnectId {
        let (dial, _) = self.dial().await;
        self.send(FromAgent::Dialled {
            dial,
            id: ConnectId(id),
        })
        .await;
        ConnectId(id)
    }

    pub(crate) async fn data(&mut self, id: ConnectId, data: impl Into<Bytes>) {
        self.send(FromAgent::Data {
            id,
            data: data.into(),
        })
        .await;
    }
}

/// A frontend's stream.
pub(crate) struct Frontend {
    pub(crate) reader: PacketReader<ToFrontend>,
    pub(crate) writer: PacketWriter,
    _tasks: JoinSet<()>,
}

impl Frontend {
    pub(crate) async fn next(&mut self) -> ToFrontend {
        let next = soon("a packet of the server", self.reader.next()).await;
        next.expect("the stream lives").expect("the stream goes on")
    }

    pub(crate) async fn send(&mut self, packet: FromFrontend) {
        soon("a packet to leave", self.writer.send(packet))
            .await
            .expect("the stream lives");
    }

    pub(crate) async fn dial(&mut self, number: i64, address: &str) {
        self.send(FromFrontend::Dial {
            dial: DialId(number),
            protocol: "tcp".to_owned(),
            address: address.to_owned(),
        })
        .await;
    }
}

/// Reads exactly what is expected.
pub(crate) async fn expect_bytes(socket: &mut UnixStream, expected: &str) {
    let mut received = vec![0; expected.len()];
    soon(expected, socket.read_exact(&mut received))
        .await
        .expect("the bytes come");
    assert_eq!(String::from_utf8_lossy(&received), expected);
}

/// Reads to the end.
pub(crate) async fn rest(socket: &mut UnixStream) -> String {
    let mut received = Vec::new();
    soon("the end of the socket", socket.read_to_end(&mut received))
        .await
        .expect("it ends in order");
    String::from_utf8_lossy(&received).into_owned()
}

/// Descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .expect("proc is mounted")
        .count()
}
