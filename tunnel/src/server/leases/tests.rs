//! Who lives, who is collected. The loop is tested against an API server in `tests/it`.

use proptest::prelude::*;

use serde_json::{Value, json};

use super::*;
use crate::server::fake_api::{FakeApi, failure};
use crate::server::metrics::Metrics;

const NOW: i64 = 1_790_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a legal time")
}

fn lease(name: &str, renewed: Option<i64>, duration: Option<i32>) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            renew_time: renewed.map(|second| MicroTime(at(second))),
            lease_duration_seconds: duration,
            ..LeaseSpec::default()
        }),
    }
}

fn planned(leases: Vec<Lease>) -> Plan {
    plan("own", leases.into_iter().map(Seen::of).collect(), at(NOW))
}

#[test]
fn live_leases_are_counted_and_expired_ones_collected() {
    let plan = planned(vec![
        lease("own", Some(NOW), Some(30)),
        lease("fresh", Some(NOW - 29), Some(30)),
        lease("late", Some(NOW - 30), Some(30)),
        lease("blank", None, Some(30)),
        lease("endless", Some(NOW - 5), None),
    ]);
    assert_eq!(plan.live, 2);
    let expired: Vec<_> = plan
        .expired
        .iter()
        .map(|lease| lease.name.as_str())
        .collect();
    assert_eq!(expired, ["late", "blank", "endless"]);
}

#[test]
fn acquire_time_counts_where_renew_time_is_missing() {
    let mut acquired = lease("other", None, Some(30));
    if let Some(spec) = &mut acquired.spec {
        spec.acquire_time = Some(MicroTime(at(NOW - 1)));
    }
    assert_eq!(planned(vec![acquired]).live, 2);
}

#[test]
fn own_lease_counts_once_even_when_it_looks_expired() {
    let plan = planned(vec![lease("own", Some(NOW - 100), Some(30))]);
    assert_eq!(
        plan,
        Plan {
            expired: Vec::new(),
            live: 1
        }
    );
}

proptest! {
    #[test]
    fn every_other_lease_is_either_live_or_expired(
        ages in proptest::collection::vec((0..100_i64, -5..60_i32), 0..20),
    ) {
        let leases: Vec<Lease> = ages
            .iter()
            .enumerate()
            .map(|(n, (age, duration))| lease(&format!("s{n}"), Some(NOW - age), Some(*duration)))
            .collect();
        let total = leases.len();
        let plan = planned(leases);
        prop_assert_eq!(plan.live - 1 + plan.expired.len(), total);
    }
}

fn keeper(api: &FakeApi) -> Keeper {
    let metrics = Metrics::new(&crate::metrics::Registry::new("test_"));
    let leases = settings::Leases {
        namespace: "kube-system".to_owned(),
        labels: vec![("k8s-app".to_owned(), "konnectivity-server".to_owned())],
    };
    Keeper::new(
        Arc::clone(&api.kube),
        "me".to_owned(),
        &leases,
        metrics.leases.clone(),
    )
}

fn old_lease() -> Value {
    json!({
        "metadata": {"name": "konnectivity-proxy-server-gone", "resourceVersion": "41"},
        "spec": {"renewTime": "2020-01-01T00:00:00.000000Z", "leaseDurationSeconds": 30},
    })
}

#[tokio::test]
async fn a_turn_publishes_our_lease_counts_and_collects() {
    let api = FakeApi::start(
        |asked| match (asked.method.as_str(), asked.path.contains('?')) {
            ("GET", true) => (200, json!({"metadata": {}, "items": [old_lease()]})),
            ("GET", false) => failure(404, "NotFound"),
            ("DELETE", _) => (
                200,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
            ),
            _ => (201, asked.body.clone()),
        },
    )
    .await;
    assert_eq!(keeper(&api).turn().await.expect("a turn"), 1);
    let asked = api.asked();
    let created = asked
        .iter()
        .find(|it| it.method == "POST")
        .expect("our lease is created");
    assert_eq!(
        created.body["metadata"]["name"],
        "konnectivity-proxy-server-me"
    );
    assert_eq!(
        created.body["metadata"]["labels"]["k8s-app"],
        "konnectivity-server"
    );
    assert_eq!(created.body["spec"]["holderIdentity"], "me");
    assert_eq!(created.body["spec"]["leaseDurationSeconds"], 30);
    let deleted = asked
        .iter()
        .find(|it| it.method == "DELETE")
        .expect("the old one is deleted");
    assert!(
        deleted.path.contains("konnectivity-proxy-server-gone"),
        "{}",
        deleted.path
    );
    assert_eq!(deleted.body["preconditions"]["resourceVersion"], "41");
}

#[tokio::test]
async fn api_server_that_fails_is_an_error_of_the_turn() {
    for code in [409, 410, 429, 500] {
        let api = FakeApi::start(move |_| failure(code, "Broken")).await;
        let keeper = keeper(&api);
        let turn = tokio::time::timeout(Duration::from_secs(20), keeper.turn());
        turn.await
            .expect("bounded")
            .expect_err("the API server fails");
    }
}

#[tokio::test]
async fn lease_is_withdrawn_when_the_drain_begins() {
    let api = FakeApi::start(|asked| match asked.method.as_str() {
        "GET" if asked.path.contains('?') => (200, json!({"metadata": {}, "items": []})),
        "GET" => failure(404, "NotFound"),
        _ => (200, asked.body.clone()),
    })
    .await;
    let (trigger, watcher) = crate::drain::channel();
    let (live, mut counted) = watch::channel(0);
    let kept = keep(keeper(&api), live, watcher);
    let scenario = async {
        counted
            .wait_for(|count| *count == 1)
            .await
            .expect("counted");
        trigger.start();
    };
    tokio::join!(kept, scenario);
    let last = api.asked().pop().expect("requests were made");
    assert_eq!(last.method, "DELETE");
    assert!(
        last.path.contains("konnectivity-proxy-server-me"),
        "{}",
        last.path
    );
}
