//! Rules about stores.
//!
//! In: the spec of a DataStore and what it was before. Out: what breaks a rule.

use super::{Review, syntax};
use crate::api::Reason;
use crate::api::data_store::{ContentRef, DataStoreSpec, Driver, TlsConfig};

pub(super) fn review(spec: &DataStoreSpec, before: Option<&DataStoreSpec>, review: &mut Review) {
    if let Some(before) = before.filter(|before| before.driver != spec.driver) {
        let message = format!(
            "cannot change from {}; create another DataStore",
            before.driver.as_str()
        );
        review.refuse("spec.driver", spec.driver.as_str(), message);
    }
    if spec.driver != Driver::Etcd {
        let message = format!(
            "{} is accepted and not served yet; tenants need a DataStore with driver etcd",
            spec.driver.as_str()
        );
        review.warn(Reason::NotActedOn, "spec.driver", message);
    }
    endpoints(spec, review);
    if let Some(tls) = &spec.tls_config {
        certificates(tls, review);
    }
    match spec.driver {
        Driver::Etcd => etcd(spec, review),
        Driver::MySQL | Driver::PostgreSQL | Driver::NATS => {
            if spec.tls_config.is_none() && spec.basic_auth.is_none() {
                review.refuse(
                    "spec",
                    spec.driver.as_str(),
                    "this driver needs tlsConfig or basicAuth; give one",
                );
            }
        }
    }
    if let Some(auth) = &spec.basic_auth {
        if spec.driver == Driver::Etcd {
            review.warn(
                Reason::NotActedOn,
                "spec.basicAuth",
                "etcd users are known by certificate; remove it",
            );
        }
        content(
            "spec.basicAuth.username",
            &auth.username,
            Kind::Text,
            review,
        );
        content(
            "spec.basicAuth.password",
            &auth.password,
            Kind::Text,
            review,
        );
    }
}

fn endpoints(spec: &DataStoreSpec, review: &mut Review) {
    if spec.endpoints.is_empty() {
        review.refuse("spec.endpoints", "[]", "name at least one as host:port");
    }
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        let field = format!("spec.endpoints[{index}]");
        if let Some((_, rest)) = endpoint.split_once("://") {
            review.refuse(
                field,
                endpoint,
                format!("endpoints have no scheme; write {rest}"),
            );
        } else if !is_host_port(endpoint) {
            review.refuse(
                field,
                endpoint,
                "is no host:port; write one such as etcd.default.svc:2379",
            );
        } else if spec
            .endpoints
            .iter()
            .take(index)
            .any(|earlier| earlier == endpoint)
        {
            review.refuse(field, endpoint, "is there twice; remove one");
        }
    }
}

fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host_is_good = match bracketed {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => syntax::is_dns_1123_subdomain(&host.to_ascii_lowercase()),
    };
    host_is_good && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn etcd(spec: &DataStoreSpec, review: &mut Review) {
    let Some(tls) = &spec.tls_config else {
        let message =
            "etcd needs an authority with its key and a client certificate; give tlsConfig";
        review.refuse("spec.tlsConfig", "", message);
        return;
    };
    if tls.certificate_authority.private_key.is_none() {
        let message =
            "etcd needs it to sign each tenant's certificate; give secretReference or content";
        review.refuse(
            "spec.tlsConfig.certificateAuthority.privateKey",
            "",
            message,
        );
    }
    if tls.client_certificate.is_none() {
        let message = "etcd needs it to create users and roles; give certificate and privateKey";
        review.refuse("spec.tlsConfig.clientCertificate", "", message);
    }
}

/// What bytes are meant to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Pem,
    Text,
}

fn certificates(tls: &TlsConfig, review: &mut Review) {
    let base = "spec.tlsConfig";
    content(
        &format!("{base}.certificateAuthority.certificate"),
        &tls.certificate_authority.certificate,
        Kind::Pem,
        review,
    );
    if let Some(key) = &tls.certificate_authority.private_key {
        content(
            &format!("{base}.certificateAuthority.privateKey"),
            key,
            Kind::Pem,
            review,
        );
    }
    if let Some(client) = &tls.client_certificate {
        content(
            &format!("{base}.clientCertificate.certificate"),
            &client.certificate,
            Kind::Pem,
            review,
        );
        content(
            &format!("{base}.clientCertificate.privateKey"),
            &client.private_key,
            Kind::Pem,
            review,
        );
    }
}

/// Never shows the bytes: they may be a key.
fn content(field: &str, reference: &ContentRef, kind: Kind, review: &mut Review) {
    if let Some(bytes) = reference
        .content
        .as_ref()
        .filter(|bytes| !bytes.0.is_empty())
    {
        let begins = b"-----BEGIN ";
        if kind == Kind::Pem && !bytes.0.windows(begins.len()).any(|window| window == begins) {
            let message = "holds no PEM block; give the base64 of the whole PEM file";
            review.refuse(format!("{field}.content"), "…", message);
        }
        return;
    }
    let Some(secret) = &reference.secret_reference else {
        review.refuse(field, "", "is empty; give secretReference or content");
        return;
    };
    for (part, value) in [("name", &secret.name), ("namespace", &secret.namespace)] {
        if value.as_deref().is_none_or(str::is_empty) {
            let message = "a DataStore belongs to no namespace, so the Secret needs both; give it";
            review.refuse(format!("{field}.secretReference.{part}"), "", message);
        }
    }
}
