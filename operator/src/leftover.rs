//! Fields of a status that we do not state, and that live on because another manager once stated them. Pure.
//!
//! In: our part of the status as it is held and as we applied it. Out: the merge patch that takes the rest away. An apply
//! removes only what its own manager set, and what Kamaji's operator wrote it wrote as another one.

use serde_json::{Map, Value};

/// What to take away; `None` when nothing is left over. `shared` are objects, by path, of which only parts are ours.
pub fn leftover(held: &Value, wanted: &Value, shared: &[&str]) -> Option<Value> {
    below("", held, wanted, shared)
}

fn below(path: &str, held: &Value, wanted: &Value, shared: &[&str]) -> Option<Value> {
    let mut struck = Map::new();
    for (name, held) in held.as_object()? {
        let path = format!("{path}/{name}");
        let rest = match wanted.get(name) {
            None if !shared.contains(&path.as_str()) => Some(Value::Null),
            wanted => below(&path, held, wanted.unwrap_or(&Value::Null), shared),
        };
        struck.extend(rest.map(|rest| (name.clone(), rest)));
    }
    (!struck.is_empty()).then_some(Value::Object(struck))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_stated_is_taken_away_whole_unless_others_have_parts_of_it() {
        let held = json!({
            "deployment": { "replicas": 0, "readyReplicas": 1 },
            "ingress": { "name": "old" },
            "addons": { "konnectivity": { "service": { "port": 8132 } } },
            "conditions": [{ "type": "Theirs" }],
        });
        let wanted = json!({ "deployment": { "replicas": 0 }, "conditions": [] });
        assert_eq!(
            leftover(&held, &wanted, &["/addons", "/addons/konnectivity"]),
            Some(json!({
                "deployment": { "readyReplicas": null },
                "ingress": null,
                "addons": { "konnectivity": { "service": null } },
            }))
        );
        assert_eq!(leftover(&wanted, &wanted, &[]), None);
        assert_eq!(leftover(&json!({}), &wanted, &[]), None);
    }
}
