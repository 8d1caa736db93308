//! Bad pods and bad addons, one mistake each.

use super::manifests::each;
use super::{refused, review};

const DEPLOYMENTS: &[(&str, &str, &str)] = &[
    (
        "{replicas: -1}",
        "replicas",
        "write 0 to put the tenant to sleep",
    ),
    (
        "{serviceAccountName: ''}",
        "serviceAccountName",
        "name one of this namespace",
    ),
    (
        "{strategy: {type: Sometimes}}",
        "strategy.type",
        "RollingUpdate or Recreate",
    ),
    (
        "{strategy: {type: Recreate, rollingUpdate: {}}}",
        "strategy.rollingUpdate",
        "remove it",
    ),
    (
        "{strategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 0}}}",
        "strategy.rollingUpdate.maxSurge",
        "raise one of both",
    ),
    (
        "{registrySettings: {registry: 'https://r'}}",
        "registrySettings.registry",
        "registry.k8s.io",
    ),
    (
        "{registrySettings: {apiServerImage: 'a:v1'}}",
        "registrySettings.apiServerImage",
        "the tag is version",
    ),
    (
        "{additionalContainers: [{name: kube-apiserver}]}",
        "additionalContainers[0].name",
        "choose another name",
    ),
    (
        "{additionalContainers: [{name: a}, {name: a}]}",
        "additionalContainers[1].name",
        "rename one",
    ),
    (
        "{additionalInitContainers: [{name: A_B}]}",
        "additionalInitContainers[0].name",
        "lower-case",
    ),
    (
        "{additionalVolumes: [{name: konnectivity-uds}]}",
        "additionalVolumes[0].name",
        "choose another name",
    ),
    (
        "{additionalVolumes: [{name: a}, {name: a}]}",
        "additionalVolumes[1].name",
        "rename one",
    ),
    (
        "{additionalVolumeMounts: {scheduler: [{name: a, mountPath: /a}]}}",
        "additionalVolumeMounts.scheduler[0].name",
        "add it to additionalVolumes",
    ),
    (
        "{additionalVolumes: [{name: a}], additionalVolumeMounts: {apiServer: [{name: a, mountPath: /etc/kubernetes/pki/}]}}",
        "additionalVolumeMounts.apiServer[0].mountPath",
        "beside them",
    ),
    (
        "{probes: {liveness: {successThreshold: 2}}}",
        "probes.liveness.successThreshold",
        "write 1",
    ),
    (
        "{probes: {scheduler: {startup: {successThreshold: 3}}}}",
        "probes.scheduler.startup.successThreshold",
        "write 1",
    ),
    (
        "{podAdditionalMetadata: {labels: {kamaji.clastix.io/name: other}}}",
        "podAdditionalMetadata.labels[kamaji.clastix.io/name]",
        "remove it",
    ),
    (
        "{additionalMetadata: {labels: {a b: c}}}",
        "additionalMetadata.labels[a b]",
        "at most 63",
    ),
    (
        "{additionalMetadata: {annotations: {a b: c}}}",
        "additionalMetadata.annotations[a b]",
        "use letters",
    ),
    (
        "{extraArgs: {apiServer: ['v=4']}}",
        "extraArgs.apiServer[0]",
        "--flag=value",
    ),
    (
        "{extraArgs: {controllerManager: ['-- v=4']}}",
        "extraArgs.controllerManager[0]",
        "--flag=value",
    ),
    (
        "{extraArgs: {scheduler: ['']}}",
        "extraArgs.scheduler[0]",
        "--flag=value",
    ),
];

const TUNNELS: &[(&str, &str, &str)] = &[
    (
        "{agent: {replicas: 2}}",
        "agent.replicas",
        "set mode to Deployment",
    ),
    (
        "{agent: {mode: Deployment, replicas: 0}}",
        "agent.replicas",
        "set 1 or more",
    ),
    (
        "{agent: {mode: Deployment, replicas: -3}}",
        "agent.replicas",
        "write 1 or more",
    ),
    (
        "{agent: {image: 'registry.example.com:5000/agent:v1'}}",
        "agent.image",
        "\"v1\" into agent.version",
    ),
    (
        "{server: {image: 'server@sha256:abc'}}",
        "server.image",
        "server.version",
    ),
    (
        "{server: {image: 'https://registry/server'}}",
        "server.image",
        "such as registry.example.com",
    ),
    (
        "{server: {version: 'a b'}}",
        "server.version",
        "at most 128 letters",
    ),
    (
        "{agent: {extraArgs: [v]}}",
        "agent.extraArgs[0]",
        "--flag=value",
    ),
    (
        "{server: {extraArgs: ['---v=1']}}",
        "server.extraArgs[0]",
        "--flag=value",
    ),
];

#[test]
fn deployments_are_refused_with_field_and_remedy() {
    let wrap = |edit: &str| format!("{{spec: {{controlPlane: {{deployment: {edit}}}}}}}");
    each("spec.controlPlane.deployment.", wrap, DEPLOYMENTS);
}

#[test]
fn tunnels_are_refused_with_field_and_remedy() {
    let wrap = |edit: &str| format!("{{spec: {{addons: {{konnectivity: {edit}}}}}}}");
    each("spec.addons.konnectivity.", wrap, TUNNELS);
    let addon =
        "{spec: {addons: {coreDNS: {imageTag: 'a b'}, kubeProxy: {imageRepository: 'https://x'}}}}";
    let expected = [
        ("spec.addons.coreDNS.imageTag", "remove the field"),
        ("spec.addons.kubeProxy.imageRepository", "registry.k8s.io"),
    ];
    refused(addon, &review(addon), &expected);
}
