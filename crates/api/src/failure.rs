//! How errors are told, by their kind: the one function of each family of protocols. Prometheus has an envelope; Loki and
//! Tempo have plain text. What only one API knows (an execution that failed, say) it adds where it tells its own errors.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use model::Kind;

use crate::bounds::RETRY_AFTER_S;
use crate::json::written;
use crate::reply;

/// An error as Prometheus' API tells it: `{"status":"error","errorType":…,"error":<message>}`.
#[must_use]
pub fn prometheus(kind: Kind, message: &str) -> Response {
    enveloped(kind, prometheus_status(kind), message)
}

/// The same with a status and an `errorType` of its own.
pub(crate) fn enveloped(kind: Kind, (status, error_type): (StatusCode, &str), message: &str) -> Response {
    let body = written(|json| {
        json.text_object([("status", "error"), ("errorType", error_type), ("error", message)]);
    });
    with_retry(kind, (status, [(CONTENT_TYPE, reply::JSON)], body).into_response())
}

/// An error as Loki's and Tempo's APIs tell it: its message as plain text.
#[must_use]
pub fn plain(kind: Kind, message: String) -> Response {
    with_retry(kind, reply::text(plain_status(kind), message))
}

/// Says when to come again, where that helps.
pub(crate) fn with_retry(kind: Kind, mut response: Response) -> Response {
    if matches!(kind, Kind::Limited | Kind::Unavailable) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}

/// The status and the `errorType` of a kind of error.
pub(crate) const fn prometheus_status(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::Invalid => (StatusCode::BAD_REQUEST, "bad_data"),
        Kind::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Kind::Limited => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Kind::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
        Kind::Corrupt | Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// The status of a kind of error in Loki's and Tempo's APIs.
pub(crate) const fn plain_status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => prometheus_status(kind).0,
    }
}
