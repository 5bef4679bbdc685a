//! What clients and tokens are made with, as flags. Words of a list may stand one after the other, with commas or spaces
//! between them, or behind a flag each.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use security::authority::{Changes, NewClient, TokenRequest};

use super::place::Place;
use super::thumbprint;
use crate::config::units::Duration;

/// What a client may have.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// Scopes: `obs:read obs:logs`.
    #[arg(long, num_args = 1.., value_name = "SCOPE", alias = "scope")]
    scopes: Option<Vec<String>>,
    /// Audiences; the first is that of tokens for which none is named.
    #[arg(long, num_args = 1.., value_name = "AUDIENCE")]
    audience: Option<Vec<String>>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// The tenant that its tokens act for.
    #[arg(long)]
    tenant: Option<String>,
    /// All tenants that its tokens may act for; `*` is every one.
    #[arg(long, num_args = 1.., value_name = "TENANT")]
    allowed_tenants: Option<Vec<String>>,
    /// The certificate that it must show and that its tokens are bound to: a PEM file, or its x5t#S256.
    #[arg(long, value_name = "FILE|X5T")]
    certificate: Option<String>,
    /// A JWKS file with the public keys of its assertions (private_key_jwt).
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The longest life of its service tokens: 90d where it is left out.
    #[arg(long, value_name = "DURATION")]
    max_token_life: Option<Duration>,
}

impl Settings {
    fn changes(&self) -> anyhow::Result<Changes> {
        let keys = match &self.jwks {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the keys: path={}", path.display()))?;
                let set: serde_json::Value = serde_json::from_str(&text).context("the file is no JWKS")?;
                let keys = serde_json::from_value(set["keys"].clone());
                Some(keys.context("the file is no JWKS: {\"keys\": [...]}")?)
            }
            None => None,
        };
        Ok(Changes {
            description: self.description.clone(),
            scopes: self.scopes.as_deref().map(words),
            audience: self.audience.as_deref().map(words),
            tenant: self.tenant.clone(),
            allowed_tenants: self.allowed_tenants.as_deref().map(words),
            certificate: self.certificate.as_deref().map(thumbprint).transpose()?,
            keys,
            max_token_life_s: self.max_token_life.map(seconds),
            new_secret: false,
        })
    }
}

/// Make a client.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// Its name.
    pub(super) name: String,
    /// What it may have.
    #[command(flatten)]
    settings: Settings,
    /// Where the Authority is.
    #[command(flatten)]
    pub(super) place: Place,
}

impl CreateFlags {
    pub(super) fn client(&self) -> anyhow::Result<NewClient> {
        Ok(NewClient { name: self.name.clone(), settings: self.settings.changes()? })
    }
}

/// Change a client.
#[derive(Debug, Args)]
pub struct UpdateFlags {
    /// Its name.
    pub(super) name: String,
    /// What it may have.
    #[command(flatten)]
    settings: Settings,
    /// Give it a new secret in the place of the old one.
    #[arg(long)]
    new_secret: bool,
    /// Where the Authority is.
    #[command(flatten)]
    pub(super) place: Place,
}

impl UpdateFlags {
    pub(super) fn changes(&self) -> anyhow::Result<Changes> {
        Ok(Changes { new_secret: self.new_secret, ..self.settings.changes()? })
    }
}

/// Sign a service token.
#[derive(Debug, Args)]
pub struct IssueFlags {
    /// The client's name.
    pub(super) name: String,
    /// How long it lives: `30d`.
    #[arg(long, value_name = "DURATION")]
    ttl: Duration,
    /// Its scopes; all of the client's where none is named.
    #[arg(long, num_args = 1.., value_name = "SCOPE", alias = "scope")]
    scopes: Vec<String>,
    /// Its audience; the client's first where none is named.
    #[arg(long)]
    audience: Option<String>,
    /// The tenant that it acts for; the client's own where none is named.
    #[arg(long)]
    tenant: Option<String>,
    /// The certificate that it is bound to: a PEM file, or its x5t#S256.
    #[arg(long, value_name = "FILE|X5T")]
    certificate: Option<String>,
    /// Why it is made: for the audit.
    #[arg(long)]
    reason: Option<String>,
    /// Where the Authority is.
    #[command(flatten)]
    pub(super) place: Place,
}

impl IssueFlags {
    /// What is asked for, and the token's life in seconds.
    pub(super) fn request(&self) -> anyhow::Result<(TokenRequest, i64)> {
        let request = TokenRequest {
            scopes: words(&self.scopes),
            audience: self.audience.clone(),
            tenant: self.tenant.clone(),
            certificate: self.certificate.as_deref().map(thumbprint).transpose()?,
            reason: self.reason.clone(),
        };
        Ok((request, seconds(self.ttl)))
    }
}

/// Sign a service token.
#[derive(Debug, Args)]
pub struct MintFlags {
    /// The client's name.
    #[arg(long)]
    pub(super) service_account: String,
    /// A scope; all of the client's where none is named.
    #[arg(long, num_args = 1.., value_name = "SCOPE", alias = "scopes")]
    scope: Vec<String>,
    /// How long it lives, in seconds.
    #[arg(long, value_name = "SECONDS")]
    expires_in: i64,
    /// The tenant that it acts for; the client's own where none is named.
    #[arg(long)]
    tenant: Option<String>,
    /// Why it is made: for the audit.
    #[arg(long)]
    reason: Option<String>,
    /// Print the token and nothing else, as is done without this too.
    #[arg(long = "raw")]
    _is_raw: bool,
    /// Where the Authority is.
    #[command(flatten)]
    pub(super) place: Place,
}

impl MintFlags {
    /// What is asked for, and the token's life in seconds.
    pub(super) fn request(&self) -> anyhow::Result<(TokenRequest, i64)> {
        let (tenant, reason) = (self.tenant.clone(), self.reason.clone());
        let request = TokenRequest { scopes: words(&self.scope), tenant, reason, ..TokenRequest::default() };
        Ok((request, self.expires_in))
    }
}

/// The words of a list, however they are told apart.
fn words(texts: &[String]) -> Vec<String> {
    let words = texts.iter().flat_map(|text| text.split([',', ' ', '\t', '\n']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_ms() / 1_000).unwrap_or(i64::MAX)
}
