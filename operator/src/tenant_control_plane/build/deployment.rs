//! The Deployment: replicas, strategy, and the pod template with the checksums that roll it.
//!
//! Its selector is the name label alone, as Kamaji made it: a selector can never change.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{checksum, labels};

use super::{Serving, inputs, metadata, pod};

pub(super) fn build(serving: Serving<'_>) -> Deployment {
    let control_plane = serving.control_plane;
    let pods = &control_plane.pods;
    let name = control_plane.names.name();
    let mut head = metadata::of(control_plane, name.to_owned(), labels::COMPONENT_DEPLOYMENT);
    let extra = &pods.extra_args.api_server;
    if !extra.is_empty() {
        metadata::annotate(
            &mut head,
            labels::API_SERVER_ARGS,
            &checksum::of_list(extra),
        );
    }
    let additional = &pods.additional_metadata;
    Deployment {
        metadata: metadata::with_additional(head, &additional.labels, &additional.annotations),
        spec: Some(DeploymentSpec {
            replicas: Some(pods.replicas),
            selector: labels::label_selector(name),
            strategy: Some(pods.strategy.clone()),
            template: template(serving),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn template(serving: Serving<'_>) -> PodTemplateSpec {
    let control_plane = serving.control_plane;
    let ours = ObjectMeta {
        labels: Some(labels::of(
            control_plane.names.name(),
            labels::COMPONENT_DEPLOYMENT,
        )),
        annotations: Some(inputs::annotations(serving)),
        ..ObjectMeta::default()
    };
    let additional = &control_plane.pods.pod_additional_metadata;
    PodTemplateSpec {
        metadata: Some(metadata::with_additional(
            ours,
            &additional.labels,
            &additional.annotations,
        )),
        spec: Some(pod::build(serving)),
    }
}
