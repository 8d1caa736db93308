//! Holds `report.rs` to what it promises.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::objects::Objects;
use crate::tenant_control_plane::control_plane::{Defaults, Images, Storage};
use crate::tenant_control_plane::observe::{Observation, Store};
use crate::tenant_control_plane::place::Placed;
use crate::tenant_control_plane::{Observed, validate};

fn at(second: i64) -> Time {
    Time(jiff::Timestamp::from_second(second).unwrap())
}

fn tcp(conditions: &Value) -> TenantControlPlane {
    serde_json::from_value(json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": { "name": "alpha", "namespace": "tenants", "uid": "7f1e", "generation": 3 },
        "spec": {
            "controlPlane": { "deployment": { "replicas": 1 }, "service": { "serviceType": "ClusterIP" } },
            "kubernetes": { "version": "v1.33.0" },
            "networkProfile": { "address": "192.0.2.1", "port": 6443 },
        },
        "status": {
            "conditions": conditions,
            "addons": {
                "coreDNS": { "enabled": true },
                "konnectivity": { "enabled": true, "agent": { "name": "konnectivity-agent" } },
            },
            "kubeadmPhase": { "bootstrapToken": { "checksum": "theirs" } },
        },
    }))
    .unwrap()
}

fn told(kind: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": "as the tenant side says",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

fn bootstrapped(agents: &Value) -> Value {
    json!([
        told("TunnelReady", "True", "AsExpected"),
        told("TenantBootstrapped", "True", "AsExpected"),
        agents
    ])
}

/// What the tenant control plane comes to when its one pod serves.
fn serving(tcp: &TenantControlPlane) -> Outcome {
    let defaults = Defaults {
        data_store: Some("default".to_owned()),
        images: Images {
            konnectivity_server: "server:1".to_owned(),
            konnectivity_agent: "agent:1".to_owned(),
        },
    };
    let mut control_plane =
        validate(tcp, &Observed::default(), &defaults, &Limits::default()).unwrap();
    control_plane.storage = Storage::Waiting;
    let deployment = json!({
        "metadata": { "name": "alpha", "namespace": "tenants", "generation": 1 },
        "spec": { "replicas": 1, "selector": {}, "template": {} },
        "status": { "observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1 },
    });
    Outcome {
        observation: Observation {
            observed: Observed {
                deployment: serde_json::from_value(deployment).unwrap(),
                ..Observed::default()
            },
            store: Store::Resolved(Box::new(resolved())),
            pods: Vec::new(),
        },
        placed: Some(Placed::Ready),
        applied: Some(Objects::default()),
        pki: Some(crate::tenant_control_plane::Pki {
            secrets: [].into(),
            look_again: at(9).0,
        }),
        control_plane: Some(control_plane),
        failure: None,
    }
}

fn resolved() -> crate::data_store::resolve::Resolved {
    crate::data_store::resolve::Resolved {
        access: crate::tenant_control_plane::observed::DataStoreAccess {
            name: "default".to_owned(),
            driver: crate::api::data_store::Driver::Etcd,
            endpoints: vec!["etcd:2379".to_owned()],
            authority: None,
        },
        tls: crate::etcd::TlsMaterial {
            authority: vec![],
            certificate: vec![],
            key: vec![],
        },
    }
}

fn ready_of(conditions: &Value) -> (String, String) {
    let tcp = tcp(conditions);
    let (status, _) = status(&tcp, &serving(&tcp), &Limits::default(), &at(5));
    let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
    (ready.status.clone(), ready.reason.clone())
}

#[test]
fn a_tenant_without_nodes_is_ready_and_one_whose_agents_are_missing_is_not() {
    let without_nodes = bootstrapped(&told("AgentsReady", "Unknown", "NoNodes"));
    assert_eq!(
        ready_of(&without_nodes),
        ("True".to_owned(), "AsExpected".to_owned())
    );
    let without_agents = bootstrapped(&told("AgentsReady", "False", "NoAgentConnected"));
    assert_eq!(
        ready_of(&without_agents),
        ("False".to_owned(), "NoAgentConnected".to_owned())
    );
    let unknown = bootstrapped(&told("AgentsReady", "Unknown", "TenantUnreachable"));
    assert_eq!(ready_of(&unknown).0, "False");
}

#[test]
fn one_node_of_many_without_its_agent_is_said_and_is_not_in_the_way() {
    let tcp = tcp(&bootstrapped(&told(
        "AgentsReady",
        "False",
        "AgentsMissing",
    )));
    let (status, _) = status(&tcp, &serving(&tcp), &Limits::default(), &at(5));
    let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("True", "AsExpected")
    );
    assert!(
        ready.message.ends_with("see the condition AgentsReady"),
        "{}",
        ready.message
    );
}

#[test]
fn nobody_is_ready_before_the_tenant_side_has_spoken() {
    assert_eq!(
        ready_of(&json!([])),
        ("False".to_owned(), "WaitingForDependency".to_owned())
    );
}

#[test]
fn the_other_authors_part_is_neither_written_nor_lost() {
    let tcp = tcp(&bootstrapped(&told("AgentsReady", "True", "AsExpected")));
    let (status, _) = status(&tcp, &serving(&tcp), &Limits::default(), &at(5));
    assert!(condition::find(&status.conditions, ConditionType::AgentsReady).is_some());
    let body = ours(&status);
    let text = body.to_string();
    for theirs in [
        "TunnelReady",
        "AgentsReady",
        "TenantBootstrapped",
        "kubeadmPhase",
        "coreDNS",
        "konnectivity-agent",
    ] {
        assert!(!text.contains(theirs), "{theirs}: {text}");
    }
    assert_eq!(body["conditions"][0]["type"], "Ready");
    assert_eq!(body["observedGeneration"], 3);
}

#[test]
fn the_same_outcome_later_is_the_same_status_and_no_news() {
    let mut tcp = tcp(&bootstrapped(&told("AgentsReady", "True", "AsExpected")));
    let (first, news) = status(&tcp, &serving(&tcp), &Limits::default(), &at(5));
    assert!(!news.is_empty());
    tcp.status = Some(first.clone());
    let (second, news) = status(&tcp, &serving(&tcp), &Limits::default(), &at(500));
    assert_eq!(ours(&second), ours(&first));
    assert_eq!(news, []);
}

#[test]
fn a_pass_that_did_not_get_far_leaves_what_it_does_not_know_and_the_generation() {
    let mut tcp = tcp(&bootstrapped(&told("AgentsReady", "True", "AsExpected")));
    let (first, _) = status(&tcp, &serving(&tcp), &Limits::default(), &at(5));
    tcp.status = Some(first.clone());
    tcp.metadata.generation = Some(4);
    let failure = Some(Error::Deadline(std::time::Duration::from_secs(30)));
    let failed = Outcome {
        failure,
        ..Outcome::default()
    };
    let (second, news) = status(&tcp, &failed, &Limits::default(), &at(500));
    assert_eq!(
        second.observed_generation,
        Some(3),
        "this generation was not carried out"
    );
    assert_eq!(second.control_plane_endpoint, first.control_plane_endpoint);
    let endpoint = |status: &TenantControlPlaneStatus| {
        condition::find(&status.conditions, ConditionType::EndpointReady).cloned()
    };
    assert_eq!(endpoint(&second), endpoint(&first));
    assert!(
        news.iter()
            .any(|finding| finding.condition == ConditionType::Progressing)
    );
}

#[test]
fn one_cause_is_told_once() {
    let cause = Finding::no(
        ConditionType::EndpointReady,
        Reason::LoadBalancerPending,
        "no address",
    );
    let whole = Finding::no(
        ConditionType::Ready,
        Reason::LoadBalancerPending,
        "EndpointReady: no address",
    );
    let waiting = Finding::unknown(
        ConditionType::CertificatesValid,
        Reason::WaitingForDependency,
        "waits",
    );
    let news = [cause.clone(), whole, waiting];
    assert_eq!(worth_telling(&news).collect::<Vec<_>>(), [&cause]);
}
