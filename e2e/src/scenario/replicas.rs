//! More and fewer control-plane pods.

use std::time::Duration;

use crate::demo::{Demo, rows};
use crate::error::{Error, Result, expect_contains};
use crate::replica;
use crate::scenario::agents::tunnel_works;
use crate::wait::{Seen, until};

/// With two control-plane pods, each kube-apiserver by itself reaches the worker: agents hold a stream to each server.
pub(super) async fn each_reaches_the_worker(demo: &Demo) -> Result<String> {
    demo.tenant.scale(2).await?;
    demo.tenant.wait_ready().await?;
    let addresses = demo.tenant.pod_addresses().await?;
    if addresses.len() != 2 {
        return Err(Error::Unexpected {
            what: "control-plane pods".into(),
            expected: "2".into(),
            found: format!("{addresses:?}"),
        });
    }
    for address in &addresses {
        let what = format!("exec through the kube-apiserver at {address}");
        until(&what, Duration::from_mins(1), async || {
            exec_at(demo, address).await.map(Seen::Yes)
        })
        .await?;
    }
    Ok(format!("exec through {}", addresses.join(" and ")))
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
    demo.tenant.scale(1).await?;
    demo.tenant.wait_ready().await?;
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
    demo.tenant.scale(2).await?;
    demo.tenant.wait_ready().await?;
    demo.tenant.scale(0).await?;
    demo.tenant
        .wait_status("Sleeping", Duration::from_mins(2))
        .await?;
    demo.tenant.scale(1).await?;
    demo.tenant.wait_ready().await?;
    let kept = demo
        .cluster
        .kubectl(["get", "configmap", "kept", "-o", "jsonpath={.data.value}"])
        .run()
        .await?;
    expect_contains("what was stored before", &kept, &value)?;
    tunnel_works(demo).await?;
    Ok(format!("{kept} is still there"))
}
