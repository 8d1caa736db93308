//! The webhook as a real kube-apiserver calls it.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    RuleWithOperations, ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use operator::admission::{DATA_STORE_PATH, TENANT_CONTROL_PLANE_PATH, router};
use operator::api::{DataStore, TenantControlPlane, schema};
use operator::validate::Limits;
use serde_json::json;

use crate::support::document_manifest;
use crate::support::https::Https;
use crate::support::kube_api::KubeApi;

#[tokio::test]
async fn a_real_api_server_asks_the_webhook_and_passes_its_words_on() {
    let Some(server) = KubeApi::start("admission").await else {
        return;
    };
    let webhook = Https::serve(router(Limits::default())).await;
    let client = server.client().await;
    install(&client, &webhook).await;
    until_asked(&client).await;

    let api: Api<TenantControlPlane> = Api::namespaced(client.clone(), "default");
    api.create(&PostParams::default(), &document_manifest())
        .await
        .unwrap();
    let name = "konnectivity-example";
    for (edit, said) in [
        (
            json!({"kubernetes": {"version": "v1.35.0"}}),
            "go to a release of v1.34 first",
        ),
        (
            json!({"kubernetes": {"version": "v1.32.0"}}),
            "is a downgrade",
        ),
        (
            json!({"networkProfile": {"address": "api.example.com"}}),
            "spec.networkProfile.address: \"api.example.com\"",
        ),
        (
            json!({"networkProfile": {"port": 10257}}),
            "is taken in the pod by kube-controller-manager",
        ),
        (
            json!({"controlPlane": {"service": {"serviceType": "NodePort"}}}),
            "30000 to 32767",
        ),
        (
            json!({"networkProfile": {"dnsServiceIPs": ["10.97.0.10"]}}),
            "outside the Service ranges",
        ),
    ] {
        let patch = Patch::Merge(json!({"spec": edit}));
        let error = api
            .patch(name, &PatchParams::default(), &patch)
            .await
            .expect_err(said)
            .to_string();
        assert!(
            error.contains("denied the request") && error.contains(said),
            "{error}"
        );
    }
    let upgrade = json!({"spec": {"kubernetes": {"version": "v1.34.1"}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(upgrade))
        .await
        .unwrap();
    deletion_is_never_in_the_way(&api, name).await;
}

async fn deletion_is_never_in_the_way(api: &Api<TenantControlPlane>, name: &str) {
    let finalizer = json!({"metadata": {"finalizers": ["finalizer.kamaji.clastix.io"]}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(finalizer))
        .await
        .unwrap();
    api.delete(name, &DeleteParams::default()).await.unwrap();
    let freed = json!({"metadata": {"finalizers": null}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(freed))
        .await
        .unwrap();
    assert!(api.get_opt(name).await.unwrap().is_none());
}

async fn install(client: &Client, webhook: &Https) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in schema::definitions() {
        let name = definition.metadata.name.clone().unwrap();
        let params = PatchParams::apply("warren").force();
        definitions
            .patch(&name, &params, &Patch::Apply(&definition))
            .await
            .unwrap();
        await_condition(definitions.clone(), &name, conditions::is_crd_established())
            .await
            .unwrap();
    }
    let hook = |resource: &str, path: &str| ValidatingWebhook {
        name: format!("{resource}.kamaji.clastix.io"),
        admission_review_versions: vec!["v1".to_owned()],
        side_effects: "None".to_owned(),
        failure_policy: Some("Fail".to_owned()),
        client_config: WebhookClientConfig {
            url: Some(format!("https://127.0.0.1:{}{path}", webhook.port)),
            ca_bundle: Some(ByteString(webhook.certificate.clone().into_bytes())),
            service: None,
        },
        rules: Some(vec![RuleWithOperations {
            api_groups: Some(vec!["kamaji.clastix.io".to_owned()]),
            api_versions: Some(vec!["v1alpha1".to_owned()]),
            operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
            resources: Some(vec![resource.to_owned()]),
            scope: None,
        }]),
        ..ValidatingWebhook::default()
    };
    let configuration = ValidatingWebhookConfiguration {
        metadata: ObjectMeta {
            name: Some("warren".to_owned()),
            ..ObjectMeta::default()
        },
        webhooks: Some(vec![
            hook("tenantcontrolplanes", TENANT_CONTROL_PLANE_PATH),
            hook("datastores", DATA_STORE_PATH),
        ]),
    };
    Api::all(client.clone())
        .create(&PostParams::default(), &configuration)
        .await
        .unwrap();
}

/// kube-apiserver learns of a webhook by watching, some time after it was created.
async fn until_asked(client: &Client) {
    let stores: Api<DataStore> = Api::all(client.clone());
    let certificate = json!({"secretReference": {"name": "s", "namespace": "n", "keyPath": "k"}});
    let pair = json!({"certificate": certificate, "privateKey": certificate});
    let bad: DataStore = serde_json::from_value(json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "DataStore",
        "metadata": {"name": "bad"},
        "spec": {
            "driver": "etcd",
            "endpoints": ["https://etcd:2379"],
            "tlsConfig": {"certificateAuthority": pair, "clientCertificate": pair},
        },
    }))
    .unwrap();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for _ in 0..100 {
        match stores.create(&dry, &bad).await {
            Err(error)
                if error
                    .to_string()
                    .contains("endpoints have no scheme; write etcd:2379") =>
            {
                return;
            }
            Err(error) => panic!("{error}"),
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    panic!("kube-apiserver never asked the webhook");
}
