//! konnectivity-servers as the tenant sees them: the Leases by which they show themselves, against how many there should
//! be. Pure.
//!
//! Agents dial as many servers as there are live Leases. A server that runs and shows no Lease is dialled by nobody, and
//! kube-apiserver beside it reaches no node: that is what is looked for here, not a pod that is still on its way, which
//! `ControlPlaneAvailable` tells.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use crate::api::TenantControlPlane;
use crate::api::condition::{ConditionType, Finding, Reason};

const TUNNEL: ConditionType = ConditionType::TunnelReady;
/// The reference counts servers by Leases from the release that goes with this minor on.
const FIRST_LEASES: u64 = 31;
/// Flags of a server with which its Leases are not those we look for.
const ELSEWHERE: [&str; 3] = ["enable-lease-controller", "lease-namespace", "lease-label"];

/// How many servers there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// As many as the spec asks for.
    pub asked: usize,
    /// As many as have a pod that is ready.
    pub ready: usize,
}

impl Wanted {
    /// What the custom resource says.
    pub fn of(tcp: &TenantControlPlane) -> Self {
        let count = |number: i32| usize::try_from(number).unwrap_or_default();
        let deployment = tcp
            .status
            .as_ref()
            .and_then(|status| status.kubernetes_resources.as_ref()?.deployment.as_ref());
        let ready = deployment.and_then(|deployment| deployment.ready_replicas);
        Self {
            asked: count(tcp.spec.control_plane.deployment.replicas),
            ready: count(ready.unwrap_or_default()),
        }
    }
}

/// Whether the servers of this tenant show themselves by Leases where we look.
pub fn are_counted(tcp: &TenantControlPlane, minor: u64) -> bool {
    let konnectivity = tcp.spec.addons.konnectivity.as_ref();
    let flags = konnectivity.map(|konnectivity| konnectivity.server.extra_args.as_slice());
    let is_elsewhere = |flag: &String| {
        let name = flag.trim_start_matches('-').split('=').next();
        name.is_some_and(|name| ELSEWHERE.contains(&name))
    };
    minor >= FIRST_LEASES && !flags.unwrap_or_default().iter().any(is_elsewhere)
}

/// How many Leases have not run out.
pub fn live(leases: &[Lease], now: Timestamp) -> usize {
    let is_live = |lease: &&Lease| {
        let Some(spec) = &lease.spec else {
            return false;
        };
        let since = spec.renew_time.as_ref().or(spec.acquire_time.as_ref());
        let seconds = i64::from(spec.lease_duration_seconds.unwrap_or_default());
        since.is_some_and(|since| now.as_second() < since.0.as_second().saturating_add(seconds))
    };
    leases.iter().filter(is_live).count()
}

/// Judges. `live` is `None` where servers are not counted.
pub fn assess(live: Option<usize>, wanted: Wanted) -> Finding {
    let Wanted { asked, ready } = wanted;
    let Some(live) = live else {
        let text = "konnectivity-server runs beside kube-apiserver; its Leases are not where they are counted";
        return Finding::yes(TUNNEL, Reason::AsExpected, text);
    };
    let shown = format!("{live} of {asked} konnectivity-servers show themselves in the tenant");
    if live < ready.min(asked) {
        let text = format!(
            "{shown}, and {ready} pods are ready: agents do not dial the others, and kube-apiserver beside them reaches \
             no node. Look at the log of container konnectivity-server for why it cannot write its Lease in kube-system"
        );
        return Finding::no(TUNNEL, Reason::ServersMissing, text);
    }
    let text = match live {
        _ if live < asked => {
            format!(
                "{shown}; the others' pods are not ready yet: see the condition ControlPlaneAvailable"
            )
        }
        _ if live > asked => format!("{shown}: the Leases of those that went run out"),
        _ => shown,
    };
    Finding::yes(TUNNEL, Reason::AsExpected, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::condition::Verdict;

    fn lease(renewed: &str, seconds: i32) -> Lease {
        let spec = json!({ "renewTime": renewed, "leaseDurationSeconds": seconds });
        serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()
    }

    fn judged(live: usize, asked: usize, ready: usize) -> (Verdict, Reason, String) {
        let finding = assess(Some(live), Wanted { asked, ready });
        (finding.verdict, finding.reason, finding.message)
    }

    #[test]
    fn leases_that_ran_out_do_not_count() {
        let leases = [
            lease("2026-01-01T00:00:00.000000Z", 30),
            lease("2026-01-01T00:00:20.000000Z", 30),
            lease("2026-01-01T00:00:40.000000Z", 30),
            Lease::default(),
        ];
        let at = |time: &str| live(&leases, time.parse().unwrap());
        assert_eq!(at("2026-01-01T00:00:29Z"), 3);
        assert_eq!(at("2026-01-01T00:00:30Z"), 2);
        assert_eq!(at("2026-01-01T00:01:10Z"), 0);
    }

    #[test]
    fn a_ready_server_without_a_lease_is_named_with_the_remedy() {
        for (live, asked, ready) in [(0, 1, 1), (1, 3, 2), (2, 3, 3), (1, 2, 5)] {
            let (verdict, reason, text) = judged(live, asked, ready);
            assert_eq!((verdict, reason), (Verdict::False, Reason::ServersMissing));
            assert!(text.starts_with(&format!("{live} of {asked} ")), "{text}");
            assert!(text.contains("container konnectivity-server"), "{text}");
        }
    }

    #[test]
    fn servers_that_come_and_go_are_no_fault_of_the_tunnel() {
        for (live, asked, ready, words) in [
            (1, 1, 1, "1 of 1"),
            (1, 3, 1, "not ready yet"),
            (0, 1, 0, "not ready yet"),
            (3, 1, 3, "run out"),
        ] {
            let (verdict, _, text) = judged(live, asked, ready);
            assert_eq!(verdict, Verdict::True, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn servers_that_were_told_otherwise_are_not_counted() {
        let with = |flags: serde_json::Value| -> TenantControlPlane {
            serde_json::from_value(json!({
                "apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane", "metadata": {},
                "spec": {
                    "controlPlane": { "service": { "serviceType": "ClusterIP" } },
                    "kubernetes": { "version": "v1.33.0" },
                    "addons": { "konnectivity": { "server": { "port": 8132, "extraArgs": flags } } },
                },
            }))
            .unwrap()
        };
        assert!(are_counted(&with(json!(["--v=4"])), 33));
        assert!(!are_counted(&with(json!([])), 30));
        assert!(!are_counted(&with(json!(["--lease-namespace=other"])), 33));
        assert_eq!(
            assess(None, Wanted { asked: 1, ready: 1 }).verdict,
            Verdict::True
        );
    }
}
