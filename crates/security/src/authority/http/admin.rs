//! What operators do, over HTTP: clients, service tokens, keys. Each request brings a token with the scope
//! `authority:admin` for the audience `authority`.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Json, Path, Query, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::super::{Algorithm, Authority, AuthorityError, Changes, NewClient, TokenRequest};
use super::{ADMIN_SCOPE, Because, OAuthError, Port, Source, answer};
use crate::tls::PeerCertificate;

pub(super) fn router() -> Router<Port> {
    Router::new()
        .route("/admin/clients", get(list).post(create))
        .route("/admin/clients/{name}", get(show).patch(update).delete(delete))
        .route("/admin/clients/{name}/tokens", post(issue))
        .route("/admin/revocations", post(revoke))
        .route("/admin/tokens", post(inspect))
        .route("/admin/keys", get(keys).post(rotate))
        .route("/admin/keys/{kid}", axum::routing::delete(retire))
}

/// An operator: a request with a good token that has the scope.
struct Operator {
    name: String,
    /// The Authority, acting for the operator.
    authority: Authority,
}

impl FromRequestParts<Port> for Operator {
    type Rejection = OAuthError;

    async fn from_request_parts(parts: &mut Parts, port: &Port) -> Result<Self, OAuthError> {
        let token = bearer(&parts.headers).ok_or_else(|| {
            let said = format!("show a token with the scope {ADMIN_SCOPE}: Authorization: Bearer <token>");
            OAuthError::new(StatusCode::UNAUTHORIZED, "invalid_token", said)
        })?;
        let peer = parts.extensions.get::<Arc<PeerCertificate>>();
        let source = Source::of(&parts.extensions);
        let thumbprint = peer.map(|peer| peer.thumbprint.as_str());
        let identity = port.operators.verify(token, thumbprint, source.0)?;
        if !identity.scopes.contains(ADMIN_SCOPE) {
            let said = format!("the token does not have the scope {ADMIN_SCOPE}");
            return Err(OAuthError::new(StatusCode::FORBIDDEN, "insufficient_scope", said));
        }
        let name = identity.subject.clone();
        let authority = port.authority.acting(&name, &source.to_string());
        Ok(Self { name, authority })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Refusals of operators' requests: what they name may not be there, or be there already.
struct Refused(AuthorityError);

impl From<AuthorityError> for Refused {
    fn from(error: AuthorityError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            AuthorityError::NoClient(_) | AuthorityError::NoKey(_) => StatusCode::NOT_FOUND,
            AuthorityError::Exists(_) => StatusCode::CONFLICT,
            AuthorityError::Refused(_) | AuthorityError::Target(_) => StatusCode::FORBIDDEN,
            _ => return OAuthError::from(self.0).into_response(),
        };
        let body = json!({"error": "refused", "error_description": self.0.to_string()});
        let mut response = (status, Json(body)).into_response();
        response.extensions_mut().insert(Because { code: "refused", reason: self.0.to_string() });
        response
    }
}

/// A body, or why it is none.
fn body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Refused> {
    body.map(|Json(body)| body).map_err(|rejection| Refused(AuthorityError::Invalid(rejection.body_text())))
}

async fn list(State(port): State<Port>, _operator: Operator) -> Response {
    answer(json!(port.authority.clients()))
}

async fn create(
    operator: Operator,
    new: Result<Json<NewClient>, JsonRejection>,
) -> Result<Response, Refused> {
    let new = body(new)?;
    let name = new.name.clone();
    let secret = operator.authority.create_client(new).await?;
    tracing::info!(operator = operator.name, client = name, "an operator made a client");
    Ok((StatusCode::CREATED, answer(json!({"client_id": name, "client_secret": secret}))).into_response())
}

async fn show(
    State(port): State<Port>,
    _operator: Operator,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    Ok(answer(json!(port.authority.client(&name)?.shown(&name))))
}

async fn update(
    operator: Operator,
    Path(name): Path<String>,
    changes: Result<Json<Changes>, JsonRejection>,
) -> Result<Response, Refused> {
    let secret = operator.authority.update_client(&name, body(changes)?).await?;
    tracing::info!(operator = operator.name, client = name, "an operator changed a client");
    Ok(answer(json!({"client_id": name, "client_secret": secret})))
}

async fn delete(operator: Operator, Path(name): Path<String>) -> Result<StatusCode, Refused> {
    operator.authority.delete_client(&name).await?;
    tracing::info!(operator = operator.name, client = name, "an operator deleted a client");
    Ok(StatusCode::NO_CONTENT)
}

/// What a service token is asked for with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceToken {
    life_s: i64,
    #[serde(default)]
    scopes: Vec<String>,
    audience: Option<String>,
    tenant: Option<String>,
    certificate: Option<String>,
    reason: Option<String>,
}

async fn issue(
    operator: Operator,
    Path(name): Path<String>,
    asked: Result<Json<ServiceToken>, JsonRejection>,
) -> Result<Response, Refused> {
    let ServiceToken { life_s, scopes, audience, tenant, certificate, reason } = body(asked)?;
    let request = TokenRequest { scopes, audience, tenant, certificate, reason };
    let issued = operator.authority.issue_service(&name, &request, life_s)?;
    tracing::info!(
        operator = operator.name,
        client = name,
        jti = issued.claims.jti,
        "an operator issued a token"
    );
    Ok(answer(json!({"access_token": issued.token, "jti": issued.claims.jti})))
}

/// What is taken back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Revocation {
    /// A token, which proves when it ends.
    Token(String),
    /// The identifier of one.
    Jti(String),
}

async fn revoke(
    operator: Operator,
    asked: Result<Json<Revocation>, JsonRejection>,
) -> Result<Response, Refused> {
    let (Revocation::Token(which) | Revocation::Jti(which)) = body(asked)?;
    let jti = operator.authority.revoke(&which).await?;
    tracing::info!(operator = operator.name, jti, "an operator revoked a token");
    Ok(answer(json!({"jti": jti})))
}

/// A token to look at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inspected {
    token: String,
}

async fn inspect(
    State(port): State<Port>,
    _operator: Operator,
    asked: Result<Json<Inspected>, JsonRejection>,
) -> Result<Response, Refused> {
    Ok(answer(json!(port.authority.inspect(&body(asked)?.token)?)))
}

async fn keys(State(port): State<Port>, _operator: Operator) -> Response {
    answer(json!(port.authority.keys()))
}

/// How a key is retired.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retirement {
    /// Whether its tokens end at once.
    #[serde(default)]
    now: bool,
}

async fn retire(
    operator: Operator,
    Path(kid): Path<String>,
    asked: Result<Query<Retirement>, QueryRejection>,
) -> Result<StatusCode, Refused> {
    let Query(Retirement { now }) =
        asked.map_err(|rejection| Refused(AuthorityError::Invalid(rejection.body_text())))?;
    operator.authority.retire(&kid, now).await?;
    tracing::info!(operator = operator.name, kid, now, "an operator retired a key");
    Ok(StatusCode::NO_CONTENT)
}

/// What a new key is made for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    algorithm: Algorithm,
}

async fn rotate(
    operator: Operator,
    asked: Result<Json<Rotation>, JsonRejection>,
) -> Result<Response, Refused> {
    let kid = operator.authority.rotate(body(asked)?.algorithm).await?;
    tracing::info!(operator = operator.name, kid, "an operator made a new key");
    Ok((StatusCode::CREATED, answer(json!({"kid": kid}))).into_response())
}
