//! From references to bytes: in, the spec of a `DataStore`; out, certificates and keys that were read, or which of them
//! is missing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};

use crate::api::DataStore;
use crate::api::data_store::{ContentRef, Driver, SecretReference, TlsConfig};
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
    let pair = tls.client_certificate.as_ref();
    let mut reader = Reader {
        client,
        secrets: BTreeMap::new(),
    };
    let authority = &tls.certificate_authority;
    let certificate = Some(&authority.certificate);
    let key = authority.private_key.as_ref();
    let authority = reader
        .read(
            "spec.tlsConfig.certificateAuthority.certificate",
            certificate,
        )
        .await?;
    let authority_key = reader
        .read("spec.tlsConfig.certificateAuthority.privateKey", key)
        .await?;
    let certificate = pair.map(|pair| &pair.certificate);
    let certificate = reader
        .read("spec.tlsConfig.clientCertificate.certificate", certificate)
        .await?;
    let key = pair.map(|pair| &pair.private_key);
    let key = reader
        .read("spec.tlsConfig.clientCertificate.privateKey", key)
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

/// Whether what that store is reached with comes from this Secret.
pub fn refers_to(store: &DataStore, namespace: &str, name: &str) -> bool {
    let Some(TlsConfig {
        certificate_authority,
        client_certificate,
    }) = &store.spec.tls_config
    else {
        return false;
    };
    let pair = client_certificate.as_ref();
    let contents = [
        Some(&certificate_authority.certificate),
        certificate_authority.private_key.as_ref(),
        pair.map(|pair| &pair.certificate),
        pair.map(|pair| &pair.private_key),
    ];
    let mut references = contents
        .into_iter()
        .filter_map(|content| content?.secret_reference.as_ref());
    references.any(|reference| {
        reference.namespace.as_deref() == Some(namespace) && reference.name.as_deref() == Some(name)
    })
}

/// Reads each Secret once: the parts of a store are usually in one.
struct Reader<'a> {
    client: &'a Client,
    secrets: BTreeMap<(String, String), Secret>,
}

impl Reader<'_> {
    async fn read(
        &mut self,
        field: &'static str,
        content: Option<&ContentRef>,
    ) -> Result<String, Error> {
        let content = content.ok_or(Error::Empty { field })?;
        let bytes = match (&content.content, &content.secret_reference) {
            (Some(bytes), _) if !bytes.0.is_empty() => bytes.0.clone(),
            (_, Some(reference)) => self.look_up(field, reference).await?,
            _ => return Err(Error::Empty { field }),
        };
        String::from_utf8(bytes).map_err(|_not_text| Error::NotText { field })
    }

    async fn look_up(
        &mut self,
        field: &'static str,
        reference: &SecretReference,
    ) -> Result<Vec<u8>, Error> {
        let (Some(name), Some(namespace)) = (reference.name.clone(), reference.namespace.clone())
        else {
            return Err(Error::Empty { field });
        };
        let secret = self.secret(field, &namespace, &name).await?;
        let data = secret.data.clone().unwrap_or_default();
        let Some(bytes) = data.get(&reference.key_path) else {
            let present = data
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            let key = reference.key_path.clone();
            return Err(Error::NoKey {
                field,
                namespace,
                name,
                key,
                present,
            });
        };
        Ok(bytes.0.clone())
    }

    async fn secret(
        &mut self,
        field: &'static str,
        namespace: &str,
        name: &str,
    ) -> Result<&Secret, Error> {
        match self.secrets.entry((namespace.to_owned(), name.to_owned())) {
            Entry::Occupied(read) => Ok(read.into_mut()),
            Entry::Vacant(unread) => {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
                let (namespace, name) = (namespace.to_owned(), name.to_owned());
                match api.get_opt(&name).await {
                    Ok(Some(secret)) => Ok(unread.insert(secret)),
                    Ok(None) => Err(Error::NoSecret {
                        field,
                        namespace,
                        name,
                    }),
                    Err(source) => Err(Error::Read {
                        field,
                        namespace,
                        name,
                        source: Box::new(source),
                    }),
                }
            }
        }
    }
}
