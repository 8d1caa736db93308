//! Rules about addresses, names and ranges.
//!
//! In: `spec.networkProfile`, and the version where a limit depends on it. Out: what breaks a rule.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Review, syntax};
use crate::api::Reason;
use crate::api::tenant_control_plane::{NetworkProfile, ServiceType, TenantControlPlaneSpec};
use crate::version::Version;

const BASE: &str = "spec.networkProfile";

pub(super) fn review(spec: &TenantControlPlaneSpec, review: &mut Review) {
    let network = &spec.network_profile;
    addresses(network, spec.control_plane.service.service_type, review);
    names(network, review);
    let services = ranges(
        "serviceCidr",
        &network.service_ranges(),
        &network.service_cidrs,
        review,
    );
    let pods = ranges("podCidr", &network.pod_ranges(), &network.pod_cidrs, review);
    overlaps(&services, &pods, review);
    sizes(&services, &spec.kubernetes.version, review);
    dns(network, &services, review);
    load_balancer(network, spec.control_plane.service.service_type, review);
}

fn addresses(network: &NetworkProfile, exposure: ServiceType, review: &mut Review) {
    for (field, address) in [
        ("address", &network.address),
        ("advertiseAddress", &network.advertise_address),
    ] {
        let Some(text) = address.as_deref().filter(|text| !text.is_empty()) else {
            continue;
        };
        match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
                review.refuse(
                    format!("{BASE}.{field}"),
                    text,
                    "nobody can dial it; write the address that clients use",
                );
            }
            Ok(ip) if ip.is_loopback() && field == "address" => {
                review.refuse(
                    format!("{BASE}.{field}"),
                    text,
                    "nodes cannot dial it; write the address that clients use",
                );
            }
            Ok(_) => {}
            Err(_) => review.refuse(
                format!("{BASE}.{field}"),
                text,
                "is not an IP address; write one such as 192.0.2.10, and put names into certSANs",
            ),
        }
    }
    if network.allow_address_as_external_ip {
        let field = format!("{BASE}.allowAddressAsExternalIP");
        if network.address.as_deref().is_none_or(str::is_empty) {
            review.warn(
                Reason::Redundant,
                field,
                "has no effect without networkProfile.address; set that too",
            );
        } else if exposure == ServiceType::LoadBalancer {
            review.warn(
                Reason::Redundant,
                field,
                "has no effect with serviceType LoadBalancer; remove it",
            );
        }
    }
}

fn names(network: &NetworkProfile, review: &mut Review) {
    let domain = &network.cluster_domain;
    if !domain.contains('.') || !syntax::is_dns_1123_subdomain(domain) {
        let message = "is no DNS domain of two parts or more; write one such as cluster.local";
        review.refuse(format!("{BASE}.clusterDomain"), domain, message);
    }
    for (index, name) in network.cert_sans.iter().enumerate() {
        if is_san(name) {
            continue;
        }
        let host = name
            .rsplit_once(':')
            .filter(|(host, port)| is_san(host) && port.parse::<u16>().is_ok())
            .map(|(host, _)| host);
        let message = match host {
            Some(host) => format!("names have no port; write {host}"),
            None => "is neither an IP address nor a DNS name; write one such as api.example.com, \
                     *.example.com or 192.0.2.10"
                .to_owned(),
        };
        review.refuse(format!("{BASE}.certSANs[{index}]"), name, message);
    }
}

fn is_san(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
        || syntax::is_dns_1123_subdomain(name)
        || syntax::is_wildcard_subdomain(name)
}

/// A range and where it stands.
struct Range {
    field: String,
    net: IpNet,
}

fn ranges(single: &str, texts: &[&str], list: &[String], review: &mut Review) -> Vec<Range> {
    let field_of = |index: usize| {
        if list.is_empty() {
            format!("{BASE}.{single}")
        } else {
            format!("{BASE}.{single}s[{index}]")
        }
    };
    if texts.is_empty() {
        let message =
            format!("the tenant needs one; remove the field, or name ranges in {single}s");
        review.refuse(field_of(0), "", message);
    }
    let mut found = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match text.parse::<IpNet>() {
            Ok(net) => found.push(Range {
                field: field_of(index),
                net,
            }),
            Err(_) => review.refuse(
                field_of(index),
                text,
                "is not a range; write one such as 10.96.0.0/16",
            ),
        }
    }
    if let [first, second] = found.as_slice()
        && is_v4(&first.net) == is_v4(&second.net)
    {
        let message = format!(
            "is of the same IP family as {}; two ranges are one of each family",
            first.net
        );
        review.refuse(second.field.clone(), second.net, message);
    }
    found
}

const fn is_v4(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}

fn overlaps(services: &[Range], pods: &[Range], review: &mut Review) {
    for service in services {
        for pod in pods {
            if service.net.contains(&pod.net.network()) || pod.net.contains(&service.net.network())
            {
                let message = format!(
                    "overlaps the range of pods, {}; addresses of Services and of pods must differ, choose another",
                    pod.net
                );
                review.refuse(service.field.clone(), service.net, message);
            }
        }
    }
    if services.len() != pods.len() && !services.is_empty() && !pods.is_empty() {
        let message = format!(
            "{} range(s) of Services and {} of pods; a cluster has one or two of both",
            services.len(),
            pods.len()
        );
        review.warn(Reason::Redundant, format!("{BASE}.podCidrs"), message);
    }
}

/// kube-apiserver before 1.34 keeps one bit for each address and does not start with more than 20
/// bits of them; below 16 addresses there is no tenth for DNS.
fn sizes(services: &[Range], version: &str, review: &mut Review) {
    let limited = Version::parse(version).is_ok_and(|version| version.minor() < 34);
    for range in services {
        let bits = range.net.max_prefix_len() - range.net.prefix_len();
        if limited && bits > 20 {
            let message = format!(
                "kube-apiserver {version} takes no range with more than 20 host bits; write /{} or longer",
                range.net.max_prefix_len() - 20
            );
            review.refuse(range.field.clone(), range.net, message);
        } else if bits < 4 {
            let message = format!(
                "has no tenth address, where the tenant's DNS would be; write /{} or shorter",
                range.net.max_prefix_len() - 4
            );
            review.refuse(range.field.clone(), range.net, message);
        }
    }
}

fn dns(network: &NetworkProfile, services: &[Range], review: &mut Review) {
    let mut seen: Vec<IpAddr> = Vec::new();
    for (index, text) in network.dns_service_ips.iter().enumerate() {
        let field = format!("{BASE}.dnsServiceIPs[{index}]");
        let Ok(ip) = text.parse::<IpAddr>() else {
            review.refuse(
                field,
                text,
                "is not an IP address; write one of the Service range",
            );
            continue;
        };
        if !services.is_empty() && !services.iter().any(|range| range.net.contains(&ip)) {
            let known: Vec<String> = services.iter().map(|range| range.net.to_string()).collect();
            let message = format!(
                "is outside the Service ranges, {}; write one inside",
                known.join(", ")
            );
            review.refuse(field, text, message);
        } else if services.iter().any(|range| is_reserved(&range.net, ip)) {
            let message = "is taken: the first address of a range is that of the Service `kubernetes`; write another";
            review.refuse(field, text, message);
        } else if seen.contains(&ip) {
            review.refuse(field, text, "is there twice; remove one");
        }
        seen.push(ip);
    }
    if network.dns_service_ips.len() > 8 {
        let count = network.dns_service_ips.len();
        review.refuse(
            format!("{BASE}.dnsServiceIPs"),
            count,
            "at most 8 addresses; remove the others",
        );
    }
}

/// The network's own address, and the first one after it.
fn is_reserved(net: &IpNet, ip: IpAddr) -> bool {
    let base = net.network();
    let first = match base {
        IpAddr::V4(base) => IpAddr::from(u32::from(base).saturating_add(1).to_be_bytes()),
        IpAddr::V6(base) => IpAddr::from(u128::from(base).saturating_add(1).to_be_bytes()),
    };
    ip == base || ip == first
}

fn load_balancer(network: &NetworkProfile, exposure: ServiceType, review: &mut Review) {
    let remedy = "only for a load balancer; remove it or set controlPlane.service.serviceType to LoadBalancer";
    for (index, text) in network.load_balancer_source_ranges.iter().enumerate() {
        if text.parse::<IpNet>().is_err() {
            let field = format!("{BASE}.loadBalancerSourceRanges[{index}]");
            review.refuse(
                field,
                text,
                "is not a range; write one such as 192.0.2.0/24",
            );
        }
    }
    if exposure == ServiceType::LoadBalancer {
        return;
    }
    if !network.load_balancer_source_ranges.is_empty() {
        let value = network.load_balancer_source_ranges.join(", ");
        review.refuse(format!("{BASE}.loadBalancerSourceRanges"), value, remedy);
    }
    if let Some(class) = &network.load_balancer_class {
        review.refuse(format!("{BASE}.loadBalancerClass"), class, remedy);
    }
}
