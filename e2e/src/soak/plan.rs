//! What a soak does: how long, and in each round how much of what in which order. In: a length and a seed. Out: rounds.
//! Pure: a seed that found something finds it again, as far as the order of things decides it.

use std::time::Duration;

use crate::soak::dice::Dice;

/// What happens to the agent in the middle of a round; the rounds behind these are quiet, so that the last agent has
/// time to show whether it keeps something.
const INCIDENTS: [Option<Incident>; 5] = [
    None,
    Some(Incident::Terminate),
    Some(Incident::Terminate),
    Some(Incident::Kill),
    Some(Incident::Terminate),
];
/// Quiet rounds at the end, at least.
const QUIET: usize = 3;
/// Transfers are up to 2^20 bytes.
const LARGEST: u32 = 20;
/// Those whose reader stands still for a moment are larger than what sockets hold, and smaller than the 8 MiB at which
/// the shared stream would wait for them.
const PAUSED: std::ops::Range<u64> = 256 << 10..2 << 20;

/// Rolls one job of a kind.
type MakeJob = fn(&mut Dice) -> Job;

/// How long it lasts, on one wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Rounds begin until then …
    pub time: Duration,
    /// … and until so many transfers were compared.
    pub transfers: u64,
    /// Transfers of a round.
    pub round: u32,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// When half of the tasks have ended.
    pub incident: Option<Incident>,
    /// In this order, some of them at once.
    pub tasks: Vec<Task>,
}

/// What happens to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// It is asked to leave by SIGTERM; nobody may notice.
    Terminate,
    /// It is ended by SIGKILL; what it carried is cut off.
    Kill,
}

/// One client's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Its bytes follow from this; no two tasks have the same.
    pub seed: u64,
    /// What it does.
    pub job: Job,
}

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Writes so many bytes and closes its half; what the endpoint got is compared.
    Up(u64),
    /// The endpoint writes so many bytes and closes; what comes is compared.
    Down(u64),
    /// The same, and the client stops reading for a while in the middle.
    Paused(u64, Duration),
    /// Dials a port on which nobody listens.
    Refused,
    /// Dials an endpoint that never answers and gives up so much later.
    GivenUp(Duration),
    /// The same at an endpoint that does answer, perhaps at the same moment.
    GivenUpLate(Duration),
    /// Vanishes when so many bytes of many more have come.
    KilledReading(u64),
    /// Vanishes when it has written so many bytes.
    KilledWriting(u64),
}

impl Length {
    /// Some twenty seconds in all: that the churn works and nothing is left open.
    pub const QUICK: Self = Self {
        time: Duration::from_secs(10),
        transfers: 500,
        round: 60,
    };

    /// So many minutes in all; ten of them are 10,000 transfers at least.
    pub fn minutes(minutes: u32) -> Self {
        Self {
            time: Duration::from_mins(u64::from(minutes)) / 2,
            transfers: 500 * u64::from(minutes),
            round: 250,
        }
    }

    /// Whether another round begins, after so many of them.
    pub fn goes_on(&self, rounds: usize, transfers: u64, elapsed: Duration) -> bool {
        rounds < INCIDENTS.len() + QUIET || transfers < self.transfers || elapsed < self.time
    }

    /// The round of this number, from 0.
    pub fn plan(&self, seed: u64, number: usize) -> Round {
        let mut dice = Dice::new(seed ^ Dice::new(number as u64).roll());
        let transfers = u64::from(self.round);
        let (paused, others) = (transfers / 10, transfers / 5);
        let shares: [(u64, MakeJob); 8] = [
            (transfers / 2, |dice| Job::Up(dice.size(LARGEST))),
            (transfers.div_ceil(2) - paused, |dice| {
                Job::Down(dice.size(LARGEST))
            }),
            (paused, |dice| {
                let bytes = PAUSED.start + dice.below(PAUSED.end - PAUSED.start);
                Job::Paused(bytes, milliseconds(50 + dice.below(250)))
            }),
            (others, |_| Job::Refused),
            (others / 2, |dice| {
                Job::GivenUp(milliseconds(dice.below(300)))
            }),
            (others / 2, |dice| {
                Job::GivenUpLate(milliseconds(dice.below(10)))
            }),
            (others / 2, |dice| Job::KilledReading(dice.size(LARGEST))),
            (others / 2, |dice| Job::KilledWriting(dice.size(LARGEST))),
        ];
        let mut tasks = Vec::new();
        for (count, job) in shares {
            for _ in 0..count {
                tasks.push(Task {
                    seed: dice.roll(),
                    job: job(&mut dice),
                });
            }
        }
        dice.shuffle(&mut tasks);
        Round {
            incident: INCIDENTS.get(number).copied().flatten(),
            tasks,
        }
    }
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{Incident, Job, Length, PAUSED};

    #[test]
    fn a_seed_and_a_number_make_a_round() {
        let plan = |seed, number| Length::QUICK.plan(seed, number);
        assert_eq!(plan(1, 0), plan(1, 0));
        assert_ne!(plan(1, 0), plan(2, 0));
        assert_ne!(plan(1, 6), plan(1, 7));
    }

    #[test]
    fn a_round_has_its_transfers_and_every_kind_of_trouble() {
        for length in [Length::QUICK, Length::minutes(10)] {
            let tasks = length.plan(1, 0).tasks;
            let count = |wanted: fn(&Job) -> bool| tasks.iter().filter(|t| wanted(&t.job)).count();
            let compared = count(|job| matches!(job, Job::Up(_) | Job::Down(_) | Job::Paused(..)));
            assert_eq!(compared, usize::try_from(length.round).expect("few"));
            assert!(count(|job| matches!(job, Job::Refused)) > 0);
            assert!(count(|job| matches!(job, Job::GivenUp(_))) > 0);
            assert!(count(|job| matches!(job, Job::GivenUpLate(_))) > 0);
            assert!(count(|job| matches!(job, Job::KilledReading(_))) > 0);
            assert!(count(|job| matches!(job, Job::KilledWriting(_))) > 0);
            assert!(
                count(|job| matches!(job, Job::Paused(bytes, _) if PAUSED.contains(bytes))) > 0
            );
            let seeds: BTreeSet<_> = tasks.iter().map(|task| task.seed).collect();
            assert_eq!(seeds.len(), tasks.len());
        }
    }

    #[test]
    fn agents_are_asked_to_leave_a_few_times_and_killed_once_but_not_in_the_first_or_the_last_rounds()
     {
        let incidents: Vec<_> = (0..8)
            .map(|number| Length::QUICK.plan(1, number).incident)
            .collect();
        let count = |wanted| incidents.iter().filter(|&&one| one == Some(wanted)).count();
        assert_eq!((count(Incident::Terminate), count(Incident::Kill)), (3, 1));
        assert_eq!(incidents[0], None);
        assert_eq!(incidents[5..], [None; 3]);
        assert!(Length::QUICK.goes_on(7, u64::MAX, Duration::MAX));
        assert!(!Length::QUICK.goes_on(8, u64::MAX, Duration::MAX));
    }

    #[test]
    fn ten_minutes_are_ten_thousand_transfers_on_two_wires() {
        let length = Length::minutes(10);
        assert_eq!(2 * length.time, Duration::from_mins(10));
        assert!(length.goes_on(1000, 4_999, Duration::from_hours(1)));
        assert!(length.goes_on(1000, 5_000, Duration::from_secs(299)));
        assert!(!length.goes_on(1000, 5_000, Duration::from_mins(5)));
    }
}
