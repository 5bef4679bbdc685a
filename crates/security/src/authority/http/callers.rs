//! Which client is asking: by its secret, by an assertion that it signed, or by its certificate.

use std::collections::BTreeMap;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use serde_json::Value;

use super::assertions::NotTaken;
use super::{OAuthError, Port, Source};
use crate::bounds::{ASSERTIONS_PAUSE_S, CLOCK_SKEW_S, MAX_ASSERTION_LIFE_S, MAX_TOKEN_BYTES};
use crate::throttle::guesser;
use crate::tls::PeerCertificate;
use crate::token;

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

/// Finds out who is asking, and tells whoever fails again and again to wait. What is shown is looked at first: a proof that is
/// right passes, whatever the same client or others behind the same address have shown before.
pub(super) fn authenticate(
    port: &Port,
    source: Source,
    headers: &HeaderMap,
    form: &Form,
    peer: Option<&PeerCertificate>,
) -> Result<Caller, OAuthError> {
    let claimed = claimed(port, headers, form).unwrap_or_default();
    let who = guesser(source.0, peer.map(|peer| peer.thumbprint.as_str()), &claimed);
    let too_many = "too many authentications of this client from this address have failed";
    // A signature costs time; a secret's hash does not.
    if form.get("client_assertion").is_some() {
        port.guesses.look(&who).map_err(|seconds| OAuthError::too_many(too_many, seconds))?;
    }
    proven(port, headers, form, peer).map_err(|error| {
        if error.status != StatusCode::UNAUTHORIZED {
            return error;
        }
        match port.guesses.count_and_check(&who) {
            Ok(()) => error,
            Err(seconds) => OAuthError::too_many(
                &format!("{too_many}, the last one because: {}", error.description),
                seconds,
            ),
        }
    })
}

/// The client that a request claims to come from, where there is such a one.
fn claimed(port: &Port, headers: &HeaderMap, form: &Form) -> Option<String> {
    let shown = basic(headers).ok().flatten().map(|(name, _)| name);
    let asserted = || token::claimed(form.get("client_assertion")?, "iss").ok();
    let name = shown.or_else(asserted).or_else(|| form.get("client_id").map(str::to_owned))?;
    port.authority.knows(&name).then_some(name)
}

/// Who is asking. Exactly one way to show it may be used.
fn proven(
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

/// A JWT that the client signed with a key that it is registered with: for us, now, and once.
fn by_assertion(port: &Port, form: &Form, assertion: &str) -> Result<String, OAuthError> {
    if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(OAuthError::request(format!("client_assertion_type must be {ASSERTION_TYPE}")));
    }
    let wrong = |what: &str| OAuthError::client(format!("the assertion is not good: {what}"));
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
    let audiences = token::words(claims.get("aud")).unwrap_or_default();
    if !audiences.iter().any(|audience| ours.iter().any(|our| our == audience)) {
        return Err(wrong(&format!("aud must be {issuer} or its token endpoint")));
    }
    let now_s = port.assertions.now_s();
    let expires_s = token::seconds(&claims, "exp").ok_or_else(|| wrong("exp is missing"))?;
    if expires_s.saturating_add(CLOCK_SKEW_S) < now_s {
        return Err(wrong("it has ended"));
    }
    if expires_s > now_s + MAX_ASSERTION_LIFE_S {
        return Err(wrong("it lives too long: make one for each request, for some minutes"));
    }
    if token::seconds(&claims, "nbf").is_some_and(|from_s| from_s > now_s + CLOCK_SKEW_S) {
        return Err(wrong("it is not good yet"));
    }
    let jti = text("jti").ok_or_else(|| wrong("jti is missing"))?;
    match port.assertions.take(&name, jti, expires_s) {
        Ok(()) => Ok(name),
        Err(NotTaken::Again) => Err(wrong("it was used before: make one for each request")),
        Err(NotTaken::TooMany) => Err(OAuthError::too_many(
            "the client has shown too many assertions that have not ended: let them live for a minute, and use each token \
             until it ends",
            ASSERTIONS_PAUSE_S,
        )),
    }
}
