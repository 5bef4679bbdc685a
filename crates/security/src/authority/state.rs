//! What the Authority knows, as one document: clients, public keys, and tokens that are no longer good. Each version of
//! it is an object in the store (`docs/format/authority.md`). Private keys and secrets are not in it.

use std::collections::{BTreeMap, BTreeSet};

use jsonwebtoken::jwk::Jwk;
use model::TenantId;
use serde::{Deserialize, Serialize};

use super::AuthorityError;
use crate::bounds::{
    CLOCK_SKEW_S, MAX_CLIENTS, MAX_DESCRIPTION_BYTES, MAX_KEYS, MAX_NAME_BYTES, MAX_REVOKED,
    MAX_TOKEN_LIFE_S, MAX_WORDS,
};

/// The number of the format that is written.
pub(super) const FORMAT: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The number of the document's format.
    pub(super) format: u32,
    /// What tokens name as their issuer.
    pub(super) issuer: String,
    /// Clients by name.
    #[serde(default)]
    pub(super) clients: BTreeMap<String, Client>,
    /// Public keys, the newest last.
    #[serde(default)]
    pub(super) keys: Vec<PublicKey>,
    /// Identifiers of tokens that are no longer good, each with the Unix second after which no such token is good anyhow.
    #[serde(default)]
    pub(super) revoked: BTreeMap<String, i64>,
}

/// A key that tokens are, or were, signed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublicKey {
    /// The public key; its `kid` is its thumbprint (RFC 7638).
    pub(super) jwk: Jwk,
    /// When it was made, in Unix seconds.
    pub(super) created_s: i64,
    /// Since when nothing is signed with it, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retired_s: Option<i64>,
}

/// Somebody who gets tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// What the identifiers of its tokens begin with: tokens of a client that had the name before are not its own.
    pub id: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The scopes that its tokens may have.
    pub scopes: BTreeSet<String>,
    /// The audiences that its tokens may be for; the first one is used where a request names none.
    pub audience: Vec<String>,
    /// Its tenant, where a request for a token names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// All tenants that it may act for; `*` is every one.
    #[serde(default)]
    pub tenants: BTreeSet<String>,
    /// The certificate that it must show, by `x5t#S256`; its tokens are bound to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Keys with which it signs assertions (RFC 7523).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Jwk>,
    /// SHA-256 of its secret, in hexadecimal; without one it cannot show a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_sha256: Option<String>,
    /// The longest life of its service tokens, in seconds.
    pub max_token_life_s: i64,
    /// When it was made, in Unix seconds.
    pub created_s: i64,
}

/// A client as it is shown: without the hash of its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownClient {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The scopes that its tokens may have.
    pub scopes: BTreeSet<String>,
    /// The audiences that its tokens may be for.
    pub audience: Vec<String>,
    /// Its tenant, where a request for a token names none.
    pub tenant: Option<String>,
    /// All tenants that it may act for.
    pub tenants: BTreeSet<String>,
    /// The certificate that it must show, by `x5t#S256`.
    pub certificate: Option<String>,
    /// Keys with which it signs assertions.
    pub keys: Vec<Jwk>,
    /// Whether it can show a secret.
    pub has_secret: bool,
    /// The longest life of its tokens, in seconds.
    pub max_token_life_s: i64,
    /// When it was made, in Unix seconds.
    pub created_s: i64,
}

impl Client {
    /// What is shown of it.
    #[must_use]
    pub fn shown(&self, name: &str) -> ShownClient {
        let Self { description, scopes, audience, tenant, tenants, certificate, keys, .. } = self.clone();
        ShownClient {
            name: name.to_owned(),
            description,
            scopes,
            audience,
            tenant,
            tenants,
            certificate,
            keys,
            has_secret: self.secret_sha256.is_some(),
            max_token_life_s: self.max_token_life_s,
            created_s: self.created_s,
        }
    }
}

/// Any tenant, in a client's list.
pub const ANY_TENANT: &str = "*";

impl State {
    /// Takes out what can no longer matter: revocations of tokens that have ended, keys that no living token is
    /// signed with.
    pub(super) fn prune(&mut self, now_s: i64) {
        // A token is taken for as long after its end as clocks may differ, here and on the node that prunes.
        self.revoked.retain(|_, until_s| *until_s + 2 * CLOCK_SKEW_S >= now_s);
        self.keys.retain(|key| key.retired_s.is_none_or(|retired_s| retired_s + MAX_TOKEN_LIFE_S >= now_s));
    }

    /// What must be true of every version that is written.
    pub(super) fn check(&self) -> Result<(), AuthorityError> {
        if self.clients.len() > MAX_CLIENTS {
            return Err(AuthorityError::Limit(format!(
                "clients={}, at most {MAX_CLIENTS}",
                self.clients.len()
            )));
        }
        if self.revoked.len() > MAX_REVOKED {
            return Err(AuthorityError::Limit(format!(
                "revoked tokens={}, at most {MAX_REVOKED}: delete the client whose tokens they are instead",
                self.revoked.len()
            )));
        }
        if self.keys.len() > MAX_KEYS {
            return Err(AuthorityError::Limit(format!(
                "keys={}, at most {MAX_KEYS}: end those that nobody needs with `stella authority key retire KID --now`",
                self.keys.len()
            )));
        }
        Ok(())
    }

    pub(super) fn client(&self, name: &str) -> Result<&Client, AuthorityError> {
        self.clients.get(name).ok_or_else(|| AuthorityError::NoClient(name.to_owned()))
    }
}

impl Client {
    /// Checks a client before it is kept, and brings tenants into their one form.
    pub(super) fn check(&mut self) -> Result<(), AuthorityError> {
        let refused = |message: String| Err(AuthorityError::Invalid(message));
        if self.scopes.is_empty() {
            return refused("a client needs at least one scope: name it with --scopes".into());
        }
        if self.audience.is_empty() {
            return refused("a client needs an audience: name it with --audience".into());
        }
        if self.description.len() > MAX_DESCRIPTION_BYTES {
            return refused(format!("the description is longer than {MAX_DESCRIPTION_BYTES} bytes"));
        }
        let words = [self.scopes.len(), self.audience.len(), self.tenants.len(), self.keys.len()];
        if words.into_iter().any(|count| count > MAX_WORDS) {
            return refused(format!("more than {MAX_WORDS} scopes, audiences, tenants or keys"));
        }
        if let Some(scope) = self.scopes.iter().chain(&self.audience).find(|word| !is_word(word)) {
            return refused(format!(
                "{scope:?} is not a scope or audience: printable characters without spaces"
            ));
        }
        self.tenants.extend(self.tenant.clone());
        for tenant in self.tenants.iter().filter(|tenant| *tenant != ANY_TENANT) {
            TenantId::parse(tenant).map_err(|error| AuthorityError::Invalid(error.to_string()))?;
        }
        if self.tenant.as_deref() == Some(ANY_TENANT) {
            return refused("`*` is no tenant to act for: name it with --allowed-tenants".into());
        }
        if !(1..=MAX_TOKEN_LIFE_S).contains(&self.max_token_life_s) {
            return refused(format!(
                "the longest life of a token is 1 s to {} days",
                MAX_TOKEN_LIFE_S / 86_400
            ));
        }
        Ok(())
    }

    /// Whether a token with the identifier is one of its own.
    pub(super) fn has_issued(&self, jti: &str) -> bool {
        jti.split_once('-').is_some_and(|(id, _)| id == self.id)
    }

    /// Whether it may act for a tenant.
    pub(super) fn allows(&self, tenant: &str) -> bool {
        self.tenants.contains(tenant) || self.tenants.contains(ANY_TENANT)
    }
}

/// Whether a text is a scope's or audience's token (RFC 6749, section 3.3).
fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(allowed)
}

/// Whether a text has the form of a token's identifier: that of its client, and one of its own.
pub(super) fn is_identifier(text: &str) -> bool {
    let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split_once('-').is_some_and(|(client, own)| is_id(client) && is_id(own))
}

/// Whether a text may be a client's name.
pub(super) fn check_name(name: &str) -> Result<(), AuthorityError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(allowed) {
        return Err(AuthorityError::Invalid(format!(
            "{name:?} is no name for a client: 1 to {MAX_NAME_BYTES} of a-z A-Z 0-9 - _ . @"
        )));
    }
    Ok(())
}
