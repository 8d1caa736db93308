//! The part of the status that Kamaji's API has: names and checksums of Secrets, the store, Deployment and Service as
//! they are. Pure; what this pass did not reach stays as it was. `lastUpdate` moves when its checksum does.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::stage::{Facts, stage};
use kube::ResourceExt as _;

use crate::api::tenant_control_plane_status::addons::ConfigMapStatus;
use crate::api::tenant_control_plane_status::{
    DeploymentStatus, Effective, KonnectivityStatus, KubeadmConfigStatus, LifeStage, SecretStatus,
    ServiceStatus, StorageConfigStatus, StorageSetupStatus, VersionStatus,
};
use crate::api::{TenantControlPlane, TenantControlPlaneStatus};
use crate::checksum;
use crate::labels;
use crate::names::{ConfigMapName, Names, SecretName};
use crate::objects::{Applied, Objects};
use crate::tenant_control_plane::control_plane::{ControlPlane, Stage, Storage};
use crate::tenant_control_plane::place::Placed;
use crate::tenant_control_plane::{Outcome, Pki};

/// The version that serves.
pub(super) fn installed_version(tcp: &TenantControlPlane) -> Option<&str> {
    let resources = tcp.status.as_ref()?.kubernetes_resources.as_ref()?;
    resources
        .version
        .as_ref()?
        .version
        .as_deref()
        .filter(|version| !version.is_empty())
}

/// Fills in what this pass found out.
pub(super) fn fill(
    status: &mut TenantControlPlaneStatus,
    tcp: &TenantControlPlane,
    outcome: &Outcome,
    now: &Time,
) {
    if outcome.failure.is_none() && outcome.applied.is_some() {
        status.observed_generation = tcp.metadata.generation;
    }
    let Some(control_plane) = &outcome.control_plane else {
        // What runs goes on running while its manifest is refused, and is told of as it is.
        pods(
            status,
            tcp,
            outcome.observation.observed.deployment.as_ref(),
            now,
        );
        return;
    };
    if let Stage::Serving(endpoint) = &control_plane.stage {
        status.control_plane_endpoint = Some(endpoint.reported());
    }
    status.effective = Some(effective(control_plane));
    storage(status, outcome, control_plane, now);
    if let Some(applied) = &outcome.applied {
        resources(status, tcp, (control_plane, applied), now);
    }
    if let Some(pki) = &outcome.pki {
        secrets(status, &control_plane.names, pki, now);
        tunnel(status, control_plane, pki, outcome.applied.as_ref(), now);
        kubeadm(status, control_plane, outcome.applied.as_ref(), now);
    }
}

fn effective(control_plane: &ControlPlane) -> Effective {
    let network = &control_plane.network;
    Effective {
        data_store: control_plane.tenancy.data_store.clone(),
        data_store_schema: Some(control_plane.tenancy.schema.clone()),
        data_store_username: Some(control_plane.tenancy.user.clone()),
        replicas: Some(control_plane.pods.replicas),
        service_cidrs: network
            .service_cidrs
            .iter()
            .map(ToString::to_string)
            .collect(),
        pod_cidrs: network.pod_cidrs.iter().map(ToString::to_string).collect(),
        dns_service_ips: network
            .dns_service_ips
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

/// A Secret's line, with the time at which its checksum became what it is.
fn secret(
    names: &Names,
    pki: &Pki,
    name: SecretName,
    held: Option<&SecretStatus>,
    now: &Time,
) -> Option<SecretStatus> {
    let issued = pki.secrets.get(&name)?;
    Some(SecretStatus {
        secret_name: Some(names.secret(name)),
        checksum: Some(issued.checksum.clone()),
        last_update: Some(since(
            held.map(|held| (&held.checksum, &held.last_update)),
            &issued.checksum,
            now,
        )),
    })
}

fn since(held: Option<(&Option<String>, &Option<Time>)>, checksum: &str, now: &Time) -> Time {
    match held {
        Some((Some(before), Some(time))) if before == checksum => time.clone(),
        _ => now.clone(),
    }
}

fn secrets(status: &mut TenantControlPlaneStatus, names: &Names, pki: &Pki, now: &Time) {
    let put = |slot: &mut Option<SecretStatus>, name| {
        *slot = secret(names, pki, name, slot.as_ref(), now);
    };
    let certificates = status.certificates.get_or_insert_default();
    put(&mut certificates.ca, SecretName::ClusterAuthority);
    put(
        &mut certificates.front_proxy_ca,
        SecretName::FrontProxyAuthority,
    );
    put(&mut certificates.sa, SecretName::ServiceAccount);
    put(&mut certificates.api_server, SecretName::ApiServer);
    put(
        &mut certificates.api_server_kubelet_client,
        SecretName::KubeletClient,
    );
    put(
        &mut certificates.front_proxy_client,
        SecretName::FrontProxyClient,
    );
    let kubeconfigs = status.kubeconfig.get_or_insert_default();
    put(&mut kubeconfigs.admin, SecretName::AdminKubeconfig);
    put(
        &mut kubeconfigs.controller_manager,
        SecretName::ControllerManagerKubeconfig,
    );
    put(&mut kubeconfigs.scheduler, SecretName::SchedulerKubeconfig);
}

fn storage(
    status: &mut TenantControlPlaneStatus,
    outcome: &Outcome,
    control_plane: &ControlPlane,
    now: &Time,
) {
    let tenancy = &control_plane.tenancy;
    if outcome.placed == Some(Placed::Ready) {
        let storage = status.storage.get_or_insert_default();
        storage.data_store_name.clone_from(&tenancy.data_store);
        if let Storage::Etcd(_) = control_plane.storage {
            storage.driver = Some("etcd".to_owned());
        }
        let checksum = checksum::of(&BTreeMap::from([
            ("schema", &tenancy.schema),
            ("user", &tenancy.user),
        ]));
        let held = storage
            .setup
            .as_ref()
            .map(|held| (&held.checksum, &held.last_update));
        // What Kamaji set up is the same place, whatever it counted into its checksum.
        let same = storage.setup.as_ref().is_some_and(|held| {
            held.schema.as_ref() == Some(&tenancy.schema)
                && held.user.as_ref() == Some(&tenancy.user)
                && held.checksum.is_some()
        });
        if !same {
            storage.setup = Some(StorageSetupStatus {
                schema: Some(tenancy.schema.clone()),
                user: Some(tenancy.user.clone()),
                last_update: Some(since(held, &checksum, now)),
                checksum: Some(checksum),
            });
        }
    }
    if let (Some(pki), Some(storage)) = (&outcome.pki, &mut status.storage) {
        let names = &control_plane.names;
        if let Some(config) = pki.secrets.get(&SecretName::DataStoreConfig) {
            storage.config = Some(StorageConfigStatus {
                secret_name: Some(names.secret(SecretName::DataStoreConfig)),
                checksum: Some(config.checksum.clone()),
            });
        }
        let held = storage.certificate.take();
        storage.certificate = secret(
            names,
            pki,
            SecretName::DataStoreCertificate,
            held.as_ref(),
            now,
        )
        .or(held);
    }
}

fn checksum_of(config_map: &ConfigMap) -> Option<String> {
    config_map
        .metadata
        .annotations
        .as_ref()?
        .get(labels::CHECKSUM)
        .cloned()
}

fn kubeadm(
    status: &mut TenantControlPlaneStatus,
    control_plane: &ControlPlane,
    applied: Option<&Objects<Applied>>,
    now: &Time,
) {
    let name = control_plane.names.config_map(ConfigMapName::KubeadmConfig);
    let Some(checksum) =
        applied.and_then(|applied| checksum_of(&applied.find::<ConfigMap>(&name)?))
    else {
        return;
    };
    let held = status.kubeadm_config.take();
    status.kubeadm_config = Some(KubeadmConfigStatus {
        config_map_name: Some(name),
        last_update: Some(since(
            held.as_ref()
                .map(|held| (&held.checksum, &held.last_update)),
            &checksum,
            now,
        )),
        checksum: Some(checksum),
    });
}

/// The management side of the tunnel. Without it nothing of it is told.
fn tunnel(
    status: &mut TenantControlPlaneStatus,
    control_plane: &ControlPlane,
    pki: &Pki,
    applied: Option<&Objects<Applied>>,
    now: &Time,
) {
    let Some(wanted) = &control_plane.tunnel else {
        if let Some(held) = status
            .addons
            .as_mut()
            .and_then(|addons| addons.konnectivity.as_mut())
        {
            (
                held.config_map,
                held.certificate,
                held.kubeconfig,
                held.service,
            ) = (None, None, None, None);
        }
        return;
    };
    let names = &control_plane.names;
    let held: &mut KonnectivityStatus = status
        .addons
        .get_or_insert_default()
        .konnectivity
        .get_or_insert_default();
    held.certificate = secret(
        names,
        pki,
        SecretName::KonnectivityCertificate,
        held.certificate.as_ref(),
        now,
    );
    held.kubeconfig = secret(
        names,
        pki,
        SecretName::KonnectivityKubeconfig,
        held.kubeconfig.as_ref(),
        now,
    );
    let egress = names.config_map(ConfigMapName::EgressSelector);
    if let Some(config_map) = applied.and_then(|applied| applied.find::<ConfigMap>(&egress)) {
        held.config_map = Some(ConfigMapStatus {
            name: Some(egress),
            checksum: checksum_of(&config_map),
        });
    }
    if let Some(service) = applied.and_then(|applied| applied.find::<Service>(names.name())) {
        held.service = Some(service_status(&service, names, wanted.port));
    }
}

fn service_status(service: &Service, names: &Names, port: u16) -> ServiceStatus {
    let status = service.status.clone().unwrap_or_default();
    ServiceStatus {
        name: names.name().to_owned(),
        namespace: names.namespace().to_owned(),
        port: i32::from(port),
        load_balancer: status.load_balancer,
        conditions: status.conditions.unwrap_or_default(),
    }
}

fn resources(
    status: &mut TenantControlPlaneStatus,
    tcp: &TenantControlPlane,
    (control_plane, applied): (&ControlPlane, &Objects<Applied>),
    now: &Time,
) {
    let names = &control_plane.names;
    let deployment = applied.find::<Deployment>(names.name());
    let wanted = control_plane.version.as_str();
    let installed = installed_version(tcp);
    let stage = stage(Facts {
        replicas: control_plane.pods.replicas,
        deployment: deployment.as_ref(),
        installed,
        wanted,
    });
    let resources = status.kubernetes_resources.get_or_insert_default();
    let serves =
        stage == LifeStage::Ready || (stage == LifeStage::Sleeping && deployment.is_some());
    resources.version = Some(VersionStatus {
        version: if serves {
            Some(wanted.to_owned())
        } else {
            installed.map(str::to_owned)
        },
        status: stage,
    });
    if let Some(service) = applied.find::<Service>(names.name()) {
        resources.service = Some(service_status(&service, names, control_plane.network.port));
    }
    pods(status, tcp, deployment.as_ref(), now);
}

fn pods(
    status: &mut TenantControlPlaneStatus,
    tcp: &TenantControlPlane,
    deployment: Option<&Deployment>,
    now: &Time,
) {
    let Some(deployment) = deployment else {
        return;
    };
    let resources = status.kubernetes_resources.get_or_insert_default();
    let next = deployment_status(deployment, tcp);
    let held = resources.deployment.take().unwrap_or_default();
    let same = DeploymentStatus {
        last_update: None,
        ..held.clone()
    } == next;
    let last_update = if same {
        held.last_update
    } else {
        Some(now.clone())
    };
    resources.deployment = Some(DeploymentStatus {
        last_update,
        ..next
    });
}

fn deployment_status(deployment: &Deployment, tcp: &TenantControlPlane) -> DeploymentStatus {
    let status = deployment.status.clone().unwrap_or_default();
    DeploymentStatus {
        name: tcp.name_any(),
        namespace: tcp.namespace().unwrap_or_default(),
        selector: format!("{}={}", labels::NAME, tcp.name_any()),
        last_update: None,
        observed_generation: status.observed_generation,
        replicas: Some(status.replicas.unwrap_or_default()),
        updated_replicas: status.updated_replicas,
        ready_replicas: status.ready_replicas,
        available_replicas: status.available_replicas,
        unavailable_replicas: status.unavailable_replicas,
        terminating_replicas: status.terminating_replicas,
        collision_count: status.collision_count,
        conditions: status.conditions.unwrap_or_default(),
    }
}
