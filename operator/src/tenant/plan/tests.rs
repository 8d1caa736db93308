//! Holds `plan.rs` to what it promises.

use kube::core::DynamicObject;
use serde_json::json;

use super::*;
use crate::tenant::build::fixtures::inputs;
use crate::tenant::build::{self, objects};
use crate::tenant::inputs::{Placement, TenantInputs};

fn full() -> TenantInputs {
    let mut inputs = inputs(33);
    inputs.addons.core_dns = Some("registry.k8s.io/coredns/coredns:v1.12.0".to_owned());
    inputs
}

/// What an API server would hold after everything was applied, with defaults it adds.
fn held(inputs: &TenantInputs) -> Live {
    let mut live = Live::default();
    for wanted in objects(inputs).unwrap() {
        let mut object = wanted.object;
        object.types = None;
        object.metadata.uid = Some("0".to_owned());
        if let Some(spec) = object.data.get_mut("spec") {
            spec["revisionHistoryLimit"] = json!(10);
        }
        live.insert(wanted.resource, object);
    }
    live
}

fn key(kind: &str, name: &str) -> Key {
    Key {
        kind: kind.to_owned(),
        namespace: build::SYSTEM.to_owned(),
        name: name.to_owned(),
    }
}

fn changed(live: &Live, kind: &str, name: &str, change: impl FnOnce(&mut DynamicObject)) -> Live {
    let mut live = live.clone();
    let (_, object) = live.objects.get_mut(&key(kind, name)).unwrap();
    change(object);
    live
}

fn applied(plan: &Plan) -> Vec<String> {
    plan.apply
        .iter()
        .map(|object| object.key().to_string())
        .collect()
}

#[test]
fn a_tenant_that_is_as_wanted_is_left_alone() {
    let inputs = full();
    assert_eq!(
        plan(objects(&inputs).unwrap(), &held(&inputs)),
        Plan::default()
    );
}

#[test]
fn what_is_gone_comes_back_alone() {
    let inputs = full();
    let mut live = held(&inputs);
    live.objects
        .remove(&key("DaemonSet", "konnectivity-agent"))
        .unwrap();
    let plan = plan(objects(&inputs).unwrap(), &live);
    assert_eq!(applied(&plan), ["DaemonSet kube-system/konnectivity-agent"]);
    assert!(plan.delete.is_empty());
}

#[test]
fn what_somebody_bent_is_put_straight() {
    let inputs = full();
    let live = changed(
        &held(&inputs),
        "DaemonSet",
        "konnectivity-agent",
        |object| {
            object.data["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil");
        },
    );
    assert_eq!(
        applied(&plan(objects(&inputs).unwrap(), &live)),
        ["DaemonSet kube-system/konnectivity-agent"]
    );
}

#[test]
fn what_somebody_added_stays() {
    let inputs = full();
    let live = changed(
        &held(&inputs),
        "DaemonSet",
        "konnectivity-agent",
        |object| {
            object
                .metadata
                .annotations
                .as_mut()
                .unwrap()
                .insert("theirs".to_owned(), "1".to_owned());
            object.data["status"] = json!({ "numberReady": 3 });
        },
    );
    assert!(plan(objects(&inputs).unwrap(), &live).is_empty());
}

#[test]
fn a_field_we_no_longer_want_is_noticed() {
    let mut inputs = full();
    inputs.addons.konnectivity.as_mut().unwrap().placement = Placement::Replicas(Some(3));
    let live = held(&inputs);
    inputs.addons.konnectivity.as_mut().unwrap().placement = Placement::Replicas(None);
    assert_eq!(
        applied(&plan(objects(&inputs).unwrap(), &live)),
        ["Deployment kube-system/konnectivity-agent"]
    );
}

#[test]
fn another_mode_replaces_one_workload_by_the_other() {
    let mut inputs = full();
    let live = held(&inputs);
    inputs.addons.konnectivity.as_mut().unwrap().placement = Placement::Replicas(Some(2));
    let plan = plan(objects(&inputs).unwrap(), &live);
    assert_eq!(
        applied(&plan),
        ["Deployment kube-system/konnectivity-agent"]
    );
    let deleted: Vec<_> = plan.delete.iter().map(|(_, key)| key.to_string()).collect();
    assert_eq!(deleted, ["DaemonSet kube-system/konnectivity-agent"]);
}

#[test]
fn an_addon_that_is_taken_away_goes_without_a_trace() {
    let mut inputs = full();
    let live = held(&inputs);
    inputs.addons = crate::tenant::inputs::Addons::default();
    let plan = plan(objects(&inputs).unwrap(), &live);
    assert!(plan.apply.is_empty());
    let deleted: Vec<_> = plan.delete.iter().map(|(_, key)| key.to_string()).collect();
    insta::assert_snapshot!(deleted.join("\n"));
}

#[test]
fn objects_of_others_stay_even_with_our_label() {
    let mut inputs = full();
    inputs.addons = crate::tenant::inputs::Addons::default();
    let mut live = held(&inputs);
    let resource = objects(&inputs).unwrap().remove(0).resource;
    let theirs = DynamicObject::new("their-binding", &resource);
    live.insert(resource, theirs);
    assert!(plan(objects(&inputs).unwrap(), &live).delete.is_empty());
}

#[test]
fn an_edited_corefile_stays_edited_and_costs_no_write() {
    let inputs = full();
    let edited = changed(&held(&inputs), "ConfigMap", "coredns", |object| {
        object.data["data"]["Corefile"] = json!(".:53 { whoami }");
    });
    let first = plan(objects(&inputs).unwrap(), &edited);
    assert_eq!(applied(&first), ["ConfigMap kube-system/coredns"]);
    let written = &first.apply[0].object;
    assert_eq!(
        written.data["data"].get("Corefile"),
        None,
        "the edit would be undone"
    );

    // The API server keeps the user's text beside our new checksum.
    let settled = changed(&edited, "ConfigMap", "coredns", |object| {
        object
            .metadata
            .annotations
            .clone_from(&written.metadata.annotations);
    });
    assert!(plan(objects(&inputs).unwrap(), &settled).is_empty());
}

#[test]
fn a_corefile_nobody_edited_follows_us() {
    let mut inputs = full();
    let live = held(&inputs);
    inputs.network.domain = "example.test".to_owned();
    let plan = plan(objects(&inputs).unwrap(), &live);
    let core_dns = plan
        .apply
        .iter()
        .find(|object| object.key().name == "coredns")
        .unwrap();
    let corefile = core_dns.object.data["data"]["Corefile"].as_str().unwrap();
    assert!(corefile.contains("kubernetes example.test"));
}

#[test]
fn scaling_core_dns_is_the_users_affair() {
    let inputs = full();
    let live = changed(&held(&inputs), "Deployment", "coredns", |object| {
        object.data["spec"]["replicas"] = json!(5);
    });
    assert!(plan(objects(&inputs).unwrap(), &live).is_empty());
}
