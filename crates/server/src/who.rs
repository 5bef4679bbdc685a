//! Who may do what, as the configuration says it: the Authority on the store, the issuers and certificates that are
//! known, and the gateway that all doors share.

use std::sync::Arc;

use anyhow::Context;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use model::audit::Audit;
use model::error::Classified;
use model::limits::LimitsSource;
use model::tenant::{Access, Refusal};
use model::{Clock, Kind};
use rand::Rng;
use security::authority::{Authority, Parts};
use security::gateway::Gateway;
use security::identity::Identities;
use security::scopes;
use security::token::Verifier;
use security::token::external::ExternalIssuer;
use storage::{Store, StoreParts};

use crate::config::Config;
use crate::environment;

/// The folder of this node's signing keys, in the data folder.
const KEYS: &str = "authority";

/// Opens the store of a configuration.
pub(crate) fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Store> {
    let parts = StoreParts {
        clock: Arc::clone(clock),
        seed: rand::rng().random(),
        environment: environment::variables(),
    };
    Store::open(&config.store(), &parts).context("cannot open the store")
}

/// Reads the Authority's document from the store.
pub(crate) async fn open_authority(
    config: &Config,
    store: &Store,
    clock: Arc<dyn Clock>,
    audit: Audit,
) -> anyhow::Result<Authority> {
    let parts = Parts {
        objects: store.objects(),
        keys: config.data_dir.join(KEYS),
        clock,
        seed: rand::rng().random(),
        audit,
    };
    Ok(Authority::open(parts).await?)
}

/// Makes the gateway, and the issuers whose keys it looks at.
pub(crate) fn gateway(
    config: &Config,
    authority: &Authority,
    limits: Arc<dyn LimitsSource>,
    clock: Arc<dyn Clock>,
    audit: Audit,
) -> anyhow::Result<(Gateway, Vec<Arc<ExternalIssuer>>)> {
    let settings = config.identity.issuers.iter().cloned();
    let opened = settings.map(|settings| ExternalIssuer::open(settings, Arc::clone(&clock)));
    let issuers: Vec<_> = opened.map(|issuer| issuer.map(Arc::new)).collect::<Result<_, _>>()?;
    let audience = config.identity.audience.iter().cloned();
    let verifier = Verifier::new(authority.clone(), issuers.clone(), audience, clock);
    // Without certificates only this machine is served, and it is believed.
    let believes = config.tls.is_none();
    let identities = Identities::new(verifier, config.identity.certificates.clone(), believes)
        .map_err(|reason| anyhow::anyhow!("identity.certificates: {reason}"))?;
    Ok((Gateway::new(identities, config.default_tenant()?, limits, audit), issuers))
}

/// Answers requests that concern no tenant and that the caller may not make. All others are refused by their handlers,
/// each in its protocol's shape, when they ask for a tenant.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let refusal = request.extensions().get::<Access>().and_then(|access| access.refusal().cloned());
    let mut response = match refusal {
        Some(refusal) if scopes::concerns_no_tenant(request.uri().path()) => {
            refused(request.uri().path(), &refusal)
        }
        _ => next.run(request).await,
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        // What to show instead (RFC 9110, section 15.5.2).
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stella\""));
    }
    response
}

/// A refusal of a request that no protocol's handler answers.
pub(crate) fn refused(path: &str, refusal: &Refusal) -> Response {
    let (status, kind) = match refusal.kind() {
        Kind::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Kind::Limited => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
        _ => (StatusCode::FORBIDDEN, "forbidden"),
    };
    let text = format!("{}: {refusal}", refusal.code());
    if path.starts_with("/api/v1/") {
        let body = serde_json::json!({"status": "error", "errorType": kind, "error": text});
        return (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    }
    (status, text).into_response()
}
