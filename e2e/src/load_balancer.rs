//! What a cloud does for Services of type LoadBalancer: each gets an address of a small pool, and the machine answers to it.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::watcher::{Config, watcher};
use serde_json::json;

use crate::command::Invocation;
use crate::error::Result;
use crate::network::POOL;

/// Serves the cluster until the process is ended.
pub async fn serve(client: kube::Client) -> Result<()> {
    let services: Api<Service> = Api::all(client.clone());
    let mut changes = std::pin::pin!(watcher(services, Config::default()));
    while let Some(change) = changes.next().await {
        let outcome = match change {
            Ok(_) => assign(&client).await,
            Err(error) => {
                tracing::warn!(%error, "watch of services; it goes on");
                Ok(())
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(
                error = error.chain(),
                "assigning addresses; tried again at the next change"
            );
        }
    }
    Ok(())
}

/// Gives an address to every Service that lacks one, and makes the machine have exactly the addresses in use.
async fn assign(client: &kube::Client) -> Result<()> {
    let all = Api::<Service>::all(client.clone())
        .list(&ListParams::default())
        .await?
        .items;
    let balanced: Vec<_> = all.into_iter().filter(is_ours).collect();
    let mut taken: BTreeSet<String> = balanced.iter().filter_map(address).collect();
    for service in &balanced {
        if address(service).is_some() {
            continue;
        }
        let wanted = service
            .spec
            .as_ref()
            .and_then(|spec| spec.load_balancer_ip.clone());
        let free = || {
            (1..=254)
                .map(|last| format!("{POOL}.{last}"))
                .find(|address| !taken.contains(address))
        };
        let Some(address) = wanted.or_else(free) else {
            tracing::warn!("the pool is empty");
            continue;
        };
        taken.insert(address.clone());
        publish(client, service, &address).await?;
    }
    hold(&taken).await
}

/// A Service with a class asks for somebody else.
fn is_ours(service: &Service) -> bool {
    service.metadata.deletion_timestamp.is_none()
        && service.spec.as_ref().is_some_and(|spec| {
            spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none()
        })
}

fn address(service: &Service) -> Option<String> {
    let ingress = service
        .status
        .as_ref()?
        .load_balancer
        .as_ref()?
        .ingress
        .as_ref()?;
    ingress.first()?.ip.clone()
}

async fn publish(client: &kube::Client, service: &Service, address: &str) -> Result<()> {
    let namespace = service.metadata.namespace.as_deref().unwrap_or("default");
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address }] } } });
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    services
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

/// Adds and removes addresses of the loopback device; kube-proxy does the rest.
async fn hold(wanted: &BTreeSet<String>) -> Result<()> {
    let shown = Invocation::new(["ip", "-4", "-o", "addr", "show", "dev", "lo"])
        .run()
        .await?;
    let words = shown
        .split_whitespace()
        .filter_map(|word| word.strip_suffix("/32"));
    let held: BTreeSet<String> = words
        .filter(|word| word.starts_with(POOL))
        .map(str::to_owned)
        .collect();
    for (verb, addresses) in [
        ("add", wanted.difference(&held)),
        ("del", held.difference(wanted)),
    ] {
        for address in addresses {
            Invocation::new(["ip", "addr", verb, &format!("{address}/32"), "dev", "lo"])
                .run()
                .await?;
        }
    }
    Ok(())
}
