//! What must outlive a change of hands: in, a tenant control plane and its node; out, what they are known by, to be
//! looked at before and after. Of Secrets only the names of what changed are ever told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// The data of all its Secrets, as `secret/key`, without the tenant's name.
pub(super) type Secrets = BTreeMap<String, Value>;

/// Reads the Secrets.
pub(super) async fn secrets(management: &Cluster, tenant: &str) -> Result<Secrets> {
    let label = format!("kamaji.clastix.io/name={tenant}");
    let list = management
        .get(&["-n", "default", "secrets", "-l", &label])
        .await?;
    let items = list.get("items").and_then(Value::as_array);
    let mut secrets = Secrets::new();
    for item in items.into_iter().flatten() {
        let name = item.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.unwrap_or_default().replace(&format!("{tenant}-"), "");
        let data = item.get("data").and_then(Value::as_object);
        for (key, value) in data.into_iter().flatten() {
            secrets.insert(format!("{name}/{key}"), value.clone());
        }
    }
    Ok(secrets)
}

/// Fails unless every key that was there holds what it held, but those that may change.
pub(super) fn expect_kept(before: &Secrets, after: &Secrets, may_change: &[&str]) -> Result<()> {
    let changed: Vec<_> = before
        .iter()
        .filter(|(key, value)| after.get(*key) != Some(*value))
        .map(|(key, _)| key.as_str())
        .filter(|key| may_change.iter().all(|may| !key.starts_with(may)))
        .collect();
    if !before.is_empty() && changed.is_empty() {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: "keys of Secrets that changed".into(),
        expected: format!("none of {} but in {may_change:?}", before.len()),
        found: format!("{changed:?}"),
    })
}

/// A node, and since when it is ready without a break.
pub(super) async fn node(tenant: &Cluster, name: &str) -> Result<Value> {
    let node = tenant.get(&["node", name]).await?;
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    let is_ready = |held: &&Value| {
        let says = |field: &str, text: &str| held.get(field).and_then(Value::as_str) == Some(text);
        says("type", "Ready") && says("status", "True")
    };
    let ready = conditions.into_iter().flatten().find(is_ready);
    Ok(json!({
        "uid": node.pointer("/metadata/uid"),
        "readySince": ready.and_then(|ready| ready.get("lastTransitionTime")),
    }))
}

/// Fails unless both looks saw the same.
pub(super) fn expect_same(what: &str, before: &Value, after: &Value) -> Result<()> {
    if before == after {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: what.to_owned(),
        expected: before.to_string(),
        found: after.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Secrets, expect_kept};

    #[test]
    fn a_key_that_changed_or_went_is_named_and_its_value_is_not() {
        let secrets = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).into()))
                .collect::<Secrets>()
        };
        let before = secrets(&[
            ("ca/ca.key", "hidden"),
            ("sa/sa.key", "hidden"),
            ("tunnel/key", "1"),
        ]);
        let after = secrets(&[
            ("ca/ca.key", "other"),
            ("tunnel/key", "2"),
            ("new/key", "3"),
        ]);
        let text = expect_kept(&before, &after, &["tunnel/"]).expect_err("two are lost");
        let text = text.to_string();
        assert!(text.contains("\"ca/ca.key\", \"sa/sa.key\"]"), "{text}");
        assert!(
            !text.contains("hidden") && !text.contains("other"),
            "{text}"
        );
        assert!(expect_kept(&before, &before, &[]).is_ok());
        assert!(
            expect_kept(&Secrets::new(), &after, &[]).is_err(),
            "nothing was looked at"
        );
    }
}
