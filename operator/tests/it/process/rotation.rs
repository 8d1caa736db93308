//! The authority of a store is replaced by whoever keeps its Secret, which carries no label of ours.

use k8s_openapi::ByteString;

use super::*;
use crate::support::management::data_store_by_reference;
use crate::support::secure_etcd::Authority;

/// Nothing else wakes a tenant in this time.
const AT_ONCE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_rotated_authority_of_a_store_reaches_its_tenants_at_once() {
    let Some(cluster) = Cluster::start("operator").await else {
        return;
    };
    let (secrets, old) = (cluster.namespaced::<Secret>(), cluster.etcd.authority());
    let (certificate, key) = old.sign("root");
    let mut secret = Secret::default();
    secret.metadata.name = Some("etcd".to_owned());
    secret.data = Some(bytes(&[
        ("ca.crt", &old.certificate),
        ("ca.key", &old.key),
        ("root.crt", &certificate),
        ("root.key", &key),
    ]));
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let operator = cluster.operator("one");
    let store = data_store_by_reference("default", &cluster.etcd.endpoint());
    cluster.keep(&store).await;
    cluster.tenant("alpha").await;
    cluster.counts(1).await;
    let mut meter = Meter {
        operator: &operator,
        cluster: &cluster,
        marks: 0,
    };
    meter.at_rest().await;

    // As one does it: the new one signs, the old one is trusted for as long as etcd has its certificate, so the store
    // stays ready and wakes nobody by that.
    let new = Authority::create();
    let both = format!("{}{}", new.certificate, old.certificate);
    let rotated = bytes(&[("ca.crt", &both), ("ca.key", &new.key)]);
    let patch = Patch::Merge(json!({ "data": rotated }));
    secrets
        .patch("etcd", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let followed = await_condition(
        secrets,
        "alpha-datastore-certificate",
        move |found: Option<&Secret>| {
            let data = found.and_then(|found| found.data.as_ref());
            data.and_then(|data| data.get("ca.crt")) == rotated.get("ca.crt")
        },
    );
    timeout(AT_ONCE, followed)
        .await
        .expect("a tenant follows the authority of its store")
        .unwrap();
    operator.stop().await;
}

fn bytes(data: &[(&str, &str)]) -> std::collections::BTreeMap<String, ByteString> {
    let data = data.iter();
    data.map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec())))
        .collect()
}
