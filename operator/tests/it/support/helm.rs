//! The chart through the real helm: in, values; out, the manifests it renders or what it says against them.
//!
//! Where there is no helm a test says that it was not run, as with kube-apiserver.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde::Deserialize as _;
use serde_json::Value;

use super::kube_api::{missing, program};
use super::repository;

/// Where the tests install the chart.
pub(crate) const NAMESPACE: &str = "warren-system";
/// The Kubernetes that helm is told of.
const KUBERNETES: &str = "v1.33.0";

/// A helm that works on the chart.
pub(crate) struct Helm(PathBuf);

impl Helm {
    /// The helm of the lab, or says why not.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let found = program("helm");
        if found.is_none() {
            missing(test, "helm");
        }
        found.map(Self)
    }

    /// `helm VERB … CHART ARGUMENTS`.
    pub(crate) fn run(&self, verb: &[&str], arguments: &[String]) -> Output {
        Command::new(&self.0)
            .args(verb)
            .arg(repository("charts/warren"))
            .args(["--namespace", NAMESPACE, "--kube-version", KUBERNETES])
            .args(arguments)
            .env_clear()
            .output()
            .unwrap()
    }

    /// What it renders.
    pub(crate) fn template(&self, arguments: &[String]) -> String {
        let output = self.run(&["template", "warren"], arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Why it renders nothing.
    pub(crate) fn refuses(&self, arguments: &[String]) -> String {
        let output = self.run(&["template", "warren"], arguments);
        assert!(!output.status.success(), "{arguments:?} was rendered");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The values `a=b` as helm takes them.
pub(crate) fn set(values: &[&str]) -> Vec<String> {
    values
        .iter()
        .map(|value| format!("--set={value}"))
        .collect()
}

/// The objects of a rendered chart.
pub(crate) fn objects(rendered: &str) -> Vec<Value> {
    // YAML 1.1, which Kubernetes reads, writes octal so; our reader knows YAML 1.2.
    let rendered = rendered.replace("Mode: 0440", "Mode: 288");
    serde_yaml::Deserializer::from_str(&rendered)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect()
}

/// The only object of that kind and name.
pub(crate) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found
        .next()
        .unwrap_or_else(|| panic!("the chart has no {kind} {name}"));
    assert!(found.next().is_none(), "{kind} {name} is there twice");
    object
}
