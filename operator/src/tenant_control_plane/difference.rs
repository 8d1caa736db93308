//! Whether an object holds what we want it to hold. Pure.
//!
//! Two questions, and both must be answered with yes before nothing is written. *Do we still want what we last wrote?*
//! is answered by a digest of the desired object in an annotation: it also notices a field that we no longer set. *Is
//! what we wrote still there?* is answered by looking for every desired field in the object: what the API server filled
//! in, or others own, does not matter.

use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Annotation with the digest of what we last applied.
pub const APPLIED: &str = "kamaji.clastix.io/applied";

/// The body with the digest of itself in it.
#[must_use]
pub fn stamped(mut body: Value) -> Value {
    let digest = Sha256::digest(body.to_string());
    let short = digest.iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    });
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata
            .entry("annotations")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(APPLIED.to_owned(), Value::String(short));
        }
    }
    body
}

/// Whether `live` holds every field of `desired`. A [`stamped`] body is covered only by an object that was made from
/// the same one.
#[must_use]
pub fn covers(live: &Value, desired: &Value) -> bool {
    covers_at("", live, desired)
}

fn covers_at(key: &str, live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            desired.iter().all(|(key, desired)| match live.get(key) {
                Some(live) => covers_at(key, live, desired),
                None => is_nothing(desired),
            })
        }
        (Value::Array(live), Value::Array(desired)) if desired.iter().any(Value::is_object) => {
            holds_in_order(live, desired)
        }
        (Value::String(live), Value::String(desired)) => {
            live == desired || (is_resource(key) && same_quantity(live, desired))
        }
        _ => live == desired,
    }
}

/// Lists of objects belong to several owners: ours must be there in our order, others may stand between them.
fn holds_in_order(live: &[Value], desired: &[Value]) -> bool {
    let mut rest = live.iter();
    desired
        .iter()
        .all(|desired| rest.any(|live| covers_at("", live, desired)))
}

/// The API server does not store what is empty.
fn is_nothing(desired: &Value) -> bool {
    match desired {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
    }
}

fn is_resource(key: &str) -> bool {
    matches!(key, "cpu" | "memory" | "ephemeral-storage" | "sizeLimit")
        || key.starts_with("hugepages-")
}

/// The API server writes `1000m` as `1` and `1024Mi` as `1Gi`.
fn same_quantity(one: &str, other: &str) -> bool {
    match (
        amount(&Quantity(one.to_owned())),
        amount(&Quantity(other.to_owned())),
    ) {
        (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-12,
        _ => false,
    }
}

fn amount(quantity: &Quantity) -> Option<f64> {
    const UNITS: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let text = quantity.0.as_str();
    let with_unit = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = with_unit.unwrap_or((text, 1.0));
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests;
