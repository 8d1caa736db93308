//! Claims on a place in a store: which schema and which user a tenant says are its own, and whose word counts. Pure.
//!
//! In: a tenant control plane, and the claims of the others. Out: what is wrong with its claim. Two tenants with one
//! schema would read each other's keys, and the end of one would delete the other's.

use kube::ResourceExt as _;

use crate::api::TenantControlPlane;
use crate::names::key;
use crate::validate::{Violation, store_name_mistake};

/// What a tenant says is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who says so, as `namespace/name`.
    pub tenant: String,
    /// The key prefix, database or bucket.
    pub schema: Name,
    /// The user.
    pub user: Name,
}

/// One claimed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it stands.
    pub source: Source,
    ground: Ground,
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In the status: it was set up.
    Status,
    /// In the Secret with the store's credentials.
    Secret,
    /// In the spec.
    Spec,
    /// Nowhere: it is the object's UID.
    Uid,
}

/// How well a claim stands, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ground {
    /// It was set up.
    SetUp,
    /// It is the object's own UID, which nobody else has.
    OwnUid,
    /// Somebody wrote it.
    Stated,
}

/// What the Secret with the store's credentials says, where there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The key prefix, database or bucket.
    pub schema: Option<String>,
    /// The user.
    pub user: Option<String>,
}

impl Claim {
    /// What status says was set up wins, then the credentials that exist, then the spec, then the UID: data of tenants
    /// older than the rule that names follow the UID must be found again.
    pub fn of(tcp: &TenantControlPlane, credentials: Credentials) -> Self {
        let status = tcp.status.as_ref();
        let setup = status.and_then(|status| status.storage.as_ref()?.setup.clone());
        let setup = setup.unwrap_or_default();
        let uid = tcp.uid().unwrap_or_default();
        let spec = &tcp.spec;
        Self {
            tenant: format!("{}/{}", tcp.namespace().unwrap_or_default(), tcp.name_any()),
            schema: Name::first(
                [
                    setup.schema,
                    credentials.schema,
                    spec.data_store_schema.clone(),
                ],
                &uid,
            ),
            user: Name::first(
                [
                    setup.user,
                    credentials.user,
                    spec.data_store_username.clone(),
                ],
                &uid,
            ),
        }
    }

    /// Whether status says that this very place was made once.
    pub fn is_set_up(&self) -> bool {
        self.schema.ground == Ground::SetUp && self.user.ground == Ground::SetUp
    }

    /// Names that no tenant may have, wherever they stand.
    pub fn mistakes(&self) -> Vec<Violation> {
        self.names()
            .into_iter()
            .filter_map(|(part, name)| Some(name.refuse(part, store_name_mistake(&name.text)?)))
            .collect()
    }

    /// Names that another tenant of the same store claims with as good a right or a better one.
    pub fn conflicts(&self, others: &[Self]) -> Vec<Violation> {
        let mut found = Vec::new();
        for other in others {
            for ((part, mine), (_, theirs)) in self.names().into_iter().zip(other.names()) {
                if mine.text == theirs.text && theirs.ground <= mine.ground {
                    let message = format!(
                        "belongs to TenantControlPlane {} in the same DataStore; write a name that nobody else has, or \
                         remove it to have the object's UID",
                        other.tenant
                    );
                    found.push(mine.refuse(part, message));
                }
            }
        }
        found
    }

    const fn names(&self) -> [(Part, &Name); 2] {
        [(Part::Schema, &self.schema), (Part::User, &self.user)]
    }
}

#[derive(Clone, Copy)]
enum Part {
    Schema,
    User,
}

impl Name {
    fn first(candidates: [Option<String>; 3], uid: &str) -> Self {
        let sources = [Source::Status, Source::Secret, Source::Spec];
        let mut stated = candidates.into_iter().zip(sources);
        let stated =
            stated.find_map(|(name, source)| Some((name.filter(|it| !it.is_empty())?, source)));
        let (text, source) = stated.unwrap_or_else(|| (uid.to_owned(), Source::Uid));
        let ground = match source {
            Source::Status => Ground::SetUp,
            _ if text == uid => Ground::OwnUid,
            Source::Secret | Source::Spec | Source::Uid => Ground::Stated,
        };
        Self {
            text,
            source,
            ground,
        }
    }

    fn refuse(&self, part: Part, message: impl Into<String>) -> Violation {
        let field = match (self.source, part) {
            (Source::Status, Part::Schema) => "status.storage.setup.schema".to_owned(),
            (Source::Status, Part::User) => "status.storage.setup.user".to_owned(),
            (Source::Secret, Part::Schema) => in_secret(key::DB_SCHEMA),
            (Source::Secret, Part::User) => in_secret(key::DB_USER),
            (Source::Spec | Source::Uid, Part::Schema) => "spec.dataStoreSchema".to_owned(),
            (Source::Spec | Source::Uid, Part::User) => "spec.dataStoreUsername".to_owned(),
        };
        Violation {
            field,
            value: self.text.clone(),
            message: message.into(),
        }
    }
}

fn in_secret(key: &str) -> String {
    format!("{key} in the Secret with the DataStore's credentials")
}

#[cfg(test)]
mod tests;
