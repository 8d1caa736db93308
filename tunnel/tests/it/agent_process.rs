//! The program itself, started as the manifests of the field start it.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};
use tunnel::protocol::packet::FromAgent;
use tunnel::status::document::Status;

use crate::agent_support::{Place, SOON, closed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konnectivity-agent");

/// A running konnectivity-agent; killed when dropped.
struct Program {
    child: Child,
    health: u16,
    admin: u16,
}

impl Program {
    /// With the arguments of the Kubernetes task page, and Kamaji's `-v=8`.
    async fn start(place: &Place) -> Self {
        let (health, admin) = (free_port().await, free_port().await);
        let folder = place.folder.path();
        std::fs::write(folder.join("token"), "secret").unwrap();
        let child = Command::new(PROGRAM)
            .arg("--logtostderr=true")
            .arg(format!("--ca-cert={}", folder.join("ca.crt").display()))
            .arg("--proxy-server-host=localhost")
            .arg(format!("--proxy-server-port={}", place.address().port()))
            .arg(format!("--admin-server-port={admin}"))
            .arg(format!("--health-server-port={health}"))
            .arg(format!(
                "--service-account-token-path={}",
                folder.join("token").display()
            ))
            .arg("-v=8")
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            child,
            health,
            admin,
        }
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    async fn ended(&mut self) -> ExitStatus {
        timeout(SOON, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
    }

    /// A value on the metrics page.
    async fn metric(&self, name: &str) -> String {
        let page = get(self.health, "/metrics").await;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim);
        line.unwrap_or_else(|| panic!("{name} is not on {page}"))
            .to_owned()
    }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

async fn get(port: u16, path: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, socket.read_to_string(&mut answer))
        .await
        .expect("an answer")
        .unwrap();
    answer
}

#[tokio::test]
async fn the_program_serves_its_pages_and_leaks_no_descriptor() {
    let place = Place::new().await;
    let program = Program::start(&place).await;
    let knock = place.knock().await;
    assert!(
        get(program.health, "/healthz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get(program.health, "/readyz")
            .await
            .contains("no servers connected")
    );
    let mut server = knock.welcome("a", "1");
    let (first, _endpoint) = server.open().await;
    assert!(get(program.health, "/readyz").await.ends_with("\r\n\r\nok"));
    let moved = format!("location: http://node:{}/metrics", program.health);
    assert!(get(program.admin, "/metrics").await.contains(&moved));
    assert!(
        get(program.admin, "/debug/pprof/")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let before = program.metric("process_open_fds ").await;
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(server.open().await);
    }
    assert_ne!(program.metric("process_open_fds ").await, before);
    for (id, endpoint) in open {
        drop(endpoint);
        assert_eq!(server.next().await, closed(id, ""));
    }
    server
        .send(tunnel::protocol::packet::ToAgent::Close { id: first })
        .await;
    assert_eq!(server.next().await, closed(first, ""));
    let (_, _endpoint) = server.open().await;
    let settled = async { while program.metric("process_open_fds ").await != before {} };
    timeout(SOON, settled)
        .await
        .expect("every descriptor is given back");
}

#[tokio::test]
async fn the_program_shows_the_status_of_the_one_that_runs() {
    let place = Place::new().await;
    let program = Program::start(&place).await;
    let mut server = place.accept("a", "1").await;
    let (_, endpoint) = server.open().await;
    let address = format!("127.0.0.1:{}", program.admin);
    let asked = Command::new(PROGRAM)
        .args(["status", "--admin-address", &address, "--output=json"])
        .output();
    let asked = timeout(SOON, asked).await.expect("it ends").unwrap();
    let status: Status = serde_json::from_slice(&asked.stdout).expect("a status");
    let [peer] = &status.servers[..] else {
        panic!("{status:?}");
    };
    assert_eq!(
        (&*peer.name, &*peer.wire, peer.connections),
        ("a", "reference", 1)
    );
    let [connection] = &status.connections.listed[..] else {
        panic!("{status:?}");
    };
    let dialled = endpoint.local_addr().unwrap().to_string();
    assert_eq!(
        (&connection.destination, &*connection.peer),
        (&dialled, "a")
    );
    let table = Command::new(PROGRAM)
        .args(["status", "--admin-address", &address])
        .output();
    let table = timeout(SOON, table).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        text.contains("\nservers 1, servers known 1, connections 1\n") && text.contains(&dialled),
        "{text}"
    );
}

#[tokio::test]
async fn a_signal_drains_and_the_program_leaves_when_it_is_empty() {
    let place = Place::new().await;
    let mut program = Program::start(&place).await;
    let mut server = place.accept("a", "1").await;
    let (id, endpoint) = server.open().await;
    program.signal("-TERM").await;
    assert_eq!(server.next().await, FromAgent::Drain);
    assert!(
        get(program.health, "/readyz")
            .await
            .contains("agent is draining")
    );
    drop(endpoint);
    assert_eq!(server.next().await, closed(id, ""));
    assert!(program.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let place = Place::new().await;
    let mut program = Program::start(&place).await;
    let mut server = place.accept("a", "1").await;
    let (_, _endpoint) = server.open().await;
    program.signal("-INT").await;
    assert_eq!(server.next().await, FromAgent::Drain);
    let begun = Instant::now();
    program.signal("-TERM").await;
    assert!(program.ended().await.success());
    assert!(begun.elapsed().as_secs() < 5);
}

#[tokio::test]
async fn mistakes_are_told_on_stderr_and_end_the_program_with_one() {
    for (line, words) in [
        (["--nonsense"].as_slice(), "error: unknown flag: --nonsense"),
        (
            &["--ca-cert=/nonexistent"],
            "error checking agent CA cert /nonexistent, got stat",
        ),
        (&["--v"], "flag needs an argument: --v"),
    ] {
        let output = Command::new(PROGRAM).args(line).output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && told.contains(words),
            "{line:?}: {told}"
        );
    }
    let help = Command::new(PROGRAM).arg("--help").output().await.unwrap();
    assert!(help.status.success() && help.stdout.windows(16).any(|w| w == b"--agent-id <ID>\n"));
}
