//! The lab's networks: `management` and every worker hang on a router `wan` that lets workers and this shell reach
//! management, and drops every new flow from management towards a worker.

use std::path::Path;

use crate::command::Invocation;
use crate::error::Result;
use crate::process;

/// The management machine's address.
pub const MANAGEMENT: &str = "198.18.10.2";
/// The first three octets of the addresses that LoadBalancer Services get.
pub const POOL: &str = "198.18.40";
/// An address where nothing answers, and says so at once: the router.
pub const NOWHERE: &str = "198.18.10.1";

/// The address of the worker with this index.
pub fn worker_address(index: u8) -> String {
    format!("198.18.{}.2", 20 + index)
}

const FIREWALL: &str = "*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -i worker+ -o management -j ACCEPT
-A FORWARD -i shell -o management -j ACCEPT
COMMIT
";

/// Makes the router, management's link, and a way from this shell to management.
pub async fn build() -> Result<()> {
    let shell = format!(
        "netns add wan
netns add management
link add lab type veth peer name shell netns wan
addr add 198.18.30.2/24 dev lab
link set lab up
route add 198.18.10.0/24 via 198.18.30.1
route add {POOL}.0/24 via 198.18.30.1
"
    );
    batch(&[], &shell).await?;
    batch(
        &["-n", "wan"],
        "link set lo up\naddr add 198.18.30.1/24 dev shell\nlink set shell up\n",
    )
    .await?;
    attach("management", "198.18.10").await?;
    batch(
        &["-n", "wan"],
        &format!("route add {POOL}.0/24 via {MANAGEMENT}\n"),
    )
    .await?;
    inside("wan", &["iptables-restore"])
        .input(FIREWALL)
        .run()
        .await?;
    forward("wan").await?;
    forward("management").await
}

/// Makes a worker's link.
pub async fn build_worker(name: &str, index: u8) -> Result<()> {
    batch(&[], &format!("netns add {name}\n")).await?;
    attach(name, &format!("198.18.{}", 20 + index)).await?;
    forward(name).await
}

/// Joins a namespace to the router: address .2 there, .1 here.
async fn attach(name: &str, prefix: &str) -> Result<()> {
    batch(&["-n", "wan"], &format!("link add {name} type veth peer name uplink netns {name}\naddr add {prefix}.1/24 dev {name}\nlink set {name} up\n")).await?;
    let inner = format!(
        "link set lo up\naddr add {prefix}.2/24 dev uplink\nlink set uplink up\nroute add default via {prefix}.1\n"
    );
    batch(&["-n", name], &inner).await
}

async fn forward(name: &str) -> Result<()> {
    inside(name, &["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        .run()
        .await
        .map(drop)
}

/// A program run in a network namespace. Not `ip netns exec`: that mounts /sys anew and hides the cgroups.
pub fn inside(namespace: &str, argv: &[&str]) -> Invocation {
    Invocation::new(["nsenter", &format!("--net=/run/netns/{namespace}"), "--"]).args(argv)
}

async fn batch(flags: &[&str], commands: &str) -> Result<()> {
    Invocation::new(["ip"])
        .args(flags)
        .args(["-batch", "-"])
        .input(commands)
        .run()
        .await
        .map(drop)
}

/// Ends what runs in these namespaces and removes them; what is not there is no error.
pub async fn remove(machines: &[String]) -> Result<()> {
    for name in machines.iter().map(String::as_str).chain(["wan"]) {
        remove_namespace(name).await?;
    }
    Invocation::new(["ip", "link", "del", "lab"])
        .finish()
        .await?;
    // `ip netns add` mounts the directory on itself and leaves that behind.
    if std::fs::read_dir("/run/netns").is_ok_and(|mut entries| entries.next().is_none()) {
        Invocation::new(["umount", "/run/netns"]).finish().await?;
        Invocation::new(["rmdir", "/run/netns"]).finish().await?;
    }
    Ok(())
}

/// What is there of the lab's networks: namespaces, and the link whose routes go with it.
pub fn left() -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ours = |name: &String| {
        name == "wan"
            || name == "management"
            || name.trim_end_matches(|c: char| c.is_ascii_digit()) == "worker"
    };
    let mut left: Vec<_> = names
        .filter(ours)
        .map(|name| format!("network namespace {name}"))
        .collect();
    if Path::new("/sys/class/net/lab").exists() {
        left.push("network link lab".into());
    }
    left
}

/// Removes one worker's namespace; its link goes with it.
pub async fn remove_worker(name: &str) -> Result<()> {
    remove_namespace(name).await
}

async fn remove_namespace(name: &str) -> Result<()> {
    for process in process::in_network_namespace(name) {
        process.kill().await?;
    }
    if Path::new("/run/netns").join(name).exists() {
        Invocation::new(["ip", "netns", "del", name]).run().await?;
    }
    Ok(())
}
