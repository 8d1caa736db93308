//! Who is measured: every pair of processes that carries connections, and which figures are asked of it. Pure.

use crate::bench::measure::Measure;

/// A pair of processes between a Unix socket and the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contestant {
    /// Two processes that copy, one TCP connection for each tunnelled one: what the kernel allows.
    TcpRelay,
    /// The same over TLS with certificates on both sides: the limit for anything encrypted.
    TlsRelay,
    /// Our programs speaking the reference's wire.
    Legacy,
    /// Our programs speaking native mode.
    Native,
    /// The reference's programs.
    Reference,
    /// Our server, the reference's agent.
    OurServer,
    /// The reference's server, our agent.
    OurAgent,
}

impl Contestant {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::TcpRelay,
        Self::TlsRelay,
        Self::Legacy,
        Self::Native,
        Self::Reference,
        Self::OurServer,
        Self::OurAgent,
    ];

    /// What a person calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::TcpRelay => "TCP relay",
            Self::TlsRelay => "TLS relay",
            Self::Legacy => "ours, reference mode",
            Self::Native => "ours, native",
            Self::Reference => "reference",
            Self::OurServer => "our server, its agent",
            Self::OurAgent => "its server, our agent",
        }
    }

    /// What the files of its processes are called.
    pub fn slug(self) -> &'static str {
        match self {
            Self::TcpRelay => "tcp-relay",
            Self::TlsRelay => "tls-relay",
            Self::Legacy => "ours-reference-mode",
            Self::Native => "ours-native",
            Self::Reference => "reference",
            Self::OurServer => "our-server",
            Self::OurAgent => "our-agent",
        }
    }

    /// Whether the figure is asked of it at all: a relay's memory, say, compares with nothing.
    pub fn has(self, measure: Measure) -> bool {
        let mixed = matches!(self, Self::OurServer | Self::OurAgent);
        let relay = matches!(self, Self::TcpRelay | Self::TlsRelay);
        match measure {
            Measure::Throughput(_) | Measure::Cpu(_) => true,
            Measure::RoundTrip(..)
            | Measure::DialRate(_)
            | Measure::DialLatency(..)
            | Measure::Delayed(..) => !mixed,
            // The TLS relay is the control: what the stalls do to the machine, without a shared stream.
            Measure::StalledEcho(_) | Measure::StalledDial(_) | Measure::StalledFailures(_) => {
                !mixed && self != Self::TcpRelay
            }
            Measure::Rest(_)
            | Measure::IdleMemory(_)
            | Measure::IdleCpu(_)
            | Measure::GoThroughput(_)
            | Measure::GoDials => !mixed && !relay,
        }
    }
}
