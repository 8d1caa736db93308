//! The status as a person reads it: a few lines and two short tables. Pure: the status in, text out.
//!
//! Names come from the network; characters that would move a terminal's cursor are shown as `?`.

use std::fmt::Write as _;

use super::document::{Connection, Flow, Peer, Program, Status};

#[cfg(test)]
mod tests;

/// Connections that are shown; the page lists more.
const SHOWN: usize = 20;
/// Who took nothing for less is only busy.
const STALL_MS: u64 = 1000;
const NOTHING: &str = "-";

/// Which side of its column a cell leans to.
#[derive(Clone, Copy)]
enum Lean {
    Left,
    Right,
}

use Lean::{Left, Right};

/// Renders it.
pub fn render(status: &Status) -> String {
    let mut text = headline(status);
    text.push_str(lack(status));
    for (title, peers) in [("AGENT", &status.agents), ("SERVER", &status.servers)] {
        if !peers.is_empty() {
            text.push('\n');
            text.push_str(&peer_table(title, peers));
        }
    }
    if !status.connections.listed.is_empty() {
        text.push('\n');
        text.push_str(&connection_table(&status.connections.listed));
    }
    let shown = status.connections.listed.len().min(SHOWN);
    let rest = status.connections.open.saturating_sub(shown);
    if rest > 0 {
        // Writing to a String never fails.
        let _ = writeln!(
            text,
            "{rest} more, younger and not held up longer (--output=json shows up to {})",
            status.connections.listed.len()
        );
    }
    text
}

/// What it means that nobody is there.
fn lack(status: &Status) -> &'static str {
    match (
        status.program,
        status.agents.is_empty(),
        status.servers.is_empty(),
    ) {
        (Program::Server, true, true) => "no agent is connected: every dial fails\n",
        (Program::Server, true, false) => {
            "no agent is connected here: dials go through the other servers\n"
        }
        (Program::Agent, _, true) => "no server is connected: nobody can dial through this agent\n",
        (Program::Server, false, _) | (Program::Agent, _, false) => "",
    }
}

fn headline(status: &Status) -> String {
    let mut text = format!(
        "{} {} {}, up {}",
        status.program.name(),
        plain(&status.version),
        plain(&status.id),
        time(status.uptime_ms),
    );
    if status.draining {
        text.push_str(", draining");
    }
    let stalled = status
        .connections
        .listed
        .iter()
        .filter(|connection| stall(connection) >= STALL_MS)
        .count();
    let peers = match status.program {
        Program::Server => format!("agents {}", status.agents.len()),
        Program::Agent => format!("servers {}", status.servers.len()),
    };
    let _ = write!(
        text,
        "\n{peers}, servers known {}, connections {}",
        status.known_servers, status.connections.open
    );
    if stalled > 0 {
        let _ = write!(text, " ({stalled} held up)");
    }
    if let Some(dials) = status.pending_dials {
        let _ = write!(text, ", dials waiting {dials}");
    }
    text.push('\n');
    text
}

fn peer_table(title: &str, peers: &[Peer]) -> String {
    let head = [
        (title, Left),
        ("WIRE", Left),
        ("STATE", Left),
        ("AGE", Right),
        ("CONNECTIONS", Right),
        ("IDENTIFIERS", Left),
    ];
    let rows = peers.iter().map(|peer| {
        [
            plain(&peer.name),
            plain(&peer.wire),
            plain(&peer.state),
            time(peer.age_ms),
            peer.connections.to_string(),
            or_nothing(plain(&peer.identifiers.join(" "))),
        ]
    });
    columns(&head, rows.collect())
}

fn connection_table(connections: &[Connection]) -> String {
    let head = [
        ("CONNECTION", Right),
        ("THROUGH", Left),
        ("DESTINATION", Left),
        ("AGE", Right),
        ("IDLE", Right),
        ("TO", Right),
        ("FROM", Right),
        ("WAITING TO", Right),
        ("WAITING FROM", Right),
        ("HELD UP", Right),
    ];
    let rows = connections.iter().take(SHOWN).map(|connection| {
        let (to, from) = (&connection.to_endpoint, &connection.from_endpoint);
        let waiting = |flow: &Flow| match flow.waiting {
            0 => NOTHING.to_owned(),
            bytes => size(bytes),
        };
        [
            connection.number.to_string(),
            plain(&connection.peer),
            plain(&connection.destination),
            time(connection.age_ms),
            time(to.idle_ms.min(from.idle_ms)),
            size(to.bytes),
            size(from.bytes),
            waiting(to),
            waiting(from),
            match stall(connection) {
                ..STALL_MS => NOTHING.to_owned(),
                stall => time(stall),
            },
        ]
    });
    columns(&head, rows.collect())
}

fn stall(connection: &Connection) -> u64 {
    let (to, from) = (&connection.to_endpoint, &connection.from_endpoint);
    to.stalled_ms.max(from.stalled_ms)
}

/// Cells below their heads, as wide as the widest of each column.
fn columns<const N: usize>(head: &[(&str, Lean); N], rows: Vec<[String; N]>) -> String {
    let titles = head.map(|(title, _)| title.to_owned());
    let lines: Vec<[String; N]> = std::iter::once(titles).chain(rows).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(head).zip(widths);
        let cells: Vec<String> = cells
            .map(|((cell, (_, lean)), width)| match lean {
                Left => format!("{cell:<width$}"),
                Right => format!("{cell:>width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The two largest units of a time.
fn time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// Bytes with one digit behind the point.
fn size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (bits, unit) in UNITS {
        if bytes >> bits > 0 {
            let tenths = ((bytes >> (bits - 10)) & 1023) * 10 / 1024;
            return format!("{}.{tenths}{unit}", bytes >> bits);
        }
    }
    format!("{bytes}B")
}

fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

fn or_nothing(text: String) -> String {
    if text.is_empty() {
        NOTHING.to_owned()
    } else {
        text
    }
}
