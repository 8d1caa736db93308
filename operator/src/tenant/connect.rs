//! The way into a tenant: from the administrator's Secret to a client.
//!
//! The operator dials the tenant's Service by its cluster address, so neither DNS nor the exposed endpoint need to
//! work for it, and expects the certificate of `<name>.<namespace>.svc`. Run outside the management cluster, it dials
//! the endpoint ([`Reach`]).

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, ResourceExt};

use super::call::{CallError, call};
use super::dial::{self, DialError};
use super::inputs::HostPort;
use super::object::checksum;
use crate::api::TenantControlPlane;
use crate::labels;
use crate::names::{Names, SecretName, key};

/// From where tenants are dialled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// From inside the management cluster: the Service's cluster address.
    #[default]
    Service,
    /// From anywhere: the endpoint that nodes use.
    Endpoint,
}

/// Why there is no way into the tenant yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The management cluster does not give us what we need.
    #[error("reading {what} failed")]
    Management {
        /// Which object.
        what: String,
        /// Why.
        source: CallError,
    },
    /// It is not there yet.
    #[error("{0} is not there yet")]
    Missing(String),
    /// The kubeconfig does not read.
    #[error(
        "key `{key}` of Secret {secret} is no kubeconfig: remove the key to have it written anew"
    )]
    Kubeconfig {
        /// The Secret.
        secret: String,
        /// The key in it.
        key: String,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// The address does not read.
    #[error("`{url}` is no address")]
    Address {
        /// What was to be dialled.
        url: String,
        /// What is wrong with it.
        source: http::uri::InvalidUri,
    },
    /// Address and credentials do not make a client.
    #[error(transparent)]
    Client(#[from] DialError),
}

/// What the management cluster holds about a tenant's access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Where the API server answers inside the management cluster.
    pub url: String,
    /// The name its certificate has to carry, when that is not the host of the URL.
    pub server_name: Option<String>,
    /// The kubeconfig with the credentials.
    kubeconfig: String,
    /// Where it was found, for error texts.
    found_in: (String, String),
    /// Certificate of the tenant's authority, PEM.
    pub authority: String,
}

impl Access {
    /// Changes when a new client is needed.
    pub fn fingerprint(&self) -> String {
        checksum(&serde_json::json!([
            self.url,
            self.server_name,
            self.kubeconfig
        ]))
    }

    /// Makes the client. Nothing is dialled yet.
    pub async fn client(&self) -> Result<Client, ConnectError> {
        let invalid = |source| ConnectError::Kubeconfig {
            secret: self.found_in.0.clone(),
            key: self.found_in.1.clone(),
            source,
        };
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig).map_err(invalid)?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(invalid)?;
        config.cluster_url = self.url.parse().map_err(|source| ConnectError::Address {
            url: self.url.clone(),
            source,
        })?;
        config.tls_server_name.clone_from(&self.server_name);
        Ok(dial::client(config)?)
    }
}

/// Reads from the management cluster how the tenant is reached.
pub async fn access(
    management: &Client,
    reach: Reach,
    tcp: &TenantControlPlane,
) -> Result<Access, ConnectError> {
    let namespace = tcp.namespace().unwrap_or_default();
    let names = Names::new(namespace.clone(), tcp.name_any())
        .map_err(|error| ConnectError::Missing(error.to_string()))?;
    let secrets: Api<Secret> = Api::namespaced(management.clone(), &namespace);
    let admin = names.secret(SecretName::AdminKubeconfig);
    let authority = names.secret(SecretName::ClusterAuthority);
    let (admin_secret, authority_secret, address) = tokio::join!(
        call(secrets.get_opt(&admin)),
        call(secrets.get_opt(&authority)),
        address(management, reach, tcp, &names),
    );
    let admin_secret = there(admin_secret, format!("Secret {admin}"))?;
    let authority_secret = there(authority_secret, format!("Secret {authority}"))?;

    let asked = tcp.annotations().get(labels::KUBECONFIG_SECRET_KEY);
    let (found, kubeconfig) = credentials(&admin_secret, asked.map(String::as_str))
        .ok_or_else(|| ConnectError::Missing(format!("a kubeconfig in Secret {admin}")))?;
    let certificate = text(&authority_secret, key::CA_CRT)
        .ok_or_else(|| ConnectError::Missing(format!("{} in Secret {authority}", key::CA_CRT)))?;
    Ok(Access {
        url: address?,
        server_name: match reach {
            Reach::Service => Some(names.service_host()),
            Reach::Endpoint => None,
        },
        kubeconfig,
        found_in: (admin, found.to_owned()),
        authority: certificate,
    })
}

async fn address(
    management: &Client,
    reach: Reach,
    tcp: &TenantControlPlane,
    names: &Names,
) -> Result<String, ConnectError> {
    let endpoint = match reach {
        Reach::Endpoint => {
            let status = tcp.status.as_ref();
            status.and_then(|status| status.control_plane_endpoint.clone())
        }
        Reach::Service => {
            let services: Api<Service> = Api::namespaced(management.clone(), names.namespace());
            let found = call(services.get_opt(names.name())).await;
            let service = there(found, format!("Service {}", names.name()))?;
            cluster_address(&service).map(|address| address.to_string())
        }
    };
    match endpoint {
        Some(endpoint) => Ok(format!("https://{endpoint}")),
        None => Err(ConnectError::Missing(format!(
            "the address of {}",
            names.name()
        ))),
    }
}

fn there<T>(found: Result<Option<T>, CallError>, what: String) -> Result<T, ConnectError> {
    match found {
        Ok(Some(object)) => Ok(object),
        Ok(None) => Err(ConnectError::Missing(what)),
        Err(source) => Err(ConnectError::Management { what, source }),
    }
}

/// The kubeconfig under the key the user names; else the one that works before any grant is made.
fn credentials<'a>(secret: &Secret, asked: Option<&'a str>) -> Option<(&'a str, String)> {
    let usual = [key::SUPER_ADMIN_SVC, key::SUPER_ADMIN_CONF];
    let keys = asked
        .into_iter()
        .chain(usual.into_iter().filter(|_| asked.is_none()));
    let mut found = keys.filter_map(|key| text(secret, key).map(|text| (key, text)));
    found.next()
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

/// The Service's address and the port of kube-apiserver.
fn cluster_address(service: &Service) -> Option<HostPort> {
    let spec = service.spec.as_ref()?;
    let host = spec.cluster_ip.as_deref();
    let host = host.filter(|host| !host.is_empty() && *host != "None")?;
    let ports = spec.ports.as_deref().unwrap_or_default();
    let named = ports
        .iter()
        .find(|port| port.name.as_deref() == Some("kube-apiserver"));
    let port = u16::try_from(named.or_else(|| ports.first())?.port).ok()?;
    Some(HostPort {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(spec: &serde_json::Value) -> Service {
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    #[test]
    fn the_port_of_the_api_server_is_taken_by_name() {
        let ports = json!([
            { "name": "konnectivity-server", "port": 8132 },
            { "name": "kube-apiserver", "port": 6443 },
        ]);
        let found = cluster_address(&service(
            &json!({ "clusterIP": "10.0.0.7", "ports": ports }),
        ));
        assert_eq!(found.unwrap().to_string(), "10.0.0.7:6443");
        let v6 = cluster_address(&service(&json!({ "clusterIP": "fd00::7", "ports": ports })));
        assert_eq!(v6.unwrap().to_string(), "[fd00::7]:6443");
        assert_eq!(
            cluster_address(&service(&json!({ "clusterIP": "None", "ports": ports }))),
            None
        );
    }

    #[test]
    fn the_key_the_user_names_is_the_only_one_taken() {
        let data = json!({ "data": { "admin.conf": "YQ==", "super-admin.conf": "Yg==" } });
        let secret: Secret = serde_json::from_value(data).unwrap();
        assert_eq!(
            credentials(&secret, None).unwrap(),
            ("super-admin.conf", "b".to_owned())
        );
        assert_eq!(credentials(&secret, Some("admin.conf")).unwrap().1, "a");
        assert_eq!(credentials(&secret, Some("other")), None);
    }
}
