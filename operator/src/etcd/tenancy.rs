//! One tenant's place in etcd: a user that proves itself by certificate, a role, and the one key
//! range the role may touch. Making it and taking it away can both be repeated at any point.
//!
//! Caveat: etcd enforces users only after `auth enable`. What is set up here is the same either way.

use tonic::Status;
use tonic::transport::Channel;

use super::Etcd;
use super::error::{Error, is_already_there, is_not_found, is_stale_auth};
use super::range::KeyRange;
use super::rpc::auth_client::AuthClient;
use super::rpc::permission::Type;
use super::rpc::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, DeleteRangeRequest, Permission, PutRequest, RangeRequest,
    UserAddOptions,
};

/// How often a call is repeated when another tenant's set-up changed the users meanwhile.
const ATTEMPTS: usize = 10;

/// Whose place it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// Name of the key prefix and of the role.
    pub schema: String,
    /// Name of the user: the common name of the tenant's client certificate.
    pub user: String,
}

/// What had to be changed to make a tenant's place right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Nothing: it was as it should be.
    Unchanged,
    /// Something was missing or wrong and is right now.
    Changed,
}

/// One request that can be asked again: each time on a clone of the client, which shares its connection.
macro_rules! again {
    ($client:expr, $method:ident, $request:expr) => {
        || {
            let mut client = $client.clone();
            let request = $request.clone();
            async move { client.$method(request).await }
        }
    };
}
pub(super) use again;

/// Repeats a call while etcd says that its users changed in between.
pub(super) async fn call<T, A, F>(
    doing: &'static str,
    mut attempt: A,
) -> Result<Result<T, Status>, Error>
where
    A: FnMut() -> F,
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut outcome = attempt().await;
    for _again in 1..ATTEMPTS {
        match &outcome {
            Err(status) if is_stale_auth(status) => outcome = attempt().await,
            _ => break,
        }
    }
    match outcome {
        Ok(answer) => Ok(Ok(answer.into_inner())),
        Err(status) if is_not_found(&status) || is_already_there(&status) => Ok(Err(status)),
        Err(status) => Err(Error::Call {
            doing,
            source: Box::new(status),
        }),
    }
}

impl Etcd {
    /// Makes the tenant's user, role and range exactly what they should be.
    pub async fn ensure_tenant(&self, tenancy: &Tenancy) -> Result<Setup, Error> {
        let range = KeyRange::of_schema(&tenancy.schema);
        // Before anything is changed: the user may be somebody's who is no tenant of ours.
        let held = roles_of(&self.auth, tenancy).await?;
        let role = ensure_role(&self.auth, &tenancy.schema, &range).await?;
        let user = ensure_user(&self.auth, tenancy, held).await?;
        Ok(if role == Setup::Unchanged && user == Setup::Unchanged {
            Setup::Unchanged
        } else {
            Setup::Changed
        })
    }

    /// Takes away the tenant's role, keys and user, in this order: with the role goes the access, so
    /// that a control plane which still runs writes nothing behind the deletion of the keys.
    /// Returns how many keys were deleted.
    pub async fn remove_tenant(&self, tenancy: &Tenancy) -> Result<i64, Error> {
        let request = AuthRoleDeleteRequest {
            role: tenancy.schema.clone(),
        };
        let _absent = call("delete the role", again!(self.auth, role_delete, request)).await?;
        let KeyRange {
            key,
            end: range_end,
        } = KeyRange::of_schema(&tenancy.schema);
        let request = DeleteRangeRequest {
            key: key.into(),
            range_end: range_end.into(),
        };
        let deleted = call(
            "delete the tenant's keys",
            again!(self.keys, delete_range, request),
        )
        .await?;
        let request = AuthUserDeleteRequest {
            name: tenancy.user.clone(),
        };
        let _absent = call("delete the user", again!(self.auth, user_delete, request)).await?;
        Ok(deleted.map_or(0, |answer| answer.deleted))
    }

    /// Writes one key: how a person or a test finds out what a certificate may do.
    pub async fn put(&self, key: &str, value: &str) -> Result<(), Error> {
        let request = PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
        };
        let _written = call("write the key", again!(self.keys, put, request)).await?;
        Ok(())
    }

    /// How many keys the tenant has.
    pub async fn count_keys(&self, tenancy: &Tenancy) -> Result<i64, Error> {
        let KeyRange { key, end } = KeyRange::of_schema(&tenancy.schema);
        let request = RangeRequest {
            key: key.into(),
            range_end: end.into(),
            limit: 0,
            keys_only: false,
            count_only: true,
        };
        let counted = call("count the tenant's keys", again!(self.keys, range, request)).await?;
        Ok(counted.map_or(0, |answer| answer.count))
    }
}

async fn ensure_role(
    auth: &AuthClient<Channel>,
    role: &str,
    range: &KeyRange,
) -> Result<Setup, Error> {
    let wanted = Permission {
        perm_type: Type::Readwrite.into(),
        key: range.key.clone().into(),
        range_end: range.end.clone().into(),
    };
    let request = AuthRoleGetRequest {
        role: role.to_owned(),
    };
    let granted = match call("show the role", again!(auth, role_get, request)).await? {
        Ok(found) => found.perm,
        Err(_absent) => {
            let request = AuthRoleAddRequest {
                name: role.to_owned(),
            };
            let _raced = call("add the role", again!(auth, role_add, request)).await?;
            Vec::new()
        }
    };
    if granted == [wanted.clone()] {
        return Ok(Setup::Unchanged);
    }
    // First the right range is granted, then what is too wide goes: a running tenant never loses access.
    let request = AuthRoleGrantPermissionRequest {
        name: role.to_owned(),
        perm: Some(wanted.clone()),
    };
    let _granted = call(
        "grant the range",
        again!(auth, role_grant_permission, request),
    )
    .await?;
    for other in granted {
        if other.key == wanted.key && other.range_end == wanted.range_end {
            continue;
        }
        let request = AuthRoleRevokePermissionRequest {
            role: role.to_owned(),
            key: other.key,
            range_end: other.range_end,
        };
        let _revoked = call(
            "revoke a range too wide",
            again!(auth, role_revoke_permission, request),
        )
        .await?;
    }
    Ok(Setup::Changed)
}

/// The roles of the tenant's user, if it is there. One that has other roles than the tenant's own is refused: the
/// tenant's certificate carries its name, and with it these roles.
async fn roles_of(
    auth: &AuthClient<Channel>,
    tenancy: &Tenancy,
) -> Result<Option<Vec<String>>, Error> {
    let request = AuthUserGetRequest {
        name: tenancy.user.clone(),
    };
    let Ok(found) = call("show the user", again!(auth, user_get, request)).await? else {
        return Ok(None);
    };
    match found.roles.iter().find(|role| **role != tenancy.schema) {
        Some(role) => Err(Error::UserTaken {
            user: tenancy.user.clone(),
            role: role.clone(),
        }),
        None => Ok(Some(found.roles)),
    }
}

async fn ensure_user(
    auth: &AuthClient<Channel>,
    tenancy: &Tenancy,
    held: Option<Vec<String>>,
) -> Result<Setup, Error> {
    match held {
        Some(roles) if roles.contains(&tenancy.schema) => return Ok(Setup::Unchanged),
        Some(_without_role) => {}
        None => {
            let request = AuthUserAddRequest {
                name: tenancy.user.clone(),
                options: Some(UserAddOptions { no_password: true }),
            };
            let _raced = call("add the user", again!(auth, user_add, request)).await?;
        }
    }
    let request = AuthUserGrantRoleRequest {
        user: tenancy.user.clone(),
        role: tenancy.schema.clone(),
    };
    let _granted = call("grant the role", again!(auth, user_grant_role, request)).await?;
    Ok(Setup::Changed)
}
