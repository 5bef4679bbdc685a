//! Errors as plain text, as Loki and Prometheus' remote write answer them.

use axum::response::{IntoResponse as _, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use model::ingest::Receipt;

use crate::bounds::MAX_NAMED_REJECTIONS;
use crate::error::CollectorError;

/// The answer to a request that was not taken.
pub(super) fn error(error: &CollectorError, status: StatusCode) -> Response {
    let mut response = (status, format!("{error}\n")).into_response();
    if let Some(seconds) = error.retry_after_s() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The answer to a request that was taken in part: 400, so that the sender does not send the rest again.
pub(super) fn rejected(receipt: &Receipt, items: usize, noun: &str) -> Response {
    let mut body = String::new();
    for rejection in receipt.rejections.iter().take(MAX_NAMED_REJECTIONS) {
        body.push_str(&format!("{noun} ignored, reason: {}: {}\n", rejection.reason, rejection.example));
    }
    let rejected = receipt.rejected();
    body.push_str(&format!("total ignored: {rejected} out of {}\n", items.max(rejected)));
    (StatusCode::BAD_REQUEST, body).into_response()
}
