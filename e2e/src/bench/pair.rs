//! A contestant as it runs: two processes between a Unix socket and the endpoints, with or without a slow line between
//! them. In: who. Out: the socket, once an echo has come back through it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::bench::certificates::{self, AGENT, SERVER};
use crate::bench::child::Child;
use crate::bench::contestant::Contestant;
use crate::bench::part::client::{Way, echo_within};
use crate::bench::part::{Listening, Ready};
use crate::bench::rig::{Programs, Rig, words};
use crate::error::{Error, Result};

const READY: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes a second of the slow line.
const RATE: u64 = 30_000_000;

/// How the two halves are joined and reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup {
    /// Milliseconds that a slow line between them adds to a round trip; 0 is no line.
    pub round_trip: u32,
    /// What the Unix socket speaks.
    pub frontend: Frontend,
}

/// What the Unix socket speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Frontend {
    /// HTTP CONNECT.
    #[default]
    HttpConnect,
    /// gRPC, which only the Go client here speaks.
    Grpc,
}

/// A running contestant; its processes end when it is dropped.
#[derive(Debug)]
pub struct Pair {
    socket: PathBuf,
    server: Child,
    agent: Child,
    line: Option<Child>,
    /// What more agents are started from; relays have none.
    tunnel: Option<Tunnel>,
}

/// What a tunnel has besides its processes.
#[derive(Debug)]
struct Tunnel {
    /// What agents are called, and how many there have been.
    name: String,
    agents: u32,
    /// An agent's command line, but for the ports of its own.
    argv: Vec<OsString>,
    health: [u16; 2],
}

impl Pair {
    /// Starts it, and waits until an echo passes if the frontend speaks HTTP CONNECT.
    pub async fn start(rig: &Rig, contestant: Contestant, setup: Setup) -> Result<Self> {
        let socket = rig.folder().join("frontend.socket");
        if let Err(source) = std::fs::remove_file(&socket)
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Error::file("remove", &socket)(source));
        }
        let mut pair = match rig.programs(contestant) {
            None => relays(rig, contestant, socket, setup).await?,
            Some(programs) => tunnel(rig, contestant, &programs, (socket, setup)).await?,
        };
        if setup.frontend == Frontend::HttpConnect {
            pair.ready(rig).await?;
        }
        Ok(pair)
    }

    /// The numbers of server and agent.
    pub fn processes(&self) -> [u32; 2] {
        [self.server.pid(), self.agent.pid()]
    }

    /// The frontend.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The ports on which server and agent show their metrics; none of relays.
    pub fn health(&self) -> Option<[u16; 2]> {
        self.tunnel.as_ref().map(|tunnel| tunnel.health)
    }

    /// Sends the agent a signal and starts another one in its place. Gives back the one that was there, which may take
    /// its time to end.
    pub async fn replace_agent(&mut self, rig: &Rig, signal: Signal) -> Result<Child> {
        let tunnel = self.tunnel.as_mut().ok_or_else(|| Error::Missing {
            what: "an agent to replace".into(),
            remedy: "relays have none: start a tunnel".into(),
        })?;
        self.agent.signal(signal)?;
        let agent = tunnel.start_agent(rig).await?;
        Ok(std::mem::replace(&mut self.agent, agent))
    }

    /// Ends both halves and the line.
    pub async fn end(self) -> Result<()> {
        self.agent.end().await?;
        self.server.end().await?;
        match self.line {
            Some(line) => line.end().await,
            None => Ok(()),
        }
    }

    /// Fails when a half has ended by itself.
    pub fn alive(&mut self) -> Result<()> {
        self.server.alive()?;
        self.agent.alive()
    }

    /// Waits until an echo passes.
    pub async fn ready(&mut self, rig: &Rig) -> Result<()> {
        let way = Way::new(&self.socket, &rig.quick.echo);
        let deadline = Instant::now() + READY;
        loop {
            self.alive()?;
            let echoed = async {
                let mut stream = way.dial_within(Duration::from_secs(5)).await?;
                echo_within(&mut stream, b"!", Duration::from_secs(5)).await
            };
            match echoed.await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_not_yet) => sleep(PAUSE).await,
            }
        }
    }
}

async fn relays(rig: &Rig, contestant: Contestant, socket: PathBuf, setup: Setup) -> Result<Pair> {
    let name = contestant.slug();
    let tls = match contestant {
        Contestant::TlsRelay => vec![word("--tls=", rig.folder())],
        _ => Vec::new(),
    };
    let mut arguments = words(["exit"]);
    arguments.extend(tls.clone());
    let mut exit = Child::part(&format!("{name}-exit"), arguments, rig.logs())?;
    let listening: Listening = exit.line(READY).await?;
    let (line, address) = slow_line(rig, listening.address, setup.round_trip).await?;
    let mut arguments = words(["entry".into(), format!("--exit={address}")]);
    arguments.push(word("--socket=", &socket));
    arguments.extend(tls);
    let mut entry = Child::part(&format!("{name}-entry"), arguments, rig.logs())?;
    let _listening: Listening = entry.line(READY).await?;
    Ok(Pair {
        socket,
        server: entry,
        agent: exit,
        line,
        tunnel: None,
    })
}

async fn tunnel(
    rig: &Rig,
    contestant: Contestant,
    programs: &Programs,
    (socket, setup): (PathBuf, Setup),
) -> Result<Pair> {
    let name = contestant.slug();
    let first = 20_000 + u16::try_from(std::process::id() % 20_000).unwrap_or(0);
    let [agents, admin, health] = free_ports(first).await?;
    let (cert, key) = certificates::leaf(rig.folder(), SERVER);
    let ca = certificates::ca(rig.folder());
    let mut argv = vec![
        programs.server.clone().into(),
        word("--uds-name=", &socket),
        word("--cluster-ca-cert=", &ca),
        word("--cluster-cert=", &cert),
        word("--cluster-key=", &key),
    ];
    let frontend = match setup.frontend {
        Frontend::HttpConnect => "http-connect",
        Frontend::Grpc => "grpc",
    };
    argv.extend(words([
        format!("--mode={frontend}"),
        "--server-port=0".into(),
        "--agent-bind-address=127.0.0.1".into(),
        "--health-bind-address=127.0.0.1".into(),
        "--server-id=bench".into(),
        format!("--agent-port={agents}"),
        format!("--admin-port={admin}"),
        format!("--health-port={health}"),
    ]));
    argv.extend(rig.mode(contestant).map(OsString::from));
    let mut server = Child::start(&format!("{name}-server"), argv, rig.logs())?;
    listens(&mut server, agents).await?;
    let address = format!("127.0.0.1:{agents}");
    let (line, address) = slow_line(rig, address, setup.round_trip).await?;
    let mut tunnel = Tunnel {
        name: format!("{name}-agent"),
        agents: 0,
        argv: agent_argv(rig, contestant, programs, &address),
        health: [health, health],
    };
    Ok(Pair {
        socket,
        server,
        agent: tunnel.start_agent(rig).await?,
        line,
        tunnel: Some(tunnel),
    })
}

/// An agent's command line towards a server, but for its own ports.
fn agent_argv(
    rig: &Rig,
    contestant: Contestant,
    programs: &Programs,
    address: &str,
) -> Vec<OsString> {
    let port = address.rsplit(':').next().unwrap_or_default();
    let ca = certificates::ca(rig.folder());
    let (cert, key) = certificates::leaf(rig.folder(), AGENT);
    let mut argv = vec![
        programs.agent.clone().into(),
        word("--ca-cert=", &ca),
        word("--agent-cert=", &cert),
        word("--agent-key=", &key),
    ];
    argv.extend(words([
        "--proxy-server-host=127.0.0.1".to_owned(),
        format!("--proxy-server-port={port}"),
        "--health-server-host=127.0.0.1".into(),
        "--agent-id=bench".into(),
    ]));
    argv.extend(rig.mode(contestant).map(OsString::from));
    argv
}

impl Tunnel {
    /// Starts one more agent, with ports and a log of its own, as one that was there may still be leaving.
    async fn start_agent(&mut self, rig: &Rig) -> Result<Child> {
        // Behind those that were given out: what was started last may not listen yet.
        let [_, after] = self.health;
        let [admin, health] = free_ports(after.saturating_add(1)).await?;
        let mut argv = self.argv.clone();
        argv.extend(words([
            format!("--admin-server-port={admin}"),
            format!("--health-server-port={health}"),
        ]));
        let name = match self.agents {
            0 => self.name.clone(),
            before => format!("{}-{}", self.name, before + 1),
        };
        let agent = Child::start(&name, argv, rig.logs())?;
        self.agents += 1;
        let [server, _] = self.health;
        self.health = [server, health];
        Ok(agent)
    }
}

/// A slow line to an address, unless it would add nothing; and the address to use.
async fn slow_line(rig: &Rig, to: String, round_trip: u32) -> Result<(Option<Child>, String)> {
    if round_trip == 0 {
        return Ok((None, to));
    }
    // Twice what is under way in a round trip, so that the line is never what limits but by its rate.
    let room = 2 * RATE * u64::from(round_trip) / 1000;
    let arguments = words([
        "delay".into(),
        format!("--to={to}"),
        format!("--one-way={}", round_trip / 2),
        format!("--rate={RATE}"),
        format!("--room={room}"),
    ]);
    let mut line = Child::part("slow-line", arguments, rig.logs())?;
    let listening: Listening = line.line(READY).await?;
    Ok((Some(line), listening.address))
}

async fn listens(server: &mut Child, port: u16) -> Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        server.alive()?;
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(_stream) => return Ok(()),
            Err(source) if Instant::now() >= deadline => {
                return Err(Error::file("connect to", format!("port {port}"))(source));
            }
            Err(_not_yet) => sleep(PAUSE).await,
        }
    }
}

/// Ports that the reference accepts: neither reserved nor, by its rule, above 49151.
async fn free_ports<const COUNT: usize>(first: u16) -> Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    let mut next = first;
    for port in &mut ports {
        while TcpListener::bind(("127.0.0.1", next)).await.is_err() {
            next = next
                .checked_add(1)
                .filter(|&next| next < 49_000)
                .ok_or_else(|| Error::Missing {
                    what: "a free port below 49000".into(),
                    remedy: "end what listens on so many".into(),
                })?;
        }
        *port = next;
        next += 1;
    }
    Ok(ports)
}

/// A flag with a path, which need not be text.
fn word(flag: &str, path: &Path) -> OsString {
    let mut word = OsString::from(flag);
    word.push(path);
    word
}

/// Starts a load against a pair, and waits until it is under way.
pub async fn load(
    rig: &Rig,
    pair: &Pair,
    targets: &[String],
    arguments: Vec<String>,
) -> Result<(Child, Ready)> {
    let own = std::env::current_exe().map_err(Error::file("find", "this program"))?;
    begin(rig, pair, targets, (&own, arguments)).await
}

/// The same by another program that takes the same flags and answers in the same lines.
pub async fn begin(
    rig: &Rig,
    pair: &Pair,
    targets: &[String],
    (program, arguments): (&Path, Vec<String>),
) -> Result<(Child, Ready)> {
    let name = arguments.first().map_or("", String::as_str);
    let name = format!("load-{name}");
    let mut argv = vec![program.into()];
    argv.extend(arguments.into_iter().map(OsString::from));
    argv.push(word("--socket=", pair.socket()));
    argv.push(format!("--targets={}", targets.join(",")).into());
    let mut child = Child::start(&name, argv, rig.logs())?;
    let ready = child.line(Duration::from_mins(1)).await?;
    Ok((child, ready))
}
