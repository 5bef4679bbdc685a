//! Whose keys sign, and as whom: the issuer's name, this node's keys, and how they are made and retired.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::audit::Action;
use serde::{Deserialize, Serialize};

use super::keys::{Algorithm, SigningKey};
use super::state::{self, PublicKey};
use super::{Authority, AuthorityError};
use crate::bounds::{KEY_GONE_S, KEY_LEAD_S, KEY_LIFE_S, MAX_KEYS};

/// The issuer where no server has named one yet.
pub(super) const DEFAULT_ISSUER: &str = "https://localhost:8440";
/// What an address that is this machine's alone begins with.
const THIS_MACHINE: [&str; 2] = ["https://localhost:", "http://localhost:"];

/// What tokens shall name as their issuer: the address under which the Authority is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    name: String,
    is_configured: bool,
}

impl Issuer {
    /// The one that the configuration names, or the port of this machine.
    #[must_use]
    pub fn new(configured: Option<&str>, scheme: &str, port: u16) -> Self {
        let own = || format!("{scheme}://localhost:{port}");
        let name = configured.map_or_else(own, |name| name.trim_end_matches('/').to_owned());
        Self { name, is_configured: configured.is_some() }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether it takes the place of another: one that nobody has configured only where that is of one machine too.
    fn replaces(&self, other: &str) -> bool {
        self.is_configured || other.is_empty() || THIS_MACHINE.iter().any(|own| other.starts_with(own))
    }
}

/// A key that tokens are, or were, signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownKey {
    /// Its name.
    pub kid: String,
    /// When it was made, in Unix seconds.
    pub created_s: i64,
    /// Since when nothing is signed with it, in Unix seconds.
    pub retired_s: Option<i64>,
    /// Whether its private half is in the folder of the one who tells.
    pub is_here: bool,
}

/// A key whose private half this node has.
pub(super) struct OwnKey {
    pub(super) key: SigningKey,
    created_s: i64,
    retired_s: Option<i64>,
}

impl OwnKey {
    /// Whether every node knows it, and no later one has taken its place.
    pub(super) fn is_in_use(&self, now_s: i64) -> bool {
        self.created_s + KEY_LEAD_S <= now_s && self.retired_s.is_none_or(|retired_s| now_s < retired_s)
    }
}

impl Authority {
    /// Whether the store has none yet: nobody has made a client or a key.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.inner.register.current().number == 0
    }

    /// Names the issuer of tokens, and makes a key for this node where it has none that signs; from now on it has one always.
    /// For servers with the role.
    ///
    /// # Errors
    /// When the store does not answer, or a key cannot be kept.
    pub async fn establish(&self, issuer: &Issuer) -> Result<(), AuthorityError> {
        self.name_issuer(issuer).await?;
        self.inner.is_established.store(true, Ordering::Relaxed);
        self.keep_a_key().await
    }

    /// Makes sure that this process can sign: with a key of its folder, or with the first one of a store that has none.
    ///
    /// # Errors
    /// When the keys are those of other nodes: they stay where they are, and no further one is made for the sake of a command.
    pub async fn sign_here(&self, issuer: &Issuer) -> Result<(), AuthorityError> {
        self.load_signing_keys()?;
        if !self.inner.signing.load().is_empty() {
            return Ok(());
        }
        if !self.inner.register.current().state.keys.is_empty() {
            return Err(AuthorityError::Refused(format!(
                "none of the Authority's signing keys is here: folder={}; name the data folder of a server with --data-dir or \
                 --config, or ask a running one with --server",
                self.inner.keys.display()
            )));
        }
        self.name_issuer(issuer).await?;
        self.rotate(Algorithm::default()).await.map(drop)
    }

    async fn name_issuer(&self, issuer: &Issuer) -> Result<(), AuthorityError> {
        let name = |state: &mut state::State| {
            if issuer.replaces(&state.issuer) {
                issuer.name.clone_into(&mut state.issuer);
            }
            Ok(())
        };
        self.inner.register.change(self.now_s(), name).await?;
        self.load_signing_keys()
    }

    /// Makes a key where this node has none that is not retired, as another process may have retired it, or where it has signed
    /// with that one for long enough.
    async fn keep_a_key(&self) -> Result<(), AuthorityError> {
        let oldest_s = self.now_s() - KEY_LIFE_S;
        let own = self.inner.signing.load();
        if own.iter().any(|own| own.retired_s.is_none() && own.created_s > oldest_s) {
            return Ok(());
        }
        let algorithm = own.last().map_or_else(Algorithm::default, |own| own.key.algorithm());
        drop(own);
        self.rotate(algorithm).await.map(drop)
    }

    /// Retires the keys of nodes that are gone: a node that is there has had another one for long.
    async fn retire_gone(&self) -> Result<(), AuthorityError> {
        let now_s = self.now_s();
        let is_gone = |key: &PublicKey| key.retired_s.is_none() && key.created_s + KEY_GONE_S <= now_s;
        if !self.inner.register.current().state.keys.iter().any(is_gone) {
            return Ok(());
        }
        let retire = |state: &mut state::State| {
            let gone = state.keys.iter_mut().filter(|key| is_gone(key));
            let retired = gone.map(|key| {
                key.retired_s = Some(now_s);
                key.jwk.common.key_id.clone().unwrap_or_default()
            });
            Ok(retired.collect::<Vec<String>>())
        };
        for kid in self.inner.register.change(now_s, retire).await? {
            self.tell(Action::KeyRetired, |event| {
                event.on(kid).with("tokens", "stay").with("reason", "its node has not renewed it")
            });
        }
        self.load_signing_keys()
    }

    /// Makes a new key for this node. It is public at once, and signs as soon as every node has had time to read it; then the
    /// one before is retired, and its tokens stay good until they end. Its name.
    ///
    /// # Errors
    /// When the store does not answer, or the key cannot be kept.
    pub async fn rotate(&self, algorithm: Algorithm) -> Result<String, AuthorityError> {
        let key = SigningKey::create(&self.inner.keys, algorithm)?;
        let (now_s, kid) = (self.now_s(), key.kid().to_owned());
        let own: Vec<String> = self.own_keys().await?;
        let jwk = key.jwk.clone();
        self.inner
            .register
            .change(now_s, |state| {
                for old in &mut state.keys {
                    let is_own = old.jwk.common.key_id.as_ref().is_some_and(|kid| own.contains(kid));
                    if is_own && old.retired_s.is_none() {
                        old.retired_s = Some(now_s + KEY_LEAD_S);
                    }
                }
                state.keys.push(PublicKey { jwk: jwk.clone(), created_s: now_s, retired_s: None });
                Ok(())
            })
            .await?;
        self.load_signing_keys()?;
        let keys = self.inner.register.current().state.keys.len();
        if keys > MAX_KEYS / 2 {
            tracing::warn!(
                keys,
                most = MAX_KEYS,
                "there are many signing keys: retire those of nodes that are gone"
            );
        }
        self.tell(Action::KeyRotated, |event| event.on(&kid));
        Ok(kid)
    }

    /// The public keys, the oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<KnownKey> {
        let version = self.inner.register.current();
        let own = self.inner.signing.load();
        let known = |key: &PublicKey| {
            let kid = key.jwk.common.key_id.clone().unwrap_or_default();
            let is_here = own.iter().any(|own| own.key.kid() == kid);
            KnownKey { kid, created_s: key.created_s, retired_s: key.retired_s, is_here }
        };
        version.state.keys.iter().map(known).collect()
    }

    /// Retires a key of any node: it signs no more, and its tokens stay good until they end. At once, they end too.
    ///
    /// # Errors
    /// When there is no such key, or the store does not answer.
    pub async fn retire(&self, kid: &str, at_once: bool) -> Result<(), AuthorityError> {
        let now_s = self.now_s();
        let retire = |state: &mut state::State| {
            let is_it = |key: &PublicKey| key.jwk.common.key_id.as_deref() == Some(kid);
            let Some(key) = state.keys.iter_mut().find(|key| is_it(key)) else {
                return Err(AuthorityError::NoKey(kid.to_owned()));
            };
            // Its node has time to make another one, where it is still there.
            key.retired_s.get_or_insert(now_s + KEY_LEAD_S);
            if at_once {
                state.keys.retain(|key| !is_it(key));
            }
            Ok(())
        };
        self.inner.register.change(now_s, retire).await?;
        self.load_signing_keys()?;
        self.tell(Action::KeyRetired, |event| {
            event.on(kid).with("tokens", if at_once { "ended" } else { "stay" })
        });
        Ok(())
    }

    /// Looks for changes of others, makes a key where this node's was retired or is old, and retires those of nodes that are gone.
    pub(super) async fn renew(&self) -> Result<(), AuthorityError> {
        self.refresh().await?;
        if !self.inner.is_established.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.keep_a_key().await?;
        self.retire_gone().await
    }

    /// Names of the keys whose private half this node has.
    async fn own_keys(&self) -> Result<Vec<String>, AuthorityError> {
        self.inner.register.refresh().await?;
        let version = self.inner.register.current();
        let kids = version.state.keys.iter().filter_map(|key| key.jwk.common.key_id.clone());
        Ok(kids.filter(|kid| SigningKey::is_kept(&self.inner.keys, kid)).collect())
    }

    /// Takes the keys that are not retired and whose private half this node has.
    pub(super) fn load_signing_keys(&self) -> Result<(), AuthorityError> {
        let (version, now_s) = (self.inner.register.current(), self.now_s());
        let mut own = Vec::new();
        let living = |key: &&PublicKey| key.retired_s.is_none_or(|retired_s| now_s < retired_s);
        for key in version.state.keys.iter().filter(living) {
            match SigningKey::load(&self.inner.keys, &key.jwk) {
                Ok(Some(signing)) => {
                    own.push(OwnKey { key: signing, created_s: key.created_s, retired_s: key.retired_s });
                }
                Ok(None) => {}
                // The others sign; without any, a server makes another one.
                Err(error) => {
                    tracing::error!(%error, "a signing key of this node cannot be used: make its file readable, or remove it");
                }
            }
        }
        self.inner.signing.store(Arc::new(own));
        Ok(())
    }
}
