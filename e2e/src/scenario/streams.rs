//! What goes through the tunnel: bytes by checksum, terminals, and how they are counted.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::demo::{Demo, rows};
use crate::error::{Error, Result, expect_contains};
use crate::image::workload::TEST_IMAGE;
use crate::programs::hex;
use crate::scenario::counters::counted;

/// What an `exec` prints raises the server's count of DATA packets from agents, by as many as it takes at least.
pub(super) async fn packets_are_counted(demo: &Demo) -> Result<String> {
    const SIZE: usize = 1 << 20;
    // One frame of the native mode; the reference reads less at once.
    const LARGEST_PACKET: usize = 64 << 10;
    let least = SIZE / LARGEST_PACKET;
    let word = rows::random();
    let script = format!("yes {word} | head -c {SIZE}");
    let before = data_from_agents(demo).await?;
    let printed = demo
        .cluster
        .kubectl(["exec", "demo", "--", "sh", "-c", &script])
        .run()
        .await?;
    let after = data_from_agents(demo).await?;
    expect_contains("what exec printed", &printed, &word)?;
    let rise = usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX);
    if printed.len() == SIZE && rise >= least {
        return Ok(format!("{rise} DATA packets from agents for {SIZE} bytes"));
    }
    Err(Error::Unexpected {
        what: "konnectivity_network_proxy_server_stream_packets_total{segment=\"from_agent\",packet_type=\"DATA\"}"
            .into(),
        expected: format!("{least} or more for {SIZE} bytes"),
        found: format!("{rise} for {} bytes", printed.len()),
    })
}

async fn data_from_agents(demo: &Demo) -> Result<u64> {
    let labels = ["segment=\"from_agent\"", "packet_type=\"DATA\""];
    counted(demo, "stream_packets_total", &labels).await
}

/// `kubectl cp` both ways, compared by checksum here and in the pod.
pub(super) async fn copy(demo: &Demo) -> Result<String> {
    const SIZE: usize = 20 << 20;
    let folder = demo.lab.place().state().join("copy");
    let (out, back) = (folder.join("out"), folder.join("back"));
    let content: Vec<u8> = rows::random()
        .into_bytes()
        .into_iter()
        .cycle()
        .zip(0_u64..)
        .map(|(byte, at)| byte ^ (at >> 5).to_le_bytes()[0] ^ (at >> 13).to_le_bytes()[0])
        .take(SIZE)
        .collect();
    crate::place::write(&out, &content)?;
    demo.cluster
        .kubectl(["cp", &out.display().to_string(), "default/demo:/tmp/copy"])
        .run()
        .await?;
    let inside = demo
        .cluster
        .kubectl(["exec", "demo", "--", "sha256sum", "/tmp/copy"])
        .run()
        .await?;
    let sum = hex(&Sha256::digest(&content));
    expect_contains("the checksum in the pod", &inside, &sum)?;
    demo.cluster
        .kubectl(["cp", "default/demo:/tmp/copy", &back.display().to_string()])
        .run()
        .await?;
    let returned = std::fs::read(&back).map_err(Error::file("read", &back))?;
    expect_contains(
        "the checksum of what came back",
        &hex(&Sha256::digest(&returned)),
        &sum,
    )?;
    crate::place::remove_directory(&folder)?;
    Ok(format!("{} MiB there and back", SIZE >> 20))
}

/// `kubectl attach` to a process that answers line by line.
pub(super) async fn attach(demo: &Demo) -> Result<String> {
    demo.cluster
        .kubectl(["delete", "pod", "attached", "--ignore-not-found", "--now"])
        .run()
        .await?;
    let script = "while read line; do echo \"$line\" | rev; done";
    let arguments = [
        "run",
        "attached",
        "--image",
        TEST_IMAGE,
        "--image-pull-policy=IfNotPresent",
        "--stdin",
        "--attach=false",
    ];
    demo.cluster
        .kubectl(arguments)
        .args(["--command", "--", "sh", "-c", script])
        .run()
        .await?;
    demo.cluster.wait_pod_ready("default", "attached").await?;
    let sent = rows::random();
    let answer = tokio::time::timeout(Duration::from_secs(30), say_and_hear(demo, &sent)).await;
    let answer = answer.map_err(|_elapsed| Error::Late {
        what: "the attached process answers".into(),
        limit: Duration::from_secs(30),
        last: "nothing".into(),
    })??;
    expect_contains(
        "the attached process's answer",
        &answer,
        &sent.chars().rev().collect::<String>(),
    )?;
    demo.cluster
        .kubectl(["delete", "pod", "attached", "--now"])
        .run()
        .await?;
    Ok(answer.trim().to_owned())
}

async fn say_and_hear(demo: &Demo, sent: &str) -> Result<String> {
    let mut attached = demo
        .cluster
        .kubectl(["attach", "attached", "-i", "-q"])
        .spawn()?;
    let mut answer = String::new();
    let broken = Error::file("use", "kubectl attach");
    let (Some(stdin), Some(stdout)) = (&mut attached.stdin, attached.stdout.take()) else {
        return Ok(answer);
    };
    let exchange = async {
        stdin.write_all(format!("{sent}\n").as_bytes()).await?;
        BufReader::new(stdout).read_line(&mut answer).await
    };
    exchange.await.map_err(broken)?;
    Ok(answer)
}
