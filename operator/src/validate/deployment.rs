//! Rules about the pods: what is added to them must not break what is ours.
//!
//! In: `spec.controlPlane.deployment`. Out: what breaks a rule.

use k8s_openapi::api::core::v1::VolumeMount;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Review, syntax};
use crate::api::tenant_control_plane::{AdditionalMetadata, ControlPlaneDeployment, ProbeTiming};

const BASE: &str = "spec.controlPlane.deployment";

/// Containers of ours. `kine` is not among them: a container of that name replaces ours by design.
const CONTAINERS: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "konnectivity-server",
];

/// Volumes of ours.
const VOLUMES: &[&str] = &[
    "controller-manager-kubeconfig",
    "egress-selector-configuration",
    "etc-ca-certificates",
    "etc-kubernetes-pki",
    "konnectivity-server-kubeconfig",
    "konnectivity-uds",
    "scheduler-kubeconfig",
    "usr-local-share-ca-certificates",
    "usr-share-ca-certificates",
];

/// Labels of ours on pods; the Deployment finds its pods by the first.
const LABELS: &[&str] = &[
    "kamaji.clastix.io/name",
    "kamaji.clastix.io/component",
    "kamaji.clastix.io/project",
];

pub(super) fn review(deployment: &ControlPlaneDeployment, review: &mut Review) {
    if deployment.replicas < 0 {
        let message = "cannot be negative; write 0 to put the tenant to sleep, or a number of pods";
        review.refuse(format!("{BASE}.replicas"), deployment.replicas, message);
    }
    if !syntax::is_dns_1123_subdomain(&deployment.service_account_name) {
        let message =
            "is no name of a ServiceAccount; remove the field, or name one of this namespace";
        review.refuse(
            format!("{BASE}.serviceAccountName"),
            &deployment.service_account_name,
            message,
        );
    }
    strategy(deployment, review);
    images(deployment, review);
    containers(deployment, review);
    volumes(deployment, review);
    probes(deployment, review);
    metadata(
        "additionalMetadata",
        &deployment.additional_metadata,
        review,
    );
    metadata(
        "podAdditionalMetadata",
        &deployment.pod_additional_metadata,
        review,
    );
}

fn strategy(deployment: &ControlPlaneDeployment, review: &mut Review) {
    let field = format!("{BASE}.strategy");
    let strategy = &deployment.strategy;
    match strategy.type_.as_deref() {
        Some("Recreate") if strategy.rolling_update.is_some() => {
            review.refuse(
                format!("{field}.rollingUpdate"),
                "set",
                "Recreate takes none; remove it",
            );
        }
        Some("Recreate" | "RollingUpdate") | None => {}
        Some(other) => review.refuse(
            format!("{field}.type"),
            other,
            "write RollingUpdate or Recreate",
        ),
    }
    let is_zero = |amount: &IntOrString| match amount {
        IntOrString::Int(number) => *number == 0,
        IntOrString::String(text) => text == "0%" || text == "0",
    };
    if let Some(rolling) = &strategy.rolling_update
        && rolling.max_surge.as_ref().is_some_and(is_zero)
        && rolling.max_unavailable.as_ref().is_some_and(is_zero)
    {
        let message =
            "with maxUnavailable 0 as well no pod could ever be replaced; raise one of both";
        review.refuse(format!("{field}.rollingUpdate.maxSurge"), "0", message);
    }
}

fn images(deployment: &ControlPlaneDeployment, review: &mut Review) {
    let settings = &deployment.registry_settings;
    if settings.registry.contains("://") || settings.registry.is_empty() {
        let message =
            "is no registry; write its host, and a path where it has one, such as registry.k8s.io";
        review.refuse(
            format!("{BASE}.registrySettings.registry"),
            &settings.registry,
            message,
        );
    }
    for (field, image) in [
        ("apiServerImage", &settings.api_server_image),
        ("controllerManagerImage", &settings.controller_manager_image),
        ("schedulerImage", &settings.scheduler_image),
    ] {
        if image.is_empty() || image.contains([':', '@', ' ']) {
            let message = "write the name alone: the registry stands in registry, the tag is version and tagSuffix";
            review.refuse(format!("{BASE}.registrySettings.{field}"), image, message);
        }
    }
}

fn containers(deployment: &ControlPlaneDeployment, review: &mut Review) {
    let mut seen: Vec<&str> = CONTAINERS.to_vec();
    let extra = deployment.additional_containers.iter();
    let init = deployment.additional_init_containers.iter();
    let named = extra
        .enumerate()
        .map(|(index, container)| {
            (
                format!("{BASE}.additionalContainers[{index}].name"),
                container,
            )
        })
        .chain(init.enumerate().map(|(index, container)| {
            (
                format!("{BASE}.additionalInitContainers[{index}].name"),
                container,
            )
        }));
    for (field, container) in named {
        let name = container.name.as_str();
        if CONTAINERS.contains(&name) {
            review.refuse(field, name, "is a container of ours; choose another name");
        } else if seen.contains(&name) {
            review.refuse(field, name, "is there twice; rename one");
        } else if !syntax::is_dns_1123_label(name) {
            review.refuse(
                field,
                name,
                "is no name of a container; use lower-case letters, digits and hyphens",
            );
        }
        seen.push(name);
    }
}

fn volumes(deployment: &ControlPlaneDeployment, review: &mut Review) {
    let mut seen: Vec<&str> = VOLUMES.to_vec();
    for (index, volume) in deployment.additional_volumes.iter().enumerate() {
        let field = format!("{BASE}.additionalVolumes[{index}].name");
        let name = volume.name.as_str();
        if VOLUMES.contains(&name) {
            review.refuse(field, name, "is a volume of ours; choose another name");
        } else if seen.contains(&name) {
            review.refuse(field, name, "is there twice; rename one");
        }
        seen.push(name);
    }
    let mounts = &deployment.additional_volume_mounts;
    for (component, mounts) in [
        ("apiServer", &mounts.api_server),
        ("controllerManager", &mounts.controller_manager),
        ("scheduler", &mounts.scheduler),
    ] {
        for (index, mount) in mounts.iter().enumerate() {
            let field = format!("{BASE}.additionalVolumeMounts.{component}[{index}]");
            volume_mount(&field, mount, &seen, review);
            if mounts
                .iter()
                .take(index)
                .any(|other| other.mount_path == mount.mount_path)
            {
                review.refuse(
                    format!("{field}.mountPath"),
                    &mount.mount_path,
                    "is there twice; change one",
                );
            }
        }
    }
}

fn volume_mount(field: &str, mount: &VolumeMount, volumes: &[&str], review: &mut Review) {
    if !volumes.contains(&mount.name.as_str()) {
        let message = "is no volume of the pod; add it to additionalVolumes";
        review.refuse(format!("{field}.name"), &mount.name, message);
    }
    let path = mount.mount_path.trim_end_matches('/');
    if path == "/etc/kubernetes" || path == "/etc/kubernetes/pki" || path == "/run/konnectivity" {
        let message = "would hide files of ours; mount it beside them";
        review.refuse(format!("{field}.mountPath"), &mount.mount_path, message);
    }
}

fn probes(deployment: &ControlPlaneDeployment, review: &mut Review) {
    let probes = &deployment.probes;
    let sets = [
        ("apiServer.", probes.api_server),
        ("controllerManager.", probes.controller_manager),
        ("scheduler.", probes.scheduler),
    ];
    let once = [("", probes.liveness, probes.startup)].into_iter().chain(
        sets.iter()
            .filter_map(|(name, set)| set.map(|set| (*name, set.liveness, set.startup))),
    );
    for (component, liveness, startup) in once {
        for (kind, timing) in [("liveness", liveness), ("startup", startup)] {
            let threshold = timing.and_then(
                |ProbeTiming {
                     success_threshold, ..
                 }| success_threshold,
            );
            if let Some(threshold) = threshold.filter(|threshold| *threshold != 1) {
                let message =
                    "liveness and startup probes succeed at once: write 1, or remove the field";
                let field = format!("{BASE}.probes.{component}{kind}.successThreshold");
                review.refuse(field, threshold, message);
            }
        }
    }
}

fn metadata(part: &str, metadata: &AdditionalMetadata, review: &mut Review) {
    for (key, value) in &metadata.labels {
        let field = format!("{BASE}.{part}.labels[{key}]");
        if LABELS.contains(&key.as_str()) {
            review.refuse(
                field,
                value,
                "is a label of ours, by which pods are found; remove it",
            );
        } else if !syntax::is_qualified_name(key) || !syntax::is_label_value(value) {
            let message =
                "is no label; keys and values have at most 63 letters, digits, -, _ and .";
            review.refuse(field, value, message);
        }
    }
    for (key, value) in &metadata.annotations {
        if !syntax::is_qualified_name(&key.to_ascii_lowercase()) {
            let field = format!("{BASE}.{part}.annotations[{key}]");
            review.refuse(
                field,
                value,
                "is no key of an annotation; use letters, digits, -, _ and .",
            );
        }
    }
}
