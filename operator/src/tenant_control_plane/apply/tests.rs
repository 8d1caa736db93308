//! Holds `apply.rs` to what it promises.

use serde_json::json;

use super::*;

fn held(managed_fields: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "a-ca", "resourceVersion": "7", "managedFields": managed_fields },
    }))
    .unwrap()
}

fn entry(manager: &str, operation: &str) -> Value {
    json!({
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": { "f:data": {} },
    })
}

#[test]
fn what_kamaji_wrote_becomes_ours_and_what_people_wrote_stays_theirs() {
    let held = held(&json!([
        entry("kubectl-edit", "Update"),
        entry("manager", "Update")
    ]));
    let patch = serde_json::to_value(take_over(&held).unwrap()).unwrap();
    assert_eq!(patch[0]["value"], "7");
    assert_eq!(patch[1]["value"][0]["manager"], "kubectl-edit");
    assert_eq!(patch[1]["value"][1]["manager"], "warren");
    assert_eq!(patch[1]["value"][1]["operation"], "Apply");
}

#[test]
fn an_object_is_taken_over_once() {
    assert!(
        take_over(&held(&json!([
            entry("manager", "Update"),
            entry("warren", "Apply")
        ])))
        .is_none()
    );
    assert!(take_over(&held(&json!([entry("kubectl", "Update")]))).is_none());
}

#[test]
fn a_strangers_service_of_the_peers_name_is_as_good_as_absent() {
    let owner = OwnerReference {
        uid: "1".to_owned(),
        name: "a".to_owned(),
        ..OwnerReference::default()
    };
    let sees = |labels: Value| {
        let peers = json!({ "metadata": { "name": "a-konnectivity-peers", "labels": labels } });
        let observed = Observed {
            peers: Some(serde_json::from_value(peers).unwrap()),
            ..Observed::default()
        };
        !Live::of(&observed, &owner).0.is_empty()
    };
    assert!(sees(json!({ "kamaji.clastix.io/name": "a" })));
    assert!(!sees(json!({ "kamaji.clastix.io/name": "b" })));
    assert!(!sees(json!(null)));
}
