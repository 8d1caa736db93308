//! kube-proxy, when the addon asks for it.
//!
//! The configuration may be edited in the tenant (`kubectl edit configmap kube-proxy`) and stays edited, for it has to
//! fit the nodes; the kubeconfig beside it and the pods are ours.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, PodSpec, PodTemplateSpec, SecurityContext, Toleration, Volume,
};
use serde_json::{Value, json};

use super::SYSTEM;
use super::config_map::{config_map, yaml};
use super::pod::{self, from_pod, host_path, mount, read_only};
use super::rbac::{NODE_TOKENS, account, bound, granted, group, rule, service_account, within};
use crate::tenant::inputs::{Family, TenantInputs};
use crate::tenant::object::TenantObject;

/// Name of the workload, its service account, its `ConfigMap` and its container.
pub(super) const NAME: &str = "kube-proxy";
/// The binding to what kube-proxy may watch.
pub(super) const BINDING: &str = "kubeadm:node-proxier";
/// The file of the configuration, which users may edit.
const CONFIGURATION: &str = "config.conf";
const DIRECTORY: &str = "/var/lib/kube-proxy";

/// Everything of the addon, grants first.
pub(super) fn objects(inputs: &TenantInputs, image: &str) -> Vec<TenantObject> {
    let mut objects = vec![
        account(NAME, NAME),
        bound(NAME, BINDING, "system:node-proxier", service_account(NAME)),
    ];
    objects.extend(granted(
        NAME,
        &within(SYSTEM, NAME),
        vec![rule("", "configmaps", &[NAME], &["get"])],
        vec![group(NODE_TOKENS)],
    ));
    let texts = [
        (CONFIGURATION, yaml(&configuration(inputs))),
        ("kubeconfig.conf", yaml(&kubeconfig(inputs))),
    ];
    objects.push(config_map(NAME, within(SYSTEM, NAME), texts).editable(CONFIGURATION));
    objects.push(TenantObject::new(NAME, daemon_set(image)));
    objects
}

fn configuration(inputs: &TenantInputs) -> Value {
    let bind_address = match inputs.network.family() {
        Family::V4 => "0.0.0.0",
        Family::V6 => "::",
    };
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": bind_address,
        "clientConnection": { "kubeconfig": format!("{DIRECTORY}/kubeconfig.conf") },
        "clusterCIDR": inputs.network.pod_cidrs.join(","),
    })
}

fn kubeconfig(inputs: &TenantInputs) -> Value {
    const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "default",
            "cluster": {
                "certificate-authority": format!("{ACCOUNT}/ca.crt"),
                "server": format!("https://{}", inputs.endpoint),
            },
        }],
        "contexts": [{
            "name": "default",
            "context": { "cluster": "default", "namespace": "default", "user": "default" },
        }],
        "current-context": "default",
        "users": [{ "name": "default", "user": { "tokenFile": format!("{ACCOUNT}/token") } }],
    })
}

fn daemon_set(image: &str) -> DaemonSet {
    let labels = pod::labels(&[("k8s-app", NAME)]);
    let mut metadata = within(SYSTEM, NAME);
    metadata.labels = Some(labels.clone());
    DaemonSet {
        metadata,
        spec: Some(DaemonSetSpec {
            selector: pod::selector(labels.clone()),
            template: PodTemplateSpec {
                metadata: Some(pod::template_metadata(labels)),
                spec: Some(pod_spec(image)),
            },
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: None,
            }),
            ..DaemonSetSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(image: &str) -> PodSpec {
    PodSpec {
        containers: vec![container(image)],
        host_network: Some(true),
        node_selector: Some(pod::labels(&[("kubernetes.io/os", "linux")])),
        priority_class_name: Some("system-node-critical".to_owned()),
        service_account_name: Some(NAME.to_owned()),
        tolerations: Some(vec![Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        }]),
        volumes: Some(vec![
            Volume {
                name: NAME.to_owned(),
                config_map: Some(ConfigMapVolumeSource {
                    name: NAME.to_owned(),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
            host_path("xtables-lock", "/run/xtables.lock", Some("FileOrCreate")),
            host_path("lib-modules", "/lib/modules", None),
        ]),
        ..PodSpec::default()
    }
}

fn container(image: &str) -> Container {
    Container {
        name: NAME.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec![
            "/usr/local/bin/kube-proxy".to_owned(),
            format!("--config={DIRECTORY}/{CONFIGURATION}"),
            "--hostname-override=$(NODE_NAME)".to_owned(),
        ]),
        env: Some(vec![from_pod("NODE_NAME", "spec.nodeName")]),
        security_context: Some(SecurityContext {
            privileged: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![
            mount(NAME, DIRECTORY),
            mount("xtables-lock", "/run/xtables.lock"),
            read_only(mount("lib-modules", "/lib/modules")),
        ]),
        ..Container::default()
    }
}
