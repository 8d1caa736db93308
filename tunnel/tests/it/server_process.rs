//! The program itself, started as the manifests of the field start it.

use std::process::{Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::interval;
use tunnel::status::document::{Program as Which, Status};

use crate::certificate_files::write_certificates;
use crate::server_support::soon;

const PROGRAM: &str = env!("CARGO_BIN_EXE_konnectivity-server");

/// A running konnectivity-server; killed when dropped.
struct Program {
    child: Child,
    health: u16,
    admin: u16,
    folder: TempDir,
}

impl Program {
    /// With the arguments of the Kubernetes task page, and Kamaji's `-v=8`.
    async fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        write_certificates(&folder);
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("kubeconfig"), "{}").expect("a writable folder");
        let (agents, health, admin) = (free_port().await, free_port().await, free_port().await);
        let child = Command::new(PROGRAM)
            .arg("--logtostderr=true")
            .arg(format!("--uds-name={}", path("server.socket")))
            .arg("--delete-existing-uds-file")
            .arg(format!("--cluster-cert={}", path("tls.crt")))
            .arg(format!("--cluster-key={}", path("tls.key")))
            .args(["--mode=grpc", "--server-port=0", "-v=8"])
            .arg(format!("--agent-port={agents}"))
            .arg(format!("--admin-port={admin}"))
            .arg(format!("--health-port={health}"))
            .args([
                "--agent-namespace=kube-system",
                "--agent-service-account=konnectivity-agent",
            ])
            .arg(format!("--kubeconfig={}", path("kubeconfig")))
            .arg("--authentication-audience=system:konnectivity-server")
            .args(more)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let program = Self {
            child,
            health,
            admin,
            folder,
        };
        soon("the health listener", async {
            let mut tick = interval(Duration::from_millis(20));
            while TcpStream::connect(("127.0.0.1", health)).await.is_err() {
                tick.tick().await;
            }
        })
        .await;
        program
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill")
            .args([name, &pid])
            .status()
            .await
            .expect("kill is there");
        assert!(sent.success());
    }
}

/// A port of the range the program takes that nobody uses now.
async fn free_port() -> u16 {
    loop {
        let port = rand_port();
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

fn rand_port() -> u16 {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    20_000 + u16::from_le_bytes([bytes[0], bytes[1]]) % 20_000
}

async fn get(port: u16, path: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    soon("an answer", socket.read_to_string(&mut answer))
        .await
        .expect("text");
    answer
}

async fn run(arguments: &[&str]) -> Output {
    let ran = Command::new(PROGRAM).args(arguments).output();
    soon("the end of the program", ran)
        .await
        .expect("it starts")
}

#[tokio::test]
async fn pages_are_where_the_reference_has_them() {
    let program = Program::start(&[]).await;
    assert!(
        get(program.health, "/healthz")
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
    for path in ["/readyz", "/ready"] {
        let answer = get(program.health, path).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(
            answer.ends_with("no connection to any proxy agent"),
            "{answer}"
        );
    }
    for port in [program.health, program.admin] {
        let page = get(port, "/metrics").await;
        assert!(
            page.contains("konnectivity_network_proxy_server_ready_backend_connections 0"),
            "{page}"
        );
    }
    assert!(program.folder.path().join("server.socket").exists());
}

#[tokio::test]
async fn the_program_shows_the_status_of_the_one_that_runs() {
    let program = Program::start(&["--server-id=server-7"]).await;
    let address = format!("127.0.0.1:{}", program.admin);
    let asked = |more: &'static [&'static str]| {
        let line = ["status", "--admin-address", &address]
            .into_iter()
            .chain(more.iter().copied());
        let line: Vec<String> = line.map(str::to_owned).collect();
        async move {
            let ran = Command::new(PROGRAM).args(line).output();
            soon("the end of the program", ran)
                .await
                .expect("it starts")
        }
    };
    let table = asked(&[]).await;
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.status.success(), "{table:?}");
    for part in [
        "konnectivity-server 0.1.0 server-7, up ",
        "\nagents 0, servers known 1, connections 0, dials waiting 0\n",
        "\nno agent is connected: every dial fails\n",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    let json = asked(&["-o", "json"]).await;
    let status: Status = serde_json::from_slice(&json.stdout).expect("a status");
    assert_eq!((status.program, &*status.id), (Which::Server, "server-7"));
    let health = format!("127.0.0.1:{}", program.health);
    let refused = run(&["status", "--admin-address", &health]).await;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(
        (refused.status.code(), &*refused.stdout),
        (Some(1), &b""[..])
    );
    assert!(
        text.contains("answers 404 Not Found and no status: is this the port of --admin-port"),
        "{text}"
    );
    assert_eq!(run(&["status", "--nonsense"]).await.status.code(), Some(2));
    let word = run(&["--mode=socks", "status"]).await;
    assert_eq!(word.status.code(), Some(1), "a word elsewhere is ignored");
}

#[tokio::test]
async fn signal_ends_it_in_order_and_the_socket_is_gone() {
    for grace in [
        "--graceful-shutdown-timeout=0s",
        "--graceful-shutdown-timeout=30s",
    ] {
        let mut program = Program::start(&[grace]).await;
        program.signal("-TERM").await;
        let ended = soon("the end of the program", program.child.wait())
            .await
            .expect("it ran");
        assert!(ended.success(), "{grace}: {ended}");
        assert!(!program.folder.path().join("server.socket").exists());
    }
}

#[tokio::test]
async fn mistakes_are_named_all_at_once_with_exit_code_1() {
    let ran = run(&["--mode=socks", "--agent-port=1"]).await;
    let text = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1));
    for part in [
        "'grpc' or 'http-connect' not \"socks\"",
        "reserved port 1 for the agent port",
        "--cluster-cert",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    let ran = run(&["--nonsense"]).await;
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("error: unknown flag: --nonsense"));
    assert_eq!(run(&["--help"]).await.status.code(), Some(0));
}
