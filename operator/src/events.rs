//! Events about objects. In: what a person should hear of. Out: an Event of the API server, unless there were too many.
//!
//! A condition that flaps would tell of itself for as long as it does. So each object has a budget for each subject: a
//! handful at once, then one now and then, which also says how many were left out before it. [`Budgets`] is pure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::Instant;

use crate::api::condition::{ConditionType, Finding, Verdict};

/// So many of one kind may come at once.
const BURST: u32 = 10;
/// After this time one more may come.
const REFILL: Duration = Duration::from_mins(5);
/// The API server takes notes of 1024 bytes.
const LONGEST_NOTE: usize = 1000;

/// Writes Events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    budgets: Arc<Mutex<Budgets>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("budgets", &self.budgets)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// Events by this reporter.
    pub fn new(client: Client, reporter: Reporter) -> Self {
        Self {
            recorder: Recorder::new(client, reporter),
            budgets: Arc::default(),
        }
    }

    /// Writes the Event, unless the budget of its object and action is spent. The note is shortened to what the API
    /// server takes.
    pub async fn publish(&self, event: Event, about: &ObjectReference) -> Result<(), kube::Error> {
        let subject = Subject {
            namespace: about.namespace.clone(),
            name: about.name.clone(),
            uid: about.uid.clone(),
            action: event.action.clone(),
        };
        let spent = self
            .budgets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spend(subject, Instant::now());
        let Some(withheld) = spent else {
            tracing::debug!(
                reason = event.reason,
                "too many Events: this one is left out"
            );
            return Ok(());
        };
        let note = event.note.map(|note| note_of(&note, withheld));
        let event = Event { note, ..event };
        self.recorder.publish(&event, about).await
    }
}

/// What is told of a condition that changed. That nothing is in progress any more warns nobody.
#[must_use]
pub fn of(finding: &Finding) -> Event {
    let warns =
        finding.verdict == Verdict::False && finding.condition != ConditionType::Progressing;
    Event {
        type_: if warns {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: finding.reason.as_str().to_owned(),
        note: Some(format!(
            "{}: {}",
            finding.condition.as_str(),
            finding.message
        )),
        action: finding.condition.as_str().to_owned(),
        secondary: None,
    }
}

fn note_of(note: &str, withheld: u64) -> String {
    let added = match withheld {
        0 => String::new(),
        1 => " (1 change before this was not told)".to_owned(),
        more => format!(" ({more} changes before this were not told)"),
    };
    let room = LONGEST_NOTE.saturating_sub(added.len());
    let end = note.floor_char_boundary(room);
    let mut text = note.get(..end).unwrap_or_default().to_owned();
    text.push_str(&added);
    text
}

/// What an Event speaks of: an object, and which side of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Namespace of the object, unless it is cluster-wide.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: Option<String>,
    /// The object itself, as opposed to an earlier one of its name.
    pub uid: Option<String>,
    /// The condition, or what was done.
    pub action: String,
}

/// What is left of one budget.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left: u32,
    /// Since when the next one is being saved.
    since: Instant,
    withheld: u64,
}

impl Budget {
    const fn full(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
            withheld: 0,
        }
    }

    /// What it is by now.
    fn refilled(self, now: Instant) -> Self {
        let saved = now.duration_since(self.since).as_secs() / REFILL.as_secs();
        let saved = u32::try_from(saved).unwrap_or(u32::MAX);
        let left = self.left.saturating_add(saved);
        if left >= BURST {
            return Self {
                withheld: self.withheld,
                ..Self::full(now)
            };
        }
        Self {
            left,
            since: self.since + REFILL * saved,
            ..self
        }
    }
}

/// What every subject may still say. One that has been quiet for long is forgotten.
#[derive(Debug, Default)]
pub struct Budgets(BTreeMap<Subject, Budget>);

impl Budgets {
    /// Takes one Event from the budget. Says how many were withheld since the last one, or `None` to withhold this one.
    pub fn spend(&mut self, subject: Subject, now: Instant) -> Option<u64> {
        for budget in self.0.values_mut() {
            *budget = budget.refilled(now);
        }
        self.0
            .retain(|held, budget| *held == subject || budget.left < BURST);
        let budget = self.0.entry(subject).or_insert_with(|| Budget::full(now));
        if let Some(left) = budget.left.checked_sub(1) {
            budget.left = left;
            Some(std::mem::take(&mut budget.withheld))
        } else {
            budget.withheld = budget.withheld.saturating_add(1);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::condition::Reason;

    fn subject(name: &str) -> Subject {
        Subject {
            namespace: Some("tenants".into()),
            name: Some(name.into()),
            uid: None,
            action: "TunnelReady".into(),
        }
    }

    #[test]
    fn an_event_names_its_condition_and_warns_of_what_is_wrong_only() {
        let message = "all is as the spec asks";
        let done = of(&Finding::no(
            ConditionType::Progressing,
            Reason::AsExpected,
            message,
        ));
        assert!(matches!(done.type_, EventType::Normal));
        assert_eq!(
            done.note.as_deref(),
            Some("Progressing: all is as the spec asks")
        );
        let wrong = of(&Finding::no(
            ConditionType::TunnelReady,
            Reason::PodsNotReady,
            "why",
        ));
        assert!(matches!(wrong.type_, EventType::Warning));
        assert_eq!(wrong.action, "TunnelReady");
    }

    #[test]
    fn a_handful_is_told_and_then_one_now_and_then_with_the_number_left_out() {
        let (mut budgets, start) = (Budgets::default(), Instant::now());
        let told = (0..100).filter_map(|_| budgets.spend(subject("a"), start));
        assert_eq!(told.collect::<Vec<_>>(), vec![0; 10]);
        assert_eq!(
            budgets.spend(subject("b"), start),
            Some(0),
            "others have their own"
        );
        let later = start + REFILL;
        assert_eq!(budgets.spend(subject("a"), later), Some(90));
        assert_eq!(budgets.spend(subject("a"), later), None);
    }

    #[test]
    fn who_has_been_quiet_is_forgotten() {
        let (mut budgets, start) = (Budgets::default(), Instant::now());
        for number in 0..1000 {
            budgets.spend(subject(&number.to_string()), start);
        }
        budgets.spend(subject("late"), start + REFILL);
        assert_eq!(budgets.0.len(), 1);
    }

    #[test]
    fn notes_stay_within_what_the_api_server_takes() {
        assert_eq!(note_of("text", 0), "text");
        assert!(note_of("text", 1).ends_with("1 change before this was not told)"));
        let long = note_of(&"ß".repeat(5000), 7);
        assert!(
            long.len() <= LONGEST_NOTE && long.ends_with("7 changes before this were not told)")
        );
    }

    proptest! {
        /// However a condition flaps, in no span of time is more told than the burst and what was saved meanwhile.
        #[test]
        fn nothing_is_told_without_bound(pauses in prop::collection::vec(0_u64..400, 1..400)) {
            let (mut budgets, start) = (Budgets::default(), Instant::now());
            let (mut now, mut told, mut withheld, mut said) = (start, 0_u64, 0_u64, 0_u64);
            for pause in pauses {
                now += Duration::from_secs(pause);
                match budgets.spend(subject("a"), now) {
                    Some(left_out) => { told += 1; said += left_out; }
                    None => withheld += 1,
                }
            }
            let saved = now.duration_since(start).as_secs() / REFILL.as_secs();
            prop_assert!(told <= u64::from(BURST) + saved);
            prop_assert!(said <= withheld);
        }
    }
}
