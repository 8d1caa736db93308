//! The command line of konnectivity-agent.
//!
//! Only flags that the reference's agent of the image's release knows, so that any image of it starts from this line too.
//! A flag of the user replaces ours of the same name, in its place.

use super::tunnel_agent::{ADMIN_PORT, HEALTH_PORT, TOKEN, TOKEN_DIRECTORY};
use crate::tenant::inputs::{Agent, Family, TenantInputs};

/// The arguments, ours first, then those only the user gave.
pub(super) fn render(inputs: &TenantInputs, agent: &Agent) -> Vec<String> {
    let mut flags = managed(inputs, agent);
    let mut extra = Vec::new();
    for arg in &agent.extra_args {
        match flags.iter_mut().find(|(name, _)| *name == name_of(arg)) {
            Some(flag) => flag.1.clone_from(arg),
            None => extra.push(arg.clone()),
        }
    }
    flags.into_iter().map(|(_, arg)| arg).chain(extra).collect()
}

/// Our flags by name, as whole arguments.
fn managed(inputs: &TenantInputs, agent: &Agent) -> Vec<(&'static str, String)> {
    let address = match inputs.network.family() {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let mut flags = vec![
        ("logtostderr", "true".to_owned()),
        (
            "ca-cert",
            "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt".to_owned(),
        ),
        ("proxy-server-host", agent.server.host.clone()),
        ("proxy-server-port", agent.server.port.to_string()),
        ("admin-server-port", ADMIN_PORT.to_string()),
        ("health-server-port", HEALTH_PORT.to_string()),
        (
            "service-account-token-path",
            format!("{TOKEN_DIRECTORY}/{TOKEN}"),
        ),
        (
            "agent-identifiers",
            format!("{address}=$(HOST_IP)&host=$(NODE_NAME)"),
        ),
        ("keepalive-time", "1m0s".to_owned()),
    ];
    if agent.image.counts_leases(inputs.version.minor) {
        flags.push(("count-server-leases", "true".to_owned()));
    }
    let written = flags
        .into_iter()
        .map(|(name, value)| (name, format!("--{name}={value}")));
    written.collect()
}

/// The name in `--name=value`, `--name` or `-name`.
fn name_of(arg: &str) -> &str {
    let name = arg.trim_start_matches('-');
    name.split_once('=').map_or(name, |(name, _)| name)
}
