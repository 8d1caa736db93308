//! Agents that are deleted, killed, stopped, or delivered another way.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::command::Finished;
use crate::demo::{Demo, rows};
use crate::error::{Error, Result, expect_contains};
use crate::scenario::counters::counted;
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

/// An agent killed under a running `exec` and a `port-forward` ends both, each as kubectl ends what has lost its
/// connection, the server counts them as lost, and the agent is back for the next.
pub(super) async fn killed(demo: &Demo) -> Result<String> {
    const ENDS: Duration = Duration::from_mins(1);
    let exec = [
        "exec",
        "demo",
        "--",
        "sh",
        "-c",
        "echo started; sleep 600; echo finished",
    ];
    let exec = begin(demo, &exec, "started").await?;
    let forward = begin(demo, &["port-forward", "pod/demo", ":8080"], "Forwarding").await?;
    let lost = || {
        counted(
            demo,
            "connection_outcomes_total",
            &["reason=\"agent_lost\""],
        )
    };
    let before = lost().await?;
    demo.worker
        .machine()
        .command(["pkill", "-KILL", "-f", "^/.*(konnectivity|proxy)-agent"])
        .run()
        .await?;
    let (exec, ended_after) = timed(outcome("the exec", exec, ENDS)).await?;
    let forward = outcome("the port-forward", forward, ENDS).await?;
    // kube-apiserver takes a connection that ends without a word about the command for the command's success, and so
    // does kubectl (kubernetes/kubectl issue 1726): what tells is that the command's last word is missing.
    expect_outcome("the exec whose agent was killed", &exec, (0, ""))?;
    expect_outcome(
        "the port-forward whose agent was killed",
        &forward,
        (1, "error: lost connection to pod"),
    )?;
    let counted = until(
        "the server has counted both connections as lost",
        Duration::from_secs(10),
        async || {
            let now = lost().await?.saturating_sub(before);
            Ok(if now >= 2 {
                Seen::Yes(now)
            } else {
                Seen::NotYet(now.to_string())
            })
        },
    );
    let counted = counted.await?;
    let ((), back_after) = timed(tunnel_works(demo)).await?;
    Ok(format!(
        "exec ended after {:.1} s, port-forward said: {}; {counted} lost; tunnel back {:.1} s later",
        ended_after.as_secs_f64(),
        forward.stderr.trim(),
        back_after.as_secs_f64()
    ))
}

/// Starts kubectl and waits until its first line begins with this word.
async fn begin(demo: &Demo, arguments: &[&str], word: &str) -> Result<Child> {
    let mut child = demo.cluster.kubectl(arguments.iter().copied()).spawn()?;
    let mut line = vec![0; word.len()];
    if let Some(stdout) = &mut child.stdout {
        let read = stdout.read_exact(&mut line).await;
        read.map_err(Error::file("read", "kubectl's output"))?;
    }
    let line = String::from_utf8_lossy(&line);
    expect_contains(
        &format!("what kubectl {} says first", arguments.join(" ")),
        &line,
        word,
    )?;
    Ok(child)
}

/// How a kubectl ends by itself, and what it said after its first word.
async fn outcome(what: &str, child: Child, limit: Duration) -> Result<Finished> {
    let ended = tokio::time::timeout(limit, child.wait_with_output()).await;
    let ended = ended.map_err(|_elapsed| Error::Late {
        what: format!("{what} whose agent was killed ends"),
        limit,
        last: "running".into(),
    })?;
    ended
        .map(Finished::from)
        .map_err(Error::file("end", "kubectl"))
}

/// The exit code, the last line of standard error, and that the last word of the command never came.
fn expect_outcome(what: &str, found: &Finished, (code, text): (i32, &str)) -> Result<()> {
    let is_finished = found.stdout.contains("finished");
    if found.status.code() == Some(code)
        && found.stderr.trim().lines().last().unwrap_or_default() == text
        && !is_finished
    {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: what.into(),
        expected: format!("exit code {code}, standard error ends with {text:?}, no `finished`"),
        found: format!("{found:?}"),
    })
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
