//! Holds `health.rs` to what it promises.

use serde_json::json;

use super::*;
use crate::api::condition::Verdict;
use crate::tenant::inputs::Placement;

fn pod(status: &serde_json::Value) -> Pod {
    let pod = json!({ "metadata": { "name": "konnectivity-agent-x" }, "status": status });
    serde_json::from_value(pod).unwrap()
}

fn conditions(ready: &str) -> serde_json::Value {
    json!([{ "type": "Ready", "status": ready }])
}

fn waiting(reason: &str, last: &serde_json::Value) -> Pod {
    pod(&json!({
        "conditions": conditions("False"),
        "containerStatuses": [{
            "name": "konnectivity-agent", "image": "r.example/a:1", "imageID": "", "ready": false,
            "restartCount": 3, "state": { "waiting": { "reason": reason } }, "lastState": last,
        }],
    }))
}

fn judged(nodes: u64, pods: &[Pod], evidence: &Evidence) -> Finding {
    patiently(nodes, pods, Patience::Left, evidence)
}

fn patiently(nodes: u64, pods: &[Pod], patience: Patience, evidence: &Evidence) -> Finding {
    assess(Agents {
        nodes,
        pods,
        standing: Standing::of(pods, None, Placement::EveryNode),
        patience,
        mode: "DaemonSet",
        evidence,
    })
}

fn judge(nodes: u64, pods: &[Pod]) -> Finding {
    judged(nodes, pods, &Evidence::default())
}

#[test]
fn without_nodes_nobody_can_say() {
    let finding = judge(0, &[]);
    assert_eq!(
        (finding.verdict, finding.reason),
        (Verdict::Unknown, Reason::NoNodes)
    );
}

fn connected() -> Pod {
    pod(&json!({ "conditions": conditions("True") }))
}

/// What is said when these had their time.
fn late(pods: &[Pod]) -> (Verdict, Reason, String) {
    let count = u64::try_from(pods.len()).unwrap();
    let finding = patiently(count, pods, Patience::Over, &Evidence::default());
    (finding.verdict, finding.reason, finding.message)
}

#[test]
fn agents_that_are_missing_have_a_little_time() {
    let finding = judge(2, &[connected(), pod(&json!({}))]);
    assert_eq!(
        (finding.verdict, finding.reason),
        (Verdict::True, Reason::AsExpected)
    );
    assert_eq!(
        finding.message,
        "1 of 2 agents are connected; pods are being started or replaced"
    );
    assert_eq!(
        late(&[connected(), connected()]),
        (
            Verdict::True,
            Reason::AsExpected,
            "2 of 2 agents are connected".to_owned()
        )
    );
}

#[test]
fn agents_that_stay_away_are_counted_and_the_first_is_named() {
    let mut lost = pod(&json!({
        "conditions": conditions("False"),
        "containerStatuses": [{
            "name": "konnectivity-agent", "image": "r.example/a:1", "imageID": "", "ready": true,
            "restartCount": 0, "state": { "running": {} },
        }],
    }));
    lost.spec.get_or_insert_default().node_name = Some("worker-7".to_owned());
    let (verdict, reason, text) = late(&[connected(), lost, connected()]);
    assert_eq!((verdict, reason), (Verdict::False, Reason::AgentsMissing));
    assert!(
        text.starts_with(
            "2 of 3 agents are connected; agent pod konnectivity-agent-x on node worker-7 is not"
        ),
        "{text}"
    );
    let (_, reason, text) = late(&[
        connected(),
        waiting("ContainerCreating", &json!({})),
        waiting("ImagePullBackOff", &json!({})),
    ]);
    assert_eq!(reason, Reason::AgentsMissing);
    assert!(
        text.starts_with("1 of 3 agents are connected; image r.example/a:1 of agent pod"),
        "what can be mended is said first: {text}"
    );
}

#[test]
fn pods_on_their_way_out_are_not_blamed() {
    let mut leaving = waiting("CrashLoopBackOff", &json!({}));
    leaving.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    let evicted = pod(&json!({ "phase": "Failed", "reason": "Evicted" }));
    let (_, reason, text) = late(&[connected(), leaving, evicted]);
    assert_eq!(reason, Reason::AgentsMissing);
    assert!(
        text.contains("get pods -l app=konnectivity-agent"),
        "{text}"
    );
}

#[test]
fn nodes_without_pods_send_the_reader_to_the_workload() {
    let finding = judge(3, &[]);
    assert_eq!(
        (finding.verdict, finding.reason),
        (Verdict::False, Reason::NoAgentConnected)
    );
    assert!(
        finding
            .message
            .contains("DaemonSet kube-system/konnectivity-agent")
    );
}

#[test]
fn an_image_that_cannot_be_pulled_is_named() {
    let finding = judge(1, &[waiting("ImagePullBackOff", &json!({}))]);
    assert_eq!(finding.reason, Reason::ImagePullFailed);
    assert!(
        finding.message.contains("r.example/a:1"),
        "{}",
        finding.message
    );
}

#[test]
fn the_last_words_of_a_crash_are_repeated() {
    let last =
        json!({ "terminated": { "exitCode": 2, "message": "usage:\nunknown flag --foo\n" } });
    let finding = judge(1, &[waiting("CrashLoopBackOff", &last)]);
    assert_eq!(finding.reason, Reason::CrashLooping);
    assert!(
        finding.message.contains("saying: unknown flag --foo."),
        "{}",
        finding.message
    );
}

#[test]
fn a_pod_without_a_node_repeats_the_scheduler() {
    let status = json!({ "conditions": [
        { "type": "PodScheduled", "status": "False", "message": "1 node had untolerated taint" },
    ] });
    let finding = judge(1, &[pod(&status)]);
    assert_eq!(finding.reason, Reason::Unschedulable);
    assert!(finding.message.contains("untolerated taint"));
}

#[test]
fn an_agent_that_is_being_started_is_not_blamed() {
    let finding = judge(1, &[waiting("ContainerCreating", &json!({}))]);
    assert_eq!(
        (finding.verdict, finding.reason),
        (Verdict::False, Reason::PodsNotReady)
    );
    assert!(
        finding
            .message
            .contains("konnectivity-agent-x is being started")
    );
}

#[test]
fn silent_agents_are_explained_by_what_the_other_end_knows() {
    let running = [pod(&json!({
        "conditions": conditions("False"),
        "containerStatuses": [{
            "name": "konnectivity-agent", "image": "r.example/a:1", "imageID": "", "ready": false,
            "restartCount": 0, "state": { "running": {} },
        }],
    }))];
    assert_eq!(judge(1, &running).reason, Reason::NoAgentConnected);
    let refused = Evidence {
        refused: 4,
        ..Evidence::default()
    };
    let finding = judged(1, &running, &refused);
    assert_eq!(finding.reason, Reason::AgentNotAuthenticated);
    assert!(finding.message.contains("refused 4 of their tokens"));
    let blocked = Evidence {
        blocking_webhook: Some("deny.example.com".to_owned()),
        ..refused
    };
    let finding = judged(1, &running, &blocked);
    assert_eq!(finding.reason, Reason::AdmissionBlocksAgents);
    assert!(finding.message.contains("deny.example.com"));
}
