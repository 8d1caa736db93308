//! What helm makes of the chart's values: for each table of values a snapshot, and a refusal for each mistake.

use clap::Parser as _;
use operator::args::Args;
use serde_json::Value;

use crate::support::helm::{Helm, find, objects, set};
use crate::support::repository;

/// Names of the files of values beside this one; `default` stands for none.
const TABLE: [&str; 4] = ["default", "everything", "bare", "cert-manager"];

fn values(name: &str) -> Vec<String> {
    let file = repository(&format!("operator/tests/it/chart/{name}.yaml"));
    match name {
        "default" => Vec::new(),
        _ => vec![format!("--values={}", file.display())],
    }
}

#[test]
fn each_table_of_values_gives_what_was_reviewed() {
    let Some(helm) = Helm::find("chart") else {
        return;
    };
    for name in TABLE {
        let lint = helm.run(&["lint", "--strict"], &values(name));
        let said = String::from_utf8_lossy(&lint.stdout).into_owned();
        assert!(lint.status.success(), "{name}: {said}");
        let rendered = helm.template(&values(name));
        insta::assert_snapshot!(name, without_keys(&rendered));
    }
}

/// Certificates and keys are new each time.
fn without_keys(rendered: &str) -> String {
    let hidden = |line: &str| match line.split_once(": LS0t") {
        Some((key, _)) => format!("{key}: …"),
        None => line.to_owned(),
    };
    let lines: Vec<String> = rendered.lines().map(hidden).collect();
    lines.join("\n")
}

#[test]
fn the_operator_understands_what_the_chart_tells_it() {
    let Some(helm) = Helm::find("chart") else {
        return;
    };
    for (name, deployment) in [
        ("default", "warren"),
        ("everything", "platform"),
        ("bare", "warren"),
        ("cert-manager", "warren"),
    ] {
        let chart = objects(&helm.template(&values(name)));
        let container =
            &find(&chart, "Deployment", deployment)["spec"]["template"]["spec"]["containers"][0];
        let given = container["args"].as_array().unwrap();
        let given = given.iter().map(|argument| argument.as_str().unwrap());
        let settings = Args::try_parse_from(std::iter::once("warren-operator").chain(given))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .settle()
            .unwrap();
        assert_eq!(settings.without_effect, [""; 0], "{name}");
        assert_eq!(
            settings.admission.is_some(),
            chart
                .iter()
                .any(|object| object["kind"] == "ValidatingWebhookConfiguration"),
            "{name}: the webhook is served where it is asked"
        );
        if name == "everything" {
            assert_eq!(settings.log_filter, "trace", "extraArgs win");
            assert_eq!(settings.concurrency, 16);
        }
    }
}

/// Values, and what helm says to each.
const MISTAKES: &[(&str, &str)] = &[
    ("etcd.replicas=2", "etcd/replicas"),
    ("etcd.replicas=5", "etcd/replicas"),
    ("image.repository=", "image/repository"),
    ("image.digest=sha256:1", "image/digest"),
    ("image.pullPolicy=Sometimes", "image/pullPolicy"),
    ("konnectivity.image.pullPolicy=Always", "'pullPolicy'"),
    ("webhook.failurePolicy=Warn", "webhook/failurePolicy"),
    ("webhook.timeoutSeconds=31", "webhook/timeoutSeconds"),
    ("log.format=xml", "log/format"),
    ("replicaCount=-1", "replicaCount"),
    ("imagePullSecrets[0].nme=x", "imagePullSecrets/0"),
    ("replicas=2", "'replicas'"),
];

#[test]
fn mistaken_values_are_refused_by_name() {
    let Some(helm) = Helm::find("chart") else {
        return;
    };
    for (value, named) in MISTAKES {
        let said = helm.refuses(&set(&[value]));
        assert!(said.contains(named), "{value}: {said}");
    }
}

#[test]
fn every_image_is_pulled_with_the_secrets_of_the_release() {
    let Some(helm) = Helm::find("chart") else {
        return;
    };
    let chart = objects(&helm.template(&values("everything")));
    let workloads = chart
        .iter()
        .filter(|object| object.pointer("/spec/template/spec/containers").is_some());
    let secrets: Vec<&Value> = workloads
        .map(|workload| &workload["spec"]["template"]["spec"]["imagePullSecrets"][0]["name"])
        .collect();
    assert_eq!(secrets, ["pull-secret", "pull-secret"]);
}
