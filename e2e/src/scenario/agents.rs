//! Agents that are deleted, killed, stopped, or delivered another way.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::demo::{Demo, rows};
use crate::error::{Error, Result, expect_contains};
use crate::wait::{Seen, timed, until};
use crate::warren::wait_agents_ready;

const AGENT: [&str; 4] = ["-n", "kube-system", "daemonset", "konnectivity-agent"];

/// Waits until `exec` goes through the tunnel.
pub(super) async fn tunnel_works(demo: &Demo) -> Result<()> {
    let exec = until(
        "exec goes through the tunnel",
        Duration::from_mins(2),
        async || rows::exec(&demo.cluster).await.map(Seen::Yes),
    );
    exec.await.map(drop)
}

/// A `DaemonSet` deleted by hand is back within five seconds.
pub(super) async fn deleted(demo: &Demo) -> Result<String> {
    let tenant = &demo.cluster;
    let uid = |object: &Value| object.pointer("/metadata/uid").cloned();
    let old = uid(&tenant.get(&AGENT).await?);
    tenant
        .kubectl(["delete", "--wait=false"])
        .args(AGENT)
        .run()
        .await?;
    let back = tenant.wait_for(&AGENT, Duration::from_secs(5), |object| {
        (uid(object) == old).then(|| "the old one".to_owned())
    });
    let (_, took) = timed(back).await?;
    wait_agents_ready(tenant).await?;
    tunnel_works(demo).await?;
    Ok(format!("back after {:.1} s", took.as_secs_f64()))
}

/// An agent killed under a running `exec` ends that `exec`, and is back for the next.
pub(super) async fn killed(demo: &Demo) -> Result<String> {
    let mut exec = demo
        .cluster
        .kubectl(["exec", "demo", "--", "sh", "-c", "echo started; sleep 600"])
        .spawn()?;
    let mut word = [0; 7];
    if let Some(stdout) = &mut exec.stdout {
        stdout
            .read_exact(&mut word)
            .await
            .map_err(Error::file("read", "kubectl's output"))?;
    }
    demo.worker
        .machine()
        .command(["pkill", "-KILL", "-f", "^/.*(konnectivity|proxy)-agent"])
        .run()
        .await?;
    let ended = async {
        let ended = tokio::time::timeout(Duration::from_mins(1), exec.wait()).await;
        ended.map_err(|_elapsed| Error::Late {
            what: "the exec whose agent was killed ends".into(),
            limit: Duration::from_mins(1),
            last: "running".into(),
        })
    };
    let (_, ended_after) = timed(ended).await?;
    let ((), back_after) = timed(tunnel_works(demo)).await?;
    Ok(format!(
        "exec ended after {:.1} s, tunnel back {:.1} s later",
        ended_after.as_secs_f64(),
        back_after.as_secs_f64()
    ))
}

/// Without agents, `exec` fails and says so.
pub(super) async fn stopped(demo: &Demo) -> Result<String> {
    demo.tenant
        .annotate("kamaji.clastix.io/paused=true")
        .await?;
    demo.cluster
        .kubectl(["delete", "--cascade=foreground"])
        .args(AGENT)
        .run()
        .await?;
    let pods = [
        "-n",
        "kube-system",
        "pods",
        "-l",
        "k8s-app=konnectivity-agent",
    ];
    let gone = demo
        .cluster
        .wait_for(&pods, Duration::from_mins(1), |list| {
            let left = list
                .get("items")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            (left > 0).then(|| format!("{left} pods"))
        });
    gone.await?;
    let finished = demo
        .cluster
        .kubectl(["exec", "demo", "--", "true"])
        .finish()
        .await?;
    demo.tenant.annotate("kamaji.clastix.io/paused-").await?;
    tunnel_works(demo).await?;
    if finished.status.success() {
        return Err(Error::Unexpected {
            what: "exec without agents".into(),
            expected: "a failure".into(),
            found: "success".into(),
        });
    }
    expect_contains(
        "exec without agents",
        &finished.stderr,
        "No agent available",
    )?;
    Ok(finished.stderr.trim().to_owned())
}

/// Switching the mode replaces the `DaemonSet` by a Deployment, and back.
pub(super) async fn mode_switch(demo: &Demo) -> Result<String> {
    for (agent, there, gone) in [
        (
            json!({ "mode": "Deployment", "replicas": 1 }),
            "deployment",
            "daemonset",
        ),
        (
            json!({ "mode": "DaemonSet", "replicas": null }),
            "daemonset",
            "deployment",
        ),
    ] {
        demo.tenant
            .patch(&json!({ "spec": { "addons": { "konnectivity": { "agent": agent } } } }))
            .await?;
        demo.cluster
            .wait_for(
                &["-n", "kube-system", there, "konnectivity-agent"],
                Duration::from_mins(1),
                |_| None,
            )
            .await?;
        until(
            &format!("the agents' {gone} is gone"),
            Duration::from_mins(1),
            async || {
                let found = demo
                    .cluster
                    .kubectl(["-n", "kube-system", "get", gone, "konnectivity-agent"])
                    .finish()
                    .await?;
                Ok(if found.status.success() {
                    Seen::NotYet(found.stdout)
                } else {
                    Seen::Yes(())
                })
            },
        )
        .await?;
        wait_agents_ready(&demo.cluster).await?;
        tunnel_works(demo).await?;
    }
    demo.tenant.wait_ready().await?;
    Ok("DaemonSet, Deployment, DaemonSet".into())
}
