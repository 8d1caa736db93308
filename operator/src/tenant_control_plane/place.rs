//! Between validate and issue: the tenant's place in its store, which no API server keeps for us.
//!
//! In: where the tenant's state goes, and the store. Out: [`Placed`]. A tenant that has its place keeps running when the
//! store does not answer the operator; a new one gets no pods before its place is there, or they would crash.

use super::claim::{Claim, Credentials};
use super::control_plane::{ControlPlane, Storage};
use super::observe::Store;
use crate::api::TenantControlPlane;
use crate::context::Context;
use crate::etcd::Fault;
use crate::etcd::tenancy::Tenancy;
use crate::telemetry::chain;

/// What came of making the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// User, role and range are right.
    Ready,
    /// The store could not be asked now.
    Failed {
        /// Who can mend it.
        fault: Fault,
        /// What happened.
        message: String,
    },
    /// There is no store that could be asked; the observation says why.
    NoStore,
}

/// Makes the tenant's place, and holds its pods back as long as it never had one.
pub async fn place(
    tcp: &TenantControlPlane,
    control_plane: &mut ControlPlane,
    store: &Store,
    ctx: &Context,
) -> Placed {
    let placed = make(control_plane, store, ctx).await;
    if placed != Placed::Ready && !Claim::of(tcp, Credentials::default()).is_set_up() {
        control_plane.storage = Storage::Waiting;
    }
    placed
}

async fn make(control_plane: &ControlPlane, store: &Store, ctx: &Context) -> Placed {
    let Store::Resolved(store) = store else {
        return Placed::NoStore;
    };
    let tenancy = Tenancy {
        schema: control_plane.tenancy.schema.clone(),
        user: control_plane.tenancy.user.clone(),
    };
    let outcome = match ctx.connections.open(store).await {
        Ok(etcd) => match etcd.ensure_tenant(&tenancy).await {
            Ok(setup) => {
                tracing::debug!(
                    schema = tenancy.schema,
                    user = tenancy.user,
                    ?setup,
                    "place in the store"
                );
                return Placed::Ready;
            }
            Err(error) => {
                // Another member may do better.
                ctx.connections.forget(&store.access.name);
                (error.fault(), chain(&error))
            }
        },
        Err(error) => (error.fault(), chain(error.as_ref())),
    };
    Placed::Failed {
        fault: outcome.0,
        message: outcome.1,
    }
}
