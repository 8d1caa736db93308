//! `ConfigMaps` as the other builders need them: one or more texts, each under a key.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::tenant::object::TenantObject;

/// A `ConfigMap` with these texts.
pub(super) fn config_map<const N: usize>(
    component: &str,
    metadata: ObjectMeta,
    texts: [(&str, String); N],
) -> TenantObject {
    let data: BTreeMap<_, _> = texts
        .into_iter()
        .map(|(key, text)| (key.to_owned(), text))
        .collect();
    let config_map = ConfigMap {
        metadata,
        data: Some(data),
        ..ConfigMap::default()
    };
    TenantObject::new(component, config_map)
}

/// JSON as YAML, for people and programs that read it from a `ConfigMap`.
pub(super) fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).expect("JSON is YAML")
}
