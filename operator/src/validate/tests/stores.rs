//! Bad stores, one mistake each.

use super::{Review, edited, refused};
use crate::api::{DataStore, Reason};
use crate::validate::data_store;

const BASE: &str = "
apiVersion: kamaji.clastix.io/v1alpha1
kind: DataStore
metadata: {name: default}
spec:
  driver: etcd
  endpoints: ['etcd-0.etcd.warren.svc:2379', '[fd00::1]:2379']
  tlsConfig:
    certificateAuthority:
      certificate: {secretReference: {name: a, namespace: n, keyPath: ca.crt}}
      privateKey: {secretReference: {name: a, namespace: n, keyPath: ca.key}}
    clientCertificate:
      certificate: {secretReference: {name: b, namespace: n, keyPath: tls.crt}}
      privateKey: {secretReference: {name: b, namespace: n, keyPath: tls.key}}
";

fn review(edit: &str) -> Review {
    data_store(&edited::<DataStore>(BASE, &[edit]), None)
}

#[test]
fn a_good_store_passes_in_silence() {
    assert_eq!(review("{}"), Review::default());
    // base64 of "-----BEGIN CERTIFICATE-----"
    let inline = "{spec: {tlsConfig: {certificateAuthority: {certificate: {content: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t, secretReference: null}}}}}";
    assert_eq!(review(inline), Review::default());
}

#[test]
fn bad_stores_are_refused_with_field_and_remedy() {
    for (edit, field, remedy) in [
        ("{spec: {endpoints: []}}", "spec.endpoints", "host:port"),
        (
            "{spec: {endpoints: ['https://etcd:2379']}}",
            "spec.endpoints[0]",
            "write etcd:2379",
        ),
        (
            "{spec: {endpoints: [etcd]}}",
            "spec.endpoints[0]",
            "such as etcd.default.svc:2379",
        ),
        (
            "{spec: {endpoints: ['etcd:0']}}",
            "spec.endpoints[0]",
            "such as etcd.default.svc:2379",
        ),
        (
            "{spec: {endpoints: ['a:1', 'a:1']}}",
            "spec.endpoints[1]",
            "remove one",
        ),
        (
            "{spec: {tlsConfig: null}}",
            "spec.tlsConfig",
            "give tlsConfig",
        ),
        (
            "{spec: {tlsConfig: {certificateAuthority: {privateKey: null}}}}",
            "spec.tlsConfig.certificateAuthority.privateKey",
            "sign each tenant's certificate",
        ),
        (
            "{spec: {tlsConfig: {clientCertificate: null}}}",
            "spec.tlsConfig.clientCertificate",
            "create users",
        ),
        (
            "{spec: {tlsConfig: {certificateAuthority: {certificate: {secretReference: {namespace: ''}}}}}}",
            "spec.tlsConfig.certificateAuthority.certificate.secretReference.namespace",
            "needs both",
        ),
        (
            "{spec: {tlsConfig: {clientCertificate: {privateKey: {secretReference: null}}}}}",
            "spec.tlsConfig.clientCertificate.privateKey",
            "give secretReference or content",
        ),
        (
            "{spec: {tlsConfig: {clientCertificate: {privateKey: {content: bm8ga2V5}}}}}",
            "spec.tlsConfig.clientCertificate.privateKey.content",
            "base64 of the whole PEM file",
        ),
        (
            "{spec: {driver: MySQL, tlsConfig: null}}",
            "spec",
            "tlsConfig or basicAuth",
        ),
    ] {
        refused(edit, &review(edit), &[(field, remedy)]);
    }
}

#[test]
fn a_driver_is_kept_and_others_than_etcd_are_warned_about() {
    let before: DataStore = edited(BASE, &[]);
    let after: DataStore = edited(BASE, &["{spec: {driver: NATS}}"]);
    let review = data_store(&after, Some(&before));
    refused(
        "driver",
        &review,
        &[("spec.driver", "create another DataStore")],
    );
    assert_eq!(
        review.warnings.first().map(|warning| warning.reason),
        Some(Reason::NotActedOn)
    );
}

#[test]
fn keys_are_never_repeated() {
    let review =
        review("{spec: {tlsConfig: {clientCertificate: {privateKey: {content: c2VjcmV0}}}}}");
    assert!(!review.explain().contains("secret\"") && !review.explain().contains("c2VjcmV0"));
}
