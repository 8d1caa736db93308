//! Where the webhook's certificate comes from: a Secret that the operator keeps itself, or a directory that somebody
//! else keeps.
//!
//! Self-managed: the first replica that finds no Secret creates one, every other reads it; whoever finds it due replaces
//! it, bound to the version it read. The authority goes into the `caBundle` of the webhook configuration, and only when
//! that differs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::{CertificateError, Current};
use crate::names::key::{CA_CRT, CA_KEY, TLS_CRT, TLS_KEY};
use crate::pki::leaf::{San, Usage};
use crate::pki::rotation::{Verdict, judge};
use crate::pki::{self, Authority, KeyPair, Request};
use crate::retry;
use crate::telemetry::chain;

/// How often the certificate is looked at: another replica may have renewed it.
const LOOK: Duration = Duration::from_mins(1);
/// After a failure.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be made or read.
    #[error("the webhook's certificate cannot be made")]
    Pki(#[from] pki::Error),
    /// It could not be served with.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The API server refused.
    #[error("cannot {what}")]
    Api {
        /// What was tried.
        what: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The files could not be read.
    #[error("cannot read {path}")]
    File {
        /// Which one.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A certificate that the operator keeps itself.
#[derive(Clone, Debug)]
pub struct SelfManaged {
    /// Namespace of Secret and Service.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The Service that the certificate names.
    pub service: String,
    /// The `ValidatingWebhookConfiguration`.
    pub configuration: String,
}

impl SelfManaged {
    /// Keeps the certificate, for ever, and says so whenever it is in order: served, and trusted by kube-apiserver.
    pub async fn keep(&self, client: &Client, current: &Current, in_order: impl Fn()) {
        loop {
            let pause = match self.settle(client, current, Timestamp::now()).await {
                Ok(()) => {
                    in_order();
                    LOOK
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "the webhook's certificate is not in order"
                    );
                    LOOK_AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes Secret, served certificate and `caBundle` right, once.
    pub async fn settle(
        &self,
        client: &Client,
        current: &Current,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (authority, leaf) = self.stored(client, now).await?;
        current.set(&leaf)?;
        self.trust(client, authority.certificate()).await
    }

    fn request(&self) -> Request {
        let host = format!("{}.{}.svc", self.service, self.namespace);
        let hosts = [host.clone(), format!("{host}.cluster.local")];
        Request {
            common_name: host,
            organization: None,
            usage: Usage::Server,
            sans: hosts.into_iter().map(San::Dns).collect(),
        }
    }

    async fn stored(&self, client: &Client, now: Timestamp) -> Result<(Authority, KeyPair), Error> {
        let api: Api<Secret> = Api::namespaced(client.clone(), &self.namespace);
        let failed = |what: &str, source| Error::Api {
            what: format!("{what} Secret {}/{}", self.namespace, self.secret),
            source: Box::new(source),
        };
        let held = api
            .get_opt(&self.secret)
            .await
            .map_err(|source| failed("read", source))?;
        let request = self.request();
        if let Some(secret) = &held
            && let Ok(authority) = Authority::read(pair(secret, CA_CRT, CA_KEY))
        {
            let leaf = pair(secret, TLS_CRT, TLS_KEY);
            let authority_is_good =
                pki::not_after(authority.certificate()).is_ok_and(|end| end > now);
            if authority_is_good
                && matches!(
                    judge(Some(&leaf), &request, &authority, now),
                    Verdict::Keep { .. }
                )
            {
                return Ok((authority, leaf));
            }
        }
        let authority = Authority::create("warren-webhook", now)?;
        let leaf = authority.issue(&request, now)?;
        let secret = self.secret(held.map(|secret| secret.metadata), &authority, &leaf);
        let written = if secret.metadata.resource_version.is_some() {
            api.patch(
                &self.secret,
                &PatchParams::default(),
                &Patch::Merge(&secret),
            )
            .await
        } else {
            api.create(&PostParams::default(), &secret).await
        };
        match written {
            Ok(_) => tracing::info!(secret = self.secret, "made the webhook's certificate"),
            // Another replica was quicker: the next look takes its certificate.
            Err(source) => return Err(failed("write", source)),
        }
        Ok((authority, leaf))
    }

    fn secret(&self, held: Option<ObjectMeta>, authority: &Authority, leaf: &KeyPair) -> Secret {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.clone()),
                resource_version: held.and_then(|metadata| metadata.resource_version),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([
                (CA_CRT.to_owned(), bytes(authority.certificate())),
                (CA_KEY.to_owned(), bytes(authority.pair().key())),
                (TLS_CRT.to_owned(), bytes(leaf.certificate())),
                (TLS_KEY.to_owned(), bytes(leaf.key())),
            ])),
            ..Secret::default()
        }
    }

    /// Tells kube-apiserver whom to trust. Without a configuration nobody calls the webhook, which is allowed.
    async fn trust(&self, client: &Client, authority: &str) -> Result<(), Error> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let failed = |source| Error::Api {
            what: format!(
                "set caBundle of ValidatingWebhookConfiguration {}",
                self.configuration
            ),
            source: Box::new(source),
        };
        let Some(configuration) = api.get_opt(&self.configuration).await.map_err(failed)? else {
            tracing::debug!(
                name = self.configuration,
                "no ValidatingWebhookConfiguration of that name"
            );
            return Ok(());
        };
        let bundle = STANDARD.encode(authority);
        let mut changes = vec![json!({
            "op": "test", "path": "/metadata/resourceVersion", "value": configuration.metadata.resource_version,
        })];
        for (index, webhook) in configuration.webhooks.iter().flatten().enumerate() {
            let held = webhook.client_config.ca_bundle.as_ref();
            if held.is_none_or(|held| held.0 != authority.as_bytes()) {
                let path = format!("/webhooks/{index}/clientConfig/caBundle");
                changes.push(json!({ "op": "add", "path": path, "value": bundle }));
            }
        }
        if changes.len() == 1 {
            return Ok(());
        }
        let patch: json_patch::Patch = serde_json::from_value(json!(changes)).unwrap_or_default();
        let patched = api
            .patch(
                &self.configuration,
                &PatchParams::default(),
                &Patch::Json::<()>(patch),
            )
            .await;
        match patched {
            Err(error) if retry::code(&error) != Some(404) => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

fn pair(secret: &Secret, certificate: &str, key: &str) -> KeyPair {
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes
            .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
            .unwrap_or_default()
    };
    KeyPair::new(text(certificate), text(key))
}

/// Follows `tls.crt` and `tls.key` of a directory, for ever, and says so whenever a new pair is served.
pub async fn follow(directory: &Path, current: &Current, in_order: impl Fn()) {
    let mut served: Option<KeyPair> = None;
    loop {
        match read(directory).await {
            Ok(pair) if served.as_ref() != Some(&pair) => match current.set(&pair) {
                Ok(()) => {
                    in_order();
                    served = Some(pair);
                }
                Err(error) => tracing::warn!(
                    error = chain(&error),
                    "the webhook's certificate is not usable"
                ),
            },
            Ok(_same) => {}
            Err(error) => tracing::warn!(
                error = chain(&error),
                "the webhook's certificate is not there"
            ),
        }
        tokio::time::sleep(if served.is_some() { LOOK } else { LOOK_AGAIN }).await;
    }
}

async fn read(directory: &Path) -> Result<KeyPair, Error> {
    let text = async |name: &str| {
        let path = directory.join(name);
        let read = tokio::fs::read_to_string(&path).await;
        read.map_err(|source| Error::File {
            path: path.display().to_string(),
            source,
        })
    };
    Ok(KeyPair::new(text(TLS_CRT).await?, text(TLS_KEY).await?))
}
