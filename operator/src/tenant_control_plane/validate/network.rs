//! Addresses and ranges: parsed, and completed where the spec is silent.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::api::tenant_control_plane::NetworkProfile;
use crate::pki::leaf::San;

use super::violation;
use crate::tenant_control_plane::control_plane::{Network, nth};
use crate::validate::Violation;

/// Which address of each Service range is the DNS Service's: the tenth, as kubeadm has it.
const DNS_SERVICE: u128 = 10;

/// Settles everything about addressing that does not depend on the Service.
pub(super) fn settle(profile: &NetworkProfile) -> Result<Network, Violation> {
    let service_cidrs = ranges(
        "spec.networkProfile.serviceCidrs",
        &profile.service_ranges(),
    )?;
    let pod_cidrs = ranges("spec.networkProfile.podCidrs", &profile.pod_ranges())?;
    Ok(Network {
        port: port("spec.networkProfile.port", profile.port)?,
        cluster_domain: profile.cluster_domain.clone(),
        dns_service_ips: dns_service_ips(profile, &service_cidrs)?,
        stated_names: stated_names(profile),
        source_ranges: profile.load_balancer_source_ranges.clone(),
        load_balancer_class: profile.load_balancer_class.clone(),
        external_ips: external_ips(profile),
        service_cidrs,
        pod_cidrs,
    })
}

/// A port number that a pod without privileges can listen on is not asked for here: any that exists is.
pub(super) fn port(field: &str, port: i32) -> Result<u16, Violation> {
    u16::try_from(port)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| {
            violation(
                field,
                &port.to_string(),
                "is no port; write one from 1 to 65535",
            )
        })
}

fn ranges(field: &str, texts: &[&str]) -> Result<Vec<IpNet>, Violation> {
    if texts.is_empty() {
        return Err(violation(
            field,
            "",
            "is empty; write a range such as 10.96.0.0/16",
        ));
    }
    let parsed = texts.iter().map(|text| {
        let range = text.parse::<IpNet>().ok();
        range
            .map(|range| range.trunc())
            .ok_or_else(|| violation(field, text, "is no range; write one such as 10.96.0.0/16"))
    });
    parsed.collect()
}

fn dns_service_ips(
    profile: &NetworkProfile,
    service_cidrs: &[IpNet],
) -> Result<Vec<IpAddr>, Violation> {
    const FIELD: &str = "spec.networkProfile.dnsServiceIPs";
    if profile.dns_service_ips.is_empty() {
        let tenth = service_cidrs.iter().map(|range| {
            nth(range, DNS_SERVICE).ok_or_else(|| {
                let remedy = "has no tenth address for DNS; take a larger range";
                violation(FIELD, &range.to_string(), remedy)
            })
        });
        return tenth.collect();
    }
    let stated = profile.dns_service_ips.iter().map(|text| {
        let address = text.parse().ok();
        address.ok_or_else(|| {
            violation(
                FIELD,
                text,
                "is no IP address; write one such as 10.96.0.10",
            )
        })
    });
    stated.collect()
}

fn stated_names(profile: &NetworkProfile) -> BTreeSet<San> {
    let addresses = [&profile.address, &profile.advertise_address];
    let addresses = addresses.into_iter().flatten();
    profile
        .cert_sans
        .iter()
        .chain(addresses)
        .filter(|name| !name.is_empty())
        .map(|name| San::parse(name))
        .collect()
}

fn external_ips(profile: &NetworkProfile) -> Vec<String> {
    let address = profile
        .address
        .clone()
        .filter(|address| !address.is_empty());
    address
        .filter(|_| profile.allow_address_as_external_ip)
        .into_iter()
        .collect()
}
