//! More and fewer control-plane pods.

use std::time::Duration;

use crate::demo::{Demo, rows};
use crate::error::{Result, expect_contains};
use crate::replica;
use crate::scenario::agents::tunnel_works;
use crate::wait::{Seen, until};

/// With two control-plane pods, each kube-apiserver by itself reaches the worker: agents hold a stream to each server.
pub(super) async fn each_reaches_the_worker(demo: &Demo) -> Result<String> {
    scale(demo, 2).await?;
    let addresses = demo.tenant.pod_addresses().await?;
    for address in &addresses {
        let what = format!("exec through the kube-apiserver at {address}");
        until(&what, Duration::from_mins(1), async || {
            exec_at(demo, address).await.map(Seen::Yes)
        })
        .await?;
    }
    Ok(format!("exec through {}", addresses.join(" and ")))
}

/// Scales, and waits until the status says so and there are so many pods, none of them on its way out.
async fn scale(demo: &Demo, replicas: u8) -> Result<()> {
    demo.tenant.scale(replicas).await?;
    let status = if replicas == 0 { "Sleeping" } else { "Ready" };
    demo.tenant
        .wait_status(status, Duration::from_mins(4))
        .await?;
    let what = format!("{replicas} control-plane pods are left");
    until(&what, Duration::from_mins(1), async || {
        let pods = demo.tenant.pods_that_are_left().await?;
        Ok(if pods.len() == usize::from(replicas) {
            Seen::Yes(())
        } else {
            Seen::NotYet(format!("{pods:?}"))
        })
    })
    .await
}

/// `exec` through one kube-apiserver.
async fn exec_at(demo: &Demo, address: &str) -> Result<()> {
    let sent = rows::random();
    let arguments = ["exec", "-i", "demo", "--", "rev"];
    let whom = (&demo.lab, &demo.cluster);
    let answer = replica::ask(whom, address, &arguments, format!("{sent}\n")).await?;
    expect_contains(
        "what `rev` answered",
        &answer,
        &sent.chars().rev().collect::<String>(),
    )
}

/// One, two, none and one again: what was stored is still there, and the tunnel works.
pub(super) async fn scale_keeps_data(demo: &Demo) -> Result<String> {
    let value = rows::random();
    scale(demo, 1).await?;
    demo.cluster
        .kubectl(["delete", "configmap", "kept", "--ignore-not-found"])
        .run()
        .await?;
    demo.cluster
        .kubectl([
            "create",
            "configmap",
            "kept",
            &format!("--from-literal=value={value}"),
        ])
        .run()
        .await?;
    scale(demo, 2).await?;
    scale(demo, 0).await?;
    scale(demo, 1).await?;
    let kept = demo
        .cluster
        .kubectl(["get", "configmap", "kept", "-o", "jsonpath={.data.value}"])
        .run()
        .await?;
    expect_contains("what was stored before", &kept, &value)?;
    tunnel_works(demo).await?;
    Ok(format!("{kept} is still there"))
}
