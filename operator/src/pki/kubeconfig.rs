//! Kubeconfigs: written for kubectl and for people, read back to find the certificate inside.
//!
//! The text is YAML of a fixed shape in which every value is a quoted JSON string, so that no reader, of whatever
//! YAML version, takes a tenant called `yes` or `1e3` for something other than a name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::KeyPair;

/// What a kubeconfig says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// Name of the cluster entry.
    pub cluster: String,
    /// Name of the user entry.
    pub user: String,
    /// Where kube-apiserver is, as a URL.
    pub server: String,
    /// Under which name its certificate is checked, when not the URL's host.
    pub server_name: Option<&'static str>,
    /// The authority that signed its certificate, PEM.
    pub authority: String,
    /// Who the holder is.
    pub identity: KeyPair,
}

impl Kubeconfig {
    /// The text for a Secret.
    pub fn render(&self) -> String {
        let context = quoted(&format!("{}@{}", self.user, self.cluster));
        let cluster = quoted(&self.cluster);
        let user = quoted(&self.user);
        let server_name = self
            .server_name
            .map(|name| format!("    tls-server-name: {}\n", quoted(name)))
            .unwrap_or_default();
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters:\n\
             - name: {cluster}\n  \
               cluster:\n    \
                 server: {server}\n\
             {server_name}    \
                 certificate-authority-data: {authority}\n\
             users:\n\
             - name: {user}\n  \
               user:\n    \
                 client-certificate-data: {certificate}\n    \
                 client-key-data: {key}\n\
             contexts:\n\
             - name: {context}\n  \
               context:\n    \
                 cluster: {cluster}\n    \
                 user: {user}\n\
             current-context: {context}\n",
            server = quoted(&self.server),
            authority = STANDARD.encode(&self.authority),
            certificate = STANDARD.encode(self.identity.certificate()),
            key = STANDARD.encode(self.identity.key()),
        )
    }

    /// Whether `text`, by whoever wrote it, says the same: then it need not be rewritten.
    pub fn is_said_by(&self, text: &str) -> bool {
        let Some(file) = File::parse(text) else {
            return false;
        };
        let (Some(cluster), Some(identity)) = (file.cluster(), file.identity()) else {
            return false;
        };
        cluster.server == self.server
            && cluster.tls_server_name.as_deref() == self.server_name
            && decode(&cluster.certificate_authority_data).as_deref()
                == Some(self.authority.as_str())
            && identity == self.identity
    }
}

/// The certificate and key inside a kubeconfig: those of its current context's user.
pub fn identity(text: &str) -> Option<KeyPair> {
    File::parse(text)?.identity()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn decode(base64: &str) -> Option<String> {
    STANDARD
        .decode(base64)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    clusters: Vec<Named<ClusterEntry>>,
    #[serde(default)]
    users: Vec<Named<UserEntry>>,
    #[serde(default)]
    contexts: Vec<Named<ContextEntry>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "user", alias = "context")]
    entry: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    #[serde(default)]
    server: String,
    tls_server_name: Option<String>,
    #[serde(default)]
    certificate_authority_data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    #[serde(default)]
    client_certificate_data: String,
    #[serde(default)]
    client_key_data: String,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

impl File {
    fn parse(text: &str) -> Option<Self> {
        serde_yaml::from_str(text).ok()
    }

    fn context(&self) -> Option<&ContextEntry> {
        named(&self.contexts, &self.current_context)
    }

    fn cluster(&self) -> Option<&ClusterEntry> {
        named(&self.clusters, &self.context()?.cluster)
    }

    fn identity(&self) -> Option<KeyPair> {
        let user = named(&self.users, &self.context()?.user)?;
        Some(KeyPair::new(
            decode(&user.client_certificate_data)?,
            decode(&user.client_key_data)?,
        ))
    }
}

fn named<'a, T>(entries: &'a [Named<T>], name: &str) -> Option<&'a T> {
    entries
        .iter()
        .find(|entry| entry.name == name)
        .map(|entry| &entry.entry)
}
