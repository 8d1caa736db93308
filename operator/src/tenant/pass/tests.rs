//! Holds `pass.rs` to what it promises.

use serde_json::json;

use super::*;

fn tcp(change: &serde_json::Value) -> TenantControlPlane {
    let mut object = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": { "name": "example", "namespace": "tenants" },
        "spec": {
            "controlPlane": { "service": { "serviceType": "ClusterIP" } },
            "kubernetes": { "version": "v1.33.0" },
            "addons": { "konnectivity": {} },
        },
        "status": { "kubernetesResources": { "deployment": { "readyReplicas": 1 } } },
    });
    json_patch::merge(&mut object, change);
    serde_json::from_value(object).unwrap()
}

#[test]
fn a_tenant_is_looked_into_when_a_pod_serves_it() {
    assert_eq!(gate(&tcp(&json!({}))), Gate::Open);
    assert_eq!(gate(&tcp(&json!({ "status": null }))), Gate::Starting);
    let asleep = json!({ "spec": { "controlPlane": { "deployment": { "replicas": 0 } } } });
    assert_eq!(gate(&tcp(&asleep)), Gate::Sleeping);
    let paused = json!({ "metadata": { "annotations": { "kamaji.clastix.io/paused": "" } } });
    assert_eq!(gate(&tcp(&paused)), Gate::Closed);
    let leaving = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    assert_eq!(gate(&tcp(&leaving)), Gate::Closed);
}

#[test]
fn a_tenant_that_hangs_is_named_with_the_remedy() {
    let report = stopped(
        &tcp(&json!({})),
        &PassError::Unreachable(CallError::TimedOut(super::super::call::LIMIT)),
    );
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.condition == TenantBootstrapped);
    let finding = finding.unwrap();
    assert_eq!(
        (finding.verdict, finding.reason),
        (Verdict::False, Reason::TenantUnreachable)
    );
    assert!(
        finding.message.contains("no answer within 10 s"),
        "{}",
        finding.message
    );
    assert!(
        finding.message.contains("Service tenants/example"),
        "{}",
        finding.message
    );
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    let error = ConnectError::Missing("Secret example-ca".to_owned());
    let report = stopped(&tcp(&json!({})), &PassError::Connect(error));
    let finding = report.findings.last().unwrap();
    assert_eq!(
        (finding.verdict, finding.reason),
        (Verdict::Unknown, Reason::WaitingForDependency)
    );
    assert_eq!(finding.message, "Secret example-ca is not there yet");
}

#[test]
fn every_condition_is_spoken_of_while_there_are_no_pods() {
    for gate in [Gate::Sleeping, Gate::Starting] {
        let report = absent(gate);
        assert_eq!(report.findings.len(), 3);
        assert!(report.applied.is_none());
    }
}

#[test]
fn bad_news_are_looked_at_again_sooner() {
    let agents = |finding: fn() -> Finding| look_again(&[finding()]);
    let missing = agents(|| Finding::no(AgentsReady, Reason::NoAgentConnected, ""));
    let empty = agents(|| Finding::unknown(AgentsReady, Reason::NoNodes, ""));
    let some = agents(|| Finding::no(AgentsReady, Reason::AgentsMissing, ""));
    let well = agents(|| Finding::yes(AgentsReady, Reason::AsExpected, ""));
    assert!(missing < empty && empty < some && some < well);
    let silent = agents(|| Finding::no(TunnelReady, Reason::ServersMissing, ""));
    assert!(silent < missing);
    let both = look_again(&[
        Finding::no(TunnelReady, Reason::ServersMissing, ""),
        Finding::unknown(AgentsReady, Reason::NoNodes, ""),
    ]);
    assert_eq!(both, silent);
}
