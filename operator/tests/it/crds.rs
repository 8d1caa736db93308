//! The definitions are current, structural, mean what reading means, and keep what they publish.

mod rules;

use std::fmt::Write as _;

use kube::core::cel::apply_defaults;
use operator::api::{DataStore, TenantControlPlane, schema};
use serde_json::{Value, json};

use crate::support::{examples, manifest, read, repository, schema_of};

#[test]
fn committed_definitions_and_the_charts_copy_are_current() {
    for file in schema::files() {
        for directory in ["crds", "charts/warren/crds"] {
            let committed = read(&format!("{directory}/{}", file.name));
            assert!(
                committed == file.text,
                "{directory}/{} is stale: run `make crds`",
                file.name
            );
        }
    }
    let kept = std::fs::read_dir(repository("crds")).unwrap().count();
    assert_eq!(
        kept,
        schema::files().len(),
        "crds/ holds a file that nothing generates"
    );
}

/// Everything that a manifest could rely on, one line for each field. What goes missing here is a
/// break for somebody.
#[test]
fn published_fields_stay() {
    for kind in ["TenantControlPlane", "DataStore"] {
        let root = schema_of(kind);
        let mut lines = String::new();
        for part in ["spec", "status"] {
            describe(part, &root["properties"][part], Need::Optional, &mut lines);
        }
        insta::assert_snapshot!(format!("fields-{kind}"), lines);
    }
}

#[derive(Clone, Copy)]
enum Need {
    Required,
    Optional,
}

/// What a reader of the schema sees beside the type.
const SHOWN: [&str; 12] = [
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
];

fn describe(path: &str, node: &Value, need: Need, lines: &mut String) {
    lines.push_str(&describe_one(path, node, need));
    lines.push('\n');
    let mandatory = node["required"].as_array().cloned().unwrap_or_default();
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        let need = if mandatory.contains(&json!(name)) {
            Need::Required
        } else {
            Need::Optional
        };
        describe(&format!("{path}.{name}"), child, need, lines);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if node[key].is_object() {
            describe(&format!("{path}{mark}"), &node[key], Need::Optional, lines);
        }
    }
}

fn describe_one(path: &str, node: &Value, need: Need) -> String {
    let text = |key: &str| node[key].as_str().map(str::to_owned);
    let kind = if node["x-kubernetes-int-or-string"] == true {
        "int-or-string".to_owned()
    } else {
        text("type").unwrap_or_else(|| "any".to_owned())
    };
    let mut line = format!("{path} {kind}");
    if let Some(format) = text("format") {
        let _ = write!(line, ":{format}");
    }
    if matches!(need, Need::Required) {
        line.push_str(" required");
    }
    for key in SHOWN {
        if let Some(value) = node.get(key) {
            let _ = write!(line, " {}={value}", key.trim_start_matches("x-kubernetes-"));
        }
    }
    for rule in node["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let _ = write!(line, " rule={}", rule["rule"]);
    }
    line
}

#[test]
fn schemas_are_structural() {
    fn check(path: &str, node: &Value) {
        let object = node
            .as_object()
            .unwrap_or_else(|| panic!("{path} is no schema"));
        for key in [
            "$ref",
            "$defs",
            "nullable",
            "oneOf",
            "const",
            "title",
            "x-default",
        ] {
            assert!(!object.contains_key(key), "{path} has {key}");
        }
        let open = object.contains_key("x-kubernetes-int-or-string")
            || object.contains_key("x-kubernetes-preserve-unknown-fields");
        assert!(node["type"].is_string() || open, "{path} has no type");
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            check(&format!("{path}.{name}"), child);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(child) = object.get(key) {
                check(&format!("{path}.{key}"), child);
            }
        }
    }
    check("TenantControlPlane", &schema_of("TenantControlPlane"));
    check("DataStore", &schema_of("DataStore"));
}

/// Readers of YAML 1.1 take some bare words for booleans.
#[test]
fn no_bare_word_reads_as_a_boolean() {
    for file in schema::files() {
        for line in file.text.lines() {
            let word = line.rsplit([' ', '-']).next().unwrap_or_default();
            let risky =
                ["yes", "no", "on", "off", "y", "n"].contains(&word.to_lowercase().as_str());
            let is_value =
                line.trim_start().starts_with("- ") || line.ends_with(&format!(": {word}"));
            let is_sentence = line.contains("description: ") || line.contains("message: ");
            assert!(
                !(risky && is_value && !is_sentence),
                "{}: {line}",
                file.name
            );
        }
    }
}

#[test]
fn our_fields_are_described() {
    for kind in ["TenantControlPlane", "DataStore"] {
        let root = schema_of(kind);
        let spec = root["properties"]["spec"]["properties"]
            .as_object()
            .unwrap();
        for (name, field) in spec {
            assert!(
                field["description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 10),
                "{kind}.{name}"
            );
            assert!(
                !field["description"].as_str().unwrap().contains('\n'),
                "{kind}.{name} wraps"
            );
        }
    }
}

/// A stored object has the defaults of the schema; a file has not. Both must mean the same to us.
#[test]
fn reading_fills_in_what_the_schema_does() {
    let schema = schema_of("TenantControlPlane");
    for (name, text) in examples() {
        let raw: Value = manifest(&text);
        let stored: TenantControlPlane = serde_json::from_value(apply_all(&schema, &raw)).unwrap();
        let read: TenantControlPlane = serde_json::from_value(raw).unwrap();
        assert_eq!(read.spec, stored.spec, "{name}");
    }
}

/// The library fills in one level of a default and does not look into it; the API server does.
fn apply_all(schema: &Value, value: &Value) -> Value {
    let mut value = value.clone();
    loop {
        let next = apply_defaults(schema, &value);
        if next == value {
            return value;
        }
        value = next;
    }
}

#[test]
fn additive_fields_are_few_and_optional() {
    let schema = schema_of("TenantControlPlane");
    let ours = [
        (
            "/properties/spec/properties/addons/properties/konnectivity/properties/server",
            "egressProtocol",
        ),
        (
            "/properties/spec/properties/addons/properties/konnectivity/properties/server",
            "controlPlaneEgress",
        ),
        (
            "/properties/spec/properties/addons/properties/konnectivity/properties/agent",
            "resources",
        ),
        ("/properties/status", "conditions"),
        ("/properties/status", "effective"),
    ];
    for (parent, field) in ours {
        let parent = schema.pointer(parent).unwrap();
        assert!(parent["properties"][field].is_object(), "{field} is gone");
        let required = parent["required"].as_array().cloned().unwrap_or_default();
        assert!(!required.contains(&json!(field)), "{field} is required");
        let description = parent["properties"][field]["description"].as_str().unwrap();
        assert!(
            description.contains("additive"),
            "{field} does not say that it is ours"
        );
    }
}

/// A value for every field at once, as far as the schema goes.
fn sample(node: &Value) -> Value {
    if let Some(words) = node["enum"].as_array() {
        return words[0].clone();
    }
    if node["x-kubernetes-int-or-string"] == true {
        return json!("7");
    }
    match (node["type"].as_str(), node["format"].as_str()) {
        (Some("string"), Some("date-time")) => json!("2026-01-01T00:00:00Z"),
        (Some("string"), Some("byte")) => json!("Ynl0ZXM="),
        (Some("string"), _) => json!("text"),
        (Some("integer"), _) => json!(7),
        (Some("boolean"), _) => json!(true),
        (Some("array"), _) => json!([sample(&node["items"])]),
        (Some("object"), _) if node["additionalProperties"].is_object() => {
            json!({"key": sample(&node["additionalProperties"])})
        }
        (Some("object"), _) => {
            let fields = node["properties"].as_object().into_iter().flatten();
            fields
                .map(|(name, field)| (name.clone(), sample(field)))
                .collect()
        }
        _ => json!({"anything": ["at", "all"]}),
    }
}

#[test]
fn every_field_survives_reading_and_writing() {
    let whole = |kind: &str| {
        let mut object = sample(&schema_of(kind));
        object["apiVersion"] = json!("kamaji.clastix.io/v1alpha1");
        object["kind"] = json!(kind);
        object["metadata"] = json!({"name": "whole"});
        object
    };
    let object = whole("TenantControlPlane");
    let read: TenantControlPlane = serde_json::from_value(object.clone()).unwrap();
    assert_same("", &object, &serde_json::to_value(read).unwrap());
    let object = whole("DataStore");
    let read: DataStore = serde_json::from_value(object.clone()).unwrap();
    assert_same("", &object, &serde_json::to_value(read).unwrap());
}

fn assert_same(path: &str, sent: &Value, held: &Value) {
    match (sent, held) {
        (Value::Object(sent), Value::Object(held)) => {
            for (name, value) in sent {
                let path = format!("{path}.{name}");
                let kept = held.get(name).unwrap_or_else(|| panic!("{path} is lost"));
                assert_same(&path, value, kept);
            }
        }
        (Value::Array(sent), Value::Array(held)) => {
            assert_eq!(sent.len(), held.len(), "{path}");
            sent.iter()
                .zip(held)
                .for_each(|(sent, held)| assert_same(path, sent, held));
        }
        _ => assert_eq!(sent, held, "{path}"),
    }
}
