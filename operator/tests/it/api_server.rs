//! What a real kube-apiserver makes of the definitions, the examples and of bad manifests.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use operator::api::{TenantControlPlane, schema};
use serde_json::{Value, json};

use crate::support::kube_api::KubeApi;
use crate::support::{examples, manifest, read};

#[tokio::test]
async fn a_real_api_server_takes_definitions_and_examples_and_refuses_the_rest() {
    let Some(server) = KubeApi::start("api_server").await else {
        return;
    };
    let client = server.client().await;
    definitions_of_another_operator(&client).await;
    definitions_apply(&client).await;
    definitions_apply(&client).await;
    examples_pass(&client).await;
    defaults_are_those_of_reading(&client).await;
    bad_manifests_are_refused(&client).await;
    bad_edits_are_refused(&client).await;
    scale_goes_through_the_subresource(&client).await;
}

/// What Kamaji's chart leaves: a conversion webhook that nobody needs to answer, as there is one version.
async fn definitions_of_another_operator(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for mut definition in schema::definitions() {
        for version in &mut definition.spec.versions {
            let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            version.schema =
                Some(serde_json::from_value(json!({"openAPIV3Schema": anything})).unwrap());
            version.selectable_fields = None;
        }
        definition.metadata.annotations = Some(BTreeMap::from([(
            "cert-manager.io/inject-ca-from".to_owned(),
            "kamaji-system/kamaji-serving-cert".to_owned(),
        )]));
        let conversion = json!({
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": {"service": {
                    "name": "kamaji-webhook-service", "namespace": "kamaji-system", "path": "/convert",
                }},
                "conversionReviewVersions": ["v1"],
            },
        });
        definition.spec.conversion = Some(serde_json::from_value(conversion).unwrap());
        api.create(&PostParams::default(), &definition)
            .await
            .unwrap();
    }
}

async fn definitions_apply(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in schema::definitions() {
        let name = definition.metadata.name.clone().unwrap();
        let params = PatchParams::apply("warren").force();
        api.patch(&name, &params, &Patch::Apply(&definition))
            .await
            .unwrap();
        await_condition(api.clone(), &name, conditions::is_crd_established())
            .await
            .unwrap();
        let held = api.get(&name).await.unwrap();
        let said: BTreeMap<_, _> = held
            .status
            .into_iter()
            .flat_map(|status| status.conditions.unwrap_or_default())
            .map(|condition| (condition.type_.clone(), condition))
            .collect();
        assert!(!said.contains_key("NonStructuralSchema"), "{said:?}");
        assert_eq!(
            said.get("Established").map(|held| held.status.as_str()),
            Some("True")
        );
    }
}

/// As it stands in the file: nothing of ours reads it on the way.
async fn create(
    client: &Client,
    object: &Value,
    dry_run: DryRun,
) -> Result<DynamicObject, kube::Error> {
    let kind = GroupVersionKind::gvk(
        "kamaji.clastix.io",
        "v1alpha1",
        object["kind"].as_str().unwrap(),
    );
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&kind));
    let params = PostParams {
        dry_run: dry_run == DryRun::Yes,
        ..PostParams::default()
    };
    api.create(&params, &serde_json::from_value(object.clone()).unwrap())
        .await
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum DryRun {
    Yes,
    No,
}

async fn examples_pass(client: &Client) {
    for (name, text) in examples() {
        let object: Value = manifest(&text);
        create(client, &object, DryRun::Yes)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

async fn defaults_are_those_of_reading(client: &Client) {
    for (name, text) in examples() {
        let stored = create(client, &manifest(&text), DryRun::Yes).await.unwrap();
        let stored: TenantControlPlane =
            serde_json::from_value(serde_json::to_value(stored).unwrap()).unwrap();
        let read: TenantControlPlane = manifest(&text);
        assert_eq!(read.spec, stored.spec, "{name}");
    }
}

fn edited(edit: &str) -> Value {
    let mut object: Value = manifest(&read("examples/tenant-control-plane.yaml"));
    json_patch::merge(&mut object, &manifest(edit));
    object
}

/// Edits of the document's manifest, and what the API server says to each.
const BAD_MANIFESTS: &[(&str, &str)] = &[
    (
        "{spec: {kubernetes: null}}",
        "spec.kubernetes: Required value",
    ),
    (
        "{spec: {controlPlane: {service: {serviceType: Sometimes}}}}",
        "Unsupported value: \"Sometimes\"",
    ),
    (
        "{spec: {kubernetes: {admissionControllers: [Nobody]}}}",
        "Unsupported value: \"Nobody\"",
    ),
    (
        "{spec: {kubernetes: {kubelet: {preferredAddressTypes: [Hostname, Hostname]}}}}",
        "Duplicate value",
    ),
    (
        "{spec: {kubernetes: {kubelet: {preferredAddressTypes: []}}}}",
        "should have at least 1 items",
    ),
    (
        "{spec: {addons: {konnectivity: {agent: {replicas: 2}}}}}",
        "set mode to Deployment",
    ),
    (
        "{spec: {addons: {konnectivity: {server: {port: null, image: x}}}}}",
        "port: Required value",
    ),
    (
        "{spec: {networkProfile: {serviceCidr: everything}}}",
        "not a CIDR; write one such as",
    ),
    (
        "{spec: {networkProfile: {clusterDomain: local}}}",
        "clusterDomain in body should match",
    ),
    (
        "{spec: {controlPlane: {service: {serviceType: ClusterIP}}, networkProfile: {loadBalancerClass: x}}}",
        "only for a load balancer",
    ),
    (
        "{spec: {controlPlane: {deployment: {resources: {apiServer: {limits: {cpu: much}}}}}}}",
        "should match",
    ),
];

async fn bad_manifests_are_refused(client: &Client) {
    for (edit, expected) in BAD_MANIFESTS {
        let error = create(client, &edited(edit), DryRun::Yes)
            .await
            .expect_err(edit)
            .to_string();
        assert!(error.contains(expected), "{edit}: {error}");
    }
    let store = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "DataStore", "metadata": {"name": "store"},
        "spec": {"driver": "etcd", "endpoints": ["etcd:2379"]},
    });
    let kind = GroupVersionKind::gvk("kamaji.clastix.io", "v1alpha1", "DataStore");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let error = api
        .create(
            &PostParams::default(),
            &serde_json::from_value(store).unwrap(),
        )
        .await;
    let error = error.expect_err("etcd without certificates").to_string();
    assert!(
        error.contains("etcd needs it to sign each tenant's certificate"),
        "{error}"
    );
}

async fn bad_edits_are_refused(client: &Client) {
    create(client, &edited("{spec: {dataStoreSchema: a}}"), DryRun::No)
        .await
        .unwrap();
    let api: Api<TenantControlPlane> = Api::namespaced(client.clone(), "default");
    for (patch, expected) in [
        (
            json!({"spec": {"dataStoreSchema": "b"}}),
            "dataStoreSchema: cannot change",
        ),
        (
            json!({"spec": {"dataStoreSchema": null}}),
            "dataStoreSchema: cannot be unset",
        ),
        (
            json!({"spec": {"networkProfile": {"clusterDomain": "other.local"}}}),
            "clusterDomain: cannot change",
        ),
        (
            json!({"spec": {"networkProfile": {"loadBalancerClass": "x"}}}),
            "neither be added to nor removed",
        ),
    ] {
        let params = PatchParams::default();
        let error = api
            .patch("konnectivity-example", &params, &Patch::Merge(&patch))
            .await;
        let error = error.expect_err(expected).to_string();
        assert!(error.contains(expected), "{patch}: {error}");
    }
}

async fn scale_goes_through_the_subresource(client: &Client) {
    let api: Api<TenantControlPlane> = Api::namespaced(client.clone(), "default");
    let patch = json!({"spec": {"replicas": 5}});
    api.patch_scale(
        "konnectivity-example",
        &PatchParams::default(),
        &Patch::Merge(&patch),
    )
    .await
    .unwrap();
    let held = api.get("konnectivity-example").await.unwrap();
    assert_eq!(held.spec.control_plane.deployment.replicas, 5);
}
