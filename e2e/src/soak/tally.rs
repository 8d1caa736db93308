//! What was done on one wire, and what came out wrong. In: tasks and what came of them. Out: the rows of the table.

use crate::error::Result;
use crate::soak::census::{Census, Vitals};
use crate::soak::plan::{Incident, Job};
use crate::soak::receipt::Verdict;

/// After so many failures nothing more is learned.
const ENOUGH: usize = 20;

/// What one of the two processes holds.
type Half = fn(Census) -> Vitals;

/// Whether a task may have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    /// It may not.
    None,
    /// Its agent was killed under it.
    AgentKilled,
}

/// Counts of one wire.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rounds that came to their end.
    pub rounds: usize,
    /// What both processes held after their first round.
    pub start: Option<Census>,
    /// What they held at the end.
    pub end: Option<Census>,
    up: u64,
    down: u64,
    paused: u64,
    bytes: u64,
    refused: u64,
    given_up: u64,
    killed: u64,
    cut: u64,
    asked_to_leave: u64,
    agents_killed: u64,
    failures: Vec<String>,
}

impl Tally {
    /// A task ended. What is corrupt is never excused.
    pub fn take(&mut self, job: Job, ended: Result<Verdict>, excuse: Excuse) {
        match ended {
            Ok(Verdict::Whole) => self.whole(job),
            Ok(Verdict::Corrupt) => self.failed(format!("{job:?}: it is not what was sent")),
            Ok(Verdict::Cut) | Err(_) if excuse == Excuse::AgentKilled => self.cut += 1,
            Ok(Verdict::Cut) => self.failed(format!("{job:?}: something lacks at its end")),
            Err(error) => self.failed(format!("{job:?}: {}", error.chain())),
        }
    }

    fn whole(&mut self, job: Job) {
        let (count, bytes) = match job {
            Job::Up(bytes) => (&mut self.up, bytes),
            Job::Down(bytes) => (&mut self.down, bytes),
            Job::Paused(bytes, _) => (&mut self.paused, bytes),
            Job::Refused => (&mut self.refused, 0),
            Job::GivenUp(_) | Job::GivenUpLate(_) => (&mut self.given_up, 0),
            Job::KilledReading(_) | Job::KilledWriting(_) => (&mut self.killed, 0),
        };
        *count += 1;
        self.bytes += bytes;
    }

    /// An agent was replaced.
    pub fn replaced(&mut self, incident: Incident) {
        match incident {
            Incident::Terminate => self.asked_to_leave += 1,
            Incident::Kill => self.agents_killed += 1,
        }
    }

    /// Something is not as it should be.
    pub fn failed(&mut self, what: String) {
        tracing::warn!("{what}");
        self.failures.push(what);
    }

    /// Transfers that were compared and whole.
    pub fn transfers(&self) -> u64 {
        self.up + self.down + self.paused
    }

    /// Whether it has failed so often that it stops.
    pub fn has_failed_enough(&self) -> bool {
        self.failures.len() >= ENOUGH
    }

    /// What is not as it should be.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Names and counts, always the same names.
    pub fn rows(&self) -> Vec<(String, String)> {
        let done = [
            ("rounds", self.rounds as u64),
            ("transfers up, whole", self.up),
            ("transfers down, whole", self.down),
            ("transfers down with a pause, whole", self.paused),
            ("MiB of them", self.bytes >> 20),
            ("dials refused", self.refused),
            ("dials given up", self.given_up),
            ("clients killed", self.killed),
            ("agents asked to leave", self.asked_to_leave),
            ("agents killed", self.agents_killed),
            ("clients cut off by that", self.cut),
            ("failures", self.failures.len() as u64),
        ];
        let mut rows: Vec<_> = done
            .map(|(name, count)| (name.to_owned(), count.to_string()))
            .into();
        let halves: [(&str, Half); 2] = [
            ("server", |census| census.server),
            ("agent", |census| census.agent),
        ];
        for (half, vitals) in halves {
            let both = [self.start, self.end].map(|census| census.map(vitals));
            let mut row = |what: &str, counts: [Option<u64>; 2]| {
                let [start, end] =
                    counts.map(|count| count.map_or_else(|| "?".into(), |count| count.to_string()));
                rows.push((format!("{half}: {what}"), format!("{start} → {end}")));
            };
            row("descriptors", both.map(|one| Some(one?.descriptors)));
            row("threads", both.map(|one| Some(one?.threads)));
            row("KiB of memory", both.map(|one| Some(one?.anonymous >> 10)));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::{Excuse, Tally};
    use crate::error::Error;
    use crate::soak::plan::Job;
    use crate::soak::receipt::Verdict;

    #[test]
    fn only_what_was_cut_off_is_excused() {
        let broken = || Error::Missing {
            what: "the tunnel".into(),
            remedy: "wait".into(),
        };
        let mut tally = Tally::default();
        tally.take(Job::Up(5), Ok(Verdict::Cut), Excuse::AgentKilled);
        tally.take(Job::Up(5), Err(broken()), Excuse::AgentKilled);
        assert_eq!((tally.cut, tally.failures().len()), (2, 0));
        tally.take(Job::Up(5), Ok(Verdict::Corrupt), Excuse::AgentKilled);
        tally.take(Job::Up(5), Ok(Verdict::Cut), Excuse::None);
        tally.take(Job::Refused, Err(broken()), Excuse::None);
        assert_eq!((tally.cut, tally.failures().len()), (2, 3));
        assert_eq!(tally.transfers(), 0);
    }

    #[test]
    fn every_wire_has_the_same_rows() {
        let mut tally = Tally::default();
        tally.take(Job::Down(3 << 20), Ok(Verdict::Whole), Excuse::None);
        let names =
            |tally: &Tally| -> Vec<_> { tally.rows().into_iter().map(|(name, _)| name).collect() };
        assert_eq!(names(&tally), names(&Tally::default()));
        assert_eq!(tally.rows()[4], ("MiB of them".into(), "3".into()));
    }
}
