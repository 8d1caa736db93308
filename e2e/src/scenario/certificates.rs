//! Certificates renewed when the annotation asks.

use std::time::Duration;

use serde_json::Value;

use crate::demo::Demo;
use crate::error::Result;
use crate::scenario::agents::tunnel_works;

const ROTATE: &str = "certs.kamaji.clastix.io/rotate";

/// The annotation on a Secret has its certificate made anew, and the running control plane serves it.
pub(super) async fn renewed(demo: &Demo) -> Result<String> {
    let name = format!("{}-api-server-certificate", demo.tenant.name());
    let secret = ["-n", "default", "secret", &name];
    let management = demo.lab.management();
    let pair = |object: &Value| object.pointer("/data/apiserver.crt").cloned();
    let before = pair(&management.get(&secret).await?);
    management
        .kubectl([
            "-n",
            "default",
            "annotate",
            "--overwrite",
            "secret",
            &name,
            &format!("{ROTATE}="),
        ])
        .run()
        .await?;
    let renewed = management.wait_for(&secret, Duration::from_mins(1), |object| {
        let answer = object
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(ROTATE))
            .and_then(Value::as_str);
        (pair(object) == before || answer.is_none_or(str::is_empty))
            .then(|| format!("annotation {answer:?}"))
    });
    renewed.await?;
    demo.tenant.wait_ready().await?;
    demo.cluster.kubectl(["get", "nodes"]).run().await?;
    tunnel_works(demo).await?;
    Ok("another certificate, the tenant serves, the tunnel works".into())
}
