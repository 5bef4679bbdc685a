//! The Authority: who gets tokens, and which of them are good. An OAuth 2 server for client credentials in the process.
//!
//! What it knows is one document in the object store, so that replicas and commands agree; each node signs with a key of
//! its own. No users, no passwords, no browser: identity providers of people are external issuers.

mod state;

mod register;

mod keys;

mod rotation;

mod claims;

mod clients;

pub mod http;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::JwkSet;
use model::Clock;
use model::audit::{Action, Audit, Event};
use model::time::NS_PER_S;
use object_store::ObjectStore;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

pub use claims::{Claims, Confirmation, TokenUse};
pub use clients::{Changes, NewClient, Secret};
pub use keys::Algorithm;
pub use rotation::{Issuer, KnownKey};
pub use state::{ANY_TENANT, Client, ShownClient};

use crate::bounds::{
    MAX_TOKEN_BYTES, MAX_TOKEN_LIFE_S, OWN_UNKNOWN_KEY_PAUSE_NS, REGISTER_PAUSE, SHORT_TOKEN_LIFE_S,
};
use crate::error::SecurityError;
use crate::token::renewal::Renewal;
use crate::token::{self, TokenError};
use register::Register;
use rotation::{DEFAULT_ISSUER, OwnKey};
use state::is_identifier;

/// Why the Authority does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// No client has the name.
    #[error("no client has this name: name={0}; `stella authority client list` shows those that there are")]
    NoClient(String),
    /// No key has the name.
    #[error("no key has this name: kid={0}; `stella authority key list` shows those that there are")]
    NoKey(String),
    /// A client has the name already.
    #[error("a client has this name already: name={0}; change it with `client update`, or delete it first")]
    Exists(String),
    /// Something about a client or a token that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The client may not have what is asked for.
    #[error("{0}")]
    Refused(String),
    /// The client has no tokens for the audience or tenant that is asked for.
    #[error("{0}")]
    Target(String),
    /// A bound of the document.
    #[error("the Authority is full: {0}")]
    Limit(String),
    /// Others changed the document again and again.
    #[error("others change the Authority's document all the time; try again")]
    Busy,
    /// A version of the document cannot be read.
    #[error(
        "the Authority's document is damaged: version={version}: {reason}; remove that object to use the one before"
    )]
    Damaged {
        /// The version's number.
        version: u64,
        /// What is wrong.
        reason: String,
    },
    /// The document cannot be written as JSON.
    #[error("the Authority's document cannot be written: {0}")]
    Encode(serde_json::Error),
    /// A token cannot be signed.
    #[error("cannot sign: {0}")]
    Sign(String),
    /// The object store.
    #[error("the store does not answer: {0}")]
    Store(#[from] object_store::Error),
    /// Files of keys.
    #[error(transparent)]
    Files(#[from] SecurityError),
}

/// What an Authority is made of.
pub struct Parts {
    /// The object store with the document.
    pub objects: Arc<dyn ObjectStore>,
    /// The folder of this node's private keys.
    pub keys: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The seed of secrets and token identifiers: as unpredictable as the machine can make it.
    pub seed: [u8; 32],
    /// Where is told what was done.
    pub audit: Audit,
}

/// The Authority, as one node sees it. Cheap to clone.
#[derive(Clone)]
pub struct Authority {
    inner: Arc<Inner>,
    /// Who acts, for what is told.
    actor: Arc<str>,
    /// Where the actor's request came from.
    source: Arc<str>,
}

struct Inner {
    register: Register,
    keys: PathBuf,
    clock: Arc<dyn Clock>,
    random: Mutex<StdRng>,
    /// The keys that this node signs with, now or soon, the newest last.
    signing: ArcSwap<Vec<OwnKey>>,
    /// Whether this node signs, and so has a key always.
    is_established: AtomicBool,
    /// When was looked for keys of other nodes that a token named.
    unknown: Renewal,
    audit: Audit,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("register", &self.inner.register).finish_non_exhaustive()
    }
}

/// What a token says, and whether it is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// What it says.
    pub claims: Claims,
    /// Whether it, or its client, was taken back.
    pub is_revoked: bool,
    /// Whether its time is over.
    pub has_ended: bool,
}

/// What a token is asked for with.
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// Scopes; all of the client's where there are none.
    pub scopes: Vec<String>,
    /// The audience; the client's first where none is named.
    pub audience: Option<String>,
    /// The tenant; the client's own where none is named.
    pub tenant: Option<String>,
    /// The certificate to bind the token to, by `x5t#S256`.
    pub certificate: Option<String>,
    /// Why it is asked for: for the audit.
    pub reason: Option<String>,
}

/// A token, and what it says.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token in its compact form.
    pub token: String,
    /// Its claims.
    pub claims: Claims,
}

impl Authority {
    /// Reads the document. It is not changed: a store without one has no clients and no keys.
    ///
    /// # Errors
    /// When the store does not answer or the document is damaged.
    pub async fn open(parts: Parts) -> Result<Self, AuthorityError> {
        let register = Register::open(parts.objects).await?;
        let unknown = Renewal::new(Arc::clone(&parts.clock), OWN_UNKNOWN_KEY_PAUSE_NS);
        let inner = Inner {
            register,
            is_established: AtomicBool::new(false),
            unknown,
            keys: parts.keys,
            clock: parts.clock,
            random: Mutex::new(StdRng::from_seed(parts.seed)),
            signing: ArcSwap::default(),
            audit: parts.audit,
        };
        let authority = Self { inner: Arc::new(inner), actor: "".into(), source: "".into() };
        authority.load_signing_keys()?;
        Ok(authority)
    }

    /// The same Authority, for somebody: what is done with it is told as done by them.
    #[must_use]
    pub fn acting(&self, actor: &str, source: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), actor: actor.into(), source: source.into() }
    }

    /// Tells what was done.
    fn tell(&self, action: Action, event: impl FnOnce(Event) -> Event) {
        self.inner.audit.record(event(Event::new(action).by(&*self.actor).from(&*self.source)));
    }

    /// What tokens name as their issuer.
    #[must_use]
    pub fn issuer(&self) -> String {
        let version = self.inner.register.current();
        if version.state.issuer.is_empty() { DEFAULT_ISSUER.to_owned() } else { version.state.issuer.clone() }
    }

    /// The public keys of tokens that may be good: of those in use, and of retired ones while their tokens live.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        let version = self.inner.register.current();
        JwkSet { keys: version.state.keys.iter().map(|key| key.jwk.clone()).collect() }
    }

    /// Signs a token of the endpoint, which lives for five minutes, or for as long as tokens of the client may.
    ///
    /// # Errors
    /// When the client may not have what is asked for.
    pub fn issue_short(&self, name: &str, request: &TokenRequest) -> Result<Token, AuthorityError> {
        let most_s = self.inner.register.current().state.client(name)?.max_token_life_s;
        self.issue(name, request, SHORT_TOKEN_LIFE_S.min(most_s), TokenUse::Access)
    }

    /// Signs a service token: for files and settings, until it ends or is revoked.
    ///
    /// # Errors
    /// When the client may not have what is asked for, or not for so long.
    pub fn issue_service(
        &self,
        name: &str,
        request: &TokenRequest,
        life_s: i64,
    ) -> Result<Token, AuthorityError> {
        self.issue(name, request, life_s, TokenUse::Service)
    }

    fn issue(
        &self,
        name: &str,
        request: &TokenRequest,
        life_s: i64,
        token_use: TokenUse,
    ) -> Result<Token, AuthorityError> {
        let version = self.inner.register.current();
        let client = version.state.client(name)?;
        if token_use == TokenUse::Service && !(1..=client.max_token_life_s).contains(&life_s) {
            return Err(AuthorityError::Refused(format!(
                "a token of {name} may live for {} at most, and {} was asked for: raise it with `client update {name} \
                 --max-token-life`",
                clients::life(client.max_token_life_s),
                clients::life(life_s)
            )));
        }
        let mut claims = claims::of(name, client, request)?;
        claims.iss = self.issuer();
        claims.iat = self.now_s();
        claims.nbf = claims.iat;
        claims.exp = claims.iat + life_s;
        claims.jti = format!("{}-{}", client.id, self.random_id());
        claims.token_use = token_use;
        let signing = self.inner.signing.load();
        let in_use = signing.iter().rev().find(|own| own.is_in_use(claims.iat));
        // The first key of a node has none before it to sign meanwhile.
        let own = in_use.or(signing.first()).ok_or_else(|| {
            AuthorityError::Sign("this node has no key yet: `stella authority key rotate` makes one".into())
        })?;
        let token = own.key.sign(&claims)?;
        // What every reader refuses must not be handed out.
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthorityError::Invalid(format!(
                "the token would have {} bytes, and {MAX_TOKEN_BYTES} are read: ask for fewer scopes, or allow fewer \
                 tenants",
                token.len()
            )));
        }
        self.tell(Action::TokenIssued, |event| {
            let event = event.on(&claims.jti).of_tenant(claims.tenant.clone().unwrap_or_default());
            let event =
                event.with("client", name).with("scopes", &claims.scope).with("audience", &claims.aud);
            let event = event.with("use", token_use.as_str()).with("expires_s", claims.exp.to_string());
            match &request.reason {
                Some(reason) => event.with("reason", reason),
                None => event,
            }
        });
        Ok(Token { token, claims })
    }

    /// Takes a token back, by itself or by its identifier: it is refused by every node that has read the document since. Its
    /// identifier. Only a token that was signed here says when it ends and the revocation can be forgotten; that of an
    /// identifier is kept for as long as any token may live.
    ///
    /// # Errors
    /// When it is neither, no client has such tokens, the store does not answer, or too many tokens are revoked.
    pub async fn revoke(&self, which: &str) -> Result<String, AuthorityError> {
        let (now_s, invalid) = (self.now_s(), |reason: String| Err(AuthorityError::Invalid(reason)));
        self.refresh().await?;
        let (jti, until_s) = match token::own(self, which) {
            Ok(claims) => (claims.jti, claims.exp),
            // Dots stand between the parts of a token, and in no identifier.
            Err(error) if which.contains('.') => {
                return invalid(format!("that is no token of this Authority: {error}"));
            }
            Err(_) => (which.to_owned(), now_s + MAX_TOKEN_LIFE_S),
        };
        if !is_identifier(&jti) {
            return invalid(format!("that is neither a token nor the identifier (jti) of one: {jti:?}"));
        }
        let revoke = |state: &mut state::State| {
            if !state.clients.values().any(|client| client.has_issued(&jti)) {
                return Err(AuthorityError::Invalid(format!(
                    "no client that there is has such a token; those of deleted ones are refused anyhow: jti={jti}"
                )));
            }
            state.revoked.insert(jti.clone(), until_s);
            Ok(())
        };
        self.inner.register.change(now_s, revoke).await?;
        self.tell(Action::TokenRevoked, |event| event.on(&jti));
        Ok(jti)
    }

    /// What a token says, and whether it is good.
    ///
    /// # Errors
    /// When no key of this Authority signed it.
    pub fn inspect(&self, token: &str) -> Result<Inspection, AuthorityError> {
        let claims = token::own(self, token).map_err(|error| AuthorityError::Invalid(error.to_string()))?;
        let (is_revoked, has_ended) = (self.is_revoked(&claims), token::has_ended(claims.exp, self.now_s()));
        Ok(Inspection { claims, is_revoked, has_ended })
    }

    /// Whether a token of this Authority was taken back, by itself or with its client.
    #[must_use]
    pub fn is_revoked(&self, claims: &Claims) -> bool {
        let version = self.inner.register.current();
        let client = version.state.clients.get(&claims.client_id);
        let is_of = |client: &Client| client.has_issued(&claims.jti);
        version.state.revoked.contains_key(&claims.jti) || !client.is_some_and(is_of)
    }

    /// What a token of this Authority allows now: a client that may do less than before takes it from its tokens too. None
    /// where all that it says holds.
    pub(crate) fn standing(&self, claims: &Claims) -> Result<Option<Claims>, TokenError> {
        let version = self.inner.register.current();
        let client =
            version.state.clients.get(&claims.client_id).filter(|client| client.has_issued(&claims.jti));
        let client = client.filter(|_| !version.state.revoked.contains_key(&claims.jti));
        let client = client.ok_or(TokenError::Revoked)?;
        if !client.audience.contains(&claims.aud) {
            return Err(TokenError::Audience(claims.aud.clone()));
        }
        let bound = claims.cnf.as_ref().map(|cnf| &cnf.certificate);
        if client.certificate.is_some() && client.certificate.as_ref() != bound {
            return Err(TokenError::Certificate);
        }
        Ok(claims::narrowed(claims, client))
    }

    /// Looks for changes of others, for as long as it is polled.
    pub async fn keep_fresh(&self) {
        let mut is_failing = false;
        loop {
            tokio::time::sleep(REGISTER_PAUSE).await;
            match self.renew().await {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::error!(%error, "the Authority's document cannot be read again: clients and \
                        revocations stay as they were");
                }
                Err(_) => {}
            }
        }
    }

    /// Looks for changes of others once.
    ///
    /// # Errors
    /// When the store does not answer or the document is damaged.
    pub async fn refresh(&self) -> Result<(), AuthorityError> {
        if self.inner.register.refresh().await? {
            self.load_signing_keys()?;
        }
        Ok(())
    }

    /// Whether there is a client with the name.
    pub(crate) fn knows(&self, client: &str) -> bool {
        self.inner.register.current().state.clients.contains_key(client)
    }

    /// Looks for keys and clients of other nodes that a token has named; many such tokens are one look in a while.
    pub(crate) async fn look_for_news(&self) {
        let look = async {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "a token names a key or client that is not known, and the store cannot be asked for it");
            }
        };
        self.inner.unknown.run(look).await;
    }

    fn now_s(&self) -> i64 {
        self.inner.clock.now().0.div_euclid(NS_PER_S)
    }

    /// 128 bits that nobody can guess.
    fn random_id(&self) -> String {
        let mut bytes = [0; 16];
        self.inner.random.lock().fill_bytes(&mut bytes);
        hex::encode(bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests;
