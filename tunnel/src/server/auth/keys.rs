//! The service-account keys as their file holds them now, not as it held them at start.
//!
//! The file is looked at again every [`RECHECK`] while agents come, so that a key that was taken away is forgotten, and
//! at once when no key fits, so that a token of a new key is good the moment the key is there.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::protocol::token::{Identity, Keys, KeysError, Rule, TokenError, verify};
use crate::tls::RECHECK;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("--service-account-public-key-file={path}: cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("--service-account-public-key-file={path}: cannot be used", path = path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeysError,
    },
}

/// A file of public keys. Clones share what was read.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    current: ArcSwap<Keys>,
    seen: Mutex<Seen>,
}

/// Which state of the file was read last, and when it was last compared.
#[derive(Debug)]
struct Seen {
    mark: Option<Mark>,
    at: Instant,
}

/// What changes when a file is replaced: device, inode, length, time.
type Mark = (u64, u64, u64, SystemTime);

impl KeyFile {
    /// Reads the keys for the first time.
    pub(crate) fn open(path: &Path) -> Result<Self, KeyFileError> {
        // Marked before it is read: a change in between is found at the next look.
        let seen = Seen {
            mark: mark(path),
            at: Instant::now(),
        };
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(read(path)?),
            seen: Mutex::new(seen),
        })))
    }

    /// Judges a token by the keys of the file; `now` is in seconds since 1970.
    pub(crate) fn verify(
        &self,
        token: &str,
        rule: &Rule,
        now: u64,
    ) -> Result<Identity, TokenError> {
        if self.0.is_due() {
            self.0.look_again();
        }
        let judged = verify(token, &self.0.current.load(), rule, now);
        if judged == Err(TokenError::Signature) && self.0.look_again() {
            return verify(token, &self.0.current.load(), rule, now);
        }
        judged
    }
}

impl Inner {
    fn is_due(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.at.elapsed() >= RECHECK
    }

    /// Takes over what the file holds if it changed, and says whether it did. A file that cannot be used leaves the
    /// old keys in service, and is not complained of again until it changes.
    fn look_again(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.at = Instant::now();
        let mark = mark(&self.path);
        if mark == seen.mark {
            return false;
        }
        seen.mark = mark;
        match read(&self.path) {
            Ok(keys) => {
                let (path, count) = (self.path.display(), keys.count());
                tracing::info!(%path, count, "service-account keys renewed from their file");
                self.current.store(Arc::new(keys));
                true
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the old service-account keys stay in service");
                false
            }
        }
    }
}

fn read(path: &Path) -> Result<Keys, KeyFileError> {
    let text = std::fs::read(path).map_err(|source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Keys::from_pem(&text).map_err(|source| KeyFileError::Keys {
        path: path.to_owned(),
        source,
    })
}

fn mark(path: &Path) -> Option<Mark> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.len(), data.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::token::mint::{AUDIENCE, Signer, claims};

    const NOW: u64 = 1_800_000_000;

    fn rule() -> Rule {
        Rule {
            issuers: Vec::new(),
            audience: AUDIENCE.to_owned(),
            namespace: "kube-system".to_owned(),
            service_account: "konnectivity-agent".to_owned(),
        }
    }

    struct File {
        folder: tempfile::TempDir,
    }

    impl File {
        fn new(text: &str) -> Self {
            let file = Self {
                folder: tempfile::tempdir().expect("a folder"),
            };
            file.replace(text);
            file
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("sa.pub")
        }

        /// As kubelet does it: another file takes the name.
        fn replace(&self, text: &str) {
            let next = self.folder.path().join("next");
            std::fs::write(&next, text).expect("written");
            std::fs::rename(&next, self.path()).expect("renamed");
        }
    }

    fn accepts(keys: &KeyFile, signer: &Signer) -> bool {
        keys.verify(&signer.sign(&claims(NOW)), &rule(), NOW)
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn keys_follow_their_file() {
        let (old, new) = (Signer::new("ES256"), Signer::new("RS256"));
        let file = File::new(&old.public_pem());
        let keys = KeyFile::open(&file.path()).expect("a key");
        assert!(accepts(&keys, &old) && !accepts(&keys, &new));
        file.replace(&format!("{}{}", old.public_pem(), new.public_pem()));
        assert!(accepts(&keys, &new), "a new key is good at once");
        assert!(accepts(&keys, &old), "and the old one still is");
        file.replace(&new.public_pem());
        tokio::time::advance(RECHECK).await;
        assert!(!accepts(&keys, &old), "a key that is gone is forgotten");
        assert!(accepts(&keys, &new));
    }

    #[tokio::test(start_paused = true)]
    async fn a_spoilt_file_keeps_the_old_keys_in_service() {
        let (old, new) = (Signer::new("ES256"), Signer::new("ES256"));
        let file = File::new(&old.public_pem());
        let keys = KeyFile::open(&file.path()).expect("a key");
        file.replace("nothing");
        tokio::time::advance(RECHECK).await;
        assert!(accepts(&keys, &old) && !accepts(&keys, &new));
        std::fs::remove_file(file.path()).expect("removed");
        tokio::time::advance(RECHECK).await;
        assert!(accepts(&keys, &old) && !accepts(&keys, &new));
        file.replace(&new.public_pem());
        assert!(accepts(&keys, &new) && !accepts(&keys, &old));
    }

    #[test]
    fn errors_name_flag_and_file() {
        let error = KeyFile::open(Path::new("/nowhere/sa.pub")).expect_err("missing");
        let text = error.to_string();
        assert!(
            text.starts_with("--service-account-public-key-file=/nowhere/sa.pub"),
            "{text}"
        );
        let file = File::new("no key");
        let error = KeyFile::open(&file.path()).expect_err("no key");
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert!(cause.is_some_and(|cause| cause.contains("no PUBLIC KEY block")));
    }
}
