//! What the three doors share of an answer: its content type, where it is written, compression and the origins
//! that browsers may ask from.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use futures::stream::{self, Stream, StreamExt};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue, StatusCode};
use model::Origins;
use query::Held;
use tower_http::compression::CompressionLayer;

use crate::bounds::{MAX_INLINE_ITEMS, MAX_UNCOUNTED_ANSWER_BYTES};
use crate::error::ApiError;
use crate::json::{Json, written};

/// The content type of JSON bodies.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The content type of plain text bodies.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A JSON body of status 200.
pub(crate) fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, JSON)], body.into()).into_response()
}

/// A plain text body, which browsers must not take for anything else.
pub(crate) fn text(status: StatusCode, body: String) -> Response {
    let no_sniff = (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    (status, [(CONTENT_TYPE, TEXT), no_sniff], body).into_response()
}

/// Runs what makes a body; a large one on a thread that may block.
///
/// # Errors
/// When the thread does not come back with a body.
pub(crate) async fn made<T: Send + 'static>(
    items: usize,
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if items <= MAX_INLINE_ITEMS {
        return Ok(make());
    }
    let made = tokio::task::spawn_blocking(make).await;
    made.map_err(|error| ApiError::Internal(format!("answer was not written: {error}")))
}

/// Writes a JSON body and answers with it.
///
/// # Errors
/// When a large body's thread does not come back.
pub(crate) async fn json_of(
    items: usize,
    write: impl FnOnce(&mut Json) + Send + 'static,
) -> Result<Response, ApiError> {
    Ok(json(made(items, move || written(write)).await?))
}

/// The same of a query's answer, which `held` counts until its reader has it.
///
/// # Errors
/// When a large body's thread does not come back.
pub(crate) async fn json_of_query(
    items: usize,
    held: Held,
    write: impl FnOnce(&mut Json) + Send + 'static,
) -> Result<Response, ApiError> {
    let body = made(items, move || written(write)).await?;
    Ok(json_until_read(vec![body], held))
}

/// The same of an answer whose pieces are written beside each other.
///
/// # Errors
/// When the thread of a large piece does not come back.
pub(crate) async fn json_of_pieces<W: FnOnce(&mut Json) + Send + 'static>(
    items: usize,
    held: Held,
    pieces: impl Iterator<Item = W>,
) -> Result<Response, ApiError> {
    // All of them are under way from here on.
    let pieces: Vec<_> = if items <= MAX_INLINE_ITEMS {
        pieces
            .map(|piece| futures::future::Either::Left(futures::future::ready(Ok(written(piece)))))
            .collect()
    } else {
        let spawn = |piece| tokio::task::spawn_blocking(move || written(piece));
        pieces.map(|piece| futures::future::Either::Right(spawn(piece))).collect()
    };
    let bodies = futures::future::try_join_all(pieces).await;
    let bodies = bodies.map_err(|error| ApiError::Internal(format!("answer was not written: {error}")))?;
    Ok(json_until_read(bodies, held))
}

/// A JSON body in pieces, counted until its reader has it.
fn json_until_read(mut pieces: Vec<Vec<u8>>, held: Held) -> Response {
    let bytes = pieces.iter().map(Vec::len).sum();
    held.written(bytes);
    if pieces.len() == 1 && bytes <= MAX_UNCOUNTED_ANSWER_BYTES {
        return json(pieces.remove(0));
    }
    // The connection asks for what comes after a piece when it has written most of it.
    let text = stream::unfold((pieces.into_iter(), held), |(mut pieces, held)| async move {
        pieces.next().map(|piece| (Ok::<_, Infallible>(piece), (pieces, held)))
    });
    json(streamed(text))
}

/// A body that is made while it is sent. Compression asks once more after its end, which a stream need not bear.
pub(crate) fn streamed<T, E>(parts: impl Stream<Item = Result<T, E>> + Send + 'static) -> Body
where
    T: Into<Bytes> + 'static,
    E: Into<BoxError> + 'static,
{
    Body::from_stream(parts.fuse())
}

/// Compresses answers as the client accepts them.
pub(crate) fn compressed(router: Router) -> Router {
    router.layer(CompressionLayer::new())
}

/// What answers to pages of allowed origins carry: Prometheus' headers, and those that name a tenant.
const FOR_PAGES: [(HeaderName, &str); 3] = [
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "Accept, Authorization, Content-Type, Origin, X-Scope-OrgID, X-StellaOps-Tenant",
    ),
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
];

/// Lets pages of the given origins read the answers.
pub(crate) fn with_origins(router: Router, origins: &Origins) -> Router {
    if origins.is_empty() {
        return router;
    }
    let origins = Arc::new(origins.clone());
    router.layer(from_fn(move |request: Request, next: Next| {
        let allowed = request.headers().get(ORIGIN).and_then(|origin| allowed(&origins, origin));
        async move {
            let mut answer = next.run(request).await;
            let headers = answer.headers_mut();
            headers.append(VARY, HeaderValue::from_static("Origin"));
            if let Some(origin) = allowed {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                FOR_PAGES.into_iter().for_each(|(name, value)| {
                    headers.insert(name, HeaderValue::from_static(value));
                });
            }
            answer
        }
    }))
}

/// What an answer says of the origin that asks.
fn allowed(origins: &Origins, origin: &HeaderValue) -> Option<HeaderValue> {
    if origins.are_all() {
        return Some(HeaderValue::from_static("*"));
    }
    let is_allowed = origin.to_str().is_ok_and(|origin| origins.allow(origin));
    is_allowed.then(|| origin.clone())
}
