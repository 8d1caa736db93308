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

pub mod refusals;

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
