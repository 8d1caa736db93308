//! Holds `difference.rs` to what it promises.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn what_the_api_server_fills_in_does_not_matter() {
    let desired = json!({"spec": {"ports": [{"port": 6443, "name": "a"}], "externalIPs": []}});
    let live = json!({"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 6443, "name": "a", "protocol": "TCP"}]}});
    assert!(covers(&live, &desired));
}

#[test]
fn a_field_of_ours_that_somebody_changed_or_removed_is_noticed() {
    let desired = json!({"data": {"a": "1"}, "spec": {"args": ["--x", "--y"]}});
    for live in [
        json!({"data": {"a": "2"}, "spec": {"args": ["--x", "--y"]}}),
        json!({"data": {}, "spec": {"args": ["--x", "--y"]}}),
        json!({"data": {"a": "1"}, "spec": {"args": ["--x", "--y", "--anonymous-auth"]}}),
        json!({"data": {"a": "1"}, "spec": {"args": ["--y", "--x"]}}),
    ] {
        assert!(!covers(&live, &desired), "{live}");
    }
}

#[test]
fn objects_that_others_added_to_a_list_stay_theirs() {
    let desired = json!({"ownerReferences": [{"uid": "1"}, {"uid": "2"}]});
    assert!(covers(
        &json!({"ownerReferences": [{"uid": "1"}, {"uid": "x"}, {"uid": "2"}]}),
        &desired
    ));
    assert!(!covers(
        &json!({"ownerReferences": [{"uid": "2"}, {"uid": "1"}]}),
        &desired
    ));
    assert!(!covers(
        &json!({"ownerReferences": [{"uid": "1"}]}),
        &desired
    ));
}

#[test]
fn quantities_are_compared_by_amount_and_only_where_they_are_quantities() {
    let quantity = |cpu: &str| json!({"limits": {"cpu": cpu}});
    assert!(covers(&quantity("1"), &quantity("1000m")));
    assert!(covers(
        &json!({"memory": "1Gi"}),
        &json!({"memory": "1024Mi"})
    ));
    assert!(!covers(&quantity("2"), &quantity("1000m")));
    assert!(!covers(
        &json!({"data": {"x": "1"}}),
        &json!({"data": {"x": "1000m"}})
    ));
}

#[test]
fn a_field_that_we_no_longer_want_changes_the_digest() {
    let before = stamped(json!({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}}));
    let after = stamped(json!({"metadata": {"name": "a"}, "spec": {"x": 1}}));
    assert!(covers(&before, &before));
    assert!(!covers(&before, &after));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn everything_covers_itself(value in any_json()) {
        prop_assert!(covers(&value, &value));
    }
}
