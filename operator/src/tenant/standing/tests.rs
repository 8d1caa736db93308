//! Holds `standing.rs` to what it promises.

use serde_json::{Value, json};

use super::*;

fn pods(ready: usize, all: usize) -> Vec<Pod> {
    let pod = |at: usize| {
        let word = if at < ready { "True" } else { "False" };
        let status = json!({ "conditions": [{ "type": "Ready", "status": word }] });
        serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap()
    };
    (0..all).map(pod).collect()
}

fn workload(kind: &str, spec: &Value, status: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": { "name": "konnectivity-agent", "generation": 2 },
        "spec": spec, "status": status,
    }))
    .unwrap()
}

fn daemon_set(desired: u64, updated: u64, ready: u64) -> DynamicObject {
    let spec = json!({ "selector": {}, "template": {} });
    let status = json!({
        "observedGeneration": 2, "desiredNumberScheduled": desired, "currentNumberScheduled": desired,
        "updatedNumberScheduled": updated, "numberReady": ready, "numberMisscheduled": 0,
    });
    workload("DaemonSet", &spec, &status)
}

fn deployment(replicas: u64, status: &Value) -> DynamicObject {
    let spec = json!({ "replicas": replicas, "selector": {}, "template": {} });
    workload("Deployment", &spec, status)
}

fn on_nodes(pods: &[Pod], found: Option<&DynamicObject>) -> Standing {
    Standing::of(pods, found, Placement::EveryNode)
}

fn numbers(standing: Standing) -> (u64, u64, bool) {
    (standing.connected, standing.wanted, standing.is_whole())
}

#[test]
fn the_workload_says_how_many_and_the_pods_who_is_there() {
    let found = daemon_set(3, 3, 3);
    let standing = |pods: &[Pod]| numbers(on_nodes(pods, Some(&found)));
    assert_eq!(standing(&pods(3, 3)), (3, 3, true));
    assert_eq!(
        standing(&pods(2, 3)),
        (2, 3, false),
        "its count may be older than the pods"
    );
    assert_eq!(
        numbers(on_nodes(&pods(1, 1), Some(&daemon_set(3, 3, 1)))),
        (1, 3, false)
    );
}

#[test]
fn of_more_pods_than_were_looked_at_the_workload_knows() {
    let found = daemon_set(400, 400, 399);
    let standing = on_nodes(&pods(50, 50), Some(&found));
    assert_eq!(numbers(standing), (399, 400, false));
}

#[test]
fn a_workload_that_nobody_has_looked_at_has_no_word() {
    let mut older = daemon_set(9, 9, 9);
    older.metadata.generation = Some(3);
    let empty = workload(
        "DaemonSet",
        &json!({ "selector": {}, "template": {} }),
        &json!({ "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0 }),
    );
    for found in [None, Some(&older), Some(&empty)] {
        assert_eq!(numbers(on_nodes(&pods(1, 2), found)), (1, 2, false));
    }
}

#[test]
fn a_replacement_that_does_not_end_is_not_whole() {
    let stuck =
        json!({ "observedGeneration": 2, "replicas": 3, "readyReplicas": 2, "updatedReplicas": 1 });
    let done =
        json!({ "observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 });
    let standing = |status: &Value, pods: &[Pod]| {
        let found = deployment(2, status);
        numbers(Standing::of(
            pods,
            Some(&found),
            Placement::Replicas(Some(2)),
        ))
    };
    assert_eq!(standing(&stuck, &pods(2, 3)), (2, 2, false));
    assert_eq!(standing(&done, &pods(2, 2)), (2, 2, true));
}

#[test]
fn patience_ends_after_a_while_without_progress_and_comes_back_when_all_are_there() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let standing = |updated, ready: usize| {
        let found = daemon_set(3, updated, 0);
        on_nodes(&pods(ready, 3), Some(&found))
    };
    let mut shortage = Shortage::default();
    assert_eq!(shortage.ends(start), None);
    assert_eq!(
        shortage.seen(&standing(3, 2), Patience::Left, start),
        Patience::Left,
        "a node came"
    );
    assert_eq!(shortage.ends(after(20)), Some(Duration::from_secs(40)));
    assert_eq!(
        shortage.seen(&standing(3, 2), Patience::Left, after(59)),
        Patience::Left
    );
    assert_eq!(
        shortage.seen(&standing(3, 2), Patience::Left, after(60)),
        Patience::Over
    );
    assert_eq!(shortage.ends(after(60)), None);
    assert_eq!(
        shortage.seen(&standing(3, 3), Patience::Over, after(70)),
        Patience::Left,
        "all are there"
    );
    for (at, updated) in [(80, 0), (130, 1), (180, 2)] {
        assert_eq!(
            shortage.seen(&standing(updated, 2), Patience::Left, after(at)),
            Patience::Left,
            "pods are replaced"
        );
    }
    assert_eq!(
        shortage.seen(&standing(2, 2), Patience::Left, after(240)),
        Patience::Over,
        "the replacement stands still"
    );
}

#[test]
fn what_was_told_stays_told_until_all_are_there() {
    let now = Instant::now();
    let found = daemon_set(3, 3, 2);
    let mut anew = Shortage::default();
    let two = on_nodes(&pods(2, 3), Some(&found));
    assert_eq!(anew.seen(&two, Patience::Over, now), Patience::Over);
}
