//! Clients that stop reading: they must not slow those that do not.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::time::Instant;

use crate::command::Invocation;
use crate::demo::Demo;
use crate::error::{Error, Result};
use crate::scenario::agents::tunnel_works;

const STOPPED: usize = 3;
const FRESH: usize = 50;
const ROUNDS: usize = 3;
/// The reference's wire has no credits: a full connection may hold up the shared stream until it has stood still for
/// half a second, and is then closed. Three of them, one after the other, are found within this time,
const FOUND: Duration = Duration::from_secs(4);
/// and hold up others no longer than this.
const WHILE_FOUND: Duration = Duration::from_secs(2);
/// Two cores run everything here, so the slowest of fifty moves by this much from run to run.
const NOISE: Duration = Duration::from_millis(20);

/// Three `exec … yes` whose clients are stopped; fifty fresh connections through the same agent do not notice. In both
/// frontends.
pub(super) async fn stopped_execs(demo: &Demo) -> Result<String> {
    let mut seen = Vec::new();
    for protocol in ["GRPC", "HTTPConnect"] {
        use_protocol(demo, protocol).await?;
        let before = slowest(demo).await?;
        let mut stopped = Vec::new();
        for _ in 0..STOPPED {
            stopped.push(stop_exec(demo).await?);
        }
        let meanwhile = slowest_until_found(demo).await?;
        let during = slowest(demo).await?;
        for mut client in stopped {
            client
                .kill()
                .await
                .map_err(Error::file("end", "kubectl exec"))?;
        }
        if meanwhile > WHILE_FOUND {
            return Err(Error::Unexpected {
                what: format!(
                    "the slowest connection while clients were being stopped, {protocol}"
                ),
                expected: format!("at most {WHILE_FOUND:?}"),
                found: format!("{meanwhile:?}"),
            });
        }
        if during > before.mul_f64(1.5) + NOISE {
            return Err(Error::Unexpected {
                what: format!(
                    "p99 of {FRESH} fresh connections beside {STOPPED} stopped clients, {protocol}"
                ),
                expected: format!("at most 1.5 times {before:?}"),
                found: format!("{during:?}"),
            });
        }
        seen.push(format!(
            "{protocol}: p99 {} ms alone, {} ms beside them (at most {} ms while they were found)",
            before.as_millis(),
            during.as_millis(),
            meanwhile.as_millis()
        ));
    }
    Ok(seen.join("; "))
}

/// One control-plane pod, so that all goes through one agent's one stream, with this frontend.
async fn use_protocol(demo: &Demo, protocol: &str) -> Result<()> {
    demo.tenant
        .patch(&json!({ "spec": {
            "controlPlane": { "deployment": { "replicas": 1 } },
            "addons": { "konnectivity": { "server": { "egressProtocol": protocol } } },
        } }))
        .await?;
    demo.tenant.wait_ready().await?;
    tunnel_works(demo).await
}

/// An `exec` of `yes` whose client has read a little and then stands still.
async fn stop_exec(demo: &Demo) -> Result<Child> {
    let mut client = demo
        .cluster
        .kubectl(["exec", "demo", "--", "yes"])
        .spawn()?;
    let mut some = vec![0; 1 << 20];
    if let Some(stdout) = &mut client.stdout {
        stdout
            .read_exact(&mut some)
            .await
            .map_err(Error::file("read", "kubectl's output"))?;
    }
    let pid = client.id().unwrap_or_default().to_string();
    Invocation::new(["kill", "-STOP", &pid]).run().await?;
    Ok(client)
}

/// The 99th percentile over fresh connections, one after the other: the best of a few rounds, for a tunnel that is held
/// up is so in each of them, and a machine that does something else is not.
async fn slowest(demo: &Demo) -> Result<Duration> {
    let client = demo.cluster.client().await?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let mut times = Vec::new();
        for _ in 0..FRESH {
            times.push(fresh(&client).await?);
        }
        times.sort();
        best = best.min(times.get(FRESH * 99 / 100).copied().unwrap_or_default());
    }
    Ok(best)
}

/// The slowest of the fresh connections while clients are being found to stand still.
async fn slowest_until_found(demo: &Demo) -> Result<Duration> {
    let client = demo.cluster.client().await?;
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while start.elapsed() < FOUND {
        slowest = slowest.max(fresh(&client).await?);
    }
    Ok(slowest)
}

/// One connection through the tunnel to the pod, which closes it, so that the next is dialled anew.
async fn fresh(client: &kube::Client) -> Result<Duration> {
    let path = "/api/v1/namespaces/default/pods/demo:8080/proxy/fresh";
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| Error::Unexpected {
            what: path.into(),
            expected: "a request".into(),
            found: error.to_string(),
        })?;
    let start = Instant::now();
    client.request_text(request).await?;
    Ok(start.elapsed())
}
