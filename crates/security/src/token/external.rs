//! Issuers of others: whose keys are in a file, or behind an address, and what their claims are called.

pub(crate) mod claims;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::TryStreamExt;
use jsonwebtoken::jwk::JwkSet;
use model::Clock;
use model::tenant::OWN_TENANT;
use serde::Deserialize;

pub use claims::ClaimNames;

use super::renewal::Renewal;
use super::{Identity, Tenants};
use crate::authority::http::ADMIN_SCOPE;
use crate::bounds::{JWKS_PAUSE, JWKS_RETRY_PAUSE, LOOK_PAUSE, MAX_JWKS_BYTES, UNKNOWN_KEY_PAUSE_NS};
use crate::error::SecurityError;
use crate::scopes::ADMIN;
use crate::tls::watch::Watched;
use crate::tls::{ClientFiles, ClientTls};

/// How long an issuer has to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the discovery document is, below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer, as it is configured.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// What its tokens name as their issuer.
    pub issuer: String,
    /// Its keys: a file, or an address with `https://`. Where it is left out, the issuer is an address and its discovery
    /// document names that of the keys (OpenID Connect Discovery 1.0, section 4).
    #[serde(default)]
    pub jwks: Option<String>,
    /// The authorities that its address is trusted by, where they are not the system's: a file, PEM.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// What its claims are called.
    #[serde(default)]
    pub claims: ClaimNames,
    /// The tenants that its tokens may be for. With `*` among them a token may be for every one at once; where it is left
    /// out, for those that it names, but not for the server's own.
    #[serde(default)]
    pub tenants: Option<BTreeSet<String>>,
    /// The scopes that its tokens may have; where it is left out, all but those of operators.
    #[serde(default)]
    pub scopes: Option<BTreeSet<String>>,
    /// The audiences that its tokens are for, where they are not those of all.
    #[serde(default)]
    pub audience: Option<BTreeSet<String>>,
}

/// Where keys come from.
#[derive(Debug)]
enum Keys {
    File(Watched<JwkSet>),
    Address(Address),
}

/// Keys behind an address.
#[derive(Debug)]
struct Address {
    /// Where the keys are, or the document that says so.
    url: String,
    is_discovered: bool,
    http: reqwest::Client,
    /// The authorities of the address, where a file has them.
    ca: Option<ClientTls>,
    current: ArcSwap<JwkSet>,
    renewal: Renewal,
}

/// An issuer whose tokens are taken.
#[derive(Debug)]
pub struct ExternalIssuer {
    settings: IssuerSettings,
    keys: Keys,
}

impl ExternalIssuer {
    /// Reads a file of keys; keys behind an address are fetched when [`Self::keep_fresh`] is polled.
    ///
    /// # Errors
    /// When the file holds no keys, or the address is none that can be asked.
    pub fn open(settings: IssuerSettings, clock: Arc<dyn Clock>) -> Result<Self, SecurityError> {
        let keys = match &settings.jwks {
            Some(jwks) if !jwks.contains("://") => {
                let path = PathBuf::from(jwks);
                Keys::File(Watched::open(vec![path.clone()], move |contents, _| {
                    let bytes = contents.0.first().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
                    parse(bytes).map_err(|reason| SecurityError::file(&path, reason))
                })?)
            }
            _ => Keys::Address(Address::open(&settings, clock)?),
        };
        Ok(Self { settings, keys })
    }

    /// What its tokens name as their issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// What its claims are called.
    #[must_use]
    pub const fn claims(&self) -> &ClaimNames {
        &self.settings.claims
    }

    /// What a token of it allows: what it says, within what the issuer may grant.
    pub(crate) fn bounded(&self, identity: &Identity) -> Identity {
        let may = |scope: &String| match &self.settings.scopes {
            Some(scopes) => scopes.contains(scope),
            None => scope != ADMIN && scope != ADMIN_SCOPE,
        };
        let tenants = match (&identity.tenants, &self.settings.tenants) {
            (Tenants::Any, None) => {
                Tenants::of(identity.tenant.as_deref().filter(|tenant| *tenant != OWN_TENANT))
            }
            (Tenants::These(named), None) => {
                Tenants::of(named.iter().map(String::as_str).filter(|tenant| *tenant != OWN_TENANT))
            }
            (named, Some(tenants)) => named.common(&Tenants::of(tenants.iter().map(String::as_str))),
        };
        Identity {
            subject: claims::actor(&self.settings.issuer, &identity.subject),
            scopes: identity.scopes.iter().filter(|scope| may(scope)).cloned().collect(),
            tenant: identity.tenant.clone().filter(|tenant| tenants.allow(tenant)),
            tenants,
        }
    }

    /// Whether one of the audiences is one that its tokens are for; none where those of all issuers are meant.
    pub(crate) fn is_audience(&self, audiences: &[String]) -> Option<bool> {
        let own = self.settings.audience.as_ref()?;
        Some(audiences.iter().any(|audience| own.contains(audience)))
    }

    /// Its keys, as they were read last.
    #[must_use]
    pub fn keys(&self) -> Arc<JwkSet> {
        match &self.keys {
            Keys::File(file) => file.current(),
            Keys::Address(address) => address.current.load_full(),
        }
    }

    /// Reads its keys again and again, for as long as it is polled.
    pub async fn keep_fresh(&self) {
        loop {
            match &self.keys {
                Keys::File(file) => {
                    file.look("issuer", |_| true);
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                Keys::Address(address) => {
                    let is_fetched = address.fetch(&self.settings.issuer).await;
                    let pause = if is_fetched { JWKS_PAUSE } else { JWKS_RETRY_PAUSE };
                    let mut waited = Duration::ZERO;
                    while waited < pause {
                        tokio::time::sleep(LOOK_PAUSE).await;
                        waited += LOOK_PAUSE;
                        address.ca.as_ref().map(ClientTls::look);
                    }
                }
            }
        }
    }

    /// Looks for a key that a token names, where keys can be asked for and none of those that are known has the name. Many
    /// such tokens are one request in a while.
    pub(crate) async fn look_for(&self, kid: &str) {
        if let Keys::Address(address) = &self.keys
            && !has_key(&address.current.load(), kid)
        {
            address
                .renewal
                .run(async {
                    address.fetch(&self.settings.issuer).await;
                })
                .await;
        }
    }
}

/// Whether a key of the set has the name.
pub(crate) fn has_key(keys: &JwkSet, kid: &str) -> bool {
    keys.keys.iter().any(|key| key.common.key_id.as_deref() == Some(kid))
}

impl Address {
    fn open(settings: &IssuerSettings, clock: Arc<dyn Clock>) -> Result<Self, SecurityError> {
        let is_discovered = settings.jwks.is_none();
        let discovery = || format!("{}{DISCOVERY}", settings.issuer.trim_end_matches('/'));
        let url = settings.jwks.clone().unwrap_or_else(discovery);
        check_address(&url).map_err(SecurityError::Tls)?;
        let files = settings.ca.clone().map(|ca| ClientFiles { ca, identity: None });
        let ca = files.as_ref().map(ClientTls::open).transpose()?;
        let builder = reqwest::Client::builder().https_only(true).timeout(ANSWER_TIMEOUT);
        // Nobody who answers there sends the question elsewhere.
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        let builder = match &ca {
            Some(ca) => builder.tls_backend_preconfigured(ca.config()),
            None => builder,
        };
        let http = builder.build().map_err(|error| SecurityError::Tls(error.to_string()))?;
        let renewal = Renewal::new(clock, UNKNOWN_KEY_PAUSE_NS);
        Ok(Self { url, is_discovered, http, ca, current: ArcSwap::default(), renewal })
    }

    /// Fetches the keys; whether that succeeded. What is known stays otherwise.
    async fn fetch(&self, issuer: &str) -> bool {
        let url = &self.url;
        match self.keys(issuer).await {
            Ok(keys) => self.current.store(Arc::new(keys)),
            Err(reason) => {
                let message = "the keys of an issuer cannot be fetched: those that are known stay";
                tracing::warn!(issuer, url, reason, "{message}");
                return false;
            }
        }
        true
    }

    async fn keys(&self, issuer: &str) -> Result<JwkSet, String> {
        if !self.is_discovered {
            return parse(&fetch(&self.http, &self.url).await?);
        }
        let document = fetch(&self.http, &self.url).await?;
        let document: Discovery =
            serde_json::from_slice(&document).map_err(|error| format!("no discovery document: {error}"))?;
        // A document of another issuer must not speak for this one (section 4.3).
        if document.issuer != issuer {
            return Err(format!("the discovery document is of another issuer: issuer={:?}", document.issuer));
        }
        check_address(&document.jwks_uri)?;
        parse(&fetch(&self.http, &document.jwks_uri).await?)
    }
}

/// What is read of a discovery document.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

fn check_address(url: &str) -> Result<(), String> {
    if url.starts_with("https://") {
        return Ok(());
    }
    Err(format!("keys are fetched by https alone: jwks={url}; or name a file"))
}

async fn fetch(http: &reqwest::Client, url: &str) -> Result<Vec<u8>, String> {
    let response = http.get(url).send().await.map_err(|error| spelled(&error))?;
    if !response.status().is_success() {
        return Err(format!("url={url}: the answer is {}", response.status()));
    }
    let mut chunks = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.try_next().await.map_err(|error| error.to_string())? {
        if bytes.len() + chunk.len() > MAX_JWKS_BYTES {
            return Err(format!("more than {MAX_JWKS_BYTES} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What went wrong, with its causes: a refused certificate is one.
fn spelled(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn parse(bytes: &[u8]) -> Result<JwkSet, String> {
    let keys: JwkSet = serde_json::from_slice(bytes).map_err(|error| format!("no JWKS: {error}"))?;
    if keys.keys.is_empty() { Err("no key is in it".into()) } else { Ok(keys) }
}
