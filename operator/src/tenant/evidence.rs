//! What others know about agents that are not connected: the servers' metrics and the tenant's admission webhooks.
//!
//! Looked up only when agents run and none is connected. Nothing here is needed to keep a tenant running, so what
//! cannot be had is left out.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration,
};
use kube::api::ListParams;
use kube::{Api, Client};

use super::call::call;
use crate::api::TenantControlPlane;
use crate::api::tenant_control_plane::addons::DEFAULT_SERVER_IMAGE;

pub mod refusals;

/// The flag with which a server needs no `TokenReview`.
const TOKEN_KEY: &str = "service-account-public-key-file";
/// More webhook configurations than this are not looked at.
const MOST_WEBHOOKS: u32 = 200;

/// What others know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Tokens that servers have refused.
    pub refused: u64,
    /// A webhook that stands between agents and their recognition.
    pub blocking_webhook: Option<String>,
}

/// Whether agents are let in by `TokenReview` alone. Our server knows them by the service-account key, and a review that
/// cannot be had then keeps nobody out; the reference has no such flag.
pub fn reviews_decide(tcp: &TenantControlPlane) -> bool {
    let Some(konnectivity) = &tcp.spec.addons.konnectivity else {
        return false;
    };
    let server = &konnectivity.server;
    let key = server.extra_args.iter().rev().find_map(|argument| {
        let (flag, value) = argument.split_once('=')?;
        (flag.trim_start_matches('-') == TOKEN_KEY).then_some(value)
    });
    let is_ours = server.image.is_empty() || server.image == DEFAULT_SERVER_IMAGE;
    key.map_or(!is_ours, str::is_empty)
}

/// Looks for a webhook that the `TokenReview` of an agent has to pass and that must not fail.
pub async fn blocking_webhook(tenant: &Client) -> Option<String> {
    let params = ListParams::default().limit(MOST_WEBHOOKS);
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(tenant.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(tenant.clone());
    let (validating, mutating) =
        tokio::join!(call(validating.list(&params)), call(mutating.list(&params)));
    let validating = validating
        .ok()
        .into_iter()
        .flat_map(|list| list.items)
        .flat_map(|found| {
            let hooks = found.webhooks.unwrap_or_default().into_iter();
            hooks
                .map(|hook| (hook.name, hook.failure_policy, hook.rules))
                .collect::<Vec<_>>()
        });
    let mutating = mutating
        .ok()
        .into_iter()
        .flat_map(|list| list.items)
        .flat_map(|found| {
            let hooks = found.webhooks.unwrap_or_default().into_iter();
            hooks
                .map(|hook| (hook.name, hook.failure_policy, hook.rules))
                .collect::<Vec<_>>()
        });
    let mut blocking = validating.chain(mutating).filter(|(_, policy, rules)| {
        policy.as_deref() != Some("Ignore") && rules.iter().flatten().any(covers_token_reviews)
    });
    blocking.next().map(|(name, _, _)| name)
}

/// Whether a rule matches the creation of a `TokenReview`.
fn covers_token_reviews(rule: &RuleWithOperations) -> bool {
    let names = |list: &Option<Vec<String>>, wanted: &[&str]| {
        list.iter()
            .flatten()
            .any(|name| wanted.contains(&name.as_str()))
    };
    names(&rule.operations, &["*", "CREATE"])
        && names(&rule.api_groups, &["*", "authentication.k8s.io"])
        && names(&rule.resources, &["*", "*/*", "tokenreviews"])
        && rule.scope.as_deref() != Some("Namespaced")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(groups: &str, resources: &str, scope: &str) -> RuleWithOperations {
        RuleWithOperations {
            api_groups: Some(vec![groups.to_owned()]),
            api_versions: Some(vec!["*".to_owned()]),
            operations: Some(vec!["*".to_owned()]),
            resources: Some(vec![resources.to_owned()]),
            scope: Some(scope.to_owned()),
        }
    }

    #[test]
    fn a_server_with_the_key_asks_for_no_review() {
        let decide = |server: serde_json::Value| {
            let tcp: TenantControlPlane = serde_json::from_value(serde_json::json!({
                "apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane", "metadata": {},
                "spec": {
                    "controlPlane": { "service": { "serviceType": "ClusterIP" } },
                    "kubernetes": { "version": "v1.33.0" },
                    "addons": { "konnectivity": { "server": server } },
                },
            }))
            .unwrap();
            reviews_decide(&tcp)
        };
        let (ours, theirs) = (DEFAULT_SERVER_IMAGE, "registry.example/proxy-server");
        for (image, flags, expected) in [
            (ours, vec![], false),
            ("", vec!["--v=4"], false),
            (theirs, vec!["--v=4"], true),
            (ours, vec!["--service-account-public-key-file="], true),
            (
                theirs,
                vec!["--service-account-public-key-file=/sa.pub"],
                false,
            ),
        ] {
            let server = serde_json::json!({ "port": 8132, "image": image, "extraArgs": flags });
            assert_eq!(decide(server), expected, "{image} {flags:?}");
        }
    }

    #[test]
    fn only_rules_that_match_token_reviews_count() {
        assert!(covers_token_reviews(&rule("*", "*", "*")));
        assert!(covers_token_reviews(&rule(
            "authentication.k8s.io",
            "tokenreviews",
            "Cluster"
        )));
        assert!(!covers_token_reviews(&rule("", "pods", "*")));
        assert!(!covers_token_reviews(&rule("*", "*", "Namespaced")));
    }
}
