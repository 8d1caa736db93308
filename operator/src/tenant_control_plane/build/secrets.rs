//! Issued contents as Secrets.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::labels;
use crate::names::SecretName;
use crate::tenant_control_plane::control_plane::ControlPlane;
use crate::tenant_control_plane::issue::IssuedSecret;

use super::metadata;

pub(super) fn build(
    control_plane: &ControlPlane,
    name: SecretName,
    issued: &IssuedSecret,
) -> Secret {
    let mut head = metadata::of(
        control_plane,
        control_plane.names.secret(name),
        name.suffix(),
    );
    if let Some(kind) = lifecycle(name) {
        let labels = head.labels.get_or_insert_default();
        labels.insert(labels::LIFECYCLE.to_owned(), kind.to_owned());
    }
    metadata::annotate(&mut head, labels::CHECKSUM, &issued.checksum);
    if let Some(rotated) = &issued.rotated {
        metadata::annotate(&mut head, labels::ROTATE, rotated);
    }
    let data = issued.data.iter();
    Secret {
        metadata: head,
        type_: issued.kind.clone(),
        data: Some(
            data.map(|(key, text)| ((*key).to_owned(), ByteString(text.clone().into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// Which Secrets hold something that expires in its own time. Authorities do not count, nor what never expires.
pub const fn lifecycle(name: SecretName) -> Option<&'static str> {
    match name {
        SecretName::ApiServer
        | SecretName::KubeletClient
        | SecretName::FrontProxyClient
        | SecretName::DataStoreCertificate
        | SecretName::KonnectivityCertificate
        | SecretName::KonnectivityPeerCertificate => Some(labels::LIFECYCLE_X509),
        SecretName::AdminKubeconfig
        | SecretName::ControllerManagerKubeconfig
        | SecretName::SchedulerKubeconfig
        | SecretName::KonnectivityKubeconfig => Some(labels::LIFECYCLE_KUBECONFIG),
        SecretName::ClusterAuthority
        | SecretName::FrontProxyAuthority
        | SecretName::ServiceAccount
        | SecretName::DataStoreConfig => None,
    }
}
