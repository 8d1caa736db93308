//! What one round of one contestant is made of. In: who, and how long. Out: samples, as many as could be taken before
//! something failed. Every step starts processes of its own, so that nothing a step leaves behind reaches the next.

use crate::bench::contestant::Contestant;
use crate::bench::measure::Measure;
use crate::bench::plan::Plan;
use crate::bench::rig::Rig;
use crate::error::Result;

mod dials;
mod go_client;
mod memory;
mod round_trip;
mod slow;
mod stalls;
mod transfer;

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Throughput and CPU time.
    Transfer,
    /// Keystrokes, alone and beside a transfer.
    RoundTrip,
    /// Short connections.
    Dials,
    /// Others that stand still.
    Stalls,
    /// Processes at rest, and beside idle connections.
    Memory,
    /// A line that is long and slow.
    Slow,
    /// The client that kube-apiserver embeds, over the gRPC frontend.
    GoClient,
}

/// Who is measured, where, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    /// Programs and endpoints.
    pub rig: &'a Rig,
    /// Windows.
    pub plan: &'a Plan,
    /// Who.
    pub contestant: Contestant,
}

/// What was measured in a round.
pub type Samples = Vec<(Measure, f64)>;

impl Step {
    /// In the order they run.
    pub const ALL: [Self; 7] = [
        Self::Transfer,
        Self::RoundTrip,
        Self::Dials,
        Self::Stalls,
        Self::Memory,
        Self::Slow,
        Self::GoClient,
    ];

    /// How often each contestant takes it.
    pub fn rounds(self, plan: &Plan) -> u32 {
        match self {
            Self::Transfer => plan.transfer_rounds,
            Self::RoundTrip | Self::Dials | Self::Stalls | Self::GoClient => plan.rounds,
            Self::Memory | Self::Slow => plan.few_rounds,
        }
    }

    /// The figures it gives.
    pub fn measures(self) -> Vec<Measure> {
        let mut all = Measure::all();
        all.retain(|&measure| Self::of(measure) == self);
        all
    }

    fn of(measure: Measure) -> Self {
        match measure {
            Measure::Throughput(_) | Measure::Cpu(_) => Self::Transfer,
            Measure::RoundTrip(..) => Self::RoundTrip,
            Measure::DialRate(_) | Measure::DialLatency(..) => Self::Dials,
            Measure::StalledEcho(_) | Measure::StalledDial(_) | Measure::StalledFailures(_) => {
                Self::Stalls
            }
            Measure::Rest(_) | Measure::IdleMemory(_) | Measure::IdleCpu(_) => Self::Memory,
            Measure::Delayed(..) => Self::Slow,
            Measure::GoThroughput(_) | Measure::GoDials => Self::GoClient,
        }
    }

    /// Takes it; `samples` holds what was measured even when it fails.
    pub async fn take(self, round: Round<'_>, samples: &mut Samples) -> Result<()> {
        match self {
            Self::Transfer => transfer::take(round, samples).await,
            Self::RoundTrip => round_trip::take(round, samples).await,
            Self::Dials => dials::take(round, samples).await,
            Self::Stalls => stalls::take(round, samples).await,
            Self::Memory => memory::take(round, samples).await,
            Self::Slow => slow::take(round, samples).await,
            Self::GoClient => go_client::take(round, samples).await,
        }
    }
}

/// `--name=value`.
fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

/// Milliseconds, as the parts' flags take them.
fn milliseconds(name: &str, duration: std::time::Duration) -> String {
    flag(name, duration.as_millis())
}
