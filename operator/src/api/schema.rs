//! From the Rust types to the published `CustomResourceDefinition`s.
//!
//! In: the types of [`crate::api`]. Out: [`definitions`], in the form that the API server calls
//! structural: no references, no nulls, a type at every node. This is the only room that knows how
//! a schema must look; `embedded` holds what Kubernetes says of its own types and `k8s-openapi`
//! leaves out.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceValidation,
};
use kube::CustomResourceExt;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{
    DataStore, DataStoreSpec, DataStoreStatus, TenantControlPlane, TenantControlPlaneSpec,
    TenantControlPlaneStatus,
};

mod embedded;

type Object = Map<String, Value>;

/// Every definition that the operator serves.
///
/// # Panics
/// Never: what is rendered comes from this program alone, and its tests render it.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        define::<TenantControlPlaneSpec, TenantControlPlaneStatus>(TenantControlPlane::crd()),
        define::<DataStoreSpec, DataStoreStatus>(DataStore::crd()),
    ]
}

/// One definition as a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    /// Its name: `group_plural.yaml`.
    pub name: String,
    /// Its text, YAML.
    pub text: String,
}

/// Every definition as a file, as `crds/` holds them.
///
/// # Panics
/// Never: what is rendered comes from this program alone, and its tests render it.
pub fn files() -> Vec<File> {
    definitions()
        .iter()
        .map(|definition| {
            let mut body = serde_json::to_value(definition).expect("a definition is JSON");
            whole_numbers(&mut body);
            let body = serde_yaml::to_string(&body).expect("JSON is YAML");
            File {
                name: format!(
                    "{}_{}.yaml",
                    definition.spec.group, definition.spec.names.plural
                ),
                text: format!(
                    "# Generated from operator/src/api by `make crds`; not edited.\n---\n{body}"
                ),
            }
        })
        .collect()
}

/// The typed definition holds bounds as floating-point numbers; people write `1`, not `1.0`.
fn whole_numbers(node: &mut Value) {
    match node {
        Value::Object(object) => object.values_mut().for_each(whole_numbers),
        Value::Array(list) => list.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|_| number.is_f64())
                .map(|value| format!("{value}"));
            if let Some(integer) = whole.and_then(|text| text.parse::<i64>().ok()) {
                *node = json!(integer);
            }
        }
        _ => {}
    }
}

/// A definition with its schema, which the derived one lacks.
fn define<Spec, Status>(mut definition: CustomResourceDefinition) -> CustomResourceDefinition
where
    Spec: JsonSchema,
    Status: JsonSchema,
{
    let mut spec = schema_of::<Spec>();
    let description = spec
        .as_object_mut()
        .and_then(|spec| spec.insert("description".to_owned(), json!("What you ask for.")));
    let root = json!({
        "type": "object",
        "description": description,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": schema_of::<Status>(),
        },
    });
    let schema = serde_json::from_value(root).expect("a structural schema is a JSONSchemaProps");
    for version in &mut definition.spec.versions {
        version.schema = Some(CustomResourceValidation {
            open_api_v3_schema: Some(Clone::clone(&schema)),
        });
    }
    definition
}

/// The structural schema of one type.
pub fn schema_of<T: JsonSchema>() -> Value {
    let mut generator = SchemaGenerator::new(
        SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None),
    );
    let mut root = generator.subschema_for::<T>().to_value();
    let mut definitions = generator.take_definitions(true);
    for (name, schema) in &mut definitions {
        if let Some(kind) = name.strip_prefix("io.k8s.") {
            embedded::complete(kind, schema);
        }
    }
    inline(&mut root, &definitions);
    structure(&mut root);
    root
}

/// Puts what a reference names in its place. What stands beside the reference wins: it is said of
/// this field, the rest is said of its type.
fn inline(node: &mut Value, definitions: &Object) {
    if let Value::Object(object) = node
        && let Some(Value::String(reference)) = object.remove("$ref")
    {
        let name = reference.trim_start_matches("#/$defs/");
        if let Some(Value::Object(target)) = definitions.get(name) {
            for (key, value) in target {
                object.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    match node {
        Value::Object(object) => object
            .values_mut()
            .for_each(|value| inline(value, definitions)),
        Value::Array(list) => list.iter_mut().for_each(|value| inline(value, definitions)),
        _ => {}
    }
}

/// Rewrites one schema and all below it.
fn structure(node: &mut Value) {
    let Value::Object(schema) = node else { return };
    unwrap_option(schema);
    collect_enum(schema);
    if schema
        .get("additionalProperties")
        .is_some_and(Value::is_boolean)
    {
        schema.remove("additionalProperties");
    }
    for key in ["title", "$schema", "default"] {
        schema.remove(key);
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs: Vec<String> = text
            .split("\n\n")
            .map(|part| part.replace('\n', " "))
            .collect();
        *text = paragraphs.join("\n\n");
    }
    if let Some(value) = schema.remove("x-default") {
        schema.insert("default".to_owned(), value);
    }
    if schema.contains_key("x-kubernetes-int-or-string") {
        schema.insert(
            "anyOf".to_owned(),
            json!([{"type": "integer"}, {"type": "string"}]),
        );
    }
    for key in ["properties", "$defs"] {
        if let Some(Value::Object(children)) = schema.get_mut(key) {
            children.values_mut().for_each(structure);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = schema.get_mut(key) {
            structure(child);
        }
    }
}

/// `Option<T>` is `T` that may be absent; null is not a value of our API.
fn unwrap_option(schema: &mut Object) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let Some(only) = types.pop() {
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_mut_slice() {
            let only = std::mem::take(only);
            schema.remove("anyOf");
            for (key, value) in only {
                schema.entry(key).or_insert(value);
            }
            unwrap_option(schema);
        }
    }
}

/// An enum whose variants have descriptions comes as a choice of constants.
fn collect_enum(schema: &mut Object) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else {
        return;
    };
    let words: Vec<Value> = choices
        .iter()
        .flat_map(|choice| {
            let constant = choice.get("const").cloned().into_iter();
            let several = choice
                .get("enum")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            constant.chain(several.cloned())
        })
        .collect();
    if !words.is_empty() {
        schema.remove("oneOf");
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("enum".to_owned(), Value::Array(words));
    }
}
