//! The command line of the agent, read by the agent itself.

use operator::tenant::object::TenantObject;
use serde_json::{Value, json};
use tunnel::agent::{Args, Settings};
use tunnel::flags;

use super::{tenant, wanted};

fn args(objects: &[TenantObject], kind: &str) -> Vec<String> {
    let mut agents = objects.iter().filter(|object| {
        let key = object.key();
        key.kind == kind && key.name == "konnectivity-agent"
    });
    let agent = &agents.next().expect("an agent is built").object.data;
    let args = agent
        .pointer("/spec/template/spec/containers/0/args")
        .and_then(Value::as_array);
    let args = args.unwrap().iter().filter_map(Value::as_str);
    // As the kubelet fills them in.
    args.map(|arg| {
        arg.replace("$(HOST_IP)", "192.0.2.20")
            .replace("$(NODE_NAME)", "worker")
    })
    .collect()
}

/// What the agent makes of them. The files that a pod has are there.
fn read(args: Vec<String>) -> Settings {
    let directory = tempfile::tempdir().unwrap();
    let authority = rcgen::generate_simple_self_signed(vec!["authority".to_owned()]).unwrap();
    let files = [
        ("ca-cert", authority.cert.pem()),
        ("service-account-token-path", "token".to_owned()),
    ];
    let mut command_line = vec!["/proxy-agent".to_owned()];
    for arg in args {
        let file = files
            .iter()
            .find(|(flag, _)| arg.starts_with(&format!("--{flag}=")));
        command_line.push(match file {
            Some((flag, content)) => {
                let path = directory.path().join(flag);
                std::fs::write(&path, content).unwrap();
                format!("--{flag}={}", path.display())
            }
            None => arg,
        });
    }
    let parsed = flags::parse::<Args>(command_line).expect("every flag is known");
    assert!(parsed.notices.is_empty(), "{:?}", parsed.notices);
    Settings::new(&parsed.args).expect("the flags fit together")
}

#[test]
fn our_agent_reads_the_command_line_we_give_it() {
    for agent in [
        json!({}),
        json!({ "mode": "Deployment", "replicas": 2, "hostNetwork": true }),
        json!({ "extraArgs": ["--keepalive-time=30s", "--sync-forever", "--v=4"] }),
    ] {
        let kind = agent["mode"].as_str().unwrap_or("DaemonSet").to_owned();
        let objects = wanted(&tenant(&json!({ "konnectivity": { "agent": agent } })));
        let settings = read(args(&objects, &kind));
        assert!(
            settings.leases.is_some(),
            "agents count servers by their leases"
        );
    }
}
