//! Legal tenants have legal names, and no two of them the same one.

use proptest::prelude::*;

use super::*;

fn every_suffix() -> Vec<&'static str> {
    let secrets = SecretName::ALL.into_iter().map(SecretName::suffix);
    let config_maps = ConfigMapName::ALL.into_iter().map(ConfigMapName::suffix);
    secrets.chain(config_maps).collect()
}

fn is_dns_1123_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            let edges = [label.bytes().next(), label.bytes().last()];
            edges
                .iter()
                .all(|edge| edge.is_some_and(|byte| byte.is_ascii_alphanumeric()))
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

proptest! {
    #[test]
    fn legal_tenants_give_legal_names(name in "[a-z]([-a-z0-9]{0,61}[a-z0-9])?") {
        let names = Names::new("tenants", name).unwrap();
        for secret in SecretName::ALL {
            prop_assert!(is_dns_1123_subdomain(&names.secret(secret)));
        }
        for config_map in ConfigMapName::ALL {
            prop_assert!(is_dns_1123_subdomain(&names.config_map(config_map)));
        }
        for host in names.service_hosts() {
            prop_assert!(is_dns_1123_subdomain(&host));
        }
    }

    #[test]
    fn anything_accepted_is_a_label(name in ".{0,70}") {
        if let Ok(names) = Names::new("tenants", name) {
            prop_assert!(names.name().len() <= 63);
            prop_assert!(is_dns_1123_subdomain(names.name()));
            prop_assert!(!names.name().contains('.'));
        }
    }
}

#[test]
fn two_tenants_never_claim_one_object() {
    let suffixes = every_suffix();
    for one in &suffixes {
        for other in &suffixes {
            let clash = one != other && format!("-{one}").ends_with(&format!("-{other}"));
            assert!(!clash, "`{one}` ends with `{other}`");
        }
    }
}

#[test]
fn names_that_a_service_cannot_carry_are_refused() {
    let too_long = "a".repeat(64);
    for name in [
        "",
        "1st",
        "Tenant",
        "a.b",
        "a-",
        "-a",
        "ä",
        too_long.as_str(),
    ] {
        assert!(
            Names::new("tenants", name).is_err(),
            "`{name}` was accepted"
        );
    }
}

#[test]
fn the_peers_service_is_named_after_its_tenant_however_long_that_name_is() {
    let service = |name: String| Names::new("tenants", name).unwrap().peers_service();
    assert_eq!(service("alpha".to_owned()), "alpha-konnectivity-peers");
    let fits = "a".repeat(44);
    assert_eq!(service(fits.clone()), format!("{fits}-konnectivity-peers"));
    let (one, other) = (service("a".repeat(62)), service("a".repeat(63)));
    assert_ne!(one, other, "what is cut off counts");
    assert_eq!(one.len(), MAX_NAME_LENGTH);
    assert_eq!(one, service("a".repeat(62)), "it is the same every time");
}
