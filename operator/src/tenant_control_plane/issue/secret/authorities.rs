//! The part of the workbench where trust begins: authorities, and the pair that signs service-account tokens.
//!
//! In: what is stored. Out: what signs from now on. What others trust is never replaced, only told to be unusable.

use crate::names::{SecretName, key};
use crate::pki::{Authority, Reason, ServiceAccountKeys, Verdict, rotation};
use crate::tenant_control_plane::issue::Error;

use super::{PairKeys, Workbench};

impl Workbench<'_> {
    /// Takes the authority that is there, or makes one. `spellings` says where to look, and all are written.
    pub(in crate::tenant_control_plane::issue) fn authority(
        &mut self,
        secret: SecretName,
        spellings: &[PairKeys],
        common_name: &str,
    ) -> Result<Authority, Error> {
        let found = spellings
            .iter()
            .find_map(|keys| self.stored_part(secret, *keys));
        let authority = if let Some(pair) = found {
            Authority::read(pair)
        } else {
            let first = spellings
                .first()
                .map_or(key::CA_CRT, |keys| keys.certificate);
            self.note(secret, first, Reason::Missing);
            Authority::create(common_name, self.now)
        };
        let authority = authority.map_err(|source| self.unusable(secret, source))?;
        for keys in spellings {
            self.put(secret, keys.certificate, authority.certificate());
            self.put(secret, keys.key, authority.pair().key());
        }
        Ok(authority)
    }

    /// The same for an authority that our own pods alone trust, and are handed anew: one that is unusable or due is
    /// replaced, for nobody loses anything by it.
    pub(in crate::tenant_control_plane::issue) fn replaceable_authority(
        &mut self,
        secret: SecretName,
        keys: PairKeys,
        common_name: &str,
    ) -> Result<Authority, Error> {
        let stored = self.stored_part(secret, keys);
        let reason = match rotation::judge_authority(stored.as_ref(), self.now) {
            Verdict::Keep { renew_at } => {
                self.look_again = self.look_again.min(renew_at);
                None
            }
            Verdict::Renew(reason) => Some(reason),
        };
        let authority = match (reason, stored) {
            (None, Some(kept)) => Authority::read(kept),
            (reason, _) => {
                self.note(secret, keys.certificate, reason.unwrap_or(Reason::Missing));
                Authority::create(common_name, self.now)
            }
        };
        let authority = authority.map_err(|source| Error::Issue {
            secret: self.names.secret(secret),
            source,
        })?;
        self.put(secret, keys.certificate, authority.certificate());
        self.put(secret, keys.key, authority.pair().key());
        Ok(authority)
    }

    /// Takes the service-account pair that is there, or makes one.
    pub(in crate::tenant_control_plane::issue) fn service_account(&mut self) -> Result<(), Error> {
        const SECRET: SecretName = SecretName::ServiceAccount;
        let public = self.observed.secret_text(SECRET, key::SA_PUB);
        let keys = if let Some(private) = self.observed.secret_text(SECRET, key::SA_KEY) {
            ServiceAccountKeys::read(private, public)
        } else {
            self.note(SECRET, key::SA_KEY, Reason::Missing);
            ServiceAccountKeys::create()
        };
        let keys = keys.map_err(|source| self.unusable(SECRET, source))?;
        self.put(SECRET, key::SA_PUB, keys.public());
        self.put(SECRET, key::SA_KEY, keys.private());
        Ok(())
    }

    fn unusable(&self, secret: SecretName, source: crate::pki::Error) -> Error {
        Error::Unusable {
            secret: self.names.secret(secret),
            source,
        }
    }
}
