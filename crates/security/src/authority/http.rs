//! The Authority's port: OAuth 2 for clients, and what operators do with clients and keys.
//!
//! Sources: RFC 6749 (client credentials), 7009 (revocation), 7517 (keys), 7523 (assertions), 7662 (introspection), 8414
//! (discovery), 8705 (mutual TLS).

mod admin;

mod callers;

mod assertions;

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, FromRequestParts, Request, State};
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use model::audit::Action;
use serde_json::{Value, json};

use super::{Authority, AuthorityError, Claims, TokenRequest};
use crate::PeerAddress;
use crate::bounds::{FAILURES_PER_S, ISSUED_PER_S, MAX_FAILURES, MAX_FORM_BYTES, MAX_ISSUED};
use crate::throttle::{Guesses, Throttle};
use crate::tls::PeerCertificate;
use crate::token::guarded::{Guarded, Unproven};
use crate::token::{Verifier, has_ended};
use assertions::Assertions;
use callers::Form;

/// The audience of tokens for the Authority itself.
pub const AUDIENCE: &str = "authority";
/// The scope that its administration needs.
pub const ADMIN_SCOPE: &str = "authority:admin";

/// What the routes work with.
#[derive(Clone)]
struct Port {
    authority: Authority,
    /// Takes tokens of operators.
    operators: Guarded,
    /// Those that clients have shown.
    assertions: Arc<Assertions>,
    /// How often a client is given a token.
    issues: Arc<Throttle>,
    /// Who could not prove to be a client.
    guesses: Arc<Guesses>,
}

/// The certificate of the connection, where its client showed one.
type Peer = Option<Extension<Arc<PeerCertificate>>>;

/// The routes of the Authority's port.
pub fn router(authority: &Authority) -> Router {
    let clock = Arc::clone(&authority.inner.clock);
    let operators = Verifier::new(authority.clone(), Vec::new(), [AUDIENCE.to_owned()], Arc::clone(&clock));
    let assertions = Arc::new(Assertions::new(Arc::clone(&clock)));
    let issues = Arc::new(Throttle::new(MAX_ISSUED, ISSUED_PER_S, Arc::clone(&clock)));
    let guesses = Arc::new(Guesses::new(MAX_FAILURES, FAILURES_PER_S, clock));
    let operators = Guarded::new(operators);
    let port = Port { authority: authority.clone(), operators, assertions, issues, guesses };
    Router::new()
        .route("/token", post(token))
        .route("/connect/token", post(token))
        .route("/introspect", post(introspect))
        .route("/revoke", post(revoke))
        .route("/jwks", get(jwks))
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/.well-known/oauth-authorization-server", get(discovery))
        .merge(admin::router())
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(from_fn_with_state(authority.clone(), watched))
        .with_state(port)
}

/// Why a request was refused, as an extension of its answer.
#[derive(Clone)]
struct Because {
    code: &'static str,
    reason: String,
}

/// Tells refusals, and answers who has changed something when the audit has it.
async fn watched(State(authority): State<Authority>, request: Request, next: Next) -> Response {
    let (source, path) = (Source::of(request.extensions()), request.uri().path().to_owned());
    let asks = matches!(*request.method(), Method::GET | Method::HEAD) || path == "/introspect";
    let response = next.run(request).await;
    if !asks && response.status().is_success() {
        authority.inner.audit.settled().await;
    }
    if let Some(Because { code, reason }) = response.extensions().get() {
        authority.acting("", &source.to_string()).tell(Action::TokenRefused, |event| {
            event.on(path).code(*code).with("reason", reason).with("listener", "authority")
        });
    }
    response
}

/// The address that a request came from.
#[derive(Clone, Copy)]
struct Source(Option<IpAddr>);

impl Source {
    fn of(extensions: &Extensions) -> Self {
        Self(extensions.get::<PeerAddress>().map(|address| address.0.ip()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| write!(f, "{address}"))
    }
}

impl<S: Sync> FromRequestParts<S> for Source {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// A refusal in the form of RFC 6749, section 5.2.
#[derive(Debug)]
struct OAuthError {
    status: StatusCode,
    code: &'static str,
    description: String,
    retry_after_s: Option<u64>,
}

impl OAuthError {
    fn new(status: StatusCode, code: &'static str, description: impl Into<String>) -> Self {
        Self { status, code, description: description.into(), retry_after_s: None }
    }

    fn too_many(reason: &str, retry_after_s: u64) -> Self {
        let description = format!("{reason}: try again in {retry_after_s} s");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", description);
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    fn request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    fn client(description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }
}

impl From<AuthorityError> for OAuthError {
    fn from(error: AuthorityError) -> Self {
        let (status, code) = match &error {
            AuthorityError::Refused(_) => (StatusCode::BAD_REQUEST, "invalid_scope"),
            AuthorityError::Target(_) => (StatusCode::BAD_REQUEST, "invalid_target"),
            AuthorityError::Invalid(_) | AuthorityError::Exists(_) => {
                (StatusCode::BAD_REQUEST, "invalid_request")
            }
            AuthorityError::NoClient(_) => (StatusCode::UNAUTHORIZED, "invalid_client"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(%error, "the Authority cannot answer");
        }
        Self::new(status, code, error.to_string())
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        // The audit keeps it for operators, and counts those that are alike.
        tracing::debug!(code = self.code, reason = self.description, "request refused");
        let body = json!({"error": self.code, "error_description": self.description});
        let mut response = (self.status, [(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // Operators show a token, clients a secret.
            let scheme = match self.code {
                "invalid_token" => "Bearer realm=\"stella authority\", error=\"invalid_token\"",
                _ => "Basic realm=\"stella authority\"",
            };
            response.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static(scheme));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Because { code: self.code, reason: self.description });
        response
    }
}

async fn nothing_here() -> Response {
    let said = "nothing is here: /.well-known/oauth-authorization-server says what there is";
    (StatusCode::NOT_FOUND, answer(json!({"error": "not_found", "error_description": said}))).into_response()
}

fn answer(body: Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

async fn token(
    State(port): State<Port>,
    peer: Peer,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = Form::parse(&headers, &body)?;
    let caller = callers::authenticate(&port, source, &headers, &form, peer.as_ref().map(|peer| &*peer.0))?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(other) => {
            let description = format!("grant_type={other}: client_credentials is the one that there is");
            return Err(OAuthError::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", description));
        }
        None => return Err(OAuthError::request("grant_type is missing: client_credentials")),
    }
    let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect();
    let request = TokenRequest {
        scopes: form.get("scope").map(words).unwrap_or_default(),
        audience: form.get("audience").or(form.get("resource")).map(str::to_owned),
        tenant: form.get("tenant").map(str::to_owned),
        certificate: caller.certificate,
        reason: None,
    };
    let client = port.authority.client(&caller.name)?;
    let is_ambiguous = client.tenant.is_none() && client.tenants.len() > 1 && request.tenant.is_none();
    if is_ambiguous {
        return Err(OAuthError::request(format!(
            "{} may act for several tenants: name one with tenant=<id>",
            caller.name
        )));
    }
    let too_many = |seconds| {
        OAuthError::too_many("the client asks for too many tokens, use each until it ends", seconds)
    };
    port.issues.check(&caller.name).map_err(too_many)?;
    port.issues.count(&caller.name);
    let issued =
        port.authority.acting(&caller.name, &source.to_string()).issue_short(&caller.name, &request)?;
    tracing::info!(client = caller.name, jti = issued.claims.jti, "a token was issued");
    Ok(answer(json!({
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.claims.exp - issued.claims.iat,
        "scope": issued.claims.scope,
    })))
}

/// The claims of a token of this Authority that is good now, whomever it is for and whatever it is bound to.
fn good(authority: &Authority, token: &str) -> Option<Claims> {
    let claims = crate::token::own(authority, token).ok()?;
    if has_ended(claims.exp, authority.now_s()) {
        return None;
    }
    Some(authority.standing(&claims).ok()?.unwrap_or(claims))
}

async fn introspect(
    State(port): State<Port>,
    peer: Peer,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = Form::parse(&headers, &body)?;
    let caller = callers::authenticate(&port, source, &headers, &form, peer.as_ref().map(|peer| &*peer.0))?;
    let token = form.get("token").ok_or_else(|| OAuthError::request("token is missing"))?;
    let Some(claims) = good(&port.authority, token) else {
        return Ok(answer(json!({"active": false})));
    };
    // Whoever is neither the token's client nor one that it is for learns nothing of it.
    let client = port.authority.client(&caller.name)?;
    if claims.client_id != caller.name && !client.audience.contains(&claims.aud) {
        return Ok(answer(json!({"active": false})));
    }
    let mut told = serde_json::to_value(&claims).map_err(AuthorityError::Encode)?;
    told["active"] = Value::Bool(true);
    told["token_type"] = Value::String("Bearer".into());
    Ok(answer(told))
}

async fn revoke(
    State(port): State<Port>,
    peer: Peer,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = Form::parse(&headers, &body)?;
    let caller = callers::authenticate(&port, source, &headers, &form, peer.as_ref().map(|peer| &*peer.0))?;
    let token = form.get("token").ok_or_else(|| OAuthError::request("token is missing"))?;
    // A token that is not good needs no revocation, and is answered alike.
    let signed = crate::token::own(&port.authority, token).ok();
    let is_over =
        |claims: &Claims| has_ended(claims.exp, port.authority.now_s()) || port.authority.is_revoked(claims);
    if let Some(claims) = signed.filter(|claims| !is_over(claims)) {
        if claims.client_id != caller.name {
            let description = "the token is another client's: an operator revokes it";
            return Err(OAuthError::new(StatusCode::BAD_REQUEST, "unauthorized_client", description));
        }
        port.authority.acting(&caller.name, &source.to_string()).revoke(token).await?;
        tracing::info!(client = caller.name, jti = claims.jti, "a token was revoked");
    }
    Ok(StatusCode::OK.into_response())
}

async fn jwks(State(port): State<Port>) -> Response {
    ([(CACHE_CONTROL, "public, max-age=5")], axum::Json(port.authority.jwks())).into_response()
}

async fn discovery(State(port): State<Port>) -> Response {
    let issuer = port.authority.issuer();
    let at = |path: &str| format!("{issuer}{path}");
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"];
    answer(json!({
        "issuer": issuer,
        "token_endpoint": at("/token"),
        "jwks_uri": at("/jwks"),
        "introspection_endpoint": at("/introspect"),
        "revocation_endpoint": at("/revoke"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "EdDSA"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "ES384", "EdDSA", "RS256", "PS256"],
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "tls_client_certificate_bound_access_tokens": true,
        "scopes_supported": crate::scopes::ALL,
    }))
}

impl From<Unproven> for OAuthError {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Refused(error) => {
                Self::new(StatusCode::UNAUTHORIZED, "invalid_token", error.to_string())
            }
            Unproven::TooMany(seconds) => Self::too_many(Unproven::TOO_MANY, seconds),
        }
    }
}
