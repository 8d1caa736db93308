//! Our server and our agent over real sockets in one process, and clients of both frontends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tunnel::agent::metrics::Metrics;
use tunnel::drain::{self, Trigger};
use tunnel::server::{self, Server};
use tunnel::status::command::ask;
use tunnel::status::document::{Program, Status};
use tunnel::{agent, flags};

use crate::pair_client::{Client, GrpcClient, connect};

/// Long enough for whatever should happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
const READY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Grpc,
    HttpConnect,
}

/// What an end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Auto,
    Reference,
    Native,
}

impl Wire {
    fn flag(self) -> String {
        let mode = match self {
            Self::Auto => "auto",
            Self::Reference => "legacy",
            Self::Native => "native",
        };
        format!("--tunnel-mode={mode}")
    }
}

/// A server and an agent that found each other. Dropping it ends both.
pub(crate) struct Pair {
    folder: TempDir,
    pub(crate) mode: Mode,
    health: u16,
    /// Admin ports of server and agent.
    admin: (u16, u16),
    _drain: Trigger,
    _running: JoinSet<()>,
}

impl Pair {
    /// Both ends speak the same.
    pub(crate) async fn start_on(mode: Mode, wire: Wire) -> Self {
        Self::start_as(mode, wire, wire).await
    }

    pub(crate) async fn start_as(mode: Mode, server_wire: Wire, agent_wire: Wire) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(&folder);
        let health = free_port().await;
        let (drain, _) = drain::channel();
        let mut running = JoinSet::new();
        let admin = (free_port().await, free_port().await);
        let mut settings = server_settings(&folder, mode, server_wire, health);
        settings.admin = format!("127.0.0.1:{}", admin.0);
        let server = Server::bind(settings).await.unwrap();
        let port = server.agent_address().unwrap().port();
        let trigger = drain.clone();
        running.spawn(async move { server.run(&Handle::current(), &trigger).await });
        let mut settings = agent_settings(&folder, agent_wire, port);
        settings.admin = format!("127.0.0.1:{}", admin.1);
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
            admin,
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

    /// What one of the two says of itself, once it says what `is_met` asks for.
    pub(crate) async fn until_status(
        &self,
        program: Program,
        is_met: impl Fn(&Status) -> bool,
    ) -> Status {
        let port = match program {
            Program::Server => self.admin.0,
            Program::Agent => self.admin.1,
        };
        let address = format!("127.0.0.1:{port}");
        let mut last = None;
        let met = async {
            loop {
                let asked = ask(program, &address).await;
                if let Some(status) = asked.as_ref().ok().filter(|status| is_met(status)) {
                    return status.clone();
                }
                last = Some(asked);
                sleep(READY).await;
            }
        };
        let met = timeout(SOON, met).await;
        met.unwrap_or_else(|_| panic!("never fits: {last:?}"))
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

fn server_settings(
    folder: &TempDir,
    mode: Mode,
    wire: Wire,
    health: u16,
) -> server::settings::Settings {
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
        wire.flag(),
    ];
    let args = flags::parse::<server::args::Args>(words).unwrap().args;
    let mut settings = server::settings::Settings::try_from(args).unwrap();
    settings.agents.address = "127.0.0.1:0".to_owned();
    settings.admin = "127.0.0.1:0".to_owned();
    settings.health = format!("127.0.0.1:{health}");
    settings
}

fn agent_settings(folder: &TempDir, wire: Wire, port: u16) -> agent::Settings {
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
        wire.flag(),
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
