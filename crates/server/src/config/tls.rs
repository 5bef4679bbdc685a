//! The key `tls`: the files of certificates, and which listeners ask clients for theirs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use security::tls::{ClientAuth, ServerFiles};
use serde::Deserialize;

/// What stands in a path for the service that a listener belongs to.
const SERVICE: &str = "{service}";

/// The listeners: their names, the services whose certificates they show, and whether they require one of clients where
/// the configuration does not say.
const LISTENERS: [(&str, &str, ClientAuth); 9] = [
    ("prometheus", "prometheus", ClientAuth::Optional),
    ("loki", "loki", ClientAuth::Required),
    ("tempo", "tempo", ClientAuth::Required),
    ("otlp_grpc", "collector", ClientAuth::Required),
    ("otlp_http", "collector", ClientAuth::Required),
    ("scrape", "collector", ClientAuth::Required),
    ("health", "collector", ClientAuth::Required),
    ("debug", "collector", ClientAuth::Required),
    ("authority", "authority", ClientAuth::Optional),
];

/// Certificates, all PEM. They are read again when they change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate with its chain. `{service}` in a path stands for `collector`, `prometheus`, `loki`, `tempo` or
    /// `authority`.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of client certificates.
    pub ca: Option<PathBuf>,
    /// Revocations: CRLs, and deny lists of `serial:` and `spki:`.
    pub revoked: Vec<PathBuf>,
    /// Whether a listener asks clients for a certificate, by its name.
    pub client_auth: BTreeMap<String, ClientAuth>,
}

impl Tls {
    /// Checks what the types do not say.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.cert.as_os_str().is_empty() || self.key.as_os_str().is_empty() {
            return Err("tls needs both tls.cert and tls.key".into());
        }
        if let Some(name) = self.client_auth.keys().find(|name| listener(name).is_none()) {
            let names: Vec<_> = LISTENERS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("tls.client_auth.{name} is no listener: name one of {}", names.join(", ")));
        }
        let asking = LISTENERS.iter().find(|(name, ..)| self.client_auth(name) != ClientAuth::None);
        match (asking, &self.ca) {
            (Some((name, ..)), None) => Err(format!(
                "listener {name} asks clients for certificates: name their authorities in tls.ca, or set \
                 tls.client_auth.{name} to none"
            )),
            _ => Ok(()),
        }
    }

    /// The names of all listeners.
    pub fn listeners() -> impl Iterator<Item = &'static str> {
        LISTENERS.iter().map(|(name, ..)| *name)
    }

    /// Whether a listener asks clients for a certificate.
    #[must_use]
    pub fn client_auth(&self, name: &str) -> ClientAuth {
        let default = || listener(name).map_or(ClientAuth::Required, |(_, default)| default);
        self.client_auth.get(name).copied().unwrap_or_else(default)
    }

    /// The files of a listener.
    #[must_use]
    pub fn files(&self, name: &str) -> ServerFiles {
        let service = listener(name).map_or(name, |(service, _)| service);
        ServerFiles {
            cert: of_service(&self.cert, service),
            key: of_service(&self.key, service),
            ca: self.ca.clone(),
            revoked: self.revoked.clone(),
        }
    }
}

fn listener(name: &str) -> Option<(&'static str, ClientAuth)> {
    LISTENERS.iter().find(|(known, ..)| *known == name).map(|(_, service, auth)| (*service, *auth))
}

fn of_service(path: &Path, service: &str) -> PathBuf {
    path.to_str().map_or_else(|| path.to_owned(), |text| PathBuf::from(text.replace(SERVICE, service)))
}
