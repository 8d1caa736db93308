//! A tenant for tests of this controller.

use k8s_openapi::api::core::v1::Toleration;

use crate::tenant::inputs::{
    Addons, Agent, HostPort, Kubelet, Network, Placement, PodNetwork, TenantInputs, TenantVersion,
};
use crate::tenant_control_plane::control_plane::TunnelImage;

/// A tenant of the documents' manifest, with an agent on every node.
pub(crate) fn inputs(minor: u64) -> TenantInputs {
    let endpoint = HostPort::parse("192.0.2.10:6443").unwrap();
    TenantInputs {
        name: "konnectivity-example".to_owned(),
        version: TenantVersion {
            text: format!("v1.{minor}.0"),
            minor,
        },
        authority: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned(),
        network: Network {
            domain: "cluster.local".to_owned(),
            service_cidrs: vec!["10.96.0.0/16".to_owned()],
            pod_cidrs: vec!["10.244.0.0/16".to_owned()],
            dns_addresses: vec!["10.96.0.10".to_owned()],
        },
        kubelet: Kubelet {
            cgroup_driver: "systemd".to_owned(),
            patch: json_patch::Patch::default(),
        },
        registry: "registry.k8s.io".to_owned(),
        addons: Addons {
            konnectivity: Some(Agent {
                image: TunnelImage::Ours("example.com/konnectivity-agent:1".to_owned()),
                placement: Placement::EveryNode,
                network: PodNetwork::Cluster,
                tolerations: vec![Toleration {
                    key: Some("CriticalAddonsOnly".to_owned()),
                    operator: Some("Exists".to_owned()),
                    ..Toleration::default()
                }],
                resources: None,
                extra_args: Vec::new(),
                server: HostPort {
                    host: endpoint.host.clone(),
                    port: 8132,
                },
            }),
            kube_proxy: None,
            core_dns: None,
        },
        endpoint,
    }
}
