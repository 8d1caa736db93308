//! Holds `metrics.rs` to what it promises.

use super::*;
use crate::pki::Health;

fn line(status: &str, ready: Readiness) -> TenantLine {
    TenantLine {
        namespace: "a".into(),
        name: "b".into(),
        version: "v1.33.0".into(),
        driver: "etcd".into(),
        address: "192.0.2.1".into(),
        exposure: "LoadBalancer".into(),
        status: status.into(),
        ready,
    }
}

#[test]
fn a_tenant_has_one_line_which_follows_its_state_and_goes_with_it() {
    let metrics = Metrics::new();
    metrics.tenant(&line("NotReady", Readiness::NotReady), None);
    metrics.tenant(&line("Ready", Readiness::Ready), Some(7));
    let page = metrics.page();
    assert!(
        page.contains(r#"status="Ready",tcp_name="b",tcp_namespace="a"} 1"#),
        "{page}"
    );
    assert!(!page.contains(r#"status="NotReady""#), "{page}");
    assert!(
        page.contains(r#"kamaji_tenant_control_planes_current{ready="true"} 1"#),
        "{page}"
    );
    metrics.forget_tenant("a", "b");
    let page = metrics.page();
    assert!(!page.contains(r#"tcp_name="b""#), "{page}");
    assert!(
        page.contains(r#"kamaji_tenant_control_planes_current{ready="true"} 0"#),
        "{page}"
    );
}

#[test]
fn a_pass_is_counted_when_it_ends_however_it_ends() {
    let metrics = Metrics::new();
    drop(metrics.measure("tenant_control_plane"));
    metrics.measure("tenant_control_plane").outcome("ok");
    let page = metrics.page();
    for outcome in ["cancelled", "ok"] {
        let series = format!(
            r#"warren_reconcile_total{{controller="tenant_control_plane",outcome="{outcome}"}} 1"#
        );
        assert!(page.contains(&series), "{page}");
    }
}

#[test]
fn a_store_has_its_lines_under_the_contracts_labels() {
    let metrics = Metrics::new();
    let line = |valid, ready| StoreLine {
        driver: "etcd",
        valid,
        ready,
    };
    metrics.store("a", line(Validity::Invalid, Readiness::NotReady));
    metrics.store("a", line(Validity::Valid, Readiness::Ready));
    let page = metrics.page();
    for series in [
        r#"kamaji_datastore_info{datastore_name="a",driver="etcd"} 1"#,
        r#"kamaji_datastore_status{datastore_name="a",ready="true",status="True"} 1"#,
        r#"kamaji_datastores_current{datastore_name="a",driver="etcd",ready="true"} 1"#,
    ] {
        assert!(page.contains(series), "{page}");
    }
    assert!(!page.contains(r#"ready="false",status"#), "{page}");
    metrics.forget_store("a");
    assert!(!metrics.page().contains("datastore_name"));
}

#[test]
fn certificates_are_counted_for_as_long_as_their_tenant_is_there() {
    let metrics = Metrics::new();
    let counts = Counts::from([((Health::Expiring, Strategy::X509), 2)]);
    metrics.certificates("a", "b", &counts);
    let page = metrics.page();
    for (status, strategy, count) in [
        ("expiring", "x509", 2),
        ("expiring", "kubeconfig", 0),
        ("valid", "x509", 0),
    ] {
        let series = format!(
            r#"kamaji_certificates_current{{status="{status}",strategy="{strategy}",tcp_name="b",tcp_namespace="a"}} {count}"#
        );
        assert!(page.contains(&series), "{page}");
    }
    metrics.forget_tenant("a", "b");
    assert!(!metrics.page().contains("kamaji_certificates_current{"));
}
