//! The pods: what rolls them, what they may see and do, and what users may change.

use serde_json::{Value, json};

use super::body;
use crate::tenant_control_plane::build;
use crate::tenant_control_plane::fixtures::{
    DOCUMENTED, after, built, day, documented_with, issued, manifest, observed,
};

fn template(spec: &Value) -> Value {
    let objects = built(&documented_with(spec), &observed());
    body(&objects, "Deployment")["spec"]["template"].clone()
}

fn container(spec: &Value, name: &str) -> Value {
    let template = template(spec);
    let containers = template["spec"]["containers"].as_array().unwrap();
    containers
        .iter()
        .find(|container| container["name"] == name)
        .unwrap()
        .clone()
}

fn arguments(spec: &Value, name: &str) -> Vec<String> {
    let container = container(spec, name);
    let arguments = container["args"].as_array().unwrap();
    arguments
        .iter()
        .map(|argument| argument.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn scaling_rolls_no_pod() {
    let known = after(&observed(), &built(&manifest(DOCUMENTED), &observed()));
    let with = |replicas: i32| {
        let spec = json!({"controlPlane": {"deployment": {"replicas": replicas}}});
        let objects = built(&documented_with(&spec), &known);
        let deployment = &body(&objects, "Deployment")["spec"];
        (
            deployment["replicas"].clone(),
            deployment["template"].clone(),
        )
    };
    let (two, seven, none) = (with(2), with(7), with(0));
    assert_eq!(
        [&two.0, &seven.0, &none.0],
        [&json!(2), &json!(7), &json!(0)]
    );
    assert_eq!(two.1, seven.1);
    assert_eq!(two.1, none.1);
    assert!(!two.1.to_string().contains("server-count"));
}

#[test]
fn only_the_controller_manager_sees_an_authoritys_key() {
    let template = template(&json!({}));
    let volumes = template["spec"]["volumes"].as_array().unwrap();
    let with_key: Vec<_> = volumes
        .iter()
        .filter(|volume| volume.to_string().contains("ca.key"))
        .map(|volume| volume["name"].as_str().unwrap())
        .collect();
    assert_eq!(with_key, ["controller-manager-kubeconfig"]);
    assert!(!template.to_string().contains("front-proxy-ca.key"));
    assert!(!template.to_string().contains("subPath"));
    let containers = template["spec"]["containers"].as_array().unwrap();
    let mounting: Vec<_> = containers
        .iter()
        .filter(|container| {
            container["volumeMounts"]
                .to_string()
                .contains("controller-manager-kubeconfig")
        })
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    assert_eq!(mounting, ["kube-controller-manager"]);
}

#[test]
fn readiness_never_asks_for_agents() {
    let server = container(&json!({}), "konnectivity-server");
    assert_eq!(server["readinessProbe"], Value::Null);
    for probe in ["startupProbe", "livenessProbe"] {
        assert_eq!(server[probe]["httpGet"]["path"], "/healthz", "{probe}");
    }
}

#[test]
fn checksums_change_with_what_processes_do_not_read_again() {
    let known = after(&observed(), &built(&manifest(DOCUMENTED), &observed()));
    let annotations = |spec: &Value, days| {
        let (control_plane, pki) = issued(&documented_with(spec), &known, day(days));
        let objects = build(&control_plane, Some(&pki));
        body(&objects, "Deployment")["spec"]["template"]["metadata"]["annotations"].clone()
    };
    let settled = annotations(&json!({}), 1);
    // A new name is in kube-apiserver's certificate and in the tunnel's, and both are read again.
    let names = json!({"networkProfile": {"certSANs": ["api.example.org"]}});
    let more_names = annotations(&names, 1);
    let grpc = json!({"addons": {"konnectivity": {"server": {"egressProtocol": "GRPC"}}}});
    let protocol = annotations(&grpc, 1);
    let renewed = annotations(&json!({}), 300);
    let changed = |other: &Value| {
        let names = settled.as_object().unwrap().iter();
        let names = names.filter(|(name, value)| other[name.as_str()] != **value);
        names
            .map(|(name, _)| name.rsplit('/').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(settled, annotations(&json!({}), 2));
    assert!(changed(&more_names).is_empty());
    assert_eq!(changed(&protocol), ["egress-selector"]);
    assert_eq!(
        changed(&renewed),
        ["controller-manager-kubeconfig", "scheduler-kubeconfig"]
    );
}

#[test]
fn containers_meet_the_restricted_standard() {
    let template = template(&json!({}));
    for container in template["spec"]["containers"].as_array().unwrap() {
        let name = &container["name"];
        let security = &container["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{name}");
        assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{name}");
        assert_eq!(
            security["seccompProfile"]["type"], "RuntimeDefault",
            "{name}"
        );
        assert!(
            container["resources"]["requests"]["memory"].is_string(),
            "{name}"
        );
    }
}

#[test]
fn the_users_additions_come_first_and_ours_stay_ours() {
    let spec = json!({"controlPlane": {"deployment": {
        "additionalContainers": [{"name": "audit", "image": "example.org/audit:1"}],
        "additionalInitContainers": [{"name": "wait", "image": "example.org/wait:1"}],
        "additionalVolumes": [{"name": "audit", "emptyDir": {}}],
        "additionalVolumeMounts": {"apiServer": [{"name": "audit", "mountPath": "/audit"}]},
        "podAdditionalMetadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "extraArgs": {"apiServer": ["--audit-log-path=/audit/log", "--secure-port=1"]},
        "resources": {"apiServer": {"limits": {"memory": "1Gi"}}},
        "podSecurityContext": {"runAsUser": 1000},
    }}});
    let template = template(&spec);
    let names: Vec<_> = template["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    let order = [
        "audit",
        "kube-apiserver",
        "kube-scheduler",
        "kube-controller-manager",
        "konnectivity-server",
    ];
    assert_eq!(names, order);
    assert_eq!(template["spec"]["initContainers"][0]["name"], "wait");
    assert_eq!(template["spec"]["volumes"][0]["name"], "audit");
    assert_eq!(template["metadata"]["labels"]["team"], "a");
    assert_eq!(template["metadata"]["annotations"]["note"], "b");

    let server = container(&spec, "kube-apiserver");
    assert_eq!(server["volumeMounts"][0]["name"], "audit");
    assert_eq!(server["resources"], json!({"limits": {"memory": "1Gi"}}));
    assert_eq!(
        server["securityContext"]["runAsUser"],
        Value::Null,
        "who runs is the user's choice"
    );
    let arguments = arguments(&spec, "kube-apiserver");
    assert!(arguments.contains(&"--secure-port=6443".to_owned()));
    assert_eq!(arguments.last().unwrap(), "--audit-log-path=/audit/log");
}

#[test]
fn the_deployment_remembers_which_extra_arguments_it_has() {
    let annotated = |spec: &Value| {
        let objects = built(&documented_with(spec), &observed());
        body(&objects, "Deployment")["metadata"]["annotations"].clone()
    };
    let extra = ["--audit-log-path=/audit/log", "--secure-port=1"];
    let spec = json!({"controlPlane": {"deployment": {"extraArgs": {"apiServer": extra}}}});
    assert_eq!(
        annotated(&spec)["kube-apiserver.kamaji.clastix.io/args"],
        "c956cb8370c3c99d6dd0f6f73988921b",
        "as `printf '%s\\0' … | md5sum` says"
    );
    assert_eq!(annotated(&json!({})), Value::Null);
}

#[test]
fn probe_timings_of_a_component_win_over_those_for_all() {
    let spec = json!({"controlPlane": {"deployment": {"probes": {
        "startup": {"failureThreshold": 7, "periodSeconds": 3},
        "apiServer": {"startup": {"failureThreshold": 9}},
    }}}});
    let api_server = container(&spec, "kube-apiserver");
    assert_eq!(api_server["startupProbe"]["failureThreshold"], 9);
    assert_eq!(api_server["startupProbe"]["periodSeconds"], 3);
    assert_eq!(
        container(&spec, "kube-scheduler")["startupProbe"]["failureThreshold"],
        7
    );
}

#[test]
fn another_tunnel_image_is_given_the_references_flags_only() {
    let server = json!({"image": "example.org/server"});
    let spec = json!({"addons": {"konnectivity": {"server": server}}, "kubernetes": {"version": "v1.30.4"}});
    let server = container(&spec, "konnectivity-server");
    assert_eq!(server["image"], "example.org/server:v0.30.0");
    let annotations = template(&spec)["metadata"]["annotations"].to_string();
    assert!(
        annotations.contains("/konnectivity"),
        "the reference loads its certificate once"
    );
    let arguments = arguments(&spec, "konnectivity-server");
    assert!(
        !arguments
            .iter()
            .any(|argument| argument.contains("graceful") || argument.contains("lease"))
    );
    assert!(!arguments.join(" ").contains("service-account-"));
    assert!(!arguments.join(" ").contains("review"));
    assert!(!keys_of_the_tunnel(&spec).contains("sa.pub"));
}

/// The files of the tunnel's volume.
fn keys_of_the_tunnel(spec: &Value) -> String {
    let template = template(spec);
    let volumes = template["spec"]["volumes"].as_array().unwrap();
    volumes
        .iter()
        .find(|volume| volume["name"] == "konnectivity-server-kubeconfig")
        .unwrap()
        .to_string()
}

#[test]
fn agents_tokens_are_checked_by_the_key_and_the_issuers_of_kube_apiserver() {
    let flags = |spec: &Value| {
        let mut flags = arguments(spec, "konnectivity-server");
        flags.retain(|flag| {
            flag.contains("-public-key") || flag.contains("issuer") || flag.contains("review")
        });
        flags
    };
    assert_eq!(
        flags(&json!({})),
        [
            "--review-accepted-tokens=true",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-public-key-file=/etc/kubernetes/pki/sa.pub",
        ]
    );
    let files = keys_of_the_tunnel(&json!({}));
    assert!(
        files.contains("sa.pub") && !files.contains("sa.key"),
        "{files}"
    );
    let issuers = [
        "--service-account-issuer=https://b",
        "--service-account-issuer=https://a",
    ];
    let spec = json!({"controlPlane": {"deployment": {"extraArgs": {"apiServer": issuers}}}});
    assert_eq!(
        flags(&spec)[1..3],
        [
            "--service-account-issuer=https://a",
            "--service-account-issuer=https://b"
        ]
    );
}
