//! What a pass found out about each thing that can be wrong: one finding per condition, with a reason and a message that
//! holds the remedy. Pure. What the pass did not reach has no finding, so its condition stays as it was.

use crate::api::condition::{ConditionType, Finding, Reason};
use crate::api::tenant_control_plane::ServiceType;
use crate::api::{TenantControlPlane, TenantControlPlaneStatus};
use crate::etcd::Fault;
use crate::retry;
use crate::telemetry::chain;
use crate::tenant_control_plane::control_plane::{ControlPlane, Stage};
use crate::tenant_control_plane::observe::Store;
use crate::tenant_control_plane::place::Placed;
use crate::tenant_control_plane::{Error, Outcome, apply};

mod pods;

use ConditionType::{CertificatesValid, DataStoreReady, EndpointReady, Progressing};

/// The findings of one pass.
pub(super) fn findings(
    tcp: &TenantControlPlane,
    outcome: &Outcome,
    next: &TenantControlPlaneStatus,
) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(endpoint(outcome));
    found.extend(store(outcome));
    found.extend(certificates(outcome));
    found.extend(
        outcome
            .control_plane
            .as_ref()
            .map(|control_plane| pods::available(control_plane, outcome)),
    );
    found.push(progressing(tcp, outcome, next));
    found
}

fn endpoint(outcome: &Outcome) -> Option<Finding> {
    let control_plane = outcome.control_plane.as_ref()?;
    if let Some(Error::Apply(error)) = &outcome.failure
        && error.reference.api.kind == "Service"
        && error.reference.name == control_plane.names.name()
    {
        return Some(Finding::no(
            EndpointReady,
            service_reason(error),
            service_message(error),
        ));
    }
    Some(match &control_plane.stage {
        Stage::Serving(endpoint) => Finding::yes(
            EndpointReady,
            Reason::AsExpected,
            format!("reached at {}", endpoint.authority()),
        ),
        Stage::Exposing => pending(control_plane),
    })
}

fn pending(control_plane: &ControlPlane) -> Finding {
    let name = &control_plane.names;
    match control_plane.service.service_type {
        ServiceType::LoadBalancer => Finding::no(
            EndpointReady,
            Reason::LoadBalancerPending,
            format!(
                "Service {name} has been given no address by a load balancer: check that one serves this cluster and has addresses left (`kubectl describe service`), or set spec.networkProfile.address, or choose another spec.controlPlane.service.serviceType"
            ),
        ),
        ServiceType::NodePort | ServiceType::ClusterIP => Finding::unknown(
            EndpointReady,
            Reason::WaitingForDependency,
            format!("Service {name} has no cluster address yet"),
        ),
    }
}

fn service_reason(error: &apply::Error) -> Reason {
    let text = chain(error);
    if text.contains("already allocated") || text.contains("is already in use") {
        Reason::PortClash
    } else if text.contains("valid range") || text.contains("valid ports") {
        Reason::NodePortOutOfRange
    } else {
        Reason::ReconcileFailed
    }
}

fn service_message(error: &apply::Error) -> String {
    let remedy = match service_reason(error) {
        Reason::PortClash => {
            "another Service has this port: choose another spec.networkProfile.port or spec.addons.konnectivity.server.port, or free it (`kubectl get services -A`)"
        }
        Reason::NodePortOutOfRange => {
            "a NodePort Service takes its ports from the cluster's node-port range: choose spec.networkProfile.port and spec.addons.konnectivity.server.port from it (30000-32767 unless kube-apiserver says otherwise)"
        }
        _ => "it is tried again",
    };
    format!("{}; {remedy}", chain(error))
}

fn store(outcome: &Outcome) -> Option<Finding> {
    let no = |reason, message: String| Some(Finding::no(DataStoreReady, reason, message));
    if outcome.control_plane.is_none() && !matches!(outcome.failure, Some(Error::Validate(_))) {
        return None;
    }
    match (&outcome.observation.store, &outcome.placed) {
        (Store::Unnamed, _) => no(
            Reason::DataStoreNotFound,
            "no DataStore is named: set spec.dataStore, or start the operator with --datastore"
                .to_owned(),
        ),
        (Store::NotFound(name), _) => no(
            Reason::DataStoreNotFound,
            format!(
                "DataStore {name} does not exist: create it, or correct spec.dataStore (`kubectl get datastores`)"
            ),
        ),
        (Store::Misconfigured { name, why }, _) => no(
            Reason::DataStoreMisconfigured,
            format!("DataStore {name} cannot be used: {why}"),
        ),
        (Store::NotServed { name, why }, _) => no(
            Reason::DriverNotSupported,
            format!("DataStore {name} cannot be used: {why}"),
        ),
        (Store::Resolved(store), Some(Placed::Failed { fault, message })) => no(
            match fault {
                Fault::Unreachable => Reason::DataStoreUnreachable,
                Fault::Taken => Reason::NameTaken,
                Fault::Tls | Fault::Unauthorized | Fault::Invalid | Fault::Refused => {
                    Reason::DataStoreMisconfigured
                }
            },
            format!(
                "DataStore {}: {message}; {}",
                store.access.name,
                fault.remedy()
            ),
        ),
        (Store::Resolved(store), Some(Placed::Ready)) => Some(Finding::yes(
            DataStoreReady,
            Reason::AsExpected,
            format!(
                "user, role and key range are set up in DataStore {}",
                store.access.name
            ),
        )),
        (Store::Resolved(_), Some(Placed::NoStore) | None) => None,
    }
}

fn certificates(outcome: &Outcome) -> Option<Finding> {
    if let Some(Error::Issue(error)) = &outcome.failure {
        return Some(Finding::no(
            CertificatesValid,
            Reason::CertificateInvalid,
            chain(error),
        ));
    }
    match (&outcome.pki, &outcome.control_plane) {
        (Some(pki), _) => {
            let due = pki
                .look_again
                .round(jiff::Unit::Second)
                .unwrap_or(pki.look_again);
            let message = format!("all are valid; the next one is renewed at {due}");
            Some(Finding::yes(CertificatesValid, Reason::AsExpected, message))
        }
        (None, Some(_)) => Some(Finding::unknown(
            CertificatesValid,
            Reason::WaitingForDependency,
            "certificates state the endpoint and are issued as soon as it is known: see EndpointReady",
        )),
        (None, None) => None,
    }
}

fn progressing(
    tcp: &TenantControlPlane,
    outcome: &Outcome,
    next: &TenantControlPlaneStatus,
) -> Finding {
    use crate::api::tenant_control_plane_status::LifeStage;
    let no = |reason, message: String| Finding::no(Progressing, reason, message);
    let yes = |reason, message: &str| Finding::yes(Progressing, reason, message);
    match &outcome.failure {
        Some(Error::Validate(mistakes)) => {
            return no(
                mistakes.reason,
                format!("nothing is changed until the manifest is corrected: {mistakes}"),
            );
        }
        Some(Error::Name(error)) => return no(Reason::InvalidSpec, error.to_string()),
        Some(error) => {
            let text = chain(error);
            let quota = error.api().and_then(retry::code) == Some(403);
            let remedy = if quota {
                "; a quota, a policy or missing permissions of the operator refuse it"
            } else {
                ""
            };
            return yes(
                Reason::ReconcileFailed,
                &format!("{text}{remedy}; it is tried again"),
            );
        }
        None => {}
    }
    let version = next
        .kubernetes_resources
        .as_ref()
        .and_then(|resources| resources.version.as_ref());
    let wanted = &tcp.spec.kubernetes.version;
    match version.map(|version| version.status) {
        Some(LifeStage::Upgrading) => yes(Reason::Upgrading, &format!("pods move to {wanted}")),
        Some(LifeStage::Unknown) => yes(Reason::RollingOut, "pods are replaced"),
        Some(LifeStage::Sleeping) => no(
            Reason::Sleeping,
            "no pods are asked for; data and addresses are kept".to_owned(),
        ),
        Some(LifeStage::Provisioning) | None => yes(
            Reason::Provisioning,
            "the control plane starts for the first time",
        ),
        Some(LifeStage::NotReady) => yes(
            Reason::RollingOut,
            "no pod serves: see ControlPlaneAvailable",
        ),
        Some(_) => no(Reason::AsExpected, "all is as the spec asks".to_owned()),
    }
}
