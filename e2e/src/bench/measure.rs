//! What is measured: every figure of `make bench` by name and unit. Pure; [`Measure::all`] is the order of the table.

/// Which way the bytes of a transfer go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Direction {
    /// From the frontend's client to the endpoint.
    Up,
    /// From the endpoint to the frontend's client.
    Down,
}

/// How many transfers go which way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// Connections, each with one transfer.
    pub connections: u32,
    /// Which way.
    pub direction: Direction,
}

/// Which of all latencies of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantile {
    /// Half of them are no longer.
    P50,
    /// Of a hundred, one is longer.
    P99,
}

/// How dials follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// So many at once, the next when one has ended.
    Parallel(u32),
    /// So many begin in a second, whether or not earlier ones have ended.
    PerSecond(u32),
}

/// Who stands still beside the connections that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stall {
    /// Nobody.
    None,
    /// So many clients that read nothing of a download.
    Readers(u32),
    /// So many endpoints that read nothing of an upload.
    Endpoints(u32),
}

/// One of the two processes of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// The one beside kube-apiserver.
    Server,
    /// The one beside the endpoints.
    Agent,
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Bytes that arrive, all connections together.
    Throughput(Shape),
    /// CPU time of server and agent for the bytes of [`Measure::Throughput`].
    Cpu(Shape),
    /// 64 bytes there and back on one connection, beside nothing or one saturating transfer.
    RoundTrip(Option<Direction>, Quantile),
    /// Dials that were answered and carried one byte there and back.
    DialRate(Pace),
    /// From the connect to the socket to the 200.
    DialLatency(Pace, Quantile),
    /// [`Measure::RoundTrip`]'s p99 beside those who stand still.
    StalledEcho(Stall),
    /// [`Measure::DialLatency`]'s p99 beside those who stand still.
    StalledDial(Stall),
    /// Dials and round trips beside those who stand still that failed or took longer than 2 s.
    StalledFailures(Stall),
    /// Memory of a process without connections, program text included.
    Rest(Half),
    /// Memory that each of so many idle connections adds, both processes together.
    IdleMemory(u32),
    /// CPU time of both processes beside so many idle connections.
    IdleCpu(u32),
    /// Throughput of one connection through a line of 30 MB/s with this many milliseconds of round trip added.
    Delayed(u32, Direction),
    /// One transfer of the Go client, which kube-apiserver embeds, through the gRPC frontend.
    GoThroughput(Direction),
    /// Dials of that client, 16 at once.
    GoDials,
}

/// How many transfers at once.
pub const CONNECTIONS: [u32; 3] = [1, 8, 64];
/// Both ways.
pub const DIRECTIONS: [Direction; 2] = [Direction::Up, Direction::Down];
/// How dials follow each other.
pub const PACES: [Pace; 3] = [Pace::Parallel(1), Pace::Parallel(16), Pace::PerSecond(1000)];
/// Who stands still.
pub const STALLS: [Stall; 7] = [
    Stall::None,
    Stall::Readers(1),
    Stall::Readers(8),
    Stall::Readers(64),
    Stall::Endpoints(1),
    Stall::Endpoints(8),
    Stall::Endpoints(64),
];
/// How many connections do nothing.
pub const IDLE: [u32; 2] = [1_000, 10_000];
/// Round trips of the slow line, in milliseconds.
pub const DELAYS: [u32; 2] = [20, 100];
const QUANTILES: [Quantile; 2] = [Quantile::P50, Quantile::P99];

impl Shape {
    /// Every number of transfers, both ways.
    pub fn all() -> impl Iterator<Item = Self> {
        CONNECTIONS.into_iter().flat_map(|connections| {
            DIRECTIONS.map(|direction| Self {
                connections,
                direction,
            })
        })
    }

    /// As in `8 up`.
    pub fn label(self) -> String {
        format!("{} {}", self.connections, self.direction.label())
    }
}

impl Direction {
    /// One word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Quantile {
    /// In a hundred.
    pub fn percent(self) -> usize {
        match self {
            Self::P50 => 50,
            Self::P99 => 99,
        }
    }
}

impl Stall {
    /// As in `8 readers`.
    pub fn label(self) -> String {
        match self {
            Self::None => "nobody".into(),
            Self::Readers(count) => format!("{count} readers"),
            Self::Endpoints(count) => format!("{count} endpoints"),
        }
    }
}

impl Pace {
    fn label(self) -> String {
        match self {
            Self::Parallel(count) => format!("{count} in parallel"),
            Self::PerSecond(count) => format!("{count}/s"),
        }
    }
}

impl Measure {
    /// All of them, in the order of the table.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<_> = Shape::all().map(Self::Throughput).collect();
        all.extend(Shape::all().map(Self::Cpu));
        for beside in [None, Some(Direction::Up), Some(Direction::Down)] {
            all.extend(QUANTILES.map(|quantile| Self::RoundTrip(beside, quantile)));
        }
        for pace in PACES {
            all.push(Self::DialRate(pace));
            all.extend(QUANTILES.map(|quantile| Self::DialLatency(pace, quantile)));
        }
        all.extend(STALLS.map(Self::StalledEcho));
        all.extend(STALLS.map(Self::StalledDial));
        all.extend(STALLS.map(Self::StalledFailures));
        all.extend([Half::Server, Half::Agent].map(Self::Rest));
        all.extend(IDLE.map(Self::IdleMemory));
        all.extend(IDLE.map(Self::IdleCpu));
        for delay in DELAYS {
            all.extend(DIRECTIONS.map(|direction| Self::Delayed(delay, direction)));
        }
        all.extend(DIRECTIONS.map(Self::GoThroughput));
        all.push(Self::GoDials);
        all
    }

    /// What a person calls it.
    pub fn title(self) -> String {
        match self {
            Self::Throughput(shape) => format!("throughput, {}", shape.label()),
            Self::Cpu(shape) => format!("CPU per GB, {}", shape.label()),
            Self::RoundTrip(None, quantile) => {
                format!("round trip, p{}", quantile.percent())
            }
            Self::RoundTrip(Some(direction), quantile) => format!(
                "round trip beside a transfer {}, p{}",
                direction.label(),
                quantile.percent()
            ),
            Self::DialRate(pace) => format!("dials, {}", pace.label()),
            Self::DialLatency(pace, quantile) => {
                format!("dial, {}, p{}", pace.label(), quantile.percent())
            }
            Self::StalledEcho(stall) => format!("round trip p99, stalled: {}", stall.label()),
            Self::StalledDial(stall) => format!("dial p99, stalled: {}", stall.label()),
            Self::StalledFailures(stall) => format!("failures, stalled: {}", stall.label()),
            Self::Rest(Half::Server) => "memory at rest, server".into(),
            Self::Rest(Half::Agent) => "memory at rest, agent".into(),
            Self::IdleMemory(count) => format!("memory per idle connection, at {count}"),
            Self::IdleCpu(count) => format!("CPU with {count} idle connections"),
            Self::Delayed(delay, direction) => {
                format!("throughput at {delay} ms, 1 {}", direction.label())
            }
            Self::GoThroughput(direction) => {
                format!("Go client over gRPC, throughput, 1 {}", direction.label())
            }
            Self::GoDials => "Go client over gRPC, dials, 16 in parallel".into(),
        }
    }

    /// What its numbers count.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Throughput(_) | Self::GoThroughput(_) => "GB/s",
            Self::Cpu(_) => "s/GB",
            Self::RoundTrip(..)
            | Self::DialLatency(..)
            | Self::StalledEcho(_)
            | Self::StalledDial(_) => "µs",
            Self::DialRate(_) | Self::GoDials => "1/s",
            Self::StalledFailures(_) => "",
            Self::Rest(_) => "MB",
            Self::IdleMemory(_) => "KB",
            Self::IdleCpu(_) => "% of a core",
            Self::Delayed(..) => "MB/s",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Measure;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_figures_have_one_name() {
        let all = Measure::all();
        let names: BTreeSet<_> = all.iter().map(|measure| measure.title()).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!((names.len(), distinct.len()), (all.len(), all.len()));
    }
}
