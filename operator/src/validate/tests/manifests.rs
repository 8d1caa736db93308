//! Bad tenant control planes, one mistake each.

use super::{refused, review};

/// Edits of the good manifest; each is refused at that field with that remedy.
const NAMES_AND_VERSIONS: &[(&str, &str, &str)] = &[
    (
        "{metadata: {name: 1tenant}}",
        "metadata.name",
        "the first a letter",
    ),
    ("{metadata: {name: a.b}}", "metadata.name", "hyphens"),
    (
        "{metadata: {name: tenant-}}",
        "metadata.name",
        "the last no hyphen",
    ),
    (
        "{metadata: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}",
        "metadata.name",
        "at most 63",
    ),
    (
        "{spec: {kubernetes: {version: '1.33.0'}}}",
        "spec.kubernetes.version",
        "write v1.33.0",
    ),
    (
        "{spec: {kubernetes: {version: latest}}}",
        "spec.kubernetes.version",
        "such as v1.33.0",
    ),
    (
        "{spec: {kubernetes: {version: v1.33}}}",
        "spec.kubernetes.version",
        "such as v1.33.0",
    ),
    (
        "{spec: {kubernetes: {version: v1.29.1}}}",
        "spec.kubernetes.version",
        "choose v1.30.0 or newer",
    ),
    (
        "{spec: {kubernetes: {version: v1.99.0}}}",
        "spec.kubernetes.version",
        "choose a release of v1.36",
    ),
    (
        "{spec: {kubernetes: {admissionControllers: [PodSecurityPolicy]}}}",
        "spec.kubernetes.admissionControllers[0]",
        "use PodSecurity",
    ),
    (
        "{spec: {kubernetes: {kubelet: {preferredAddressTypes: [Hostname, Hostname]}}}}",
        "spec.kubernetes.kubelet.preferredAddressTypes[1]",
        "remove one",
    ),
    (
        "{spec: {kubernetes: {kubelet: {preferredAddressTypes: []}}}}",
        "spec.kubernetes.kubelet.preferredAddressTypes",
        "name InternalIP",
    ),
    (
        "{spec: {kubernetes: {kubelet: {configurationJSONPatches: [{op: remove, path: a}]}}}}",
        "spec.kubernetes.kubelet.configurationJSONPatches[0].path",
        "/cgroupDriver",
    ),
    (
        "{spec: {kubernetes: {kubelet: {configurationJSONPatches: [{op: remove, path: /a~b}]}}}}",
        "spec.kubernetes.kubelet.configurationJSONPatches[0].path",
        "~1 for /",
    ),
    (
        "{spec: {kubernetes: {kubelet: {configurationJSONPatches: [{op: add, path: /a}]}}}}",
        "spec.kubernetes.kubelet.configurationJSONPatches[0].value",
        "need a value",
    ),
    (
        "{spec: {kubernetes: {kubelet: {configurationJSONPatches: [{op: move, path: /a}]}}}}",
        "spec.kubernetes.kubelet.configurationJSONPatches[0].from",
        "to take from",
    ),
    (
        "{spec: {kubernetes: {kubelet: {configurationJSONPatches: [{op: remove, path: /kind}]}}}}",
        "spec.kubernetes.kubelet.configurationJSONPatches[0].path",
        "remove the patch",
    ),
];

const NETWORKS: &[(&str, &str, &str)] = &[
    (
        "{address: api.example.com}",
        "address",
        "put names into certSANs",
    ),
    (
        "{address: 0.0.0.0}",
        "address",
        "the address that clients use",
    ),
    ("{address: 127.0.0.1}", "address", "nodes cannot dial it"),
    ("{advertiseAddress: x}", "advertiseAddress", "192.0.2.10"),
    ("{clusterDomain: local}", "clusterDomain", "cluster.local"),
    (
        "{clusterDomain: Upper.local}",
        "clusterDomain",
        "cluster.local",
    ),
    (
        "{certSANs: ['api.example.com:6443']}",
        "certSANs[0]",
        "write api.example.com",
    ),
    (
        "{certSANs: [good.example.com, 'bad name']}",
        "certSANs[1]",
        "such as api.example.com",
    ),
    (
        "{certSANs: ['https://api.example.com']}",
        "certSANs[0]",
        "such as api.example.com",
    ),
    (
        "{serviceCidr: 10.96.0.0}",
        "serviceCidr",
        "such as 10.96.0.0/16",
    ),
    (
        "{podCidr: 10.244.0.0/33}",
        "podCidr",
        "such as 10.96.0.0/16",
    ),
    ("{serviceCidr: ''}", "serviceCidr", "remove the field"),
    ("{podCidr: ''}", "podCidr", "remove the field"),
    (
        "{serviceCidr: 10.244.8.0/24}",
        "serviceCidr",
        "choose another",
    ),
    (
        "{serviceCidr: 10.240.0.0/12}",
        "serviceCidr",
        "10.244.0.0/16",
    ),
    (
        "{serviceCidrs: [10.96.0.0/16, 10.97.0.0/16], podCidrs: [10.244.0.0/16, 'fd00::/56']}",
        "serviceCidrs[1]",
        "one of each family",
    ),
    (
        "{serviceCidrs: [10.96.0.0/16, x], podCidrs: [10.1.0.0/16]}",
        "serviceCidrs[1]",
        "such as",
    ),
    (
        "{serviceCidr: 10.0.0.0/11}",
        "serviceCidr",
        "write /12 or longer",
    ),
    (
        "{serviceCidr: 'fd00::/64', podCidr: 'fd01::/56'}",
        "serviceCidr",
        "write /108 or longer",
    ),
    (
        "{serviceCidr: 10.96.0.0/29}",
        "serviceCidr",
        "write /28 or shorter",
    ),
    (
        "{dnsServiceIPs: [dns]}",
        "dnsServiceIPs[0]",
        "one of the Service range",
    ),
    (
        "{dnsServiceIPs: [10.97.0.10]}",
        "dnsServiceIPs[0]",
        "write one inside",
    ),
    (
        "{dnsServiceIPs: [10.96.0.1]}",
        "dnsServiceIPs[0]",
        "write another",
    ),
    (
        "{dnsServiceIPs: [10.96.0.10, 10.96.0.10]}",
        "dnsServiceIPs[1]",
        "remove one",
    ),
    (
        "{loadBalancerSourceRanges: [192.0.2.1]}",
        "loadBalancerSourceRanges[0]",
        "192.0.2.0/24",
    ),
];

const PORTS: &[(&str, &str, &str)] = &[
    (
        "{spec: {networkProfile: {port: 70000}}}",
        "spec.networkProfile.port",
        "1 to 65535",
    ),
    (
        "{spec: {networkProfile: {port: 10257}}}",
        "spec.networkProfile.port",
        "kube-controller-manager",
    ),
    (
        "{spec: {networkProfile: {port: 10259}}}",
        "spec.networkProfile.port",
        "kube-scheduler",
    ),
    (
        "{spec: {networkProfile: {port: 8134}}}",
        "spec.networkProfile.port",
        "health endpoint",
    ),
    (
        "{spec: {addons: {konnectivity: {server: {port: 8135}}}}}",
        "spec.addons.konnectivity.server.port",
        "konnectivity-server's peers",
    ),
    (
        "{spec: {addons: {konnectivity: {server: {port: 8133}}}}}",
        "spec.addons.konnectivity.server.port",
        "admin endpoint",
    ),
    (
        "{spec: {addons: {konnectivity: {server: {port: 6443}}}}}",
        "spec.addons.konnectivity.server.port",
        "choose another",
    ),
    (
        "{spec: {controlPlane: {service: {additionalPorts: [{name: a, port: 6443, targetPort: 1}]}}}}",
        "spec.controlPlane.service.additionalPorts[0].port",
        "taken on the Service by spec.networkProfile.port",
    ),
    (
        "{spec: {controlPlane: {service: {additionalPorts: [{name: kube-apiserver, port: 1, targetPort: 1}]}}}}",
        "spec.controlPlane.service.additionalPorts[0].name",
        "choose another",
    ),
    (
        "{spec: {controlPlane: {service: {additionalPorts: [{name: a, port: 1, targetPort: 0}]}}}}",
        "spec.controlPlane.service.additionalPorts[0].targetPort",
        "1 to 65535",
    ),
    (
        "{spec: {controlPlane: {service: {additionalPorts: [{name: a, port: 1, targetPort: 1}, {name: b, port: 1, targetPort: 1}]}}}}",
        "spec.controlPlane.service.additionalPorts[1].port",
        "remove one",
    ),
    (
        "{spec: {controlPlane: {service: {additionalPorts: [{name: a, port: 1, targetPort: 1}, {name: a, port: 2, targetPort: 1}]}}}}",
        "spec.controlPlane.service.additionalPorts[1].name",
        "rename one",
    ),
    (
        "{spec: {controlPlane: {service: {serviceType: NodePort, allocateLoadBalancerNodePorts: true}}, networkProfile: {port: 31443}, addons: null}}",
        "spec.controlPlane.service.allocateLoadBalancerNodePorts",
        "serviceType to LoadBalancer",
    ),
    (
        "{spec: {controlPlane: {service: {serviceType: NodePort}}, addons: null}}",
        "spec.networkProfile.port",
        "30000 to 32767",
    ),
    (
        "{spec: {controlPlane: {service: {serviceType: NodePort}}, networkProfile: {port: 31443}}}",
        "spec.addons.konnectivity.server.port",
        "30000 to 32767",
    ),
    (
        "{spec: {controlPlane: {service: {serviceType: ClusterIP}}, networkProfile: {loadBalancerSourceRanges: [192.0.2.0/24]}}}",
        "spec.networkProfile.loadBalancerSourceRanges",
        "only for a load balancer",
    ),
    (
        "{spec: {controlPlane: {service: {serviceType: ClusterIP}}, networkProfile: {loadBalancerClass: x}}}",
        "spec.networkProfile.loadBalancerClass",
        "only for a load balancer",
    ),
];

pub(super) fn each(prefix: &str, wrap: fn(&str) -> String, cases: &[(&str, &str, &str)]) {
    for (edit, field, remedy) in cases {
        let field = format!("{prefix}{field}");
        refused(edit, &review(&wrap(edit)), &[(field.as_str(), remedy)]);
    }
}

#[test]
fn names_and_versions_are_refused_with_field_and_remedy() {
    each("", str::to_owned, NAMES_AND_VERSIONS);
}

#[test]
fn networks_are_refused_with_field_and_remedy() {
    each(
        "spec.networkProfile.",
        |edit| format!("{{spec: {{networkProfile: {edit}}}}}"),
        NETWORKS,
    );
}

#[test]
fn ports_are_refused_with_field_and_remedy() {
    each("", str::to_owned, PORTS);
}

/// The service range's size is a matter of the version.
#[test]
fn large_service_ranges_are_for_newer_versions() {
    let wide = "networkProfile: {serviceCidr: 'fd00::/64', podCidr: 'fd01::/56'}";
    let newer = review(&format!(
        "{{spec: {{kubernetes: {{version: v1.34.0}}, {wide}}}}}"
    ));
    assert!(newer.is_clean(), "{}", newer.explain());
}

#[test]
fn a_name_in_the_store_is_neither_the_administrator_nor_a_path() {
    for name in ["root", "a/registry", "/a", "..", "ä", "a b"] {
        let edit = format!("{{spec: {{dataStoreSchema: {name:?}, dataStoreUsername: {name:?}}}}}");
        let remedy = "or remove the field";
        let expected = [
            ("spec.dataStoreSchema", remedy),
            ("spec.dataStoreUsername", remedy),
        ];
        refused(name, &review(&edit), &expected);
    }
    for name in ["", "team_a.b-C", "5c2a9e4e-0d3b-4c55-9f0a-6b1d3f0c7a11"] {
        let edit = format!("{{spec: {{dataStoreSchema: {name:?}, dataStoreUsername: {name:?}}}}}");
        assert!(review(&edit).is_clean(), "{name}");
    }
}
