//! Who may do what, as the configuration says it: the Authority on the store, the issuers and certificates that are
//! known, and the gateway that all doors share.

use std::sync::Arc;

use anyhow::Context;
use api::failure;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use model::Clock;
use model::audit::Audit;
use model::error::Classified;
use model::limits::LimitsSource;
use model::tenant::{Access, Refusal};
use rand::Rng;
use security::authority::{Authority, Parts};
use security::gateway::{Believed, Gateway};
use security::host::Hosts;
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
    let gateway = Gateway::new(identities, config.default_tenant()?, limits, audit);
    let names = || std::iter::once(environment::hostname()).chain(config.listen.hosts.iter().cloned());
    let believed = Believed {
        origins: config.origins()?,
        hosts: believes.then(|| Hosts::new(names())),
        allow_scope_header: config.identity.allow_scope_header,
    };
    Ok((gateway.believing(believed), issuers))
}

/// Answers requests that the caller may not make. Those that concern a tenant are refused by their handlers, each in its
/// protocol's shape, when they ask for it; what a handler answered without asking is not given out.
///
/// What a browser asks before it asks has no credentials, and its answer nothing but which origins may ask.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS && request.uri().path().starts_with("/api/v1/") {
        return next.run(request).await;
    }
    let refusal = request.extensions().get::<Access>().and_then(|access| access.refusal().cloned());
    let mut answer = match refusal {
        Some(refusal) => refusing(request, next, &refusal).await,
        None => next.run(request).await,
    };
    if answer.status() == StatusCode::UNAUTHORIZED {
        // What to show instead (RFC 9110, section 15.5.2).
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stella\""));
    }
    answer
}

async fn refusing(request: Request, next: Next, refusal: &Refusal) -> Response {
    let path = request.uri().path().to_owned();
    if scopes::concerns_no_tenant(&path) {
        return refused(&path, refusal);
    }
    let answer = next.run(request).await;
    let content_type = answer.headers().get(CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let is_refused = [401, 403, 429].contains(&answer.status().as_u16());
    if is_grpc || is_refused { answer } else { refused(&path, refusal) }
}

/// A refusal of a request that no protocol's handler answers.
pub(crate) fn refused(path: &str, refusal: &Refusal) -> Response {
    let text = format!("{}: {refusal}", refusal.code());
    if path.starts_with("/api/v1/") {
        failure::prometheus(refusal.kind(), &text)
    } else {
        failure::plain(refusal.kind(), text)
    }
}
