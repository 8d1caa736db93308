//! Addons taken away and asked for.

use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::Demo;
use crate::error::{Result, expect_contains};
use crate::scenario::agents::tunnel_works;
use crate::wait::{Seen, until};

/// Without `addons.konnectivity` neither cluster has a trace of it; with it again, the tunnel works.
pub(super) async fn disabled(demo: &Demo) -> Result<String> {
    let before = demo
        .tenant
        .object()
        .await?
        .pointer("/spec/addons/konnectivity")
        .cloned()
        .unwrap_or_default();
    demo.tenant
        .patch(&json!({ "spec": { "addons": { "konnectivity": null } } }))
        .await?;
    demo.tenant.wait_ready().await?;
    let cleaned = until(
        "both clusters are clean",
        Duration::from_mins(2),
        async || {
            let traces = traces(demo).await?;
            Ok(if traces.is_empty() {
                Seen::Yes(())
            } else {
                Seen::NotYet(traces.join(", "))
            })
        },
    );
    let cleaned = cleaned.await;
    demo.tenant
        .patch(&json!({ "spec": { "addons": { "konnectivity": before } } }))
        .await?;
    demo.tenant.wait_ready().await?;
    tunnel_works(demo).await?;
    cleaned?;
    Ok("no trace in either cluster; the tunnel is back".into())
}

/// Everything in either cluster that has to do with the tunnel.
async fn traces(demo: &Demo) -> Result<Vec<String>> {
    let mut traces = Vec::new();
    let management =
        "get configmaps,secrets,services,serviceaccounts,roles,rolebindings -n default -o name";
    let tenant = "get configmaps,secrets,serviceaccounts,roles,rolebindings,leases,daemonsets,deployments,pods -n kube-system -o name";
    let wide = "get clusterroles,clusterrolebindings -o name";
    for (cluster, command) in [
        (demo.lab.management(), management),
        (&demo.cluster, tenant),
        (&demo.cluster, wide),
    ] {
        let listing = cluster.kubectl(command.split(' ')).run().await?;
        // The tenant control plane's own name has the word in it.
        let names = listing.lines().filter(|line| {
            line.replace(demo.tenant.name(), "")
                .contains("konnectivity")
        });
        traces.extend(names.map(str::to_owned));
    }
    for kind in ["service", "deployment"] {
        let object = demo
            .lab
            .management()
            .get(&["-n", "default", kind, demo.tenant.name()])
            .await?;
        let spec = object.get("spec").cloned().unwrap_or_default().to_string();
        if spec
            .replace(demo.tenant.name(), "")
            .contains("konnectivity")
        {
            traces.push(format!("{kind}'s spec"));
        }
    }
    Ok(traces)
}

/// kube-proxy and CoreDNS by addon: the lab's own kube-proxy goes, and pods resolve the tenant's names.
pub(super) async fn kubernetes(demo: &Demo) -> Result<String> {
    demo.worker.machine().stop("kube-proxy").await?;
    demo.tenant
        .patch(&json!({ "spec": { "addons": { "kubeProxy": {}, "coreDNS": {} } } }))
        .await?;
    let ready = async {
        for (kind, name) in [("daemonset", "kube-proxy"), ("deployment", "coredns")] {
            demo.cluster
                .wait_for(
                    &["-n", "kube-system", kind, name],
                    Duration::from_mins(2),
                    |object| not_ready(kind, object),
                )
                .await?;
        }
        let lookup = [
            "exec",
            "demo",
            "--",
            "nslookup",
            "kubernetes.default.svc.cluster.local",
        ];
        until(
            "a pod resolves a Service's name",
            Duration::from_mins(1),
            async || demo.cluster.kubectl(lookup).run().await.map(Seen::Yes),
        )
        .await
    };
    let answer = ready.await;
    demo.tenant
        .patch(&json!({ "spec": { "addons": { "kubeProxy": null, "coreDNS": null } } }))
        .await?;
    until("the addons are gone", Duration::from_mins(1), async || {
        let listing = demo
            .cluster
            .kubectl(["-n", "kube-system", "get", "pods", "-o", "name"])
            .run()
            .await?;
        let left = listing.contains("kube-proxy") || listing.contains("coredns");
        Ok(if left {
            Seen::NotYet(listing)
        } else {
            Seen::Yes(())
        })
    })
    .await?;
    demo.worker.start_proxy(&demo.cluster).await?;
    let answer = answer?;
    let service = demo.cluster.get(&["service", "kubernetes"]).await?;
    let address = service.pointer("/spec/clusterIP").and_then(Value::as_str);
    let address = address.unwrap_or("an address");
    expect_contains("what the pod was told", &answer, address)?;
    Ok(format!("{address} is kubernetes.default.svc.cluster.local"))
}

fn not_ready(kind: &str, object: &Value) -> Option<String> {
    let number = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let (wanted, ready) = if kind == "daemonset" {
        (
            number("/status/desiredNumberScheduled"),
            number("/status/numberReady"),
        )
    } else {
        (1, number("/status/readyReplicas").min(1))
    };
    (wanted == 0 || ready < wanted).then(|| format!("{ready} of {wanted} ready"))
}
