//! Faults that users meet: each is provoked, and named by a condition whose message holds the remedy.

use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::Demo;
use crate::error::{Result, expect_contains};
use crate::scenario::agents::tunnel_works;
use crate::scenario::restore::COMMENT;
use crate::wait::{Seen, until};
use crate::warren::Tenant;
use crate::{network, store};

/// How soon a fault must be named.
const LIMIT: Duration = Duration::from_mins(3);
/// How soon silence on open connections must be named, and its end: a probe is due after 18 s at most, fails after 7,
/// and is believed after 7 more on new connections; the rest is for a busy machine.
const SILENCE: Duration = Duration::from_secs(50);

/// A `DataStore` whose endpoint nobody answers at.
pub(super) const SILENT: &str = "silent";
/// The Service that has the node port.
pub(super) const TAKEN: &str = "taken";

/// A small tenant control plane without a tunnel, changed by `spec`.
async fn faulty(demo: &Demo, name: &str, spec: &Value) -> Result<Tenant> {
    let tenant = Tenant::new(&demo.lab, name);
    let object = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "controlPlane": { "deployment": { "replicas": 1 }, "service": { "serviceType": "ClusterIP" } },
            "kubernetes": { "version": "v1.33.0" },
            "networkProfile": { "port": 6443 },
        },
    });
    demo.lab
        .management()
        .apply(&object_with(object, spec).to_string())
        .await?;
    Ok(tenant)
}

fn object_with(mut object: Value, spec: &Value) -> Value {
    if let Some(base) = object.get_mut("spec") {
        merge(base, spec);
    }
    object
}

fn merge(base: &mut Value, patch: &Value) {
    match (base.as_object_mut(), patch.as_object()) {
        (Some(fields), Some(patch)) => {
            for (name, value) in patch {
                merge(fields.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        _ => *base = patch.clone(),
    }
}

/// Waits for the reason, deletes the object, returns the message.
async fn named(tenant: Tenant, condition: &str, reason: &str) -> Result<String> {
    let message = tenant.wait_reason(condition, reason, LIMIT).await;
    tenant.delete().await?;
    Ok(format!("{reason}: {}", message?))
}

/// A `DataStore` that is not there.
pub(super) async fn data_store(demo: &Demo) -> Result<String> {
    let tenant = faulty(demo, "fault-data-store", &json!({ "dataStore": "nowhere" })).await?;
    let explained = explained(&tenant, "DataStoreReady", "DataStoreNotFound").await;
    let message = named(tenant, "DataStoreReady", "DataStoreNotFound").await?;
    explained.map(|()| message)
}

/// `kubectl describe` explains the fault: the condition, its message, and an Event of the same words.
async fn explained(tenant: &Tenant, condition: &str, reason: &str) -> Result<()> {
    let message = tenant.wait_reason(condition, reason, LIMIT).await?;
    let describe = ["-n", "default", "describe", "tcp", tenant.name()];
    let looked = until("the Event is there", Duration::from_secs(20), async || {
        let text = tenant.management().kubectl(describe).run().await?;
        let (conditions, events) = text.split_once("\nEvents:").unwrap_or((&text, ""));
        for part in [condition, reason, &message] {
            expect_contains("kubectl describe tcp", conditions, part)?;
        }
        for part in [reason, &message] {
            expect_contains("the Events of kubectl describe tcp", events, part)?;
        }
        Ok(Seen::Yes(()))
    });
    looked.await
}

/// A `DataStore` whose endpoint nobody answers at.
pub(super) async fn data_store_silent(demo: &Demo) -> Result<String> {
    let management = demo.lab.management();
    let mut store = management.get(&["datastore", "default"]).await?;
    if let Some(fields) = store.as_object_mut() {
        fields.insert("metadata".into(), json!({ "name": SILENT }));
        fields.remove("status");
    }
    merge(
        &mut store,
        &json!({ "spec": { "endpoints": [format!("{}:2379", network::NOWHERE)] } }),
    );
    management.apply(&store.to_string()).await?;
    let tenant = faulty(demo, "fault-silent-store", &json!({ "dataStore": SILENT })).await?;
    let seen = tenant
        .wait_reason("DataStoreReady", "DataStoreUnreachable", LIMIT)
        .await;
    // Once the store is said to be the good one, there is nothing left to wait for at deletion.
    store::point_at_good_one(management, SILENT).await?;
    tenant.delete().await?;
    management
        .kubectl(["delete", "datastore", SILENT, "--timeout=60s"])
        .run()
        .await?;
    Ok(format!("DataStoreUnreachable: {}", seen?))
}

/// A load balancer that gives no address.
pub(super) async fn load_balancer(demo: &Demo) -> Result<String> {
    let spec = json!({
        "controlPlane": { "service": { "serviceType": "LoadBalancer" } },
        "networkProfile": { "loadBalancerClass": "warren.example/nobody" },
    });
    let tenant = faulty(demo, "fault-load-balancer", &spec).await?;
    named(tenant, "EndpointReady", "LoadBalancerPending").await
}

/// An image that no registry has.
pub(super) async fn image(demo: &Demo) -> Result<String> {
    let spec = json!({ "controlPlane": { "deployment": { "registrySettings": { "registry": "registry.invalid" } } } });
    let tenant = faulty(demo, "fault-image", &spec).await?;
    named(tenant, "ControlPlaneAvailable", "ImagePullFailed").await
}

/// A node port that another Service has.
pub(super) async fn port_clash(demo: &Demo) -> Result<String> {
    let spec = json!({ "controlPlane": { "service": { "serviceType": "NodePort" } }, "networkProfile": { "port": 30443, "address": network::MANAGEMENT } });
    let service = [
        "create",
        "service",
        "nodeport",
        TAKEN,
        "--tcp=80",
        "--node-port=30443",
    ];
    demo.lab.management().kubectl(service).run().await?;
    let tenant = faulty(demo, "fault-port-clash", &spec).await?;
    let seen = named(tenant, "EndpointReady", "PortClash").await;
    demo.lab
        .management()
        .kubectl(["delete", "service", TAKEN])
        .run()
        .await?;
    seen
}

/// The operator cannot reach a tenant that serves everybody else. Nobody closes its connections: their bytes vanish, as
/// they do in a firewall, and the operator has to find that out by itself, and that they flow again.
pub(super) async fn tenant_unreachable(demo: &Demo) -> Result<String> {
    let mut rules = Vec::new();
    for address in demo.tenant.pod_addresses().await? {
        rules.push(format!(
            "FORWARD -s 10.200.0.0/16 -d {address} -p tcp --dport 6443 -j DROP"
        ));
    }
    let seen = with_rules(
        "management",
        &rules,
        demo.tenant
            .wait_reason("TenantBootstrapped", "TenantUnreachable", SILENCE),
    )
    .await?;
    demo.tenant
        .wait_reason("TenantBootstrapped", "AsExpected", SILENCE)
        .await?;
    demo.tenant.wait_ready().await?;
    Ok(format!("TenantUnreachable: {seen}"))
}

/// There is a node, and its agent reaches no server.
pub(super) async fn no_agent(demo: &Demo) -> Result<String> {
    let rules =
        ["FORWARD -i worker -p tcp --dport 8132 -j REJECT --reject-with tcp-reset".to_owned()];
    let seen = with_rules(
        "wan",
        &rules,
        demo.tenant
            .wait_reason("AgentsReady", "NoAgentConnected", LIMIT),
    )
    .await?;
    tunnel_works(demo).await?;
    demo.tenant.wait_ready().await?;
    Ok(format!("NoAgentConnected: {seen}"))
}

/// Agents that show a token made for somebody else.
pub(super) async fn agent_refused(demo: &Demo) -> Result<String> {
    let token = "--service-account-token-path=/var/run/secrets/kubernetes.io/serviceaccount/token";
    let extra = |arguments: Value| json!({ "spec": { "addons": { "konnectivity": { "agent": { "extraArgs": arguments } } } } });
    demo.tenant.patch(&extra(json!([token]))).await?;
    let seen = demo
        .tenant
        .wait_reason("AgentsReady", "AgentNotAuthenticated", LIMIT)
        .await;
    demo.tenant.patch(&extra(Value::Null)).await?;
    tunnel_works(demo).await?;
    demo.tenant.wait_ready().await?;
    Ok(format!("AgentNotAuthenticated: {}", seen?))
}

/// Runs `step` with packet filter rules in force in a network namespace.
async fn with_rules<T>(
    namespace: &str,
    rules: &[String],
    step: impl Future<Output = Result<T>>,
) -> Result<T> {
    for rule in rules {
        filter(namespace, "-I", rule).await?;
    }
    let outcome = step.await;
    for rule in rules {
        filter(namespace, "-D", rule).await?;
    }
    outcome
}

async fn filter(namespace: &str, verb: &str, rule: &str) -> Result<()> {
    let words: Vec<_> = ["iptables", verb]
        .into_iter()
        .chain(rule.split(' '))
        .chain(["-m", "comment", "--comment", COMMENT])
        .collect();
    network::inside(namespace, &words).run().await.map(drop)
}
