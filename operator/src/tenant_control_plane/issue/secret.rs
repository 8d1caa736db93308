//! The workbench of `issue`: for each Secret, keep what is good and make what is not.

mod authorities;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::names::{Names, SecretName};
use crate::pki::kubeconfig::{Kubeconfig, identity};
use crate::pki::{Authority, KeyPair, Reason, Request, Verdict, rotation};
use crate::tenant_control_plane::observed::Observed;
use crate::{checksum, labels};

use super::Error;

/// What one Secret shall hold.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedSecret {
    /// Its data.
    pub data: BTreeMap<&'static str, String>,
    /// Its type: that of the existing Secret, for it cannot change.
    pub kind: Option<String>,
    /// Its checksum: the existing one, while the data is what it was.
    pub checksum: String,
    /// Value of the rotate annotation, when it has one.
    pub rotated: Option<String>,
    /// What was made in this pass, and why.
    pub renewals: Vec<Renewal>,
}

/// One thing that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Under which key it stands.
    pub key: &'static str,
    /// Why it was made.
    pub reason: Reason,
}

/// Names the keys, never the values: half of them are private.
impl std::fmt::Debug for IssuedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedSecret")
            .field("data", &self.data.keys().collect::<Vec<_>>())
            .field("kind", &self.kind)
            .field("checksum", &self.checksum)
            .field("rotated", &self.rotated)
            .field("renewals", &self.renewals)
            .finish()
    }
}

/// Under which keys a certificate and its private key stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairKeys {
    pub(super) certificate: &'static str,
    pub(super) key: &'static str,
}

/// A kubeconfig before its holder is known.
#[derive(Debug, Clone)]
pub(super) struct KubeconfigFile {
    pub(super) key: &'static str,
    pub(super) cluster: String,
    pub(super) server: String,
    pub(super) server_name: Option<&'static str>,
}

/// Collects Secrets.
pub(super) struct Workbench<'a> {
    names: &'a Names,
    observed: &'a Observed,
    now: Timestamp,
    secrets: BTreeMap<SecretName, IssuedSecret>,
    look_again: Timestamp,
}

impl<'a> Workbench<'a> {
    pub(super) fn new(names: &'a Names, observed: &'a Observed, now: Timestamp) -> Self {
        Self {
            names,
            observed,
            now,
            secrets: BTreeMap::new(),
            look_again: Timestamp::MAX,
        }
    }

    /// Keeps or renews a bare leaf.
    pub(super) fn leaf(
        &mut self,
        secret: SecretName,
        keys: PairKeys,
        request: &Request,
        authority: &Authority,
    ) -> Result<KeyPair, Error> {
        self.leaf_of(secret, keys, (request, request), authority)
    }

    /// Keeps a bare leaf that is at least the one request, or makes one that is the other.
    pub(super) fn leaf_of(
        &mut self,
        secret: SecretName,
        keys: PairKeys,
        requests: (&Request, &Request),
        authority: &Authority,
    ) -> Result<KeyPair, Error> {
        let stored = self.stored_part(secret, keys);
        let pair = self.keep_or_renew((secret, keys.certificate), stored, requests, authority)?;
        self.put(secret, keys.certificate, pair.certificate());
        self.put(secret, keys.key, pair.key());
        Ok(pair)
    }

    /// Keeps or renews the identity that `files` share, then writes each file that does not say so already.
    pub(super) fn kubeconfigs(
        &mut self,
        secret: SecretName,
        files: &[KubeconfigFile],
        request: &Request,
        authority: &Authority,
    ) -> Result<(), Error> {
        let stored = files
            .iter()
            .find_map(|file| identity(self.observed.secret_text(secret, file.key)?));
        let Some(first) = files.first() else {
            return Ok(());
        };
        let requests = (request, request);
        let identity = self.keep_or_renew((secret, first.key), stored, requests, authority)?;
        self.write_kubeconfigs(secret, files, &identity, authority);
        Ok(())
    }

    /// Writes kubeconfigs of an identity that is kept elsewhere.
    pub(super) fn write_kubeconfigs(
        &mut self,
        secret: SecretName,
        files: &[KubeconfigFile],
        identity: &KeyPair,
        authority: &Authority,
    ) {
        for file in files {
            let kubeconfig = Kubeconfig {
                cluster: file.cluster.clone(),
                user: crate::pki::common_name(identity.certificate()).unwrap_or_default(),
                server: file.server.clone(),
                server_name: file.server_name,
                authority: authority.certificate().to_owned(),
                identity: identity.clone(),
            };
            let stored = self.observed.secret_text(secret, file.key);
            let kept = stored
                .filter(|text| kubeconfig.is_said_by(text))
                .map(str::to_owned);
            let text = kept.unwrap_or_else(|| kubeconfig.render());
            self.put(secret, file.key, &text);
        }
    }

    /// Puts a text into a Secret.
    pub(super) fn put(&mut self, secret: SecretName, key: &'static str, text: &str) {
        self.entry(secret).data.insert(key, text.to_owned());
    }

    /// What is stored under a key, or else what `make` gives.
    pub(super) fn keep_or(
        &mut self,
        secret: SecretName,
        key: &'static str,
        make: impl FnOnce() -> String,
    ) {
        let text = self
            .observed
            .secret_text(secret, key)
            .map_or_else(make, str::to_owned);
        self.put(secret, key, &text);
    }

    /// The finished Secrets, and when the first leaf is due.
    pub(super) fn finish(mut self) -> (BTreeMap<SecretName, IssuedSecret>, Timestamp) {
        for (name, secret) in &mut self.secrets {
            secret.checksum = checksum_of(self.observed, *name, &secret.data);
        }
        (self.secrets, self.look_again)
    }

    fn keep_or_renew(
        &mut self,
        (secret, key): (SecretName, &'static str),
        stored: Option<KeyPair>,
        (least, full): (&Request, &Request),
        authority: &Authority,
    ) -> Result<KeyPair, Error> {
        let asked: Vec<_> = sharing(secret)
            .iter()
            .copied()
            .filter(|secret| self.is_asked(*secret))
            .collect();
        let verdict = match rotation::judge(stored.as_ref(), least, authority, self.now) {
            Verdict::Keep { .. } if !asked.is_empty() => Verdict::Renew(Reason::Asked),
            verdict => verdict,
        };
        let reason = match (verdict, stored) {
            (Verdict::Keep { renew_at }, Some(kept)) => {
                self.look_again = self.look_again.min(renew_at);
                return Ok(kept);
            }
            (Verdict::Keep { .. }, None) => Reason::Missing,
            (Verdict::Renew(reason), _) => reason,
        };
        let renewed = authority
            .issue(full, self.now)
            .map_err(|source| Error::Issue {
                secret: self.names.secret(secret),
                source,
            })?;
        if let Verdict::Keep { renew_at } =
            rotation::judge(Some(&renewed), full, authority, self.now)
        {
            self.look_again = self.look_again.min(renew_at);
        }
        self.note(secret, key, reason);
        for secret in asked {
            self.entry(secret).rotated = Some(rotation::answer(self.now));
        }
        Ok(renewed)
    }

    fn is_asked(&self, secret: SecretName) -> bool {
        rotation::is_asked(self.observed.secret_annotation(secret, labels::ROTATE))
    }

    fn stored_part(&self, secret: SecretName, keys: PairKeys) -> Option<KeyPair> {
        let certificate = self.observed.secret_text(secret, keys.certificate);
        let key = self.observed.secret_text(secret, keys.key);
        match (certificate, key) {
            (None, None) => None,
            // Half a pair is a damaged one: for whoever reads it to judge.
            (certificate, key) => Some(KeyPair::new(
                certificate.unwrap_or_default(),
                key.unwrap_or_default(),
            )),
        }
    }

    fn note(&mut self, secret: SecretName, key: &'static str, reason: Reason) {
        self.entry(secret).renewals.push(Renewal { key, reason });
    }

    fn entry(&mut self, secret: SecretName) -> &mut IssuedSecret {
        let observed = self.observed;
        self.secrets.entry(secret).or_insert_with(|| IssuedSecret {
            data: BTreeMap::new(),
            kind: kind_of(observed, secret),
            checksum: String::new(),
            rotated: observed
                .secret_annotation(secret, labels::ROTATE)
                .filter(|value| !rotation::is_asked(Some(value)))
                .map(str::to_owned),
            renewals: Vec::new(),
        })
    }
}

/// The Secrets that show the same leaf: asking one of them asks for all.
fn sharing(secret: SecretName) -> Vec<SecretName> {
    match secret {
        SecretName::KonnectivityCertificate => vec![secret, SecretName::KonnectivityKubeconfig],
        other => vec![other],
    }
}

/// The type of a Secret cannot change, so that of the existing one is repeated.
fn kind_of(observed: &Observed, secret: SecretName) -> Option<String> {
    match observed.secrets.get(&secret) {
        Some(existing) => existing.type_.clone(),
        None if secret == SecretName::KonnectivityCertificate => {
            Some("kubernetes.io/tls".to_owned())
        }
        None => Some("Opaque".to_owned()),
    }
}

/// Kamaji computes the checksums of some Secrets over more than their data: while the data stays, so does the checksum.
fn checksum_of(
    observed: &Observed,
    secret: SecretName,
    data: &BTreeMap<&'static str, String>,
) -> String {
    let unchanged = data
        .iter()
        .all(|(key, text)| observed.secret_text(secret, key) == Some(text.as_str()));
    observed
        .secret_annotation(secret, labels::CHECKSUM)
        .filter(|_| unchanged)
        .map_or_else(|| checksum::of(data), str::to_owned)
}
