//! Rules about change: what cannot become something else, or not in one step.
//!
//! In: an object, what it was before, and what its status says is installed. Out: what breaks a
//! rule. The status counts more than the old spec: two quick edits must not skip a minor version.

use ipnet::IpNet;

use super::Review;
use crate::api::TenantControlPlane;
use crate::api::tenant_control_plane::{ServiceType, TenantControlPlaneSpec};
use crate::version::{Step, Version};

pub(super) fn review(
    object: &TenantControlPlane,
    before: Option<&TenantControlPlane>,
    review: &mut Review,
) {
    let serving = before.unwrap_or(object);
    version(&object.spec, serving, review);
    store(&object.spec, serving, review);
    if let Some(before) = before {
        fixed(&object.spec, &before.spec, review);
    }
    ranges(&object.spec, serving, review);
}

/// The version that serves, or else the one that was asked for.
fn version(spec: &TenantControlPlaneSpec, serving: &TenantControlPlane, review: &mut Review) {
    let installed = serving
        .status
        .as_ref()
        .and_then(|status| status.kubernetes_resources.as_ref())
        .and_then(|objects| objects.version.as_ref())
        .and_then(|version| version.version.as_deref())
        .filter(|version| !version.is_empty())
        .unwrap_or(&serving.spec.kubernetes.version);
    let (Ok(from), Ok(to)) = (
        Version::parse(installed),
        Version::parse(&spec.kubernetes.version),
    ) else {
        return;
    };
    let field = "spec.kubernetes.version";
    match from.step_to(&to) {
        Step::None | Step::Patch | Step::NextMinor => {}
        Step::Skip => {
            let next = from.minor() + 1;
            let message = format!(
                "skips a minor version: {from} serves, and Kubernetes upgrades one minor at a time; go to a release of v1.{next} first"
            );
            review.refuse(field, to, message);
        }
        Step::Downgrade => {
            let message = format!(
                "is a downgrade: {from} serves and has written state that older versions cannot read; stay at v1.{} or newer",
                from.minor()
            );
            review.refuse(field, to, message);
        }
    }
}

/// State does not move yet, so a change here would leave it behind.
fn store(spec: &TenantControlPlaneSpec, serving: &TenantControlPlane, review: &mut Review) {
    let Some(storage) = serving
        .status
        .as_ref()
        .and_then(|status| status.storage.as_ref())
    else {
        return;
    };
    let setup = storage.setup.as_ref();
    let held = [
        ("spec.dataStore", &spec.data_store, &storage.data_store_name),
        (
            "spec.dataStoreSchema",
            &spec.data_store_schema,
            &setup.and_then(|setup| setup.schema.clone()),
        ),
        (
            "spec.dataStoreUsername",
            &spec.data_store_username,
            &setup.and_then(|setup| setup.user.clone()),
        ),
    ];
    for (field, wanted, held) in held {
        if let (Some(wanted), Some(held)) = (wanted, held)
            && wanted != held
            && !held.is_empty()
        {
            let message = format!(
                "the tenant's state is in {held:?} and is not moved; write that, or remove the field"
            );
            review.refuse(field, wanted, message);
        }
    }
}

fn fixed(spec: &TenantControlPlaneSpec, before: &TenantControlPlaneSpec, review: &mut Review) {
    let stays = [
        (
            "spec.dataStoreSchema",
            &before.data_store_schema,
            &spec.data_store_schema,
        ),
        (
            "spec.dataStoreUsername",
            &before.data_store_username,
            &spec.data_store_username,
        ),
    ];
    for (field, old, new) in stays {
        if let Some(old) = old.as_ref().filter(|_| old != new) {
            let message = format!("cannot change; put {old:?} back");
            review.refuse(field, new.clone().unwrap_or_default(), message);
        }
    }
    if let (Some(old), None) = (&before.data_store, &spec.data_store) {
        review.refuse(
            "spec.dataStore",
            "",
            format!("cannot be unset once set; put {old:?} back"),
        );
    }
    let (old, new) = (&before.network_profile, &spec.network_profile);
    if old.cluster_domain != new.cluster_domain {
        let message = format!(
            "cannot change: nodes and pods have it; put {:?} back",
            old.cluster_domain
        );
        review.refuse(
            "spec.networkProfile.clusterDomain",
            &new.cluster_domain,
            message,
        );
    }
    let balanced = |spec: &TenantControlPlaneSpec| {
        spec.control_plane.service.service_type == ServiceType::LoadBalancer
    };
    if balanced(spec) && balanced(before) && old.load_balancer_class != new.load_balancer_class {
        let message = "a load balancer keeps its class; put the former value back, or change serviceType first, then back";
        let value = new.load_balancer_class.clone().unwrap_or_default();
        review.refuse("spec.networkProfile.loadBalancerClass", value, message);
    }
}

/// The first Service range gives the Service `kubernetes` its address, which is in certificates and in every pod; a
/// second range may come and go. Nodes that are there keep the pod range they were given.
fn ranges(spec: &TenantControlPlaneSpec, serving: &TenantControlPlane, review: &mut Review) {
    let (old, new) = (&serving.spec.network_profile, &spec.network_profile);
    let effective = serving.status.as_ref();
    let effective = effective.and_then(|status| status.effective.as_ref());
    let (services, pods) = effective
        .map(|held| (held.service_cidrs.as_slice(), held.pod_cidrs.as_slice()))
        .unwrap_or_default();
    let (held, wanted) = (
        in_force(services, old.service_ranges()),
        new.service_ranges(),
    );
    if let (Some(held), wanted) = (held.first(), wanted.first().copied().unwrap_or_default())
        && !same_range(held, wanted)
    {
        let message = format!(
            "the first Service range cannot change: Services keep their addresses; put {held:?} back"
        );
        let field = if new.service_cidrs.is_empty() {
            "serviceCidr"
        } else {
            "serviceCidrs[0]"
        };
        review.refuse(format!("spec.networkProfile.{field}"), wanted, message);
    }
    let (held, wanted) = (in_force(pods, old.pod_ranges()), new.pod_ranges());
    // A second family may come and go: nodes that are there do without it.
    let moved = held
        .iter()
        .zip(&wanted)
        .find(|(held, wanted)| !same_range(held, wanted));
    if let Some((held, wanted)) = moved {
        let message = format!(
            "could only be half carried out: nodes that are there keep their pod range; put {held:?} back"
        );
        let field = if new.pod_cidrs.is_empty() {
            "podCidr"
        } else {
            "podCidrs"
        };
        review.refuse(format!("spec.networkProfile.{field}"), wanted, message);
    }
}

/// What status says is in force, or else what was asked for.
fn in_force<'a>(effective: &'a [String], asked: Vec<&'a str>) -> Vec<&'a str> {
    if effective.is_empty() {
        asked
    } else {
        effective.iter().map(String::as_str).collect()
    }
}

/// Whether two texts mean one range. What is no range is told elsewhere.
fn same_range(one: &str, other: &str) -> bool {
    let read = |text: &str| text.parse::<IpNet>().map(|range| range.trunc());
    match (read(one), read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
