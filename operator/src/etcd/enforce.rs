//! Turns on etcd's own access control: from then on a client certificate reads what its user's role allows, and nothing
//! else. Asked for by an annotation of the `DataStore`, because it shuts out every other user of that etcd.

use super::Etcd;
use super::error::Error;
use super::rpc::{
    AuthEnableRequest, AuthRoleAddRequest, AuthUserAddRequest, AuthUserGrantRoleRequest,
    UserAddOptions,
};
use super::tenancy::{again, call};

/// The user and the role that etcd demands before it enforces anything.
const ROOT: &str = "root";

impl Etcd {
    /// Makes the user `root` with the role `root`, and enforces users from now on. The operator goes on as the common
    /// name of its client certificate, which must be `root` for that.
    pub async fn enforce_users(&self) -> Result<(), Error> {
        let name = || ROOT.to_owned();
        let request = AuthUserAddRequest {
            name: name(),
            options: Some(UserAddOptions { no_password: true }),
        };
        let _there = call("add the user root", again!(self.auth, user_add, request)).await?;
        let request = AuthRoleAddRequest { name: name() };
        let _there = call("add the role root", again!(self.auth, role_add, request)).await?;
        let request = AuthUserGrantRoleRequest {
            user: name(),
            role: name(),
        };
        let _granted = call(
            "grant the role root",
            again!(self.auth, user_grant_role, request),
        )
        .await?;
        let _enforced = call(
            "enforce users",
            again!(self.auth, auth_enable, AuthEnableRequest {}),
        )
        .await?;
        Ok(())
    }
}
