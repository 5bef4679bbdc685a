//! Bearer tokens: whether one is good, and what it says.
//!
//! A token is good when a key of its issuer signed it, it is for us, now, and is not taken back; and when it is bound to
//! a certificate, when that is the connection's. Which algorithms are taken is said by the keys, never by the token.

pub mod external;

pub(crate) mod guarded;

pub(crate) mod renewal;

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use model::Clock;
use model::time::NS_PER_S;
use moka::sync::Cache;
use serde_json::{Map, Value};

use crate::authority::{ANY_TENANT, Authority, Claims};
use crate::bounds::{
    CLOCK_SKEW_S, KEYS_WAIT, KNOWN_TOKEN_LIFE, MAX_KEYS_TRIED, MAX_KNOWN_TOKENS, MAX_TOKEN_BYTES,
    PROVEN_TOKEN_LIFE,
};
use external::ExternalIssuer;
pub(crate) use external::claims::words;

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or its algorithm is none that is taken.
    #[error(
        "the token is not one that can be read: it is a JWT, signed with ES256, EdDSA or RS256 for example"
    )]
    Malformed,
    /// Nobody who is trusted issued it.
    #[error("nobody that this server trusts issued the token: issuer={0:?}")]
    Issuer(String),
    /// Its key is not known, or did not sign it.
    #[error("the token's signature is not that of a key of its issuer")]
    Signature,
    /// Its time is over.
    #[error("the token has ended: ask for another")]
    Expired,
    /// Its time is still to come.
    #[error("the token is not good yet: are the clocks right?")]
    NotYet,
    /// It is for somebody else.
    #[error("the token is for another audience: audience={0:?}")]
    Audience(String),
    /// It was taken back, or its client was deleted.
    #[error("the token was revoked")]
    Revoked,
    /// It is bound to a certificate that is not the connection's.
    #[error("the token is bound to another client certificate than the connection's")]
    Certificate,
    /// It tells its own client who has signed in, and is for no resource.
    #[error("the token is no access token: an ID token, or one of another type, is for its client alone")]
    NotAccess,
    /// A claim is missing, or not what it should be.
    #[error("the token's claim is missing or wrong: claim={0}")]
    Claim(&'static str),
}

/// The tenants that a token or certificate allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// Every one.
    Any,
    /// These.
    These(BTreeSet<String>),
}

impl Tenants {
    /// Whether the tenant is one of them.
    #[must_use]
    pub fn allow(&self, tenant: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tenants) => tenants.contains(tenant),
        }
    }

    /// Those of both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Any, both) | (both, Self::Any) => both.clone(),
            (Self::These(a), Self::These(b)) => Self::These(a.intersection(b).cloned().collect()),
        }
    }

    /// Whether they are some and not all: what concerns the whole server is not theirs.
    #[must_use]
    pub fn are_some(&self) -> bool {
        matches!(self, Self::These(tenants) if !tenants.is_empty())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::These(tenants) if tenants.is_empty())
    }

    /// From words of which one may be `*`.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let tenants: BTreeSet<String> = words.into_iter().map(str::to_owned).collect();
        if tenants.contains(ANY_TENANT) { Self::Any } else { Self::These(tenants) }
    }
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whom it stands for.
    pub subject: String,
    /// What it allows.
    pub scopes: BTreeSet<String>,
    /// The tenant that it acts for, where it says so.
    pub tenant: Option<String>,
    /// All tenants that it may act for.
    pub tenants: Tenants,
}

impl Identity {
    /// What claims of our own Authority say.
    fn of_claims(claims: &Claims) -> Self {
        let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut allowed = claims.allowed_tenants.as_deref().map(words).unwrap_or_default();
        allowed.extend(claims.tenant.clone());
        Self {
            subject: claims.sub.clone(),
            scopes: words(&claims.scope).into_iter().collect(),
            tenants: Tenants::of(allowed.iter().map(String::as_str)),
            tenant: claims.tenant.clone(),
        }
    }
}

/// A token whose signature was verified: the rest is checked at each use.
#[derive(Debug)]
struct Known {
    identity: Arc<Identity>,
    audiences: Vec<String>,
    not_before_s: Option<i64>,
    expires_s: i64,
    certificate: Option<String>,
    /// Whether it is for us by the audiences of its issuer, where that has its own.
    is_for_us: Option<bool>,
    /// The claims of a token of our own Authority, which may take it back.
    own: Option<Claims>,
}

/// Whose tokens are taken. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authority: Authority,
    issuers: Vec<Arc<ExternalIssuer>>,
    audiences: BTreeSet<String>,
    clock: Arc<dyn Clock>,
    known: Cache<[u8; 32], Arc<Known>>,
    /// Tokens whose signature was good some time ago: they are no guesses, though they are verified again.
    proven: Cache<[u8; 32], ()>,
}

impl Verifier {
    /// Takes tokens of the Authority and of these issuers that are for one of the audiences.
    #[must_use]
    pub fn new(
        authority: Authority,
        issuers: Vec<Arc<ExternalIssuer>>,
        audiences: impl IntoIterator<Item = String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let audiences = audiences.into_iter().collect();
        let known = Cache::builder().max_capacity(MAX_KNOWN_TOKENS).time_to_live(KNOWN_TOKEN_LIFE).build();
        let proven = Cache::builder().max_capacity(MAX_KNOWN_TOKENS).time_to_idle(PROVEN_TOKEN_LIFE).build();
        Self(Arc::new(Inner { authority, issuers, audiences, clock, known, proven }))
    }

    /// Verifies a token; `certificate` is the `x5t#S256` of the connection's client certificate.
    ///
    /// # Errors
    /// When the token is not good here and now.
    pub fn verify(&self, token: &str, certificate: Option<&str>) -> Result<Arc<Identity>, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let name = name(token);
        let known = match self.0.known.get(&name) {
            Some(known) => known,
            None => {
                let known = Arc::new(self.read(token)?);
                self.0.known.insert(name, Arc::clone(&known));
                self.0.proven.insert(name, ());
                known
            }
        };
        self.check(&known, certificate)?;
        match known.own.as_ref().map(|claims| self.0.authority.standing(claims)).transpose()? {
            Some(Some(narrowed)) => Ok(Arc::new(Identity::of_claims(&narrowed))),
            _ => Ok(Arc::clone(&known.identity)),
        }
    }

    /// Looks for the key that a token names, where its issuer is trusted and no key that is known has the name, and for the
    /// client of our own Authority that it names; it waits for that, but not for long. None where there is nothing to look
    /// for.
    pub(crate) fn look_for_key(&self, token: &str) -> Option<impl Future<Output = ()> + Send + 'static> {
        if token.len() > MAX_TOKEN_BYTES || self.0.known.contains_key(&name(token)) {
            return None;
        }
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let issuer = claimed(token, "iss").ok()?;
        let is_own = issuer == self.0.authority.issuer();
        let external = self.0.issuers.iter().find(|known| known.issuer() == issuer).cloned();
        let known = match &external {
            _ if is_own => self.0.authority.jwks(),
            Some(external) => external.keys().as_ref().clone(),
            None => return None,
        };
        // Made by another process or node a moment ago, it would pass for one that was removed.
        let is_unknown = |client: String| !self.0.authority.knows(&client);
        let is_new_client = is_own && claimed(token, "client_id").is_ok_and(is_unknown);
        if external::has_key(&known, &kid) && !is_new_client {
            return None;
        }
        let authority = self.0.authority.clone();
        let look = async move {
            match external {
                Some(external) if !is_own => external.look_for(&kid).await,
                _ => authority.look_for_news().await,
            }
        };
        Some(async move {
            // Whoever has waited in vain is refused as if nobody had looked.
            let _late = tokio::time::timeout(KEYS_WAIT, look).await;
        })
    }

    /// Whose a token claims to be, where its signature was not found good lately and looking at it costs time.
    pub(crate) fn claimant(&self, token: &str) -> Option<String> {
        if token.len() > MAX_TOKEN_BYTES || self.0.proven.get(&name(token)).is_some() {
            return None;
        }
        match self.signer(token).ok()? {
            Some(external) => Some(external.issuer().to_owned()),
            None => claimed(token, "client_id").ok().filter(|client| self.0.authority.knows(client)),
        }
    }

    /// The time by which tokens are checked.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }

    fn check(&self, known: &Known, certificate: Option<&str>) -> Result<(), TokenError> {
        let now_s = self.0.clock.now().0.div_euclid(NS_PER_S);
        if has_ended(known.expires_s, now_s) {
            return Err(TokenError::Expired);
        }
        if known.not_before_s.is_some_and(|from_s| now_s < from_s.saturating_sub(CLOCK_SKEW_S)) {
            return Err(TokenError::NotYet);
        }
        let is_ours = || known.audiences.iter().any(|audience| self.0.audiences.contains(audience));
        if !known.is_for_us.unwrap_or_else(is_ours) {
            return Err(TokenError::Audience(known.audiences.join(" ")));
        }
        match &known.certificate {
            Some(bound) if certificate != Some(bound) => Err(TokenError::Certificate),
            _ => Ok(()),
        }
    }

    /// Who claims to have signed a token: an issuer of others, or our own Authority. What a key of its signed is its own,
    /// also when it has got another name since.
    fn signer(&self, token: &str) -> Result<Option<Arc<ExternalIssuer>>, TokenError> {
        let issuer = claimed(token, "iss")?;
        if issuer == self.0.authority.issuer() {
            return Ok(None);
        }
        if let Some(external) = self.0.issuers.iter().find(|known| known.issuer() == issuer) {
            return Ok(Some(Arc::clone(external)));
        }
        let kid = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?.kid;
        if kid.is_some_and(|kid| external::has_key(&self.0.authority.jwks(), &kid)) {
            return Ok(None);
        }
        Err(TokenError::Issuer(issuer))
    }

    /// Verifies the signature and reads the claims.
    fn read(&self, token: &str) -> Result<Known, TokenError> {
        let Some(external) = self.signer(token)? else {
            // What nobody could have been given costs no look at its signature.
            if !self.0.authority.knows(&claimed(token, "client_id")?) {
                return Err(TokenError::Revoked);
            }
            let claims = signed(token, &self.0.authority.jwks())?;
            let own: Claims = serde_json::from_value(Value::Object(claims.clone()))
                .map_err(|_| TokenError::Claim("jti"))?;
            return Ok(Known { own: Some(own), ..known(&claims, &external::ClaimNames::default())? });
        };
        let claims = signed(token, &external.keys())?;
        check_type(token, &claims)?;
        let mut known = known(&claims, external.claims())?;
        known.identity = Arc::new(external.bounded(&known.identity));
        known.is_for_us = external.is_audience(&known.audiences);
        Ok(known)
    }
}

/// Whether a token with this end is taken no more: clocks may differ.
#[must_use]
pub const fn has_ended(expires_s: i64, now_s: i64) -> bool {
    now_s >= expires_s.saturating_add(CLOCK_SKEW_S)
}

/// What a token is remembered by.
fn name(token: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What a token says in a claim, without proof: to find the keys, which then prove it.
pub(crate) fn claimed(token: &str, claim: &'static str) -> Result<String, TokenError> {
    let claims: Map<String, Value> =
        jsonwebtoken::dangerous::insecure_decode(token).map_err(|_| TokenError::Malformed)?.claims;
    claims.get(claim).and_then(Value::as_str).map(str::to_owned).ok_or(TokenError::Claim(claim))
}

/// The claims of a token that the Authority signed, whether it is good now or not.
///
/// # Errors
/// When the Authority did not sign it.
pub fn own(authority: &Authority, token: &str) -> Result<Claims, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Malformed);
    }
    let claims = signed(token, &authority.jwks())?;
    serde_json::from_value(Value::Object(claims)).map_err(|_| TokenError::Claim("jti"))
}

/// The claims, once a key of the set has signed them.
pub(crate) fn signed(token: &str, keys: &JwkSet) -> Result<Map<String, Value>, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let candidates = keys.keys.iter().filter(|key| match (&header.kid, &key.common.key_id) {
        (Some(named), Some(own)) => named == own,
        // A token that names no key is tried with each of the few that there are.
        _ => true,
    });
    let candidates = candidates.filter(|key| algorithms(key).contains(&header.alg));
    for key in candidates.take(MAX_KEYS_TRIED) {
        let Ok(decoding) = DecodingKey::from_jwk(key) else { continue };
        let mut validation = Validation::new(header.alg);
        // Times and audience are checked with our own clock, at each use.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        if let Ok(data) = jsonwebtoken::decode::<Map<String, Value>>(token, &decoding, &validation) {
            return Ok(data.claims);
        }
    }
    Err(TokenError::Signature)
}

/// The algorithms that a key may sign with: the one that it names, or those of its kind. Never a shared secret.
fn algorithms(key: &Jwk) -> &'static [Algorithm] {
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve};
    match key.common.key_algorithm {
        Some(KeyAlgorithm::ES256) => return &[Algorithm::ES256],
        Some(KeyAlgorithm::ES384) => return &[Algorithm::ES384],
        Some(KeyAlgorithm::EdDSA) => return &[Algorithm::EdDSA],
        Some(KeyAlgorithm::RS256) => return &[Algorithm::RS256],
        Some(KeyAlgorithm::RS384) => return &[Algorithm::RS384],
        Some(KeyAlgorithm::RS512) => return &[Algorithm::RS512],
        Some(KeyAlgorithm::PS256) => return &[Algorithm::PS256],
        Some(KeyAlgorithm::PS384) => return &[Algorithm::PS384],
        Some(KeyAlgorithm::PS512) => return &[Algorithm::PS512],
        Some(_) => return &[],
        None => {}
    }
    match &key.algorithm {
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        _ => &[],
    }
}

/// Refuses what is signed by an issuer and is no access token (RFC 9068, section 4; OpenID Connect Core 1.0, section 2).
fn check_type(token: &str, claims: &Map<String, Value>) -> Result<(), TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    let kind = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    let is_access = ["jwt", "at+jwt", "application/at+jwt"].contains(&kind.as_str());
    let tells_of_login = ["nonce", "at_hash", "c_hash"].iter().any(|claim| claims.contains_key(*claim));
    if is_access && !tells_of_login { Ok(()) } else { Err(TokenError::NotAccess) }
}

/// Reads the claims, by the names that the issuer gives them.
fn known(claims: &Map<String, Value>, names: &external::ClaimNames) -> Result<Known, TokenError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let expires_s = seconds(claims, "exp").ok_or(TokenError::Claim("exp"))?;
    let not_before_s = match claims.get("nbf") {
        None => None,
        Some(_) => Some(seconds(claims, "nbf").ok_or(TokenError::Claim("nbf"))?),
    };
    let certificate = match claims.get("cnf") {
        None => None,
        // A token that is bound to something else than a certificate cannot be honoured as if it were not.
        Some(cnf) => {
            Some(cnf.get("x5t#S256").and_then(Value::as_str).ok_or(TokenError::Claim("cnf"))?.to_owned())
        }
    };
    // `*` is no tenant to act for, whatever an issuer calls its organisations.
    let tenant = names.tenant(claims).map_err(|()| TokenError::Claim("tenant"))?;
    if tenant == Some(ANY_TENANT) {
        return Err(TokenError::Claim("tenant"));
    }
    let mut allowed = names.tenants(claims).ok_or(TokenError::Claim("allowed_tenants"))?;
    allowed.extend(tenant);
    let identity = Identity {
        subject: text("sub").ok_or(TokenError::Claim("sub"))?.to_owned(),
        scopes: names.scopes(claims).ok_or(TokenError::Claim("scope"))?,
        tenants: Tenants::of(allowed),
        tenant: tenant.map(str::to_owned),
    };
    let audiences = words(claims.get("aud")).ok_or(TokenError::Claim("aud"))?;
    Ok(Known {
        identity: Arc::new(identity),
        audiences: audiences.into_iter().map(str::to_owned).collect(),
        not_before_s,
        expires_s,
        certificate,
        is_for_us: None,
        own: None,
    })
}

/// A moment in Unix seconds; fractions are allowed (RFC 7519, section 2).
pub(crate) fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

#[cfg(test)]
mod tests;
