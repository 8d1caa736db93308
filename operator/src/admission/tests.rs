//! What kube-apiserver hears.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{DATA_STORE_PATH, TENANT_CONTROL_PLANE_PATH, router, short};
use crate::validate::Limits;

fn control_plane() -> Value {
    json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": {"name": "example", "namespace": "default"},
        "spec": {
            "controlPlane": {"service": {"serviceType": "LoadBalancer"}},
            "kubernetes": {"version": "v1.33.0"},
        },
    })
}

fn with(edit: &Value) -> Value {
    let mut object = control_plane();
    json_patch::merge(&mut object, edit);
    object
}

fn review(operation: &str, object: Option<&Value>, old: Option<&Value>) -> Vec<u8> {
    let kind =
        json!({"group": "kamaji.clastix.io", "version": "v1alpha1", "kind": "TenantControlPlane"});
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "a-uid",
            "kind": kind,
            "resource": {"group": "kamaji.clastix.io", "version": "v1alpha1", "resource": "tenantcontrolplanes"},
            "name": "example",
            "operation": operation,
            "userInfo": {"username": "somebody"},
            "object": object,
            "oldObject": old,
            "dryRun": false,
        },
    })
    .to_string()
    .into_bytes()
}

async fn ask(path: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    let response = router(Limits::default()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

async fn verdict(operation: &str, object: &Value, old: Option<&Value>) -> Value {
    let (status, answer) = ask(
        TENANT_CONTROL_PLANE_PATH,
        review(operation, Some(object), old),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], "a-uid");
    answer["response"].clone()
}

#[tokio::test]
async fn a_good_object_is_allowed() {
    let answer = verdict("CREATE", &control_plane(), None).await;
    assert_eq!(
        (&answer["allowed"], &answer["warnings"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn a_bad_object_is_refused_with_every_mistake() {
    let bad = with(
        &json!({"spec": {"kubernetes": {"version": "1.33.0"}, "networkProfile": {"port": 0}}}),
    );
    let answer = verdict("CREATE", &bad, None).await;
    assert_eq!(
        (&answer["allowed"], &answer["status"]["code"]),
        (&json!(false), &json!(422))
    );
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.kubernetes.version: \"1.33.0\": lacks its leading v; write v1.33.0"),
        "{message}"
    );
    assert!(
        message.contains("spec.networkProfile.port: \"0\": is no port"),
        "{message}"
    );
    assert_eq!(
        answer["status"]["details"]["causes"][1]["field"],
        "spec.networkProfile.port"
    );
}

#[tokio::test]
async fn a_bad_edit_is_refused_and_its_repair_allowed() {
    let newer = with(&json!({"spec": {"kubernetes": {"version": "v1.35.0"}}}));
    let answer = verdict("UPDATE", &newer, Some(&control_plane())).await;
    assert_eq!(answer["allowed"], json!(false));
    let broken = with(&json!({"spec": {"networkProfile": {"port": 0}}}));
    assert_eq!(
        verdict("UPDATE", &control_plane(), Some(&broken)).await["allowed"],
        json!(true)
    );
}

#[tokio::test]
async fn what_an_older_version_let_in_can_be_labelled_and_deleted() {
    let broken = with(&json!({"spec": {"networkProfile": {"port": 0}}}));
    let mut labelled = broken.clone();
    json_patch::merge(&mut labelled, &json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(
        verdict("UPDATE", &labelled, Some(&broken)).await["allowed"],
        json!(true)
    );

    let mut going = with(&json!({"spec": {"networkProfile": {"port": -1}}}));
    json_patch::merge(
        &mut going,
        &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
    );
    assert_eq!(
        verdict("UPDATE", &going, Some(&broken)).await["allowed"],
        json!(true)
    );

    let (status, answer) = ask(
        TENANT_CONTROL_PLANE_PATH,
        review("DELETE", None, Some(&broken)),
    )
    .await;
    assert_eq!(
        (status, &answer["response"]["allowed"]),
        (StatusCode::OK, &json!(true))
    );
}

#[tokio::test]
async fn what_has_no_effect_is_said_to_the_client() {
    let ingress =
        with(&json!({"spec": {"controlPlane": {"ingress": {"hostname": "a.example.com"}}}}));
    let answer = verdict("CREATE", &ingress, None).await;
    assert_eq!(answer["allowed"], json!(true));
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("spec.controlPlane.ingress: accepted and not acted on yet"),
        "{warning}"
    );
    assert!(warning.len() <= 256, "{warning}");
}

#[tokio::test]
async fn generated_names_are_looked_at_as_far_as_they_go() {
    let generated = with(&json!({"metadata": {"name": null, "generateName": "tenant-"}}));
    assert_eq!(
        verdict("CREATE", &generated, None).await["allowed"],
        json!(true)
    );
    let bad = with(&json!({"metadata": {"name": null, "generateName": "1-"}}));
    assert_eq!(verdict("CREATE", &bad, None).await["allowed"], json!(false));
}

#[tokio::test]
async fn stores_are_looked_at_too() {
    let store = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "DataStore",
        "metadata": {"name": "default"},
        "spec": {"driver": "etcd", "endpoints": ["https://etcd:2379"]},
    });
    let (status, answer) = ask(DATA_STORE_PATH, review("CREATE", Some(&store), None)).await;
    assert_eq!(status, StatusCode::OK);
    let message = answer["response"]["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("write etcd:2379") && message.contains("spec.tlsConfig"),
        "{message}"
    );
}

#[tokio::test]
async fn nonsense_is_answered_and_not_believed() {
    for body in [
        "",
        "{",
        "[]",
        "{\"apiVersion\": \"admission.k8s.io/v1\", \"kind\": \"AdmissionReview\"}",
    ] {
        let (status, said) = ask(TENANT_CONTROL_PLANE_PATH, body.as_bytes().to_vec()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(
            said.as_str()
                .is_some_and(|said| said.contains("AdmissionReview")),
            "{said}"
        );
    }
    let foreign = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}});
    let answer = verdict("CREATE", &foreign, None).await;
    assert_eq!(answer["allowed"], json!(false));
    let too_long = vec![b' '; super::LARGEST_REVIEW + 1];
    assert_eq!(
        ask(TENANT_CONTROL_PLANE_PATH, too_long).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[test]
fn warnings_fit_and_stay_text() {
    assert_eq!(short("as it is"), "as it is");
    let cut = short(&"ü".repeat(300));
    assert!(cut.len() <= 256 && cut.ends_with("ü…"), "{cut}");
}
