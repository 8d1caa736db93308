//! The operator brings its own `CustomResourceDefinition`s: Helm installs those of a chart once and never upgrades them,
//! and they are larger than client-side apply can carry.
//!
//! In: the definitions that the types give. Out: each applied by server-side apply, also over one that Kamaji's chart
//! left, and established, so that watches can start.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};

use crate::api::schema::definitions;
use crate::context::FIELD_MANAGER;

/// Looks at a definition this often while the API server makes it ready.
const LOOK: Duration = Duration::from_millis(200);
/// It takes a moment, not a minute.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why the definitions are not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused one.
    #[error(
        "CustomResourceDefinition {name} cannot be applied; give the operator the permission, or install crds/ yourself and start it with --install-crds=false"
    )]
    Apply {
        /// Which one.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// It took too long.
    #[error("CustomResourceDefinition {name} is not established after {} s: see its conditions", DEADLINE.as_secs())]
    NotEstablished {
        /// Which one.
        name: String,
    },
}

/// Applies every definition and waits until each is served.
pub async fn install(client: &Client) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions() {
        let name = definition.name_any();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&definition))
            .await
            .map_err(|source| Error::Apply {
                name: name.clone(),
                source: Box::new(source),
            })?;
        tokio::time::timeout(DEADLINE, established(&api, &name))
            .await
            .map_err(|_elapsed| Error::NotEstablished { name: name.clone() })?;
        tracing::info!(name, "CustomResourceDefinition applied");
    }
    Ok(())
}

async fn established(api: &Api<CustomResourceDefinition>, name: &str) {
    let is_established = |definition: &CustomResourceDefinition| {
        let conditions = definition
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref());
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
    };
    while !api
        .get(name)
        .await
        .is_ok_and(|definition| is_established(&definition))
    {
        tokio::time::sleep(LOOK).await;
    }
}
