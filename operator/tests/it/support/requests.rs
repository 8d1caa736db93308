//! What an API server says it was asked: in, verbs and resources; out, its own counters.

use std::collections::BTreeMap;

use kube::Client;

/// The API server's own count of requests with one of these verbs for one of these resources.
pub(crate) async fn requests(
    client: &Client,
    verbs: &[&str],
    resources: &[&str],
) -> BTreeMap<String, u64> {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = client.request_text(request).await.unwrap();
    let has = |line: &str, label: &str, values: &[&str]| {
        values
            .iter()
            .any(|value| line.contains(&format!("{label}=\"{value}\"")))
    };
    let counts = text
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{"));
    counts
        .filter(|line| has(line, "verb", verbs) && has(line, "resource", resources))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect()
}

/// The same of every change to what a tenant is given.
pub(crate) async fn writes(client: &Client) -> BTreeMap<String, u64> {
    let verbs = ["APPLY", "PATCH", "POST", "PUT", "DELETE"];
    let resources = [
        "daemonsets",
        "configmaps",
        "roles",
        "clusterrolebindings",
        "services",
    ];
    requests(client, &verbs, &resources).await
}
