//! What a person sees, letter by letter.

use super::super::document::{Connections, Flow};
use super::*;

fn peer(name: &str, state: &str, identifiers: &[&str]) -> Peer {
    Peer {
        name: name.to_owned(),
        wire: "native".to_owned(),
        state: state.to_owned(),
        identifiers: identifiers.iter().map(ToString::to_string).collect(),
        age_ms: 11_520_000,
        connections: 2,
    }
}

fn flow(bytes: u64, waiting: u64, stalled_ms: u64) -> Flow {
    Flow {
        bytes,
        waiting,
        idle_ms: 4000,
        stalled_ms,
    }
}

fn connection(number: u64, destination: &str) -> Connection {
    Connection {
        number,
        peer: "agent-1".to_owned(),
        wire: "native".to_owned(),
        destination: destination.to_owned(),
        age_ms: 200_000,
        to_endpoint: flow(1300, 0, 0),
        from_endpoint: flow(5 << 30, 0, 0),
    }
}

fn status(program: Program, listed: Vec<Connection>) -> Status {
    Status {
        program,
        version: "0.1.0".to_owned(),
        id: "server-1".to_owned(),
        uptime_ms: 93_784_000,
        draining: false,
        pending_dials: Some(1),
        known_servers: 2,
        agents: Vec::new(),
        servers: Vec::new(),
        connections: Connections {
            open: listed.len(),
            truncated: 0,
            listed,
        },
    }
}

#[test]
fn a_server_shows_its_agents_and_connections() {
    let mut held_up = connection(7, "[fd00::1]:443");
    held_up.from_endpoint = flow(900, 3 << 20, 61_000);
    let mut status = status(Program::Server, vec![held_up, connection(1, "node1:10250")]);
    status.agents = vec![
        peer("agent-1", "ready", &["host=node1", "ipv4=10.0.0.1"]),
        peer("a\u{1b}[2J", "draining", &[]),
    ];
    status.draining = true;
    assert_eq!(
        render(&status),
        "\
konnectivity-server 0.1.0 server-1, up 1d2h, draining
agents 2, servers known 2, connections 2 (1 held up), dials waiting 1

AGENT    WIRE    STATE       AGE  CONNECTIONS  IDENTIFIERS
agent-1  native  ready     3h12m            2  host=node1 ipv4=10.0.0.1
a?[2J    native  draining  3h12m            2  -

CONNECTION  THROUGH  DESTINATION      AGE  IDLE      TO    FROM  WAITING TO  WAITING FROM  HELD UP
         7  agent-1  [fd00::1]:443  3m20s    4s  1.2KiB    900B           -        3.0MiB     1m1s
         1  agent-1  node1:10250    3m20s    4s  1.2KiB  5.0GiB           -             -        -
"
    );
}

#[test]
fn a_server_shows_the_other_servers_too() {
    let mut status = status(Program::Server, Vec::new());
    status.servers = vec![peer("server server-2", "ready", &[])];
    assert_eq!(
        render(&status),
        "\
konnectivity-server 0.1.0 server-1, up 1d2h
agents 0, servers known 2, connections 0, dials waiting 1
no agent is connected here: dials go through the other servers

SERVER           WIRE    STATE    AGE  CONNECTIONS  IDENTIFIERS
server server-2  native  ready  3h12m            2  -
"
    );
}

#[test]
fn an_agent_without_servers_says_what_that_means() {
    let mut status = status(Program::Agent, Vec::new());
    status.pending_dials = None;
    assert_eq!(
        render(&status),
        "\
konnectivity-agent 0.1.0 server-1, up 1d2h
servers 0, servers known 2, connections 0
no server is connected: nobody can dial through this agent
"
    );
}

#[test]
fn what_is_not_shown_is_counted() {
    let listed = (0..30).map(|n| connection(n, "node1:10250")).collect();
    let mut status = status(Program::Server, listed);
    status.connections.open = 1030;
    status.connections.truncated = 1000;
    let text = render(&status);
    assert!(
        text.ends_with(
            "1010 more, younger and not held up longer (--output=json shows up to 30)\n"
        ),
        "{text}"
    );
    assert_eq!(
        text.lines().filter(|line| line.contains("node1")).count(),
        SHOWN
    );
}

#[test]
fn sizes_and_times_have_their_largest_units() {
    let sizes = [0, 1023, 1024, 1536, (1 << 20) - 1, 1 << 40].map(size);
    assert_eq!(
        sizes,
        ["0B", "1023B", "1.0KiB", "1.5KiB", "1023.9KiB", "1.0TiB"]
    );
    let times = [999, 59_999, 60_000, 3_600_000, 86_400_000].map(time);
    assert_eq!(times, ["0s", "59s", "1m0s", "1h0m", "1d0h"]);
}
