//! What the chart renders, given to a real kube-apiserver.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;

use super::{apply, server_side, start};
use crate::support::helm::{NAMESPACE, find, objects, set};

#[tokio::test]
async fn a_real_api_server_takes_every_object_before_the_operator_runs() {
    let Some((helm, server)) = start("chart").await else {
        return;
    };
    let client = server.client().await;
    let mut chart = objects(&helm.template(&[]));
    // Helm 4 puts webhook configurations first and kinds it does not know last, so the DataStore meets the webhook.
    chart.sort_by_key(|object| {
        (
            object["kind"] == "DataStore",
            object["kind"] != "ValidatingWebhookConfiguration",
        )
    });
    assert_eq!(chart[0]["kind"], "ValidatingWebhookConfiguration");
    for object in &chart {
        let applied = apply(&client, object).await;
        applied.unwrap_or_else(|error| panic!("{error}:\n{object:#}"));
    }
}

#[tokio::test]
async fn every_pod_keeps_to_the_restricted_standard() {
    let Some((helm, server)) = start("chart").await else {
        return;
    };
    let client = server.client().await;
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut created = 0;
    // The volume of a claim comes from the controller of StatefulSets, which does not run here.
    for values in [
        ["etcd.persistence.enabled=false", "etcd.replicas=1"],
        ["etcd.persistence.enabled=false", "etcd.replicas=3"],
        [
            "etcd.persistence.enabled=false",
            "webhook.certManager.enabled=true",
        ],
    ] {
        for object in objects(&helm.template(&set(&values))) {
            let Some(template) = object.pointer("/spec/template") else {
                continue;
            };
            let mut pod = template.clone();
            pod["metadata"]["name"] = "pod".into();
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let mut privileged = pod.clone();
            pods.create(&dry, &pod).await.unwrap();
            created += 1;

            privileged.spec.as_mut().unwrap().host_network = Some(true);
            let refused = pods.create(&dry, &privileged).await.unwrap_err();
            assert!(refused.to_string().contains("restricted"), "{refused}");
        }
    }
    assert_eq!(created, 6, "an operator and an etcd each time");
}

#[tokio::test]
async fn an_etcd_that_runs_is_not_resized() {
    let Some((helm, server)) = start("chart").await else {
        return;
    };
    let client = server.client().await;
    let of_size = |replicas: u8| {
        let mut arguments = set(&[&format!("etcd.replicas={replicas}")]);
        arguments.extend(server_side(&server));
        arguments
    };
    let set_up = async |rendered: &str| {
        let chart = objects(rendered);
        apply(&client, find(&chart, "StatefulSet", "warren-etcd")).await
    };
    set_up(&helm.template(&of_size(1))).await.unwrap();
    set_up(&helm.template(&of_size(1)))
        .await
        .expect("the same size is no change");

    let said = helm.refuses(&of_size(3));
    assert!(
        said.contains("etcd.replicas: 3") && said.contains("bring a larger etcd"),
        "{said}"
    );
    let blind = helm.template(&set(&["etcd.replicas=3"]));
    let refused = set_up(&blind)
        .await
        .expect_err("also where helm looks nothing up");
    let refused = refused.to_string();
    assert!(refused.contains("updates to statefulset spec"), "{refused}");
}

#[tokio::test]
async fn the_authority_of_an_etcd_is_made_once() {
    let Some((helm, server)) = start("chart").await else {
        return;
    };
    let client = server.client().await;
    let name = "warren-etcd-certificates";
    let put = async |rendered: &str| {
        let secret = objects(rendered);
        apply(&client, find(&secret, "Secret", name)).await
    };
    let made = put(&helm.template(&server_side(&server))).await.unwrap();
    let kept = put(&helm.template(&server_side(&server))).await.unwrap();
    assert_eq!(made.data["data"], kept.data["data"]);

    let refused = put(&helm.template(&[]))
        .await
        .expect_err("a render that saw no cluster made another one");
    assert!(refused.to_string().contains("immutable"), "{refused}");

    let given = objects(&helm.template(&set(&["etcd.existingSecret=mine"])));
    assert!(given.iter().all(|object| object["kind"] != "Secret"));
    let pods = find(&given, "StatefulSet", "warren-etcd");
    assert_eq!(
        pods["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"],
        "mine"
    );
    let store = find(&given, "DataStore", "default");
    let authority = &store["spec"]["tlsConfig"]["certificateAuthority"];
    assert_eq!(
        authority["privateKey"]["secretReference"]["name"], "mine",
        "tenants' certificates are signed by the same authority"
    );
}
