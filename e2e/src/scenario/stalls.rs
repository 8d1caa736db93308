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
        let during = slowest(demo).await?;
        for mut client in stopped {
            client
                .kill()
                .await
                .map_err(Error::file("end", "kubectl exec"))?;
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
            "{protocol}: p99 {} ms alone, {} ms beside",
            before.as_millis(),
            during.as_millis()
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

/// The 99th percentile over fresh connections, one after the other; the pod closes each, so that each is dialled anew.
async fn slowest(demo: &Demo) -> Result<Duration> {
    let client = demo.cluster.client().await?;
    let mut times = Vec::new();
    for _ in 0..FRESH {
        let request = http::Request::get("/api/v1/namespaces/default/pods/demo:8080/proxy/fresh")
            .body(Vec::new());
        let request = request.map_err(|error| Error::Unexpected {
            what: "a request".into(),
            expected: "one".into(),
            found: error.to_string(),
        })?;
        let start = Instant::now();
        client.request_text(request).await?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times.get(FRESH * 99 / 100).copied().unwrap_or_default())
}
