//! The Helm chart by itself: linted, and rendered with every toggle on. The chart and the built helm go in; what a lint
//! finds, or a toggle that changes nothing, comes out as an error.

use crate::command::Invocation;
use crate::error::{Error, Result, expect_contains};
use crate::place::Place;
use crate::programs::{KUBERNETES, Programs};
use crate::report::say;

/// Each toggle as `--set` takes it, with a text that it alone brings into the manifests.
const TOGGLES: &[(&str, &str)] = &[
    ("serviceMonitor.enabled=true", "kind: ServiceMonitor"),
    ("networkPolicy.enabled=true", "kind: NetworkPolicy"),
    ("webhook.certManager.enabled=true", "kind: Certificate"),
    (
        "imagePullSecrets[0].name=toggled-secret",
        "name: toggled-secret",
    ),
    (
        "image.digest=sha256:1111111111111111111111111111111111111111111111111111111111111111",
        "@sha256:1111",
    ),
    (
        "konnectivity.image.digest=sha256:2222222222222222222222222222222222222222222222222222222222222222",
        "@sha256:2222",
    ),
    (
        "etcd.image.digest=sha256:3333333333333333333333333333333333333333333333333333333333333333",
        "@sha256:3333",
    ),
    ("podLabels.toggled=label", "toggled: label"),
    ("podAnnotations.toggled=annotation", "toggled: annotation"),
    ("nodeSelector.toggled=selector", "toggled: selector"),
    ("priorityClassName=toggled-priority", "toggled-priority"),
    ("extraArgs[0]=--toggled=argument", "--toggled=argument"),
    (
        "etcd.persistence.storageClassName=toggled-storage",
        "toggled-storage",
    ),
];

/// Lints the chart as it is and with the toggles, and looks for what each of them brings.
pub async fn check(place: &Place) -> Result<()> {
    let programs = Programs::build(place).await?;
    let chart = place.repository().join("charts/warren");
    let helm = |verb: &[&str], toggled: bool| -> Result<Invocation> {
        let mut helm = programs
            .command("helm", verb.iter().copied())?
            .args([&chart])
            .args(["--kube-version", KUBERNETES]);
        if toggled {
            for (toggle, _) in TOGGLES {
                helm = helm.args(["--set", toggle]);
            }
        }
        Ok(helm)
    };
    for toggled in [false, true] {
        helm(&["lint", "--strict"], toggled)?.run().await?;
    }
    let plain = helm(&["template", "warren"], false)?.run().await?;
    let toggled = helm(&["template", "warren"], true)?.run().await?;
    for (toggle, text) in TOGGLES {
        expect_contains(&format!("the chart with {toggle}"), &toggled, text)?;
        if plain.contains(text) {
            return Err(Error::Unexpected {
                what: format!("the chart without {toggle}"),
                expected: format!("nothing with {text:?}"),
                found: "it is there all the same".into(),
            });
        }
    }
    say(&format!(
        "the chart passes helm lint --strict, and {} toggles show in what it renders",
        TOGGLES.len()
    ))
}
