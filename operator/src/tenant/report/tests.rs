//! Holds `report.rs` to what it promises.

use serde_json::json;

use super::*;
use crate::api::condition::Reason;
use crate::tenant::object::Key;

fn tcp(status: &Value) -> TenantControlPlane {
    serde_json::from_value(json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": { "name": "example", "namespace": "tenants", "generation": 3 },
        "spec": {
            "controlPlane": { "service": { "serviceType": "ClusterIP" } },
            "kubernetes": { "version": "v1.33.0" },
            "addons": { "konnectivity": {} },
        },
        "status": status,
    }))
    .unwrap()
}

fn at(seconds: i64) -> Time {
    Time(jiff::Timestamp::from_second(seconds).unwrap())
}

fn converged(applied: Applied) -> Report {
    Report {
        findings: vec![Finding::yes(
            ConditionType::TenantBootstrapped,
            Reason::AsExpected,
            "fine",
        )],
        applied: Some(applied),
        inputs: Some("sum".to_owned()),
    }
}

fn with_status(status: &TenantControlPlaneStatus) -> TenantControlPlane {
    tcp(&serde_json::to_value(status).unwrap())
}

#[test]
fn a_second_look_at_the_same_changes_nothing() {
    let (first, news) = status(&tcp(&json!({})), &converged(Applied::default()), &at(100));
    assert_eq!(news.len(), 1);
    let (second, news) = status(
        &with_status(&first),
        &converged(Applied::default()),
        &at(200),
    );
    assert_eq!(first, second);
    assert!(news.is_empty());
}

#[test]
fn the_other_controllers_part_is_not_touched() {
    let held = json!({
        "controlPlaneEndpoint": "192.0.2.1:6443",
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "AsExpected", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
        "addons": { "konnectivity": { "enabled": true, "certificate": { "secretName": "x" } } },
    });
    let (next, _) = status(&tcp(&held), &converged(Applied::default()), &at(100));
    assert_eq!(next.control_plane_endpoint, None);
    assert_eq!(next.conditions.len(), 1);
    assert_eq!(next.conditions[0].type_, "TenantBootstrapped");
    assert_eq!(next.addons.unwrap().konnectivity.unwrap().certificate, None);
}

#[test]
fn what_was_written_moves_its_date_alone() {
    let (first, _) = status(&tcp(&json!({})), &converged(Applied::default()), &at(100));
    let key = Key {
        kind: "DaemonSet".to_owned(),
        namespace: SYSTEM.to_owned(),
        name: AGENT.to_owned(),
    };
    let applied = Applied {
        written: vec![(key, AGENT.to_owned())],
        deleted: Vec::new(),
    };
    let (second, _) = status(&with_status(&first), &converged(applied), &at(200));
    let konnectivity = second.addons.unwrap().konnectivity.unwrap();
    assert_eq!(konnectivity.agent.unwrap().last_update, Some(at(200)));
    assert_eq!(
        konnectivity.service_account.unwrap().last_update,
        Some(at(100))
    );
}

#[test]
fn an_addon_that_is_off_leaves_only_that() {
    let (first, _) = status(&tcp(&json!({})), &converged(Applied::default()), &at(100));
    let mut off = with_status(&first);
    assert!(had_tunnel(&off));
    off.spec.addons.konnectivity = None;
    let (second, _) = status(&off, &converged(Applied::default()), &at(200));
    let konnectivity = second.addons.clone().unwrap().konnectivity.unwrap();
    assert_eq!(
        serde_json::to_value(konnectivity).unwrap(),
        json!({ "enabled": false })
    );
    off.status = Some(second);
    assert!(!had_tunnel(&off));
}

#[test]
fn a_tenant_that_was_not_reached_keeps_what_is_known_of_it() {
    let (first, _) = status(&tcp(&json!({})), &converged(Applied::default()), &at(100));
    let report = Report {
        findings: vec![Finding::no(
            ConditionType::TenantBootstrapped,
            Reason::TenantUnreachable,
            "no answer",
        )],
        ..Report::default()
    };
    let (second, news) = status(&with_status(&first), &report, &at(200));
    assert_eq!(second.addons, first.addons);
    assert_eq!(second.kubeadm_phase, first.kubeadm_phase);
    assert_eq!(news.len(), 1);
    assert_eq!(second.conditions[0].last_transition_time, at(200));
}
