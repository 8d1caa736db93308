//! What the answer to a token review means, with the reference's words.
//! In: the answer's status and what the token must be. Out: whose token it is, or why it is refused. Pure.

use k8s_openapi::api::authentication::v1::TokenReviewStatus;

use crate::server::settings::tokens::TokenRule;

/// Where the API server names the node of the pod that a token is bound to.
const NODE: &str = "authentication.kubernetes.io/node-name";

/// What a good review tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reviewed {
    /// The node of the token's pod, when the API server says so.
    pub(crate) node: Option<String>,
}

/// Whether a review's answer makes an agent.
pub(super) fn judge(rule: &TokenRule, status: &TokenReviewStatus) -> Result<Reviewed, String> {
    if let Some(error) = status.error.as_ref().filter(|error| !error.is_empty()) {
        return Err(error.clone());
    }
    if status.authenticated != Some(true) {
        return Err("service account jwt not valid".to_owned());
    }
    if status
        .audiences
        .as_ref()
        .is_some_and(|list| !list.is_empty() && !list.contains(&rule.audience))
    {
        return Err(format!(
            "token is not made for audience {:?}",
            rule.audience
        ));
    }
    let user = status.user.clone().unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let parts: Vec<&str> = name.split(':').collect();
    let [system, kind, namespace, account] = parts.as_slice() else {
        return Err("unexpected username format".to_owned());
    };
    if (*system, *kind) != ("system", "serviceaccount") {
        return Err("username returned is not a service account".to_owned());
    }
    if *namespace != rule.namespace {
        return Err(format!(
            "incoming request from {namespace:?} namespace. Expected {:?}",
            rule.namespace
        ));
    }
    if *account != rule.service_account {
        return Err(format!(
            "incoming request from {account:?} service account. Expected {:?}",
            rule.service_account
        ));
    }
    let node = user.extra.unwrap_or_default().remove(NODE);
    Ok(Reviewed {
        node: node.and_then(|names| names.into_iter().next()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;
    use crate::server::auth::tests::rule;

    fn status(user: &str) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec!["system:konnectivity-server".to_owned()]),
            user: Some(UserInfo {
                username: Some(user.to_owned()),
                ..UserInfo::default()
            }),
            error: None,
        }
    }

    #[test]
    fn token_of_the_agents_account_is_accepted() {
        let mut good = status("system:serviceaccount:kube-system:konnectivity-agent");
        assert_eq!(judge(&rule(), &good), Ok(Reviewed { node: None }));
        let extra = BTreeMap::from([(NODE.to_owned(), vec!["worker-1".to_owned()])]);
        good.user.as_mut().expect("it has one").extra = Some(extra);
        let node = Some("worker-1".to_owned());
        assert_eq!(judge(&rule(), &good), Ok(Reviewed { node }));
    }

    #[test]
    fn every_other_token_is_refused_with_its_reason() {
        let good = status("system:serviceaccount:kube-system:konnectivity-agent");
        for (status, part) in [
            (
                status("system:serviceaccount:default:konnectivity-agent"),
                "\"default\" namespace",
            ),
            (
                status("system:serviceaccount:kube-system:default"),
                "\"default\" service account",
            ),
            (status("system:node:worker-1"), "unexpected username format"),
            (
                status("a:b:kube-system:konnectivity-agent"),
                "not a service account",
            ),
            (
                TokenReviewStatus {
                    authenticated: Some(false),
                    ..good.clone()
                },
                "jwt not valid",
            ),
            (
                TokenReviewStatus {
                    error: Some("expired".to_owned()),
                    ..good.clone()
                },
                "expired",
            ),
            (
                TokenReviewStatus {
                    audiences: Some(vec!["api".to_owned()]),
                    ..good
                },
                "audience",
            ),
        ] {
            let refused = judge(&rule(), &status).expect_err(part);
            assert!(refused.contains(part), "{refused} lacks {part}");
        }
    }
}
