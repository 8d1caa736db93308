//! From what was written and what was read to a [`ControlPlane`], or every mistake found.
//!
//! Rules about the custom resource alone are admission's as well and stand in [`crate::validate`]; here they are asked
//! first, then those about what others hold. What passes is put into types once and needs no further check.

mod endpoint;
mod network;
mod rules;

use kube::Resource as _;

use crate::api::data_store::Driver;
use crate::api::tenant_control_plane::addons::DEFAULT_SERVER_IMAGE;
use crate::api::tenant_control_plane::{ControlPlaneEgress, Konnectivity};
use crate::api::{Reason, TenantControlPlane};
use crate::names::Names;
use crate::validate::{Limits, Violation};
use crate::version::Version;

use super::claim::Claim;
use super::control_plane::{
    ControlPlane, Defaults, EtcdStorage, Storage, Tenancy, Tunnel, TunnelImage,
};
use super::observed::{Observed, ObservedDataStore, data_store_name};

pub use endpoint::service_address;
pub use rules::Mistakes;

/// Validates `tenant_control_plane` against what was observed.
pub fn validate(
    tenant_control_plane: &TenantControlPlane,
    observed: &Observed,
    defaults: &Defaults,
    limits: &Limits,
) -> Result<ControlPlane, Mistakes> {
    let review = crate::validate::tenant_control_plane(tenant_control_plane, None, limits);
    refuse_any(Reason::InvalidSpec, review.violations)?;
    refuse_any(
        Reason::NameTaken,
        rules::names_taken(tenant_control_plane, observed),
    )?;
    let claim = Claim::of(tenant_control_plane, observed.credentials());
    refuse_any(Reason::InvalidSpec, claim.mistakes())?;
    refuse_any(Reason::NameTaken, claim.conflicts(&observed.neighbours))?;
    let tenancy = Tenancy {
        data_store: data_store_name(tenant_control_plane, defaults).map(str::to_owned),
        schema: claim.schema.text,
        user: claim.user.text,
    };
    settle(tenant_control_plane, observed, defaults, tenancy).map_err(|violation| Mistakes {
        reason: Reason::InvalidSpec,
        violations: vec![violation],
    })
}

fn refuse_any(reason: Reason, violations: Vec<Violation>) -> Result<(), Mistakes> {
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Mistakes { reason, violations })
    }
}

/// Puts the manifest into types. What fails here was let through by the rules, which is a mistake of ours; it is told
/// like any other.
fn settle(
    tenant_control_plane: &TenantControlPlane,
    observed: &Observed,
    defaults: &Defaults,
    tenancy: Tenancy,
) -> Result<ControlPlane, Violation> {
    let spec = &tenant_control_plane.spec;
    let metadata = &tenant_control_plane.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let names = Names::new(namespace, &name)
        .map_err(|invalid| violation("metadata.name", &name, invalid.to_string()))?;
    let owner = tenant_control_plane
        .controller_owner_ref(&())
        .ok_or_else(|| {
            violation(
                "metadata.uid",
                "",
                "is missing; read the object from the API server",
            )
        })?;
    let text = &spec.kubernetes.version;
    let version = Version::parse_supported(text)
        .map_err(|error| violation("spec.kubernetes.version", text, error.to_string()))?;
    let network = network::settle(&spec.network_profile)?;
    let tunnel = spec.addons.konnectivity.as_ref();
    let tunnel = tunnel
        .map(|addon| tunnel_of(addon, defaults, &version))
        .transpose()?;
    Ok(ControlPlane {
        stage: endpoint::settle(spec, &network, observed)?,
        service: spec.control_plane.service.clone(),
        pods: spec.control_plane.deployment.clone(),
        admission_plugins: spec.kubernetes.admission_controllers.clone(),
        kubelet_addresses: spec.kubernetes.kubelet.preferred_address_types.clone(),
        tenancy,
        storage: storage(&observed.data_store),
        names,
        owner,
        network,
        version,
        tunnel,
    })
}

fn violation(field: &str, value: &str, message: impl Into<String>) -> Violation {
    Violation {
        field: field.to_owned(),
        value: value.to_owned(),
        message: message.into(),
    }
}

fn tunnel_of(
    addon: &Konnectivity,
    defaults: &Defaults,
    version: &Version,
) -> Result<Tunnel, Violation> {
    let server = &addon.server;
    let port = network::port("spec.addons.konnectivity.server.port", server.port)?;
    Ok(Tunnel {
        image: TunnelImage::settle(
            &server.image,
            server.version.as_deref(),
            DEFAULT_SERVER_IMAGE,
            &defaults.images.konnectivity_server,
            version,
        ),
        port,
        protocol: server.egress_protocol,
        control_plane_egress: server
            .control_plane_egress
            .unwrap_or(ControlPlaneEgress::Tunnel),
        extra_args: server.extra_args.clone(),
        resources: server.resources.clone(),
        security_context: server.security_context.clone(),
    })
}

fn storage(observed: &ObservedDataStore) -> Storage {
    let ObservedDataStore::Found(access) = observed else {
        return Storage::Waiting;
    };
    match (access.driver, &access.authority) {
        (Driver::Etcd, Some(authority)) => Storage::Etcd(EtcdStorage {
            endpoints: access
                .endpoints
                .iter()
                .map(|endpoint| https(endpoint))
                .collect(),
            authority: authority.clone(),
        }),
        (Driver::Etcd, None) | (Driver::MySQL | Driver::PostgreSQL | Driver::NATS, _) => {
            Storage::Waiting
        }
    }
}

fn https(endpoint: &str) -> String {
    if endpoint.contains("://") {
        endpoint.to_owned()
    } else {
        format!("https://{endpoint}")
    }
}

#[cfg(test)]
mod tests;
