//! A tenant control plane and what is observed of it, for the tests of the pure steps.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Secret, Service};
use serde_json::{Value, json};

use crate::api::TenantControlPlane;
use crate::api::data_store::Driver;
use crate::names::{ConfigMapName, Names, SecretName};
use crate::objects::{Desired, Objects};
use crate::pki::{Authority, KeyPair};
use crate::validate::Limits;

use super::control_plane::{ControlPlane, Defaults, Images};
use super::observed::{DataStoreAccess, Observed, ObservedDataStore};
use super::{Pki, build, issue, validate};

/// The manifest of the documents, as the API server hands it out.
pub(super) const DOCUMENTED: &str = r#"
apiVersion: kamaji.clastix.io/v1alpha1
kind: TenantControlPlane
metadata:
  name: konnectivity-example
spec:
  controlPlane:
    deployment:
      replicas: 2
    service:
      serviceType: LoadBalancer
  kubernetes:
    version: "v1.33.0"
  networkProfile:
    port: 6443
  addons:
    konnectivity:
      server:
        port: 8132
      agent:
        mode: DaemonSet
"#;

/// The first day, and those after it.
pub(super) fn day(days: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(days * 24)
}

/// Reads a manifest and gives it what the API server would.
pub(super) fn manifest(yaml: &str) -> TenantControlPlane {
    let mut object: TenantControlPlane = serde_yaml::from_str(yaml).unwrap();
    object.metadata.namespace = Some("tenants".to_owned());
    object.metadata.uid = Some("5c2a9e4e-0d3b-4c55-9f0a-6b1d3f0c7a11".to_owned());
    object
}

/// The documented manifest with something merged into its spec.
pub(super) fn documented_with(spec: &Value) -> TenantControlPlane {
    let mut object = serde_json::to_value(manifest(DOCUMENTED)).unwrap();
    json_patch::merge(&mut object, &json!({ "spec": spec }));
    serde_json::from_value(object).unwrap()
}

pub(super) fn defaults() -> Defaults {
    Defaults {
        data_store: Some("default".to_owned()),
        images: Images {
            konnectivity_server: "registry.example.org/warren/konnectivity-server:v0.1.0"
                .to_owned(),
            konnectivity_agent: "registry.example.org/warren/konnectivity-agent:v0.1.0".to_owned(),
        },
    }
}

/// A Service whose load balancer answered like this.
pub(super) fn service(ingress: &Value) -> Service {
    let service = json!({
        "metadata": {
            "name": "konnectivity-example",
            "namespace": "tenants",
            "labels": {"kamaji.clastix.io/name": "konnectivity-example"},
        },
        "spec": {"clusterIP": "10.200.0.7"},
        "status": {"loadBalancer": {"ingress": ingress}},
    });
    serde_json::from_value(service).unwrap()
}

/// What is there once the Service has an address and the store answers.
pub(super) fn observed() -> Observed {
    let authority = Authority::create("etcd", day(0)).unwrap();
    Observed {
        service: Some(service(&json!([{"ip": "192.0.2.10"}]))),
        data_store: store(authority.pair().clone()),
        ..Observed::default()
    }
}

/// An etcd that can be used.
pub(super) fn store(authority: KeyPair) -> ObservedDataStore {
    ObservedDataStore::Found(DataStoreAccess {
        name: "default".to_owned(),
        driver: Driver::Etcd,
        endpoints: vec!["etcd-0.etcd.warren.svc:2379".to_owned()],
        authority: Some(authority),
    })
}

/// Step 2.
pub(super) fn validated(object: &TenantControlPlane, observed: &Observed) -> ControlPlane {
    validate(object, observed, &defaults(), &Limits::default()).unwrap()
}

/// Steps 2 and 3.
pub(super) fn issued(
    object: &TenantControlPlane,
    observed: &Observed,
    now: Timestamp,
) -> (ControlPlane, Pki) {
    let control_plane = validated(object, observed);
    let pki = issue(&control_plane, observed, now).unwrap().unwrap();
    (control_plane, pki)
}

/// Steps 2 to 4.
pub(super) fn built(object: &TenantControlPlane, observed: &Observed) -> Objects<Desired> {
    let (control_plane, pki) = issued(object, observed, day(0));
    build(&control_plane, Some(&pki))
}

/// What the next pass observes after `objects` were applied.
pub(super) fn after(observed: &Observed, objects: &Objects<Desired>) -> Observed {
    let names = Names::new("tenants", "konnectivity-example").unwrap();
    let mut observed = observed.clone();
    for object in objects.present() {
        let (name, body) = (object.reference.name.as_str(), object.body.clone());
        match object.reference.api.kind.as_str() {
            "Secret" => {
                let secret: Secret = serde_json::from_value(body).unwrap();
                let known = SecretName::ALL
                    .into_iter()
                    .find(|known| names.secret(*known) == name);
                observed.secrets.insert(known.unwrap(), secret);
            }
            "ConfigMap" => {
                let known = ConfigMapName::ALL
                    .into_iter()
                    .find(|known| names.config_map(*known) == name);
                let config_map = serde_json::from_value(body).unwrap();
                observed.config_maps.insert(known.unwrap(), config_map);
            }
            "Service" if name == names.peers_service() => {
                observed.peers = Some(serde_json::from_value(body).unwrap());
            }
            "Deployment" => observed.deployment = Some(serde_json::from_value(body).unwrap()),
            "PodDisruptionBudget" => {
                observed.disruption_budget = Some(serde_json::from_value(body).unwrap());
            }
            _ => {}
        }
    }
    observed
}
