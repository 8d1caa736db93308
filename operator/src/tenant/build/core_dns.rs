//! CoreDNS, when the addon asks for it.
//!
//! The Corefile may be edited in the tenant and stays edited. Two replicas are a start: whoever scales them is left
//! alone.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Affinity, ConfigMapVolumeSource, Container, ContainerPort, KeyToPath, PodAffinityTerm,
    PodAntiAffinity, PodSpec, PodTemplateSpec, Probe, Service, ServicePort, ServiceSpec,
    Toleration, Volume, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::SYSTEM;
use super::config_map::config_map;
use super::pod::{self, mount, probe, read_only};
use super::rbac::{account, bound, cluster_role, rule, service_account, within};
use crate::tenant::inputs::{Network, TenantInputs};
use crate::tenant::object::TenantObject;

/// Name of the workload, its service account, its `ConfigMap` and its container.
pub(super) const NAME: &str = "coredns";
/// Name of the Service, which is older than CoreDNS.
pub(super) const SERVICE: &str = "kube-dns";
/// Name of role and binding.
pub(super) const ROLE: &str = "system:coredns";
/// The file users may edit.
const COREFILE: &str = "Corefile";

/// CoreDNS' version in kubeadm of each minor: what that minor was tested with.
const VERSIONS: [(u64, &str); 7] = [
    (30, "v1.11.3"),
    (31, "v1.11.3"),
    (32, "v1.11.3"),
    (33, "v1.12.0"),
    (34, "v1.12.1"),
    (35, "v1.13.1"),
    (36, "v1.14.2"),
];

/// The tag of CoreDNS that goes with a Kubernetes minor; the nearest known one for others.
pub fn version(minor: u64) -> &'static str {
    let known = VERSIONS.iter().rev().find(|(known, _)| *known <= minor);
    let (_, version) = known.unwrap_or(&VERSIONS[0]);
    version
}

/// Everything of the addon, grants first.
pub(super) fn objects(inputs: &TenantInputs, image: &str) -> Vec<TenantObject> {
    let watch = ["list", "watch"];
    let rules = vec![
        rule("", "endpoints", &[], &watch),
        rule("", "services", &[], &watch),
        rule("", "pods", &[], &watch),
        rule("", "namespaces", &[], &watch),
        rule("discovery.k8s.io", "endpointslices", &[], &watch),
    ];
    let metadata = within(SYSTEM, NAME);
    let corefile = corefile(&inputs.network.domain);
    vec![
        account(NAME, NAME),
        cluster_role(NAME, ROLE, rules),
        bound(NAME, ROLE, ROLE, service_account(NAME)),
        config_map(NAME, metadata, [(COREFILE, corefile)]).editable(COREFILE),
        TenantObject::new(NAME, deployment(image)).scalable(),
        TenantObject::new(NAME, service(&inputs.network)),
    ]
}

fn corefile(domain: &str) -> String {
    format!(
        "\
.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus :9153
    forward . /etc/resolv.conf {{
       max_concurrent 1000
    }}
    cache 30 {{
       disable success {domain}
       disable denial {domain}
    }}
    loop
    reload
    loadbalance
}}
"
    )
}

fn service(network: &Network) -> Service {
    let mut metadata = within(SYSTEM, SERVICE);
    metadata.labels = Some(pod::labels(&[
        ("k8s-app", SERVICE),
        ("kubernetes.io/cluster-service", "true"),
        ("kubernetes.io/name", "CoreDNS"),
    ]));
    metadata.annotations = Some(pod::labels(&[
        ("prometheus.io/port", "9153"),
        ("prometheus.io/scrape", "true"),
    ]));
    Service {
        metadata,
        spec: Some(ServiceSpec {
            cluster_ip: network.dns_addresses.first().cloned(),
            ports: Some(vec![
                port("dns", 53, "UDP"),
                port("dns-tcp", 53, "TCP"),
                port("metrics", 9153, "TCP"),
            ]),
            selector: Some(pod::labels(&[("k8s-app", SERVICE)])),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn port(name: &str, port: u16, protocol: &str) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: port.into(),
        protocol: Some(protocol.to_owned()),
        target_port: Some(IntOrString::Int(port.into())),
        ..ServicePort::default()
    }
}

fn deployment(image: &str) -> Deployment {
    let labels = pod::labels(&[("k8s-app", SERVICE)]);
    let mut metadata = within(SYSTEM, NAME);
    metadata.labels = Some(labels.clone());
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(2),
            selector: pod::selector(labels.clone()),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(1)),
                    ..RollingUpdateDeployment::default()
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(pod::template_metadata(labels)),
                spec: Some(pod_spec(image)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(image: &str) -> PodSpec {
    PodSpec {
        affinity: Some(apart()),
        containers: vec![container(image)],
        dns_policy: Some("Default".to_owned()),
        node_selector: Some(pod::labels(&[("kubernetes.io/os", "linux")])),
        priority_class_name: Some("system-cluster-critical".to_owned()),
        service_account_name: Some(NAME.to_owned()),
        tolerations: Some(vec![
            Toleration {
                key: Some("CriticalAddonsOnly".to_owned()),
                operator: Some("Exists".to_owned()),
                ..Toleration::default()
            },
            Toleration {
                key: Some("node-role.kubernetes.io/control-plane".to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some("NoSchedule".to_owned()),
                ..Toleration::default()
            },
        ]),
        volumes: Some(vec![Volume {
            name: "config-volume".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: NAME.to_owned(),
                items: Some(vec![KeyToPath {
                    key: COREFILE.to_owned(),
                    path: COREFILE.to_owned(),
                    mode: None,
                }]),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

/// Two replicas on one node help nobody.
fn apart() -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: PodAffinityTerm {
                        label_selector: Some(pod::selector(pod::labels(&[("k8s-app", SERVICE)]))),
                        topology_key: "kubernetes.io/hostname".to_owned(),
                        ..PodAffinityTerm::default()
                    },
                },
            ]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn container(image: &str) -> Container {
    let named = |name: &str, port: u16, protocol: &str| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some(protocol.to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: NAME.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(vec!["-conf".to_owned(), "/etc/coredns/Corefile".to_owned()]),
        ports: Some(vec![
            named("dns", 53, "UDP"),
            named("dns-tcp", 53, "TCP"),
            named("metrics", 9153, "TCP"),
        ]),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(60),
            timeout_seconds: Some(5),
            failure_threshold: Some(5),
            ..probe("/health", 8080)
        }),
        readiness_probe: Some(probe("/ready", 8181)),
        resources: Some(pod::burstable("100m", "70Mi", "170Mi")),
        security_context: Some(pod::confined(&["NET_BIND_SERVICE"])),
        volume_mounts: Some(vec![read_only(mount("config-volume", "/etc/coredns"))]),
        ..Container::default()
    }
}
