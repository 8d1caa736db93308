//! What server and agent hold: descriptors, threads, memory, and what their metrics say is open. In: a pair. Out: counts,
//! and how they differ from those of another time.
//!
//! Descriptors must be as many as at the start. Threads must not be more: those for blocking calls end by themselves
//! some seconds after the last one. Tasks are counted nowhere: one that is left over holds a socket, and so a
//! descriptor, or a place in a gauge, or memory. Memory may be [`SLACK`] more. Each look counts first and reads the
//! metrics then: a process that has just answered for them may still hold the socket.

use std::cell::Cell;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::bench::pair::Pair;
use crate::bench::part::client::{Way, echo_within};
use crate::bench::usage;
use crate::error::{Error, Result};
use crate::wait::{Seen, until};

/// What must come to rest has this long: longer than the 10 s for which a dial, a close, an idle thread and an
/// allocator's free page may stay.
const REST: Duration = Duration::from_secs(40);
const ANSWER: Duration = Duration::from_secs(5);
/// Memory that a process may have more than after its first round. Of what a round took at once, which is up to 32
/// clients with as many MiB on their way, the allocator gives back all pages that are wholly free, and how many are not
/// is a matter of chance. Ten minutes are 8,000 clients on each wire at least, so 3 KiB that each leaves behind are more
/// than this.
const SLACK: u64 = 16 << 20;
/// Connections between two looks at the end: the allocator gives free pages back some seconds after they were freed, but
/// only while it is asked for others.
const NUDGES: u32 = 16;
const NUDGE: Duration = Duration::from_secs(5);

/// Gauges of the server that are 0 when nothing is open.
const SERVER: [&str; 7] = [
    "konnectivity_network_proxy_server_established_connections",
    "konnectivity_network_proxy_server_pending_backend_dials",
    "konnectivity_network_proxy_server_http_connections",
    "konnectivity_network_proxy_server_full_receive_channels",
    "konnectivity_network_proxy_server_queued_bytes",
    "konnectivity_network_proxy_server_peer_relayed_connections",
    "konnectivity_network_proxy_server_peer_servers",
];
/// Gauges of the agent that are.
const AGENT: [&str; 2] = [
    "konnectivity_network_proxy_agent_open_endpoint_connections",
    "konnectivity_network_proxy_agent_queued_bytes",
];
/// Each counts the other once.
const JOINED: [&str; 2] = [
    "konnectivity_network_proxy_server_ready_backend_connections",
    "konnectivity_network_proxy_agent_open_server_connections",
];

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// Open files and sockets.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Memory that it wrote itself.
    pub anonymous: u64,
}

/// What both hold when nothing is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// konnectivity-server.
    pub server: Vitals,
    /// konnectivity-agent.
    pub agent: Vitals,
}

impl Vitals {
    fn of(process: u32) -> Result<Self> {
        Ok(Self {
            descriptors: usage::descriptors(process)?,
            threads: usage::threads(process)?,
            anonymous: usage::memory(process)?.anonymous,
        })
    }

    /// What is not as at the `start`.
    fn differences(&self, whose: &str, start: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut differs = |what: &str, start: u64, end: u64| {
            found.push(format!("{whose}: {what} were {start} and are {end}"));
        };
        if self.descriptors != start.descriptors {
            differs("descriptors", start.descriptors, self.descriptors);
        }
        if self.threads > start.threads {
            differs("threads", start.threads, self.threads);
        }
        if self.anonymous > start.anonymous + SLACK {
            differs("bytes of memory", start.anonymous, self.anonymous);
        }
        found
    }
}

impl Census {
    /// What is not as at the `start`.
    pub fn differences(&self, start: &Self) -> Vec<String> {
        let mut found = self.server.differences("server", &start.server);
        found.extend(self.agent.differences("agent", &start.agent));
        found
    }

    fn take(pair: &Pair) -> Result<Self> {
        let [server, agent] = pair.processes();
        Ok(Self {
            server: Vitals::of(server)?,
            agent: Vitals::of(agent)?,
        })
    }
}

/// Waits until the metrics of both say that nothing is open, and counts then.
pub async fn rest(pair: &Pair) -> Result<Census> {
    until("nothing is open", REST, || async {
        let now = Census::take(pair)?;
        let open = open(pair).await?;
        Ok(if open.is_empty() {
            Seen::Yes(now)
        } else {
            Seen::NotYet(open.join(", "))
        })
    })
    .await
}

/// Waits until nothing is open and two looks in a row find the same descriptors; the second look is what is held now.
pub async fn start(pair: &Pair) -> Result<Census> {
    let last: Cell<Option<Census>> = Cell::default();
    until("both have come to rest", REST, || async {
        let now = Census::take(pair)?;
        let open = open(pair).await?;
        let descriptors = |census: &Census| (census.server.descriptors, census.agent.descriptors);
        let before = last.replace(Some(now));
        Ok(
            if open.is_empty() && before.as_ref().map(descriptors) == Some(descriptors(&now)) {
                Seen::Yes(now)
            } else {
                Seen::NotYet(format!("{open:?}, {now:?}"))
            },
        )
    })
    .await
}

/// Waits until nothing is open and everything is as at the `start`; what is not, when the time is over, comes with what
/// is held then. `way` leads to an echo.
pub async fn end(pair: &Pair, way: &Way, start: &Census) -> Result<(Census, Vec<String>)> {
    let seen: Cell<Option<(Census, Vec<String>)>> = Cell::default();
    let ended = until("everything is as at the start", REST, || async {
        let now = Census::take(pair)?;
        let mut left = open(pair).await?;
        left.extend(now.differences(start));
        let text = left.join(", ");
        seen.set(Some((now, left)));
        if text.is_empty() {
            return Ok(Seen::Yes(()));
        }
        for _ in 0..NUDGES {
            let mut stream = way.dial_within(NUDGE).await?;
            echo_within(&mut stream, b"!", NUDGE).await?;
        }
        Ok(Seen::NotYet(text))
    });
    let ended = ended.await;
    match (ended, seen.take()) {
        (_, Some(seen)) => Ok(seen),
        (Err(error), None) => Err(error),
        (Ok(()), None) => Ok((*start, Vec::new())),
    }
}

/// Which gauges say that something is open.
async fn open(pair: &Pair) -> Result<Vec<String>> {
    let [server, agent] = pair.health().ok_or_else(|| Error::Missing {
        what: "the metrics of a pair".into(),
        remedy: "relays have none: start a tunnel".into(),
    })?;
    let (server, agent) = (page(server).await?, page(agent).await?);
    let pages = format!("{server}\n{agent}");
    let zero = SERVER.iter().chain(&AGENT).map(|name| (*name, 0));
    let expected = zero.chain(JOINED.map(|name| (name, 1)));
    Ok(unexpected(&pages, expected))
}

async fn page(port: u16) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        Ok(page)
    };
    let late = |_elapsed| Err(std::io::ErrorKind::TimedOut.into());
    let page = timeout(ANSWER, asked).await.unwrap_or_else(late);
    page.map_err(Error::file(
        "read",
        format!("http://localhost:{port}/metrics"),
    ))
}

/// The gauges whose sum over all labels is not what it should be; one that is on no page is not.
fn unexpected<'a>(pages: &str, expected: impl IntoIterator<Item = (&'a str, u32)>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in expected {
        let lines = pages.lines().filter_map(|line| line.strip_prefix(name));
        let values: Vec<f64> = lines
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
            .collect();
        let sum: f64 = values.iter().sum();
        if values.is_empty() {
            found.push(format!("{name} is on no page"));
        } else if (sum - f64::from(value)).abs() > f64::EPSILON {
            found.push(format!("{name} is {sum}, not {value}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Census, SLACK, Vitals, unexpected};

    const START: Vitals = Vitals {
        descriptors: 12,
        threads: 3,
        anonymous: 10 << 20,
    };

    #[test]
    fn the_same_counts_are_no_difference_nor_is_less_memory_or_a_thread_that_ended() {
        let start = Census {
            server: START,
            agent: START,
        };
        let mut now = start;
        assert!(now.differences(&start).is_empty());
        now.server.anonymous = 1 << 20;
        now.agent.anonymous += SLACK;
        now.agent.threads -= 1;
        assert!(now.differences(&start).is_empty());
    }

    #[test]
    fn every_difference_names_whose_it_is() {
        let start = Census {
            server: START,
            agent: START,
        };
        let mut now = start;
        now.server.descriptors -= 1;
        now.server.anonymous += SLACK + 1;
        now.agent.descriptors += 1;
        now.agent.threads += 1;
        let found = now.differences(&start);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[0], "server: descriptors were 12 and are 11");
        assert_eq!(found[2], "agent: descriptors were 12 and are 13");
    }

    #[test]
    fn gauges_are_summed_over_labels_and_may_not_lack() {
        let page = "# TYPE full gauge\nfull{m=\"a\"} 1\nfull{m=\"b\"} 2\nfuller 9\nnone 0\n";
        assert!(unexpected(page, [("none", 0), ("full", 3)]).is_empty());
        assert_eq!(
            unexpected(page, [("full", 0), ("lacks", 0)]),
            ["full is 3, not 0", "lacks is on no page"]
        );
    }
}
