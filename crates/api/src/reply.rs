//! What the three doors share of an answer: its content type, where it is written, compression and the origins
//! that browsers may ask from.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use futures::stream::{self, Stream, StreamExt};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, ORIGIN};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use query::Held;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

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

/// Lets pages of the given origins read the answers: `*` stands for every origin, no origin for none.
pub(crate) fn with_origins(router: Router, origins: &[String]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::mirror_request()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let tenant_headers =
        [HeaderName::from_static("x-scope-orgid"), HeaderName::from_static("x-stellaops-tenant")];
    let headers = [ACCEPT, AUTHORIZATION, CONTENT_TYPE, ORIGIN].into_iter().chain(tenant_headers);
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers(headers.collect::<Vec<_>>())
        .expose_headers([DATE]);
    router.layer(cors)
}
