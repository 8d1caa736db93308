//! The tenant side against real API servers: what it leaves there, what it leaves alone, and kubeadm as the judge.

mod agent;
mod controller;
mod kubeadm;
mod objects;

use kube::Client;
use operator::api::TenantControlPlane;
use operator::tenant::apply::{Applied, apply};
use operator::tenant::observe::observe;
use operator::tenant::plan::{Plan, plan};
use operator::tenant::read::read;
use operator::tenant::{build, object::TenantObject};
use serde_json::{Value, json};

const AGENT_IMAGE: &str = "example.com/warren/konnectivity-agent:0.1.0";
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

/// A tenant of the documents' manifest, with these addons.
fn tenant(addons: &Value) -> TenantControlPlane {
    serde_json::from_value(json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": { "name": "konnectivity-example", "namespace": "default" },
        "spec": {
            "controlPlane": { "service": { "serviceType": "LoadBalancer" } },
            "kubernetes": { "version": "v1.33.0" },
            "networkProfile": { "serviceCidrs": ["10.0.0.0/24"] },
            "addons": addons,
        },
        "status": { "controlPlaneEndpoint": "192.0.2.10:6443" },
    }))
    .unwrap()
}

fn wanted(tcp: &TenantControlPlane) -> Vec<TenantObject> {
    build::objects(&read(tcp, AUTHORITY, AGENT_IMAGE).unwrap()).unwrap()
}

/// What a pass would do now.
async fn planned(client: &Client, tcp: &TenantControlPlane) -> Plan {
    plan(wanted(tcp), &observe(client).await.unwrap().live)
}

/// One pass.
async fn pass(client: &Client, tcp: &TenantControlPlane) -> Applied {
    apply(client, planned(client, tcp).await).await.unwrap()
}

fn names(applied: &Applied) -> Vec<String> {
    applied
        .written
        .iter()
        .map(|(key, _)| key.to_string())
        .collect()
}

fn deleted(applied: &Applied) -> Vec<String> {
    applied.deleted.iter().map(ToString::to_string).collect()
}
