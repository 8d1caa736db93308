//! Three control-plane pods and agents that a balancer keeps at one of them: every kube-apiserver reaches every node, since
//! the servers relay for each other.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::{Instant, timeout};

use crate::demo::Demo;
use crate::error::{Error, Result, expect_contains};
use crate::replica;
use crate::scenario::agents::tunnel_works;
use crate::wait::{Seen, until};
use crate::warren::wait_agents_ready;

/// `kubectl logs` calls over all kube-apiservers.
const CALLS: usize = 300;
/// Calls at once: kubectl costs more than what it calls.
const AT_ONCE: usize = 6;
/// Agents of one server, as it counts them itself.
const AGENTS: &str = "konnectivity_network_proxy_server_ready_backend_connections ";

/// All calls through all three succeed, and an `exec` through the pod that stays outlives the scaling 1 → 3 → 2, which
/// recreates no pod that remains.
pub(super) async fn sticky(demo: &Demo) -> Result<String> {
    demo.tenant.scale(1).await?;
    demo.tenant.wait_ready().await?;
    stick(demo, "ClientIP").await?;
    begin_anew(demo).await?;
    let staying = only(demo).await?;
    let mut exec = Counter::start(demo, &staying).await?;
    let one = demo.tenant.pod_uids().await?;
    demo.tenant.scale(3).await?;
    demo.tenant.wait_ready().await?;
    let pinned = agents_at_one(demo).await?;
    let calls = logs_through_all(demo).await?;
    let three = demo.tenant.pod_uids().await?;
    demo.tenant.scale(2).await?;
    demo.tenant.wait_ready().await?;
    let two = demo.tenant.pod_uids().await?;
    let among = |few: &[String], many: &[String]| few.iter().all(|uid| many.contains(uid));
    if two.len() != 2 || !among(&one, &two) || !among(&two, &three) {
        return Err(Error::Unexpected {
            what: "pods that remain, the oldest among them".into(),
            expected: format!("{one:?} and another one of {three:?}"),
            found: format!("{two:?}"),
        });
    }
    let counted = exec.goes_on().await?;
    stick(demo, "None").await?;
    tunnel_works(demo).await?;
    Ok(format!(
        "{calls}; agents at {pinned} alone; exec counted to {counted} without a gap"
    ))
}

/// Whether a client is always led to the same pod.
async fn stick(demo: &Demo, affinity: &str) -> Result<()> {
    let patch = json!({ "spec": { "sessionAffinity": affinity } }).to_string();
    let name = demo.tenant.name();
    let management = demo.lab.management();
    let patched = management.kubectl(["patch", "service", name, "--type=merge", "-p", &patch]);
    patched.run().await.map(drop)
}

/// The address of the only pod.
async fn only(demo: &Demo) -> Result<String> {
    let addresses = demo.tenant.pod_addresses().await?;
    match addresses.as_slice() {
        [address] => Ok(address.clone()),
        _ => Err(Error::Unexpected {
            what: "control-plane pods".into(),
            expected: "one".into(),
            found: format!("{addresses:?}"),
        }),
    }
}

/// Agents are led anew: from now on the balancer knows where each belongs.
async fn begin_anew(demo: &Demo) -> Result<()> {
    let agents = [
        "-n",
        "kube-system",
        "delete",
        "pods",
        "-l",
        "k8s-app=konnectivity-agent",
    ];
    demo.cluster.kubectl(agents).run().await?;
    wait_agents_ready(&demo.cluster).await
}

/// Says which pod all agents are at.
async fn agents_at_one(demo: &Demo) -> Result<String> {
    until(
        "one server has all agents, two have none",
        Duration::from_mins(1),
        async || {
            let mut counts = Vec::new();
            for pod in demo.tenant.pods().await? {
                let page = replica::metrics(&demo.lab, &pod).await?;
                let count = page.lines().find_map(|line| line.strip_prefix(AGENTS));
                counts.push((pod, count.unwrap_or("none").to_owned()));
            }
            let with: Vec<_> = counts.iter().filter(|(_, count)| count != "0").collect();
            Ok(match with.as_slice() {
                [(pod, _)] if counts.len() == 3 => Seen::Yes(pod.clone()),
                _ => Seen::NotYet(format!("{counts:?}")),
            })
        },
    )
    .await
}

/// The calls, spread evenly; the first that fails is the result.
async fn logs_through_all(demo: &Demo) -> Result<String> {
    let addresses = demo.tenant.pod_addresses().await?;
    let whom = (&demo.lab, &demo.cluster);
    let start = Instant::now();
    let calls = stream::iter(addresses.iter().cycle().take(CALLS));
    let called = calls.map(|address| async move {
        let arguments = ["logs", "demo", "--tail=5"];
        let lines = replica::ask(whom, address, &arguments, String::new()).await?;
        expect_contains("what the pod says in its log", &lines, "\n")
    });
    called
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(format!(
        "{CALLS} of {CALLS} logs through {} kube-apiservers in {} s",
        addresses.len(),
        start.elapsed().as_secs()
    ))
}

/// An `exec` that counts the seconds.
struct Counter {
    client: Child,
    lines: Lines<BufReader<ChildStdout>>,
    since: Instant,
}

impl Counter {
    async fn start(demo: &Demo, address: &str) -> Result<Self> {
        const SCRIPT: &str = "i=0; while true; do i=$((i+1)); echo $i; sleep 1; done";
        let arguments = ["exec", "demo", "--", "sh", "-c", SCRIPT];
        let whom = (&demo.lab, &demo.cluster);
        until("an exec begins", Duration::from_mins(1), async || {
            let mut client = replica::kubectl(whom, address, &arguments)?.spawn()?;
            let Some(stdout) = client.stdout.take() else {
                return Ok(Seen::NotYet("no output".into()));
            };
            let mut lines = BufReader::new(stdout).lines();
            let first = next(&mut lines).await?;
            Ok(if first.as_deref() == Some("1") {
                let since = Instant::now();
                Seen::Yes(Self {
                    client,
                    lines,
                    since,
                })
            } else {
                Seen::NotYet(format!("{first:?}"))
            })
        })
        .await
    }

    /// Reads what it counted meanwhile, half of the seconds at least, each number behind the one before.
    async fn goes_on(&mut self) -> Result<u64> {
        let enough = self.since.elapsed().as_secs() / 2;
        let mut last = 1;
        while last < enough {
            let line = next(&mut self.lines).await?;
            if line != Some((last + 1).to_string()) {
                return Err(Error::Unexpected {
                    what: "the exec through the pod that stays".into(),
                    expected: (last + 1).to_string(),
                    found: format!("{line:?}"),
                });
            }
            last += 1;
        }
        let ended = self.client.try_wait();
        match ended.map_err(Error::file("wait for", "kubectl exec"))? {
            None => Ok(last),
            Some(status) => Err(Error::Unexpected {
                what: "the exec through the pod that stays".into(),
                expected: "running".into(),
                found: status.to_string(),
            }),
        }
    }
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<String>> {
    const LIMIT: Duration = Duration::from_secs(20);
    let late = |_elapsed| Error::Late {
        what: "the next line of the exec".into(),
        limit: LIMIT,
        last: "nothing".into(),
    };
    let line = timeout(LIMIT, lines.next_line()).await.map_err(late)?;
    line.map_err(Error::file("read", "kubectl's output"))
}
