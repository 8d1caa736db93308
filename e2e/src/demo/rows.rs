//! The rows of the demo: each is asked for through the tenant's kubeconfig and read back; nothing of it is made up here.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::demo::{Demo, admission};
use crate::error::{Error, Result, expect_contains};
use crate::image::workload::TEST_IMAGE;
use crate::network;
use crate::wait::timed;

/// One thing that was shown.
#[derive(Debug)]
pub struct Row {
    /// What was tried.
    pub what: &'static str,
    /// What came back.
    pub shown: String,
    /// How long the answer took.
    pub took: Duration,
}

/// A text that nobody can have known before.
pub fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Shows everything.
pub async fn all(demo: &Demo) -> Result<Vec<Row>> {
    let mut rows = through(&demo.cluster, "worker").await?;
    let mut show = |what, (shown, took): (String, Duration)| rows.push(Row { what, shown, took });
    show(
        "management dials the kubelet",
        timed(management_is_shut_out(demo)).await?,
    );
    show(
        "the worker dials the kubelet",
        timed(worker_reaches_itself(demo)).await?,
    );
    show("images of the tunnel", timed(images(demo)).await?);
    Ok(rows)
}

/// What the API server can only show when it reaches the node and its pods.
pub async fn through(tenant: &Cluster, node: &str) -> Result<Vec<Row>> {
    let secret = random();
    start_pod(tenant, "demo", &secret).await?;
    let webhook = admission::Webhook::start(tenant).await?;
    let mut rows = Vec::new();
    let mut show = |what, (shown, took): (String, Duration)| rows.push(Row { what, shown, took });
    show("kubectl get nodes", timed(nodes(tenant)).await?);
    show("kubectl logs", timed(logs(tenant, &secret)).await?);
    show("kubectl exec", timed(exec(tenant)).await?);
    show(
        "kubectl port-forward",
        timed(port_forward(tenant, &secret)).await?,
    );
    show("node metrics", timed(metrics(tenant, node)).await?);
    show("admission webhook", timed(webhook.denies(tenant)).await?);
    Ok(rows)
}

/// A pod on the worker that says `reply` in its log and to whoever asks it over HTTP.
pub async fn start_pod(tenant: &Cluster, name: &str, reply: &str) -> Result<()> {
    let pod = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": name } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "app",
                "image": TEST_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/testapp", "-reply", reply],
                "readinessProbe": { "httpGet": { "port": 8080, "path": "/" }, "periodSeconds": 1 },
            }],
        },
    });
    tenant
        .kubectl(["delete", "pod", name, "--ignore-not-found", "--now"])
        .run()
        .await?;
    crate::wait::until(
        "the tenant takes pods",
        Duration::from_secs(30),
        async || {
            tenant
                .apply(&pod.to_string())
                .await
                .map(crate::wait::Seen::Yes)
        },
    )
    .await?;
    tenant.wait_pod_ready("default", name).await
}

async fn nodes(tenant: &Cluster) -> Result<String> {
    let listing = tenant
        .kubectl(["get", "nodes", "--no-headers"])
        .run()
        .await?;
    expect_contains("the list of nodes", &listing, " Ready ")?;
    Ok(listing.split_whitespace().collect::<Vec<_>>().join(" "))
}

async fn logs(tenant: &Cluster, secret: &str) -> Result<String> {
    let log = tenant.kubectl(["logs", "demo"]).run().await?;
    expect_contains("the pod's log", &log, secret)?;
    Ok(log.trim().to_owned())
}

/// The pod turns around what it is sent, so that the answer is the pod's and not ours.
pub async fn exec(tenant: &Cluster) -> Result<String> {
    let sent = random();
    let answer = tenant
        .kubectl(["exec", "-i", "demo", "--", "rev"])
        .input(format!("{sent}\n"))
        .run()
        .await?;
    expect_contains(
        "what `rev` in the pod answered",
        &answer,
        &sent.chars().rev().collect::<String>(),
    )?;
    Ok(format!("{sent} came back as {}", answer.trim()))
}

async fn port_forward(tenant: &Cluster, secret: &str) -> Result<String> {
    let mut forward = tenant
        .kubectl(["port-forward", "pod/demo", ":8080"])
        .spawn()?;
    let broken = |found: &str| Error::Unexpected {
        what: "`kubectl port-forward`".into(),
        expected: "Forwarding from 127.0.0.1:PORT".into(),
        found: found.to_owned(),
    };
    let stdout = forward.stdout.take().ok_or_else(|| broken("no output"))?;
    let mut line = String::new();
    // Kept until the end: kubectl does not survive a closed output.
    let mut stdout = BufReader::new(stdout);
    stdout
        .read_line(&mut line)
        .await
        .map_err(Error::file("read", "kubectl's output"))?;
    let address = line
        .split_whitespace()
        .find(|word| word.starts_with("127.0.0.1:"))
        .ok_or_else(|| broken(&line))?;
    let answer = get(address).await.map_err(Error::file("dial", address))?;
    expect_contains("the pod's answer over HTTP", &answer, secret)?;
    forward
        .kill()
        .await
        .map_err(Error::file("end", "kubectl port-forward"))?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

/// One HTTP request, by hand.
async fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET / HTTP/1.0\r\nHost: demo\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn metrics(tenant: &Cluster, node: &str) -> Result<String> {
    let text = tenant
        .kubectl([
            "get",
            "--raw",
            &format!("/api/v1/nodes/{node}/proxy/metrics"),
        ])
        .run()
        .await?;
    let pods = text
        .lines()
        .find(|line| line.starts_with("kubelet_running_pods "));
    let pods = pods.ok_or_else(|| Error::Unexpected {
        what: "the kubelet's metrics".into(),
        expected: "kubelet_running_pods".into(),
        found: format!("{} bytes without it", text.len()),
    })?;
    Ok(format!("{pods}, of {} lines", text.lines().count()))
}

/// Whether a TCP connection to the worker's kubelet comes about from a namespace.
async fn reaches_kubelet(demo: &Demo, namespace: &str) -> Result<std::result::Result<(), String>> {
    let target = format!("TCP:{}:10250,connect-timeout=3", demo.worker.address());
    let finished = network::inside(namespace, &["socat", "/dev/null", &target])
        .finish()
        .await?;
    let reason = finished
        .stderr
        .rsplit(": ")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    Ok(if finished.status.success() {
        Ok(())
    } else {
        Err(reason)
    })
}

async fn management_is_shut_out(demo: &Demo) -> Result<String> {
    match reaches_kubelet(demo, "management").await? {
        Err(reason) => Ok(format!("no connection: {reason}")),
        Ok(()) => Err(Error::Unexpected {
            what: "a direct connection from management to the worker's kubelet".into(),
            expected: "none".into(),
            found: "one".into(),
        }),
    }
}

async fn worker_reaches_itself(demo: &Demo) -> Result<String> {
    match reaches_kubelet(demo, "worker").await? {
        Ok(()) => Ok(format!("connected to {}:10250", demo.worker.address())),
        Err(reason) => Err(Error::Unexpected {
            what: "a connection to the kubelet from the worker's own network".into(),
            expected: "one".into(),
            found: reason,
        }),
    }
}

/// The tunnel is ours: no pod of either cluster runs an image of the reference.
async fn images(demo: &Demo) -> Result<String> {
    let mut ours = Vec::new();
    for cluster in [demo.lab.management(), &demo.cluster] {
        let images = "jsonpath={.items[*].spec['containers','initContainers'][*].image}";
        let listing = cluster
            .kubectl(["get", "pods", "-A", "-o", images])
            .run()
            .await?;
        if let Some(image) = listing
            .split_whitespace()
            .find(|image| image.contains("kas-network-proxy"))
        {
            return Err(Error::Unexpected {
                what: "images in use".into(),
                expected: "ours".into(),
                found: image.into(),
            });
        }
        ours.extend(
            listing
                .split_whitespace()
                .filter(|image| image.contains("konnectivity"))
                .map(str::to_owned),
        );
    }
    ours.sort();
    ours.dedup();
    expect_contains(
        "images in use",
        &ours.join(" "),
        crate::image::product::KONNECTIVITY.0,
    )?;
    Ok(format!("{}; none of the reference", ours.join(" ")))
}
