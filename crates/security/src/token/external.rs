//! Issuers of others: whose keys are in a file, or behind an address, and what their claims are called.

use std::path::PathBuf;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::TryStreamExt;
use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use std::sync::Arc;

use crate::bounds::{JWKS_PAUSE, LOOK_PAUSE, MAX_JWKS_BYTES};
use crate::error::SecurityError;
use crate::tls::watch::Watched;

/// How long an issuer has to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What an issuer calls its claims.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimNames {
    /// The tenant that the token acts for.
    pub tenant: String,
    /// All tenants that it may act for: a list, or words with spaces between them.
    pub allowed_tenants: String,
    /// Scopes: the same. With `scope`, `scp` is read too.
    pub scope: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            tenant: "stellaops:tenant".into(),
            allowed_tenants: "stellaops:allowed_tenants".into(),
            scope: "scope".into(),
        }
    }
}

/// An issuer, as it is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// What its tokens name as their issuer.
    pub issuer: String,
    /// Its keys: a file, or an address with `https://`.
    pub jwks: String,
    /// What its claims are called.
    #[serde(default)]
    pub claims: ClaimNames,
}

/// Where keys come from.
#[derive(Debug)]
enum Keys {
    File(Watched<JwkSet>),
    Address { url: String, http: reqwest::Client, current: ArcSwap<JwkSet> },
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
    pub fn open(settings: IssuerSettings) -> Result<Self, SecurityError> {
        let keys = if settings.jwks.contains("://") {
            if !settings.jwks.starts_with("https://") {
                return Err(SecurityError::Tls(format!(
                    "keys are fetched by https alone: jwks={}; or name a file",
                    settings.jwks
                )));
            }
            let http = reqwest::Client::builder()
                .https_only(true)
                .timeout(ANSWER_TIMEOUT)
                .build()
                .map_err(|error| SecurityError::Tls(error.to_string()))?;
            Keys::Address { url: settings.jwks.clone(), http, current: ArcSwap::default() }
        } else {
            let path = PathBuf::from(&settings.jwks);
            Keys::File(Watched::open(vec![path.clone()], move |contents| {
                let bytes = contents.0.first().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
                parse(bytes).map_err(|reason| SecurityError::file(&path, reason))
            })?)
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

    /// Its keys, as they were read last.
    #[must_use]
    pub fn keys(&self) -> Arc<JwkSet> {
        match &self.keys {
            Keys::File(file) => file.current(),
            Keys::Address { current, .. } => current.load_full(),
        }
    }

    /// Reads its keys again and again, for as long as it is polled.
    pub async fn keep_fresh(&self) {
        loop {
            match &self.keys {
                Keys::File(file) => {
                    file.look("issuer");
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                Keys::Address { url, http, current } => {
                    match fetch(http, url).await {
                        Ok(keys) => current.store(Arc::new(keys)),
                        Err(reason) => {
                            tracing::warn!(
                                issuer = self.settings.issuer,
                                url,
                                reason,
                                "the keys of an issuer cannot be fetched: those that are known stay"
                            );
                        }
                    }
                    tokio::time::sleep(JWKS_PAUSE).await;
                }
            }
        }
    }
}

async fn fetch(http: &reqwest::Client, url: &str) -> Result<JwkSet, String> {
    let response = http.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let response = response.map_err(|error| error.to_string())?;
    let mut chunks = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.try_next().await.map_err(|error| error.to_string())? {
        if bytes.len() + chunk.len() > MAX_JWKS_BYTES {
            return Err(format!("more than {MAX_JWKS_BYTES} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<JwkSet, String> {
    let keys: JwkSet = serde_json::from_slice(bytes).map_err(|error| format!("no JWKS: {error}"))?;
    if keys.keys.is_empty() { Err("no key is in it".into()) } else { Ok(keys) }
}
