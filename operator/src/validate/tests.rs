//! Bad manifests, and what is said to each.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Limits, Review, tenant_control_plane};
use crate::api::{ConditionType, Reason, TenantControlPlane};

mod edits;
mod manifests;
mod pods;
mod stores;

/// The manifest of the published page.
const BASE: &str = "
apiVersion: kamaji.clastix.io/v1alpha1
kind: TenantControlPlane
metadata: {name: example}
spec:
  controlPlane:
    deployment: {replicas: 2}
    service: {serviceType: LoadBalancer}
  kubernetes: {version: v1.33.0}
  networkProfile: {port: 6443}
  addons:
    konnectivity:
      server: {port: 8132}
      agent: {mode: DaemonSet}
";

/// One object as YAML, with edits as merge patches.
fn edited<T: DeserializeOwned>(base: &str, edits: &[&str]) -> T {
    let mut object: Value = serde_yaml::from_str(base).expect("the base is YAML");
    for edit in edits {
        let patch: Value =
            serde_yaml::from_str(edit).unwrap_or_else(|error| panic!("{edit}: {error}"));
        json_patch::merge(&mut object, &patch);
    }
    serde_json::from_value(object).unwrap_or_else(|error| panic!("{edits:?}: {error}"))
}

fn control_plane(edits: &[&str]) -> TenantControlPlane {
    edited(BASE, edits)
}

fn review(edit: &str) -> Review {
    tenant_control_plane(&control_plane(&[edit]), None, &Limits::default())
}

/// Asserts that exactly the expected fields are refused, each with the expected remedy.
fn refused(what: &str, review: &Review, expected: &[(&str, &str)]) {
    let fields: Vec<&str> = review
        .violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    let wanted: Vec<&str> = expected.iter().map(|(field, _)| *field).collect();
    assert_eq!(fields, wanted, "{what}: {}", review.explain());
    for (violation, (_, remedy)) in review.violations.iter().zip(expected) {
        assert!(violation.message.contains(remedy), "{what}: {violation}");
    }
}

#[test]
fn a_good_manifest_passes_in_silence() {
    for edit in [
        "{}",
        "{spec: {addons: null}}",
        "{spec: {networkProfile: null}}",
        "{spec: {addons: {konnectivity: {server: null, agent: {mode: Deployment, replicas: 2}}}}}",
        "{spec: {networkProfile: {serviceCidrs: [10.96.0.0/16, 'fd00:1::/112'], podCidrs: [10.244.0.0/16, 'fd00:2::/56']}}}",
        "{spec: {networkProfile: {serviceCidr: '', serviceCidrs: [10.96.0.0/16]}}}",
        "{spec: {networkProfile: {dnsServiceIPs: [10.96.0.10]}}}",
        "{spec: {networkProfile: {address: 192.0.2.1, advertiseAddress: '', certSANs: [a.example.com, '*.example.com', 192.0.2.1, 'fd00::1']}}}",
        "{spec: {controlPlane: {service: {additionalPorts: [{name: metrics, port: 9090, targetPort: metrics}]}}}}",
        "{spec: {controlPlane: {deployment: {replicas: 0, strategy: {type: Recreate}}}}}",
        "{spec: {controlPlane: {deployment: {extraArgs: {apiServer: ['--v=4', '--audit-log-path=/x'], controllerManager: ['--bind-address=::']}}}}}",
        "{spec: {kubernetes: {version: v1.34.0, kubelet: {configurationJSONPatches: [{op: add, path: /a~1b, value: 1}, {op: remove, path: ''}]}}}}",
        "{spec: {controlPlane: {deployment: {additionalVolumes: [{name: x, emptyDir: {}}], additionalVolumeMounts: {apiServer: [{name: x, mountPath: /x}]}}}}}",
    ] {
        assert_eq!(review(edit), Review::default(), "{edit}");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let all = review(
        "{metadata: {name: Upper}, spec: {kubernetes: {version: '1.33.0'}, networkProfile: {port: 0, address: here}}}",
    );
    refused(
        "four mistakes",
        &all,
        &[
            ("metadata.name", "lower-case letters"),
            ("spec.kubernetes.version", "write v1.33.0"),
            ("spec.networkProfile.address", "192.0.2.10"),
            ("spec.networkProfile.port", "1 to 65535"),
        ],
    );
    assert!(
        all.explain()
            .contains("spec.networkProfile.port: \"0\": is no port"),
        "{}",
        all.explain()
    );
}

#[test]
fn fields_without_effect_become_one_condition_while_they_are_there() {
    let silent = review("{}");
    assert_eq!(silent.advisories(), []);
    let warned = review(
        "{spec: {controlPlane: {ingress: {hostname: a.b}, deployment: {extraArgs: {apiServer: ['--secure-port=1'], kine: ['--x']}, resources: {kine: {}}}}, \
         dataStoreOverrides: [{resource: /events, dataStore: other}], writePermissions: {blockCreation: true}}}",
    );
    assert!(warned.is_clean(), "{}", warned.explain());
    let [finding] = warned.advisories().try_into().expect("one condition");
    assert_eq!(
        (finding.condition, finding.reason),
        (ConditionType::FieldsIgnored, Reason::NotActedOn)
    );
    for field in [
        "spec.controlPlane.ingress:",
        "spec.dataStoreOverrides:",
        "spec.writePermissions:",
        "extraArgs.apiServer[0]: --secure-port",
        "extraArgs.kine:",
        "resources.kine:",
    ] {
        assert!(
            finding.message.contains(field),
            "{field} in {}",
            finding.message
        );
    }
    let version = review(
        "{spec: {addons: {konnectivity: {server: {version: v0.33.0}, agent: {version: v0.33.0}}}}}",
    );
    assert_eq!(
        version.warnings.len(),
        2,
        "our image has the operator's own tag"
    );
    let other = "{spec: {addons: {konnectivity: {server: {image: r/s, version: v0.33.0}, agent: {image: r/a, version: v0.33.0}}}}}";
    assert_eq!(review(other), Review::default());
    let gateway = review("{spec: {controlPlane: {gateway: {hostname: a.b}}}}");
    assert_eq!(gateway.advisories().len(), 1);
    assert_eq!(
        review("{spec: {writePermissions: {blockCreation: false}}}").advisories(),
        []
    );
}

#[test]
fn webhooks_of_the_api_server_are_warned_about_until_a_way_is_chosen() {
    let oidc = "controlPlane: {deployment: {extraArgs: {apiServer: ['--oidc-issuer-url=https://id.example.com']}}}";
    let unstated = review(&format!("{{spec: {{{oidc}}}}}"));
    let [finding] = unstated.advisories().try_into().expect("one condition");
    assert_eq!(finding.condition, ConditionType::EgressUnstated);
    assert!(
        finding.message.contains("controlPlaneEgress"),
        "{}",
        finding.message
    );
    for way in ["Tunnel", "Direct"] {
        let egress = format!("addons: {{konnectivity: {{server: {{controlPlaneEgress: {way}}}}}}}");
        assert_eq!(
            review(&format!("{{spec: {{{oidc}, {egress}}}}}")).advisories(),
            [],
            "{way}"
        );
    }
    assert_eq!(
        review(&format!("{{spec: {{{oidc}, addons: null}}}}")).advisories(),
        []
    );
}
