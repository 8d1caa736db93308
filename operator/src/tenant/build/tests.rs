//! Holds `build.rs` to what it promises.

use serde_json::{Value, json};

use super::fixtures::inputs;
use super::*;
use crate::tenant::inputs::{Addons, Agent, Placement, PodNetwork};
use crate::tenant_control_plane::control_plane::TunnelImage;

fn with_agent(change: impl FnOnce(&mut Agent)) -> TenantInputs {
    let mut inputs = inputs(33);
    change(inputs.addons.konnectivity.as_mut().unwrap());
    inputs
}

fn everything(minor: u64) -> TenantInputs {
    let mut inputs = inputs(minor);
    inputs.addons.kube_proxy = Some(format!("registry.k8s.io/kube-proxy:v1.{minor}.0"));
    inputs.addons.core_dns = Some(format!(
        "registry.k8s.io/coredns/coredns:{}",
        core_dns::version(minor)
    ));
    inputs
}

fn find(objects: &[TenantObject], kind: &str, name: &str) -> Value {
    let found = objects.iter().find(|object| {
        let key = object.key();
        key.kind == kind && key.name == name
    });
    serde_json::to_value(
        &found
            .unwrap_or_else(|| panic!("{kind} {name} is not built"))
            .object,
    )
    .unwrap()
}

fn yaml_of(object: &Value, key: &str) -> Value {
    serde_yaml::from_str(object["data"][key].as_str().unwrap()).unwrap()
}

/// Every object as one YAML text; checksums follow from the rest.
fn rendered(inputs: &TenantInputs) -> String {
    let objects = objects(inputs).unwrap().into_iter().map(|mut object| {
        let annotations = object.object.metadata.annotations.as_mut().unwrap();
        annotations.retain(|name, _| name != crate::labels::CHECKSUM);
        if annotations.is_empty() {
            object.object.metadata.annotations = None;
        }
        serde_yaml::to_string(&object.object).unwrap()
    });
    objects.collect::<Vec<_>>().join("---\n")
}

#[test]
fn a_tenant_with_an_agent_on_every_node_is_built() {
    insta::assert_snapshot!("daemon_set_1_33", rendered(&inputs(33)));
}

#[test]
fn a_tenant_with_a_number_of_agents_and_all_addons_is_built() {
    let mut inputs = everything(36);
    let agent = inputs.addons.konnectivity.as_mut().unwrap();
    agent.placement = Placement::Replicas(Some(2));
    agent.network = PodNetwork::Host;
    insta::assert_snapshot!("deployment_all_addons_1_36", rendered(&inputs));
}

#[test]
fn the_oldest_minor_gets_only_what_it_knows() {
    let objects = objects(&inputs(30)).unwrap();
    let config = yaml_of(
        &find(&objects, "ConfigMap", "kubeadm-config"),
        "ClusterConfiguration",
    );
    assert_eq!(config["apiVersion"], "kubeadm.k8s.io/v1beta3");
    assert_eq!(config.get("proxy"), None);
    let pod = find(&objects, "DaemonSet", "konnectivity-agent");
    let args = &pod["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(
        args.to_string().contains("count-server-leases"),
        "our server publishes Leases whatever the tenant's version is: {args}"
    );
    let literal = |image: &str| {
        let mut inputs = inputs(30);
        let agent = inputs.addons.konnectivity.as_mut().unwrap();
        agent.image = TunnelImage::Literal(image.to_owned());
        let built = super::objects(&inputs).unwrap();
        let pod = find(&built, "DaemonSet", "konnectivity-agent");
        pod["spec"]["template"]["spec"]["containers"][0]["args"].to_string()
    };
    let args = literal("r.example/a:v0.30.3");
    assert!(!args.contains("count-server-leases"), "{args}");
    let args = literal("r.example/a:v0.31.0");
    assert!(args.contains("count-server-leases"), "{args}");
}

#[test]
fn a_number_of_agents_is_owned_only_when_given() {
    let built = objects(&with_agent(|agent| {
        agent.placement = Placement::Replicas(None);
    }))
    .unwrap();
    let deployment = find(&built, "Deployment", "konnectivity-agent");
    assert_eq!(deployment["spec"].get("replicas"), None);
    let built = objects(&with_agent(|agent| {
        agent.placement = Placement::Replicas(Some(3));
    }))
    .unwrap();
    assert_eq!(
        find(&built, "Deployment", "konnectivity-agent")["spec"]["replicas"],
        3
    );
}

#[test]
fn flags_of_the_user_replace_ours_in_their_place() {
    let extra = [
        "--keepalive-time=30s",
        "--sync-forever",
        "--admin-server-port=9000",
    ];
    let inputs = with_agent(|agent| agent.extra_args = extra.map(str::to_owned).to_vec());
    let built = objects(&inputs).unwrap();
    let pod = find(&built, "DaemonSet", "konnectivity-agent");
    let args = pod["spec"]["template"]["spec"]["containers"][0]["args"]
        .as_array()
        .unwrap();
    let args: Vec<_> = args.iter().filter_map(Value::as_str).collect();
    for arg in extra {
        assert_eq!(
            args.iter().filter(|found| **found == arg).count(),
            1,
            "{args:?}"
        );
    }
    assert!(!args.contains(&"--keepalive-time=1m0s"));
    assert_eq!(args.last(), Some(&"--sync-forever"));
}

#[test]
fn the_users_patch_has_the_last_word_on_kubelets() {
    let mut inputs = inputs(33);
    let patch = json!([
        { "op": "add", "path": "/featureGates", "value": { "KubeletCrashLoopBackOffMax": true } },
        { "op": "replace", "path": "/cgroupDriver", "value": "cgroupfs" },
    ]);
    inputs.kubelet.patch = serde_json::from_value(patch).unwrap();
    let built = objects(&inputs).unwrap();
    let config = yaml_of(&find(&built, "ConfigMap", "kubelet-config"), "kubelet");
    assert_eq!(config["cgroupDriver"], "cgroupfs");
    assert_eq!(config["featureGates"]["KubeletCrashLoopBackOffMax"], true);

    let patch = json!([{ "op": "remove", "path": "/noSuchField" }]);
    inputs.kubelet.patch = serde_json::from_value(patch).unwrap();
    let error = objects(&inputs).unwrap_err().to_string();
    assert!(error.contains("configurationJSONPatches"), "{error}");
}

#[test]
fn cluster_info_is_a_kubeconfig_of_one_nameless_cluster() {
    let built = objects(&inputs(33)).unwrap();
    let kubeconfig = yaml_of(&find(&built, "ConfigMap", "cluster-info"), "kubeconfig");
    assert_eq!(kubeconfig["clusters"].as_array().unwrap().len(), 1);
    assert_eq!(kubeconfig["clusters"][0]["name"], "");
    assert_eq!(
        kubeconfig["clusters"][0]["cluster"]["server"],
        "https://192.0.2.10:6443"
    );
}

#[test]
fn what_addons_bring_is_optional_and_nothing_else_is() {
    let mut bare = inputs(33);
    bare.addons = Addons::default();
    let core: Vec<_> = objects(&bare)
        .unwrap()
        .iter()
        .map(TenantObject::key)
        .collect();
    for key in &core {
        assert!(!is_optional(key), "{key} would be removed");
    }
    let mut full = everything(33);
    for placement in [Placement::EveryNode, Placement::Replicas(None)] {
        full.addons.konnectivity.as_mut().unwrap().placement = placement;
        for key in objects(&full).unwrap().iter().map(TenantObject::key) {
            assert!(
                core.contains(&key) || is_optional(&key),
                "{key} would stay behind"
            );
        }
    }
}

#[test]
fn names_are_unique_and_every_object_is_ours() {
    let built = objects(&everything(34)).unwrap();
    let keys: std::collections::BTreeSet<_> = built.iter().map(TenantObject::key).collect();
    assert_eq!(keys.len(), built.len());
    for object in &built {
        let labels = object.object.metadata.labels.as_ref().unwrap();
        assert_eq!(
            labels[crate::labels::PROJECT],
            crate::labels::PROJECT_VALUE,
            "{}",
            object.key()
        );
    }
}

#[test]
fn ipv6_first_reaches_agents_and_kube_proxy() {
    let mut inputs = everything(33);
    inputs.network.service_cidrs = vec!["fd00:1::/112".to_owned(), "10.96.0.0/16".to_owned()];
    let built = objects(&inputs).unwrap();
    let config = yaml_of(&find(&built, "ConfigMap", "kube-proxy"), "config.conf");
    assert_eq!(config["bindAddress"], "::");
    let pod = find(&built, "DaemonSet", "konnectivity-agent").to_string();
    assert!(pod.contains("--agent-identifiers=ipv6=$(HOST_IP)&host=$(NODE_NAME)"));
}
