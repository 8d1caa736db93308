//! The demo made whole after a scenario that failed half-way, so that the next one proves its own case and no other's.
//! What it puts back is everything that a scenario changes and would itself put back at its end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::Demo;
use crate::error::Result;
use crate::kamaji::custom_resource::PAUSED;
use crate::scenario::adopted::WORKER;
use crate::scenario::agents::tunnel_works;
use crate::scenario::faults::{SILENT, TAKEN};
use crate::warren::wait_agents_ready;
use crate::{network, store};

/// Marks the packet filter's rules of scenarios.
pub(super) const COMMENT: &str = "warren-scenario";

/// The tenant control plane's spec before the first scenario.
#[derive(Debug)]
pub(super) struct Found {
    spec: Value,
}

impl Found {
    /// Remembers the demo as it is.
    pub(super) async fn look(demo: &Demo) -> Result<Self> {
        let object = demo.tenant.object().await?;
        let spec = object.get("spec").cloned().unwrap_or_default();
        Ok(Self { spec })
    }

    /// Makes the demo as it was, and waits until it works.
    pub(super) async fn restore(&self, demo: &Demo) -> Result<()> {
        tracing::info!("making the demo whole again");
        for namespace in ["wan", "management"] {
            remove_rules(namespace).await?;
        }
        self.restore_tenant(demo).await?;
        remove_others(demo).await?;
        let worker = demo.worker.machine();
        if !worker.is_running("kube-proxy").await? {
            demo.worker.start_proxy(&demo.cluster).await?;
        }
        demo.tenant.wait_ready().await?;
        wait_agents_ready(&demo.cluster).await?;
        tunnel_works(demo).await
    }

    /// Its spec exactly as it was, and not paused; made anew when it is gone.
    async fn restore_tenant(&self, demo: &Demo) -> Result<()> {
        let management = demo.lab.management();
        let name = demo.tenant.name();
        if demo.tenant.object().await.is_err() {
            let again = json!({
                "apiVersion": "kamaji.clastix.io/v1alpha1",
                "kind": "TenantControlPlane",
                "metadata": { "name": name, "namespace": "default" },
                "spec": self.spec,
            });
            return management.apply(&again.to_string()).await.map(drop);
        }
        demo.tenant.annotate("kamaji.clastix.io/paused-").await?;
        let replace = json!([{ "op": "replace", "path": "/spec", "value": self.spec }]).to_string();
        let patch = ["-n", "default", "patch", "tenantcontrolplane", name];
        management
            .kubectl(patch)
            .args(["--type=json", "-p", &replace])
            .run()
            .await
            .map(drop)
    }
}

/// The tenants, store, Service and worker of other scenarios. A store that answers lets its tenants go.
async fn remove_others(demo: &Demo) -> Result<()> {
    let management = demo.lab.management();
    store::point_at_good_one(management, SILENT).await?;
    // A paused one is not let go.
    let paused = format!("{PAUSED}-");
    let go_on = [
        "-n",
        "default",
        "annotate",
        "tenantcontrolplane",
        "--all",
        &paused,
    ];
    management.kubectl(go_on).run().await?;
    let others = format!("--field-selector=metadata.name!={}", demo.tenant.name());
    let deletions: [&[&str]; 3] = [
        &["-n", "default", "tenantcontrolplane", &others],
        &["datastore", SILENT, "--ignore-not-found"],
        &["-n", "default", "service", TAKEN, "--ignore-not-found"],
    ];
    for deletion in deletions {
        management
            .kubectl(["delete", "--timeout=90s"])
            .args(deletion)
            .limit(Duration::from_mins(2))
            .run()
            .await?;
    }
    demo.lab.remove_worker(WORKER).await
}

async fn remove_rules(namespace: &str) -> Result<()> {
    let rules = network::inside(namespace, &["iptables", "-S", "FORWARD"])
        .run()
        .await?;
    for rule in rules.lines().filter_map(deletion) {
        let words: Vec<_> = ["iptables"].into_iter().chain(rule).collect();
        network::inside(namespace, &words).run().await?;
    }
    Ok(())
}

/// The words that delete a rule of ours, from the line that lists it.
fn deletion(rule: &str) -> Option<Vec<&str>> {
    let mut words: Vec<_> = rule.split(' ').collect();
    let verb = words.first_mut().filter(|_| rule.contains(COMMENT))?;
    *verb = "-D";
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::deletion;

    #[test]
    fn a_rule_of_a_scenario_is_deleted_as_it_is_listed_and_no_other_is() {
        let ours = "-A FORWARD -i worker -p tcp -m comment --comment warren-scenario -j DROP";
        let words = "-D FORWARD -i worker -p tcp -m comment --comment warren-scenario -j DROP";
        assert_eq!(deletion(ours), Some(words.split(' ').collect()));
        assert_eq!(
            deletion("-A FORWARD -i worker+ -o management -j ACCEPT"),
            None
        );
        assert_eq!(deletion(""), None);
    }
}
