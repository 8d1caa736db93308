//! Edits that cannot be, or not in one step.

use super::{Limits, Review, control_plane, refused, tenant_control_plane};

fn edit(before: &str, after: &str) -> Review {
    tenant_control_plane(
        &control_plane(&[after]),
        Some(&control_plane(&[before])),
        &Limits::default(),
    )
}

fn version(text: &str) -> String {
    format!("{{spec: {{kubernetes: {{version: {text}}}}}}}")
}

fn installed(text: &str, asked: &str) -> String {
    format!(
        "{{spec: {{kubernetes: {{version: {asked}}}}}, status: {{kubernetesResources: {{version: {{version: {text}}}}}}}}}"
    )
}

#[test]
fn a_version_moves_by_patches_and_single_minors() {
    for (from, to) in [
        ("v1.33.0", "v1.33.4"),
        ("v1.33.4", "v1.33.0"),
        ("v1.33.4", "v1.34.0"),
    ] {
        assert!(
            edit(&version(from), &version(to)).is_clean(),
            "{from} → {to}"
        );
    }
    let field = "spec.kubernetes.version";
    refused(
        "skip",
        &edit(&version("v1.32.0"), &version("v1.34.0")),
        &[(field, "a release of v1.33 first")],
    );
    refused(
        "down",
        &edit(&version("v1.33.0"), &version("v1.32.9")),
        &[(field, "stay at v1.33")],
    );
}

#[test]
fn two_quick_edits_do_not_skip_a_minor() {
    let field = "spec.kubernetes.version";
    let review = edit(&installed("v1.32.0", "v1.33.0"), &version("v1.34.0"));
    refused("skip", &review, &[(field, "v1.32.0 serves")]);
    let back = edit(&installed("v1.32.0", "v1.33.0"), &version("v1.32.3"));
    assert!(
        back.is_clean(),
        "an upgrade that has not happened can be taken back: {}",
        back.explain()
    );
    let alone = control_plane(&[&installed("v1.30.0", "v1.33.0")]);
    refused(
        "without webhook",
        &tenant_control_plane(&alone, None, &Limits::default()),
        &[(field, "v1.31")],
    );
}

#[test]
fn what_cannot_change_is_refused_with_the_former_value() {
    for (before, after, field, remedy) in [
        (
            "{spec: {dataStoreSchema: a}}",
            "{spec: {dataStoreSchema: b}}",
            "spec.dataStoreSchema",
            "put \"a\" back",
        ),
        (
            "{spec: {dataStoreUsername: a}}",
            "{}",
            "spec.dataStoreUsername",
            "put \"a\" back",
        ),
        (
            "{spec: {dataStore: a}}",
            "{}",
            "spec.dataStore",
            "put \"a\" back",
        ),
        (
            "{}",
            "{spec: {networkProfile: {clusterDomain: other.local}}}",
            "spec.networkProfile.clusterDomain",
            "put \"cluster.local\" back",
        ),
        (
            "{}",
            "{spec: {networkProfile: {loadBalancerClass: a}}}",
            "spec.networkProfile.loadBalancerClass",
            "change serviceType first",
        ),
        (
            "{}",
            "{spec: {networkProfile: {serviceCidr: 10.100.0.0/16}}}",
            "spec.networkProfile.serviceCidr",
            "put \"10.96.0.0/16\" back",
        ),
        (
            "{}",
            "{spec: {networkProfile: {serviceCidrs: [10.100.0.0/16]}}}",
            "spec.networkProfile.serviceCidrs[0]",
            "put \"10.96.0.0/16\" back",
        ),
    ] {
        refused(after, &edit(before, after), &[(field, remedy)]);
    }
}

#[test]
fn the_same_ranges_in_the_newer_field_are_no_change() {
    let dual = "{spec: {networkProfile: {serviceCidrs: [10.96.0.0/16, 'fd00:1::/112'], podCidrs: [10.244.0.0/16, 'fd00:2::/56']}}}";
    assert!(edit("{}", dual).is_clean(), "a second family may come");
    assert!(edit(dual, "{}").is_clean(), "and go");
}

#[test]
fn what_could_only_be_half_carried_out_is_refused() {
    for (after, field) in [
        ("podCidr: 10.1.0.0/16", "spec.networkProfile.podCidr"),
        ("podCidrs: [10.1.0.0/16]", "spec.networkProfile.podCidrs"),
    ] {
        let after = format!("{{spec: {{networkProfile: {{{after}}}}}}}");
        refused(
            &after,
            &edit("{}", &after),
            &[(field, "put \"10.244.0.0/16\" back")],
        );
    }
}

/// The reconciler has no former object: what it came to stands in the status.
#[test]
fn what_is_in_force_stays_without_the_webhook_too() {
    let effective =
        "status: {effective: {serviceCidrs: [10.100.0.0/16], podCidrs: [10.200.0.0/16]}}";
    let profile = "serviceCidr: 10.100.0.0/16, podCidr: 10.200.0.0/16";
    let alone = |profile: &str| {
        let object = format!("{{{effective}, spec: {{networkProfile: {{{profile}}}}}}}");
        tenant_control_plane(&control_plane(&[&object]), None, &Limits::default())
    };
    assert!(alone(profile).is_clean(), "{}", alone(profile).explain());
    refused(
        "other ranges",
        &alone(""),
        &[
            (
                "spec.networkProfile.serviceCidr",
                "put \"10.100.0.0/16\" back",
            ),
            ("spec.networkProfile.podCidr", "put \"10.200.0.0/16\" back"),
        ],
    );
}

#[test]
fn state_is_not_left_behind() {
    let held = "status: {storage: {dataStoreName: default, setup: {schema: s, user: u}}}";
    let after = "{spec: {dataStore: other, dataStoreSchema: t, dataStoreUsername: v}}";
    let expected = [
        ("spec.dataStore", "the tenant's state is in \"default\""),
        ("spec.dataStoreSchema", "in \"s\""),
        ("spec.dataStoreUsername", "in \"u\""),
    ];
    refused(after, &edit(&format!("{{{held}}}"), after), &expected);
    let same = "{spec: {dataStore: default, dataStoreSchema: s, dataStoreUsername: u}}";
    assert!(
        edit(&format!("{{{held}}}"), same).is_clean(),
        "naming what is in force changes nothing"
    );
}

/// The defect of the published webhook: it looked at the former object.
#[test]
fn a_wrong_edit_is_refused_and_its_repair_accepted() {
    let good = "{spec: {networkProfile: {dnsServiceIPs: [10.96.0.10]}}}";
    let bad = "{spec: {networkProfile: {dnsServiceIPs: [10.97.0.10]}}}";
    refused(
        "wrong",
        &edit(good, bad),
        &[("spec.networkProfile.dnsServiceIPs[0]", "write one inside")],
    );
    assert!(edit(bad, good).is_clean());
}
