//! Every example is what it says, and the first is the document's manifest to the byte.

use operator::api::tenant_control_plane::{AgentMode, ServiceType};
use operator::api::{DataStore, TenantControlPlane};
use operator::validate::{self, Limits};
use sha2::{Digest as _, Sha256};

use crate::support::{document_manifest, examples, manifest, read};

/// Of the manifest in the published Konnectivity page, from `apiVersion` to its last comment.
const DOCUMENT_SHA256: &str = "20b70b54feb746b125f77e050b9881af2cc34d3dd48661b8d17ec414bfd7fc26";

#[test]
fn the_documents_manifest_is_there_byte_for_byte() {
    let text = read("examples/tenant-control-plane.yaml");
    let body = text
        .find("apiVersion:")
        .map(|start| text.split_at(start).1)
        .unwrap();
    let digest: Vec<String> = Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let digest = digest.concat();
    assert_eq!(digest, DOCUMENT_SHA256);
}

#[test]
fn every_example_says_what_it_shows_and_breaks_no_rule() {
    let all = examples();
    assert!(all.len() >= 4, "{all:?}");
    for (name, text) in all {
        assert!(text.starts_with("# "), "{name} does not say what it shows");
        let object: TenantControlPlane = manifest(&text);
        let review = validate::tenant_control_plane(&object, None, &Limits::default());
        assert_eq!(review, validate::Review::default(), "{name}");
    }
}

#[test]
fn the_manifests_of_the_readme_break_no_rule() {
    let text = read("README.md");
    let blocks: Vec<_> = text.split("```yaml\n").skip(1).collect();
    assert_eq!(blocks.len(), 2, "a tenant and a store");
    for block in blocks {
        let (yaml, _) = block.split_once("```").unwrap();
        let review = if yaml.contains("kind: DataStore") {
            validate::data_store(&manifest::<DataStore>(yaml), None)
        } else {
            let object: TenantControlPlane = manifest(yaml);
            validate::tenant_control_plane(&object, None, &Limits::default())
        };
        assert_eq!(review, validate::Review::default(), "{yaml}");
    }
}

#[test]
fn the_documents_manifest_means_what_it_says() {
    let object = document_manifest();
    let konnectivity = object.spec.addons.konnectivity.unwrap();
    assert_eq!(object.spec.control_plane.deployment.replicas, 2);
    assert_eq!(
        object.spec.control_plane.service.service_type,
        ServiceType::LoadBalancer
    );
    assert_eq!(
        (konnectivity.server.port, konnectivity.agent.mode),
        (8132, AgentMode::DaemonSet)
    );
    assert_eq!(object.spec.data_store, None);
    assert_eq!(
        object.spec.network_profile.service_ranges(),
        ["10.96.0.0/16"]
    );
}

#[test]
fn a_node_port_outside_the_range_is_refused_clearly() {
    let mut object: TenantControlPlane = manifest(&read("examples/node-port.yaml"));
    object.spec.network_profile.port = 6443;
    let review = validate::tenant_control_plane(&object, None, &Limits::default());
    let said = review.explain();
    assert!(
        said.starts_with("spec.networkProfile.port: \"6443\": with serviceType NodePort"),
        "{said}"
    );
    assert!(said.contains("30000 to 32767"), "{said}");
    let wider = Limits {
        node_ports: 1024..=65535,
    };
    assert!(validate::tenant_control_plane(&object, None, &wider).is_clean());
}
