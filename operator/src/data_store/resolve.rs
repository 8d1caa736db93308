//! From references to bytes: in, the spec of a `DataStore`; out, certificates and keys that were read, or which of them
//! is missing.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};

use crate::api::DataStore;
use crate::api::data_store::{ContentRef, Driver, TlsConfig};
use crate::etcd::TlsMaterial;
use crate::pki::KeyPair;
use crate::tenant_control_plane::observed::DataStoreAccess;

/// A store whose references are resolved.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What the steps for one tenant need.
    pub access: DataStoreAccess,
    /// How the operator itself speaks to the store.
    pub tls: TlsMaterial,
}

/// What is wrong with a `DataStore` as it stands.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A driver that is in the API and not served yet.
    #[error(
        "spec.driver {driver}: this version serves etcd only; use a DataStore with driver etcd"
    )]
    Driver {
        /// The driver.
        driver: &'static str,
    },
    /// A field is not filled in.
    #[error("{field}: empty; give secretReference{{name,namespace,keyPath}} or content")]
    Empty {
        /// Which field.
        field: &'static str,
    },
    /// The Secret does not exist.
    #[error(
        "{field}: Secret {namespace}/{name} does not exist; create it or correct the reference"
    )]
    NoSecret {
        /// Which field.
        field: &'static str,
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
    },
    /// The Secret has no such key.
    #[error("{field}: Secret {namespace}/{name} has no key {key:?}; it has {present}")]
    NoKey {
        /// Which field.
        field: &'static str,
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
        /// The key.
        key: String,
        /// The keys that are there.
        present: String,
    },
    /// The bytes are not text.
    #[error("{field}: not PEM")]
    NotText {
        /// Which field.
        field: &'static str,
    },
    /// The API server did not answer as it should.
    #[error("{field}: Secret {namespace}/{name} cannot be read")]
    Read {
        /// Which field.
        field: &'static str,
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Reads everything the spec of an etcd store refers to.
pub async fn resolve(client: &Client, store: &DataStore) -> Result<Resolved, Error> {
    let spec = &store.spec;
    if spec.driver != Driver::Etcd {
        return Err(Error::Driver {
            driver: spec.driver.as_str(),
        });
    }
    let empty = TlsConfig::default();
    let tls = spec.tls_config.as_ref().unwrap_or(&empty);
    let authority = read(
        client,
        "spec.tlsConfig.certificateAuthority.certificate",
        Some(&tls.certificate_authority.certificate),
    )
    .await?;
    let authority_key = read(
        client,
        "spec.tlsConfig.certificateAuthority.privateKey",
        tls.certificate_authority.private_key.as_ref(),
    )
    .await?;
    let pair = tls.client_certificate.as_ref();
    let certificate = read(
        client,
        "spec.tlsConfig.clientCertificate.certificate",
        pair.map(|pair| &pair.certificate),
    )
    .await?;
    let key = read(
        client,
        "spec.tlsConfig.clientCertificate.privateKey",
        pair.map(|pair| &pair.private_key),
    )
    .await?;
    Ok(Resolved {
        tls: TlsMaterial {
            authority: authority.clone().into_bytes(),
            certificate: certificate.into_bytes(),
            key: key.into_bytes(),
        },
        access: DataStoreAccess {
            name: store.name_any(),
            driver: spec.driver,
            endpoints: spec.endpoints.clone(),
            authority: Some(KeyPair::new(authority, authority_key)),
        },
    })
}

async fn read(
    client: &Client,
    field: &'static str,
    content: Option<&ContentRef>,
) -> Result<String, Error> {
    let content = content.ok_or(Error::Empty { field })?;
    let bytes = match (&content.content, &content.secret_reference) {
        (Some(bytes), _) if !bytes.0.is_empty() => bytes.0.clone(),
        (_, Some(reference)) => {
            let (Some(name), Some(namespace)) =
                (reference.name.clone(), reference.namespace.clone())
            else {
                return Err(Error::Empty { field });
            };
            let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
            let secret = match secrets.get_opt(&name).await {
                Ok(Some(secret)) => secret,
                Ok(None) => {
                    return Err(Error::NoSecret {
                        field,
                        namespace,
                        name,
                    });
                }
                Err(source) => {
                    return Err(Error::Read {
                        field,
                        namespace,
                        name,
                        source: Box::new(source),
                    });
                }
            };
            let data = secret.data.unwrap_or_default();
            let Some(bytes) = data.get(&reference.key_path) else {
                let present = data
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                return Err(Error::NoKey {
                    field,
                    namespace,
                    name,
                    key: reference.key_path.clone(),
                    present,
                });
            };
            bytes.0.clone()
        }
        _ => return Err(Error::Empty { field }),
    };
    String::from_utf8(bytes).map_err(|_not_text| Error::NotText { field })
}
