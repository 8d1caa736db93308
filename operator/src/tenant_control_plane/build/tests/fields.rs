//! Every field of the spec is acted on, or named among those that are not.

use serde_json::{Value, json};

use crate::api::unsupported::IGNORED;
use crate::api::{TenantControlPlaneSpec, schema};
use crate::tenant_control_plane::fixtures::{after, built, documented_with, observed};

/// Edits that must change an object of the management cluster, each for the fields that it names.
fn edits() -> Vec<Value> {
    let named = |field: &str, value: Value| json!({"controlPlane": {"deployment": {field: value}}});
    let requests = json!({"requests": {"cpu": "123m"}});
    let context = json!({"runAsUser": 4321});
    let timing = json!({"failureThreshold": 77});
    let metadata = |part: &str| json!({part: {"example.com/added": "yes-it-is"}});
    let mount = json!([{"name": "added", "mountPath": "/added"}]);
    let volumes = json!([{"name": "added", "emptyDir": {}}]);
    let mut edits = vec![
        named("replicas", json!(3)),
        named(
            "strategy",
            json!({"type": "Recreate", "rollingUpdate": null}),
        ),
        named("serviceAccountName", json!("added")),
        named("automountServiceAccountToken", json!(true)),
        named("nodeSelector", json!({"added": "true"})),
        named("runtimeClassName", json!("added")),
        named(
            "tolerations",
            json!([{"key": "added", "operator": "Exists"}]),
        ),
        named("affinity", json!({"nodeAffinity": {}})),
        named(
            "topologySpreadConstraints",
            json!([{"maxSkew": 3, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
        ),
        named("podSecurityContext", json!({"fsGroup": 4321})),
        named("additionalInitContainers", json!([{"name": "added"}])),
        named("additionalContainers", json!([{"name": "added"}])),
        named("additionalVolumes", volumes.clone()),
    ];
    for part in ["labels", "annotations"] {
        edits.push(named("additionalMetadata", metadata(part)));
        edits.push(named("podAdditionalMetadata", metadata(part)));
        edits.push(json!({"controlPlane": {"service": {"additionalMetadata": metadata(part)}}}));
    }
    for component in ["apiServer", "controllerManager", "scheduler"] {
        edits.push(named(
            "containerSecurityContexts",
            json!({component: context}),
        ));
        edits.push(named("resources", json!({component: requests})));
        edits.push(named("extraArgs", json!({component: ["--v=7"]})));
        let mounts =
            json!({"additionalVolumes": volumes, "additionalVolumeMounts": {component: mount}});
        edits.push(json!({"controlPlane": {"deployment": mounts}}));
        for probe in ["liveness", "readiness", "startup"] {
            edits.push(named("probes", json!({component: {probe: timing}})));
            edits.push(named("probes", json!({probe: timing})));
        }
    }
    edits.extend(images());
    edits.extend(elsewhere());
    edits
}

/// The same, for each part of the images' names.
fn images() -> Vec<Value> {
    let parts = [
        "registry",
        "apiServerImage",
        "controllerManagerImage",
        "schedulerImage",
        "tagSuffix",
    ];
    parts
        .iter()
        .map(|part| json!({"controlPlane": {"deployment": {"registrySettings": {*part: "added"}}}}))
        .collect()
}

/// The same, outside of the Deployment's own part.
fn elsewhere() -> Vec<Value> {
    let network = |field: &str, value: Value| json!({"networkProfile": {field: value}});
    let server =
        |field: &str, value: Value| json!({"addons": {"konnectivity": {"server": {field: value}}}});
    vec![
        json!({"controlPlane": {"service": {"serviceType": "ClusterIP"}}}),
        json!({"controlPlane": {"service": {"allocateLoadBalancerNodePorts": false}}}),
        json!({"controlPlane": {"service": {"additionalPorts": [{"name": "a", "port": 9, "targetPort": 9}]}}}),
        json!({"kubernetes": {"version": "v1.33.1"}}),
        json!({"kubernetes": {"admissionControllers": ["NodeRestriction"]}}),
        json!({"kubernetes": {"kubelet": {"preferredAddressTypes": ["Hostname"]}}}),
        network("address", json!("192.0.2.77")),
        network("advertiseAddress", json!("192.0.2.77")),
        network("port", json!(7443)),
        network("clusterDomain", json!("added.local")),
        network("certSANs", json!(["added.example.com"])),
        network("serviceCidr", json!("10.77.0.0/16")),
        network("serviceCidrs", json!(["10.77.0.0/16"])),
        network("podCidr", json!("10.78.0.0/16")),
        network("podCidrs", json!(["10.78.0.0/16"])),
        network("loadBalancerSourceRanges", json!(["192.0.2.0/24"])),
        network("loadBalancerClass", json!("added")),
        json!({
            "controlPlane": {"service": {"serviceType": "ClusterIP"}},
            "networkProfile": {"address": "192.0.2.77", "allowAddressAsExternalIP": true},
        }),
        server("port", json!(8999)),
        server("image", json!("registry.example.com/added")),
        json!({"addons": {"konnectivity": {"server": {"image": "registry.example.com/added", "version": "v9"}}}}),
        server("resources", json!({"requests": {"cpu": "123m"}})),
        server("extraArgs", json!(["--v=7"])),
        server("securityContext", json!({"runAsUser": 4321})),
        server("egressProtocol", json!("GRPC")),
        server("controlPlaneEgress", json!("Direct")),
    ]
}

/// Fields that count once, when state is first kept, or are acted on inside the tenant cluster.
const ELSEWHERE: &[&str] = &[
    "spec.dataStore",
    "spec.dataStoreSchema",
    "spec.dataStoreUsername",
    "spec.addons.coreDNS",
    "spec.addons.kubeProxy",
    "spec.addons.konnectivity.agent",
    "spec.kubernetes.kubelet.cgroupfs",
    "spec.kubernetes.kubelet.configurationJSONPatches",
    "spec.networkProfile.dnsServiceIPs",
];

#[test]
fn every_edit_changes_an_object() {
    let first = observed();
    let standing = after(&first, &built(&documented_with(&json!({})), &first));
    let bodies = |spec: &Value| {
        let objects = built(&documented_with(spec), &standing);
        objects
            .present()
            .iter()
            .map(|object| object.body.to_string())
            .collect::<Vec<_>>()
    };
    let base = bodies(&json!({}));
    assert_eq!(
        base,
        bodies(&json!({})),
        "the same manifest builds the same objects"
    );
    for edit in edits() {
        let changed = base != bodies(&edit);
        assert!(
            changed,
            "{edit} changes nothing: act on it, or name it in api/unsupported.rs"
        );
    }
}

#[test]
fn where_state_is_first_kept_is_the_users_choice() {
    let spec = json!({"dataStoreSchema": "added", "dataStoreUsername": "somebody"});
    let objects = built(&documented_with(&spec), &observed());
    let text = |kind: &str, name: &str| objects.find(kind, name).unwrap().body.to_string();
    assert!(text("Deployment", "konnectivity-example").contains("--etcd-prefix=/added"));
    let user = "c29tZWJvZHk=";
    assert!(text("Secret", "konnectivity-example-datastore-config").contains(user));
}

#[test]
fn every_field_is_edited_here_or_named() {
    let edits = edits();
    let mut leaves = Vec::new();
    collect(
        "spec",
        "",
        &schema::schema_of::<TenantControlPlaneSpec>(),
        &mut leaves,
    );
    assert!(leaves.len() > 60, "{leaves:?}");
    for (path, pointer) in leaves {
        let within = |prefix: &str| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let named = IGNORED
            .iter()
            .map(|ignored| ignored.field)
            .chain(ELSEWHERE.iter().copied());
        let known = named.into_iter().any(within)
            || edits.iter().any(|edit| edit.pointer(&pointer).is_some());
        assert!(
            known,
            "{path}: nothing shows what it does; add an edit here, or name it in api/unsupported.rs"
        );
    }
}

/// Our own fields have descriptions; what is inside a type of Kubernetes has none. `kind` of probe
/// timings and list items are one field each.
fn collect(path: &str, pointer: &str, node: &Value, leaves: &mut Vec<(String, String)>) {
    let children = node["properties"].as_object().into_iter().flatten();
    let ours: Vec<_> = children
        .filter(|(_, child)| child["description"].is_string())
        .collect();
    if ours.is_empty() {
        leaves.push((path.to_owned(), pointer.to_owned()));
    }
    for (name, child) in ours {
        if name.ends_with("Seconds") || name.ends_with("Threshold") {
            continue;
        }
        collect(
            &format!("{path}.{name}"),
            &format!("{pointer}/{name}"),
            child,
            leaves,
        );
    }
}
