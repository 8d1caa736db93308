//! Other operators over the same objects: Kamaji, or a Warren of another release, seen by the Lease of our name that they
//! renew in a namespace of theirs.
//!
//! In: every Lease of that name, and when *we* saw it change; out: one that is renewed outside our namespace. Two
//! operators would undo each other's work without end, so [`Holder::acquire`](super::Holder::acquire) waits to be alone.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::{Decision, Elector, NAME, PERIOD};
use crate::retry;
use crate::telemetry::chain;

/// An operator that works in another namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The namespace of its Lease.
    pub namespace: String,
    /// What it calls itself.
    pub holder: String,
}

/// What was seen of the Leases of other operators.
#[derive(Debug)]
pub struct Others {
    namespace: String,
    seen: BTreeMap<String, Elector>,
}

impl Others {
    /// For an operator in `namespace`, which has seen nothing yet.
    #[must_use]
    pub const fn new(namespace: String) -> Self {
        Self {
            namespace,
            seen: BTreeMap::new(),
        }
    }

    /// Takes in what the Leases say, and names the first operator that may still work. One that is gone without giving
    /// its Lease back is waited for as long as the Lease says.
    pub fn observe(&mut self, leases: &[Lease], now: Instant) -> Option<Other> {
        let elsewhere: BTreeMap<String, &Lease> = leases
            .iter()
            .map(|lease| (lease.namespace().unwrap_or_default(), lease))
            .filter(|(namespace, _)| *namespace != self.namespace)
            .collect();
        self.seen
            .retain(|namespace, _| elsewhere.contains_key(namespace));
        let mut working = None;
        for (namespace, lease) in elsewhere {
            let elector = self
                .seen
                .entry(namespace.clone())
                .or_insert_with(|| Elector::new(String::new()));
            if elector.observe(lease.spec.as_ref(), now) == Decision::Wait && working.is_none() {
                let holder = lease
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.holder_identity.clone());
                let holder = holder.unwrap_or_default();
                working = Some(Other { namespace, holder });
            }
        }
        working
    }
}

/// Returns once no other operator works. Where we may not look, nobody is waited for.
pub(super) async fn gone(leases: &Api<Lease>, namespace: &str) {
    let mut others = Others::new(namespace.to_owned());
    let mut told: Option<Other> = None;
    let params = ListParams::default().fields(&format!("metadata.name={NAME}"));
    loop {
        match leases.list(&params).await {
            Ok(list) => match others.observe(&list.items, Instant::now()) {
                None => return,
                Some(other) if told.as_ref() != Some(&other) => {
                    tracing::warn!(
                        namespace = other.namespace,
                        holder = other.holder,
                        "another operator holds the Lease {NAME} of its namespace: this one waits, because both would work on the same objects; scale that one to 0"
                    );
                    told = Some(other);
                }
                Some(_same) => {}
            },
            Err(error) if retry::code(&error) == Some(403) => {
                return tracing::warn!(
                    error = chain(&error),
                    "cannot see whether another operator works in this cluster; allow to list Leases named {NAME}"
                );
            }
            Err(error) => tracing::warn!(
                error = chain(&error),
                "cannot see now whether another operator works in this cluster"
            ),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

    use super::*;

    fn lease(namespace: &str, holder: Option<&str>, renewed: i64) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn our_own_and_released_leases_are_no_other_operator() {
        let mut others = Others::new("warren-system".to_owned());
        let leases = [
            lease("warren-system", Some("us"), 1),
            lease("released", None, 1),
            lease("emptied", Some(""), 1),
        ];
        assert_eq!(others.observe(&leases, Instant::now()), None);
    }

    #[test]
    fn one_that_renews_is_waited_for_and_one_that_is_dead_is_not() {
        let mut others = Others::new("warren-system".to_owned());
        let start = Instant::now();
        let kamaji = Some(Other {
            namespace: "kamaji-system".to_owned(),
            holder: "kamaji-0".to_owned(),
        });
        let held = |renewed| [lease("kamaji-system", Some("kamaji-0"), renewed)];
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(others.observe(&held(1), start), kamaji);
        assert_eq!(others.observe(&held(2), after(14)), kamaji);
        assert_eq!(others.observe(&held(2), after(28)), kamaji);
        assert_eq!(others.observe(&held(2), after(29)), None, "it stood still");
        assert_eq!(others.observe(&held(3), after(30)), kamaji, "it is back");
        assert_eq!(others.observe(&[], after(31)), None);
    }
}
