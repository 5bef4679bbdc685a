//! Clients: made, changed, deleted, and known by their secrets.

use std::collections::BTreeSet;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use jsonwebtoken::jwk::Jwk;
use model::audit::{Action, Event};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::state::{Client, ShownClient, check_name};
use super::{Authority, AuthorityError};

/// A client's secret: 256 bits, shown once and kept as a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

/// A client to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    /// Its name.
    pub name: String,
    /// Everything else.
    #[serde(flatten)]
    pub settings: Changes,
}

/// What is set of a client; the rest stays as it is, or as it is by default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Its audiences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Vec<String>>,
    /// Its tenant; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// All tenants that it may act for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tenants: Option<Vec<String>>,
    /// The certificate that it must show, by `x5t#S256`; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The keys of its assertions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<Jwk>>,
    /// The longest life of its service tokens, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_token_life_s: Option<i64>,
    /// A new secret in the place of the old one.
    #[serde(default)]
    pub new_secret: bool,
}

/// The longest life of service tokens where nobody says: the seed's tokens live for 30 days.
const DEFAULT_TOKEN_LIFE_S: i64 = 90 * 86_400;

impl Changes {
    fn apply(self, client: &mut Client) {
        let set = |words: Vec<String>| words.into_iter().collect::<BTreeSet<_>>();
        let word = |word: String| (!word.is_empty()).then_some(word);
        if let Some(description) = self.description {
            client.description = description;
        }
        if let Some(scopes) = self.scopes {
            client.scopes = set(scopes);
        }
        if let Some(audience) = self.audience {
            client.audience = audience;
        }
        if let Some(tenants) = self.allowed_tenants {
            client.tenants = set(tenants);
        }
        if let Some(tenant) = self.tenant {
            client.tenant = word(tenant);
        }
        if let Some(certificate) = self.certificate {
            client.certificate = word(certificate);
        }
        if let Some(keys) = self.keys {
            client.keys = keys;
        }
        if let Some(life_s) = self.max_token_life_s {
            client.max_token_life_s = life_s;
        }
    }
}

impl Authority {
    /// All clients, by their names.
    #[must_use]
    pub fn clients(&self) -> Vec<ShownClient> {
        let version = self.inner.register.current();
        version.state.clients.iter().map(|(name, client)| client.shown(name)).collect()
    }

    /// One client.
    ///
    /// # Errors
    /// When there is none of the name.
    pub fn client(&self, name: &str) -> Result<Client, AuthorityError> {
        self.inner.register.current().state.client(name).cloned()
    }

    /// Makes a client; its secret.
    ///
    /// # Errors
    /// When there is one of the name, or the settings cannot be.
    pub async fn create_client(&self, new: NewClient) -> Result<Secret, AuthorityError> {
        check_name(&new.name)?;
        let (secret, now_s) = (self.new_secret(), self.now_s());
        let mut client = Client {
            id: self.random_id(),
            description: String::new(),
            scopes: BTreeSet::new(),
            audience: Vec::new(),
            tenant: None,
            tenants: BTreeSet::new(),
            certificate: None,
            keys: Vec::new(),
            secret_sha256: Some(hash(&secret.0)),
            max_token_life_s: DEFAULT_TOKEN_LIFE_S,
            created_s: now_s,
        };
        new.settings.apply(&mut client);
        client.check()?;
        let create = |state: &mut super::state::State| {
            if state.clients.contains_key(&new.name) {
                return Err(AuthorityError::Exists(new.name.clone()));
            }
            state.clients.insert(new.name.clone(), client.clone());
            Ok(())
        };
        self.inner.register.change(now_s, create).await?;
        tracing::info!(client = new.name, "a client was made");
        self.tell(Action::ClientCreated, |event| described(event, &new.name, &client));
        Ok(secret)
    }

    /// Changes a client; its new secret, where one was asked for.
    ///
    /// # Errors
    /// When there is none of the name, or the settings cannot be.
    pub async fn update_client(
        &self,
        name: &str,
        changes: Changes,
    ) -> Result<Option<Secret>, AuthorityError> {
        let secret = changes.new_secret.then(|| self.new_secret());
        let update = |state: &mut super::state::State| {
            let mut client = state.client(name)?.clone();
            changes.clone().apply(&mut client);
            if let Some(secret) = &secret {
                client.secret_sha256 = Some(hash(&secret.0));
            }
            client.check()?;
            state.clients.insert(name.to_owned(), client.clone());
            Ok(client)
        };
        let client = self.inner.register.change(self.now_s(), update).await?;
        tracing::info!(client = name, "a client was changed");
        self.tell(Action::ClientUpdated, |event| {
            let event = described(event, name, &client);
            if secret.is_some() { event.with("secret", "renewed") } else { event }
        });
        Ok(secret)
    }

    /// Deletes a client: none of its tokens is good any more.
    ///
    /// # Errors
    /// When there is none of the name.
    pub async fn delete_client(&self, name: &str) -> Result<(), AuthorityError> {
        let delete = |state: &mut super::state::State| {
            state.client(name)?;
            state.clients.remove(name);
            Ok(())
        };
        self.inner.register.change(self.now_s(), delete).await?;
        tracing::info!(client = name, "a client was deleted");
        self.tell(Action::ClientDeleted, |event| event.on(name));
        Ok(())
    }

    /// Whether a secret is the client's. It takes the same time whether there is such a client or not.
    pub(super) fn knows_secret(&self, name: &str, secret: &str) -> bool {
        let shown = hash(secret);
        let version = self.inner.register.current();
        let kept = version.state.clients.get(name).and_then(|client| client.secret_sha256.as_deref());
        let is_equal =
            verify_slices_are_equal(kept.unwrap_or(&hash("")).as_bytes(), shown.as_bytes()).is_ok();
        kept.is_some() && is_equal
    }

    fn new_secret(&self) -> Secret {
        let mut bytes = [0; 32];
        self.inner.random.lock().fill_bytes(&mut bytes);
        Secret(hex::encode(bytes))
    }
}

/// What is told of a client: what it may do from now on.
fn described(event: Event, name: &str, client: &Client) -> Event {
    let words = |words: &BTreeSet<String>| words.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let event = event.on(name).of_tenant(client.tenant.clone().unwrap_or_default());
    let event = event.with("scopes", words(&client.scopes)).with("allowed_tenants", words(&client.tenants));
    let event = event.with("audience", client.audience.join(" "));
    let event = event.with("certificate", client.certificate.clone().unwrap_or_default());
    event.with("max_token_life", life(client.max_token_life_s))
}

/// Secrets are random and long: one round of SHA-256 keeps them.
fn hash(secret: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, secret.as_bytes()))
}

/// A time as people say it.
pub(super) fn life(seconds: i64) -> String {
    match seconds {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3_600 == 0 => format!("{}h", s / 3_600),
        s => format!("{s}s"),
    }
}
