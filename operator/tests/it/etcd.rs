//! The etcd room against a real etcd with TLS and enforced users.

use operator::etcd::tenancy::{Setup, Tenancy};
use operator::etcd::{Etcd, Fault};

use crate::support::secure_etcd::{Authority, SecureEtcd};

fn tenancy(name: &str) -> Tenancy {
    Tenancy {
        schema: name.to_owned(),
        user: name.to_owned(),
    }
}

#[tokio::test]
async fn a_tenant_is_set_up_once_confined_to_its_keys_and_removed_without_a_trace() {
    let Some(server) = SecureEtcd::start("etcd").await else {
        return;
    };
    let endpoints = ["127.0.0.1:1".to_owned(), server.endpoint()];
    let root = Etcd::connect(&endpoints, &server.tls("root"))
        .await
        .unwrap();
    assert!(!root.health().await.unwrap().auth_enabled);

    assert_eq!(
        root.ensure_tenant(&tenancy("alpha")).await.unwrap(),
        Setup::Changed
    );
    assert_eq!(
        root.ensure_tenant(&tenancy("alpha")).await.unwrap(),
        Setup::Unchanged
    );
    root.ensure_tenant(&tenancy("alpha-2")).await.unwrap();

    root.enforce_users().await.unwrap();
    root.enforce_users().await.unwrap();
    assert!(root.health().await.unwrap().auth_enabled);
    assert_eq!(
        root.ensure_tenant(&tenancy("alpha")).await.unwrap(),
        Setup::Unchanged
    );

    let alpha = Etcd::connect(&endpoints, &server.tls("alpha"))
        .await
        .unwrap();
    alpha.put("/alpha/registry/x", "1").await.unwrap();
    alpha.put("/alpha/registry/y", "2").await.unwrap();
    for foreign in ["/alpha-2/registry/x", "/alpha", "/alpha0", "/"] {
        let error = alpha.put(foreign, "1").await.unwrap_err();
        assert_eq!(error.fault(), Fault::Unauthorized, "{foreign}: {error}");
    }
    let error = alpha.count_keys(&tenancy("alpha-2")).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Unauthorized);
    let error = alpha.ensure_tenant(&tenancy("beta")).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Unauthorized);

    assert_eq!(root.count_keys(&tenancy("alpha")).await.unwrap(), 2);
    assert_eq!(root.remove_tenant(&tenancy("alpha")).await.unwrap(), 2);
    assert_eq!(root.remove_tenant(&tenancy("alpha")).await.unwrap(), 0);
    assert_eq!(root.count_keys(&tenancy("alpha")).await.unwrap(), 0);
    let error = alpha.put("/alpha/registry/x", "1").await.unwrap_err();
    assert_eq!(error.fault(), Fault::Unauthorized);
}

#[tokio::test]
async fn a_user_who_may_do_more_is_not_made_a_tenant() {
    let Some(server) = SecureEtcd::start("etcd").await else {
        return;
    };
    let root = Etcd::connect(&[server.endpoint()], &server.tls("root"))
        .await
        .unwrap();
    root.enforce_users().await.unwrap();
    root.ensure_tenant(&tenancy("alpha")).await.unwrap();
    for user in ["root", "alpha"] {
        let thief = Tenancy {
            schema: "beta".to_owned(),
            user: user.to_owned(),
        };
        let error = root.ensure_tenant(&thief).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Taken, "{error}");
        assert!(error.to_string().contains(user), "{error}");
    }
    assert_eq!(
        root.ensure_tenant(&tenancy("alpha")).await.unwrap(),
        Setup::Unchanged,
        "who is there keeps its place"
    );
}

#[tokio::test]
async fn many_tenants_set_up_at_once_do_not_trip_over_each_other() {
    let Some(server) = SecureEtcd::start("etcd").await else {
        return;
    };
    let root = Etcd::connect(&[server.endpoint()], &server.tls("root"))
        .await
        .unwrap();
    root.enforce_users().await.unwrap();
    let mut tenants = tokio::task::JoinSet::new();
    for number in 0..20 {
        let root = root.clone();
        tenants.spawn(async move {
            root.ensure_tenant(&tenancy(&format!("tenant-{number}")))
                .await
        });
    }
    for set_up in tenants.join_all().await {
        assert_eq!(set_up.unwrap(), Setup::Changed);
    }
}

#[tokio::test]
async fn a_certificate_that_etcd_does_not_trust_is_told_from_one_without_rights() {
    let Some(server) = SecureEtcd::start("etcd").await else {
        return;
    };
    let mut tls = server.tls("root");
    let (certificate, key) = Authority::create().sign("root");
    (tls.certificate, tls.key) = (certificate.into_bytes(), key.into_bytes());
    let error = Etcd::connect(&[server.endpoint()], &tls).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Tls, "{error}");

    let mut tls = server.tls("root");
    tls.authority = Authority::create().certificate.into_bytes();
    let error = Etcd::connect(&[server.endpoint()], &tls).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Tls, "{error}");

    let error = Etcd::connect(&["127.0.0.1:1".to_owned()], &server.tls("root"))
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Unreachable, "{error}");
    assert!(server.authority().certificate.contains("BEGIN"));
}
