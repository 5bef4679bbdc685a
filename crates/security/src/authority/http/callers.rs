//! Which client is asking: by its secret, by an assertion that it signed, or by its certificate.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use model::Clock;
use model::time::NS_PER_S;
use parking_lot::Mutex;
use serde_json::Value;

use super::{OAuthError, Port};
use crate::bounds::{
    CLOCK_SKEW_S, MAX_ASSERTION_LIFE_S, MAX_ASSERTIONS, MAX_CLIENT_ASSERTIONS, MAX_JTI_BYTES, MAX_TOKEN_BYTES,
};
use crate::tls::PeerCertificate;
use crate::token;

/// When a client that has sent too many assertions may come again, in seconds.
const ASSERTIONS_WAIT_S: u64 = 60;

/// The type of an assertion (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The parameters of a request, each once.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a form.
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !content_type.starts_with("application/x-www-form-urlencoded") {
            return Err(OAuthError::request("the body must be application/x-www-form-urlencoded"));
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if parameters.contains_key(name.as_ref()) {
                return Err(OAuthError::request(format!("{name} is there more than once")));
            }
            parameters.insert(name.into_owned(), value.into_owned());
        }
        Ok(Self(parameters))
    }

    /// A parameter, where it is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A client that has proven who it is.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    /// The certificate that its tokens are bound to.
    pub(super) certificate: Option<String>,
}

/// Assertions that were used, until they end: none is good twice.
#[derive(Debug)]
pub(super) struct Assertions {
    used: Mutex<Used>,
    clock: Arc<dyn Clock>,
}

/// By client the digests of their identifiers, each with the Unix second until which it is remembered.
#[derive(Debug, Default)]
struct Used {
    clients: BTreeMap<String, BTreeMap<[u8; 32], i64>>,
    count: usize,
}

impl Used {
    /// Forgets what has ended of one client, or of all.
    fn forget(&mut self, now_s: i64, of: Option<&str>) {
        for (_, used) in self.clients.iter_mut().filter(|(name, _)| of.is_none_or(|of| of == name.as_str())) {
            let before = used.len();
            used.retain(|_, until_s| *until_s >= now_s);
            self.count -= before - used.len();
        }
        self.clients.retain(|_, used| !used.is_empty());
    }
}

impl Assertions {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { used: Mutex::default(), clock }
    }

    fn now_s(&self) -> i64 {
        self.clock.now().0.div_euclid(NS_PER_S)
    }

    /// Remembers an assertion, where it is new. One client does not take the room of another.
    fn remember(&self, client: &str, jti: &str, expires_s: i64) -> Result<(), OAuthError> {
        let now_s = self.now_s();
        let digest = digest::digest(&digest::SHA256, jti.as_bytes());
        let name: [u8; 32] = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        let mut used = self.used.lock();
        used.forget(now_s, Some(client));
        if used.count >= MAX_ASSERTIONS {
            used.forget(now_s, None);
        }
        let of_client = used.clients.get(client);
        if of_client.is_some_and(|used| used.contains_key(&name)) {
            return Err(wrong("it was used before: make one for each request"));
        }
        if used.count >= MAX_ASSERTIONS || of_client.is_some_and(|used| used.len() >= MAX_CLIENT_ASSERTIONS) {
            let reason = "the client sends too many assertions: use each token until it ends";
            return Err(OAuthError::too_many(reason, ASSERTIONS_WAIT_S));
        }
        used.clients.entry(client.to_owned()).or_default().insert(name, expires_s + CLOCK_SKEW_S);
        used.count += 1;
        Ok(())
    }
}

/// Finds out who is asking. Exactly one way may be used.
pub(super) fn authenticate(
    port: &Port,
    headers: &HeaderMap,
    form: &Form,
    peer: Option<&PeerCertificate>,
) -> Result<Caller, OAuthError> {
    let basic = basic(headers)?;
    let ways = [basic.is_some(), form.get("client_secret").is_some(), form.get("client_assertion").is_some()];
    if ways.into_iter().filter(|is_used| *is_used).count() > 1 {
        return Err(OAuthError::request("the client is named in more than one way"));
    }
    let thumbprint = peer.map(|peer| peer.thumbprint.as_str());
    let name = match (basic, form.get("client_secret"), form.get("client_assertion")) {
        (Some((name, secret)), ..) => by_secret(port, name, &secret)?,
        (None, Some(secret), _) => by_secret(port, named(form)?.to_owned(), secret)?,
        (None, None, Some(assertion)) => by_assertion(port, form, assertion)?,
        (None, None, None) => {
            let name = named(form)?;
            let kept = port.authority.client(name).ok().and_then(|client| client.certificate);
            if kept.is_none() || kept.as_deref() != thumbprint {
                return Err(OAuthError::client(
                    "the client shows no secret, no assertion, and no certificate that it is registered with",
                ));
            }
            name.to_owned()
        }
    };
    if let Some(claimed) = form.get("client_id").filter(|claimed| *claimed != name) {
        return Err(OAuthError::request(format!("client_id={claimed} is not the client that is proven")));
    }
    let certificate = port.authority.client(&name)?.certificate;
    if certificate.is_some() && certificate.as_deref() != thumbprint {
        return Err(OAuthError::client(
            "the client is registered with a certificate: connect with it, so that the token can be bound to it",
        ));
    }
    Ok(Caller { name, certificate })
}

fn named(form: &Form) -> Result<&str, OAuthError> {
    form.get("client_id").ok_or_else(|| OAuthError::client("client_id is missing"))
}

fn by_secret(port: &Port, name: String, secret: &str) -> Result<String, OAuthError> {
    if port.authority.knows_secret(&name, secret) {
        Ok(name)
    } else {
        Err(OAuthError::client("no client has this name and this secret"))
    }
}

/// `Authorization: Basic`, whose two halves are form-encoded (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let wrong = || OAuthError::client("the Authorization header is not `Basic <Base64 of client:secret>`");
    let text = value.to_str().map_err(|_| wrong())?;
    let (scheme, encoded) = text.split_once(' ').ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(wrong)?;
    let (name, secret) = decoded.split_once(':').ok_or_else(wrong)?;
    let plain = |text: &str| {
        let pair = format!("x={text}");
        let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    Ok(Some((plain(name), plain(secret))))
}

fn wrong(what: &str) -> OAuthError {
    OAuthError::client(format!("the assertion is not good: {what}"))
}

/// A JWT that the client signed with a key that it is registered with: for us, now, and once.
fn by_assertion(port: &Port, form: &Form, assertion: &str) -> Result<String, OAuthError> {
    if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(OAuthError::request(format!("client_assertion_type must be {ASSERTION_TYPE}")));
    }
    if assertion.len() > MAX_TOKEN_BYTES {
        return Err(wrong("it is too long"));
    }
    let name = token::claimed(assertion, "iss").map_err(|error| wrong(&error.to_string()))?;
    let client = port.authority.client(&name).map_err(|_| wrong("no client has the name of its issuer"))?;
    let claims = token::signed(assertion, &JwkSet { keys: client.keys })
        .map_err(|_| wrong("none of the client's keys signed it"))?;
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    if text("sub") != Some(&name) {
        return Err(wrong("sub and iss must be the client's name"));
    }
    let issuer = port.authority.issuer();
    let ours = ["", "/token", "/connect/token"].map(|path| format!("{issuer}{path}"));
    let audiences = token::words(&claims, "aud").unwrap_or_default();
    if !audiences.iter().any(|audience| ours.iter().any(|our| our == audience)) {
        return Err(wrong(&format!("aud must be {issuer} or its token endpoint")));
    }
    let now_s = port.assertions.now_s();
    let expires_s = token::seconds(&claims, "exp").ok_or_else(|| wrong("exp is missing"))?;
    if expires_s + CLOCK_SKEW_S < now_s {
        return Err(wrong("it has ended"));
    }
    if expires_s > now_s + MAX_ASSERTION_LIFE_S {
        return Err(wrong("it lives too long: make one for each request, for some minutes"));
    }
    if token::seconds(&claims, "nbf").is_some_and(|from_s| from_s > now_s + CLOCK_SKEW_S) {
        return Err(wrong("it is not good yet"));
    }
    let jti = text("jti").ok_or_else(|| wrong("jti is missing"))?;
    if jti.len() > MAX_JTI_BYTES {
        return Err(wrong(&format!("jti is longer than {MAX_JTI_BYTES} bytes")));
    }
    port.assertions.remember(&name, jti, expires_s)?;
    Ok(name)
}
