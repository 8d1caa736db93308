//! `DataStore`: where the state of tenants is kept.
//!
//! In: driver, endpoints, credentials or references to them. Out: [`DataStoreSpec`] and
//! [`DataStoreStatus`].

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A store that control planes keep their state in, shared by as many tenants as use it.
#[derive(CustomResource, Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "kamaji.clastix.io",
    version = "v1alpha1",
    kind = "DataStore",
    plural = "datastores",
    schema = "disabled",
    status = "DataStoreStatus",
    derive = "PartialEq",
    doc = "A store that control planes keep their state in, shared by as many tenants as use it.",
    printcolumn = r#"{"name": "Driver", "type": "string", "description": "Kind of store", "jsonPath": ".spec.driver"}"#,
    printcolumn = r#"{"name": "Ready", "type": "boolean", "description": "Whether tenants can be served from it", "jsonPath": ".status.ready"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "description": "Time since creation", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("self.driver != 'etcd' || (has(self.tlsConfig) && has(self.tlsConfig.certificateAuthority.privateKey) && (has(self.tlsConfig.certificateAuthority.privateKey.secretReference) || has(self.tlsConfig.certificateAuthority.privateKey.content)))")
        .message("tlsConfig.certificateAuthority.privateKey: etcd needs it to sign each tenant's certificate; give secretReference or content"),
    Rule::new("self.driver != 'etcd' || (has(self.tlsConfig) && has(self.tlsConfig.clientCertificate) && (has(self.tlsConfig.clientCertificate.certificate.secretReference) || has(self.tlsConfig.clientCertificate.certificate.content)))")
        .message("tlsConfig.clientCertificate.certificate: etcd needs it to create users and roles; give secretReference or content"),
    Rule::new("self.driver != 'etcd' || (has(self.tlsConfig) && has(self.tlsConfig.clientCertificate) && (has(self.tlsConfig.clientCertificate.privateKey.secretReference) || has(self.tlsConfig.clientCertificate.privateKey.content)))")
        .message("tlsConfig.clientCertificate.privateKey: etcd needs it to create users and roles; give secretReference or content"),
    Rule::new("self.driver == 'etcd' || !has(self.tlsConfig) || !has(self.tlsConfig.clientCertificate) || has(self.tlsConfig.clientCertificate.certificate.secretReference) || has(self.tlsConfig.clientCertificate.certificate.content)")
        .message("tlsConfig.clientCertificate.certificate: empty; give secretReference or content, or remove clientCertificate"),
    Rule::new("self.driver == 'etcd' || !has(self.basicAuth) || has(self.basicAuth.username.secretReference) || has(self.basicAuth.username.content)")
        .message("basicAuth.username: empty; give secretReference or content, or remove basicAuth"),
    Rule::new("self.driver == 'etcd' || !has(self.basicAuth) || has(self.basicAuth.password.secretReference) || has(self.basicAuth.password.content)")
        .message("basicAuth.password: empty; give secretReference or content, or remove basicAuth"),
    Rule::new("self.driver == 'etcd' || has(self.tlsConfig) || has(self.basicAuth)")
        .message("tlsConfig, basicAuth: this driver needs one of both"),
]))]
pub struct DataStoreSpec {
    /// Kind of store. Cannot change.
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("self == oldSelf").message("driver: cannot change; create another DataStore"),
    ]))]
    pub driver: Driver,

    /// Where it answers, each as `host:port`.
    #[schemars(length(min = 1))]
    pub endpoints: Vec<String>,

    /// User and password, for drivers that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,

    /// Certificates. etcd needs all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
}

/// A kind of store.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Driver {
    /// etcd, spoken to by kube-apiserver itself.
    #[serde(rename = "etcd")]
    Etcd,
    /// `MySQL`, through kine.
    MySQL,
    /// `PostgreSQL`, through kine.
    PostgreSQL,
    /// NATS, through kine.
    NATS,
}

impl Driver {
    /// The word that the API has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::MySQL => "MySQL",
            Self::PostgreSQL => "PostgreSQL",
            Self::NATS => "NATS",
        }
    }
}

/// User and password.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// User.
    pub username: ContentRef,

    /// Password.
    pub password: ContentRef,
}

/// Certificates for talking to a store.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsConfig {
    /// Who signed the store's certificate, and with its key signs those of tenants.
    pub certificate_authority: AuthorityPair,

    /// What we show to the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientPair>,
}

/// An authority whose key may be absent.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityPair {
    /// Certificate, PEM.
    pub certificate: ContentRef,

    /// Private key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<ContentRef>,
}

/// A client's certificate and key.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientPair {
    /// Certificate, PEM.
    pub certificate: ContentRef,

    /// Private key, PEM.
    pub private_key: ContentRef,
}

/// Bytes, here or in a Secret. What is here wins.
#[derive(Clone, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentRef {
    /// The bytes, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "base64")]
    pub content: Option<ByteString>,

    /// The Secret that has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub secret_reference: Option<SecretReference>,
}

/// Never shows the bytes: they may be a key.
impl std::fmt::Debug for ContentRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentRef")
            .field("content", &self.content.as_ref().map(|_| "…"))
            .field("secret_reference", &self.secret_reference)
            .finish()
    }
}

/// One key of one Secret.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The key in its data.
    #[schemars(length(min = 1))]
    pub key_path: String,
}

/// What the operator found out about a store.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataStoreStatus {
    /// Whether tenants can be served from it.
    pub ready: bool,

    /// Tenant control planes that use it, as `namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,

    /// Generation of the spec that this speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What is well and what is not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

fn base64(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "format": "byte"})
}
