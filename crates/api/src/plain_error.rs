//! Loki's and Tempo's errors: plain text, and the one place where errors become their statuses.

use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use model::Kind;
use model::error::Classified;
use model::tenant::Refusal;

use crate::bounds::RETRY_AFTER_S;
use crate::error::{ApiError, log};
use crate::reply;

/// An error on its way to a client of Loki's or Tempo's API.
pub(crate) struct PlainError(ApiError);

impl<E: Into<ApiError>> From<E> for PlainError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

fn status(error: &ApiError) -> StatusCode {
    if let ApiError::Body { .. } = error {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    match error.kind() {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Limited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Corrupt | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The body of an error. A missing tenant has Loki's and Tempo's own text, with the line feed that they send; every
/// other refusal begins with its stable code.
fn body(error: &ApiError) -> String {
    match error {
        ApiError::Refused(Refusal::TenantRequired) => format!("{}\n", Refusal::TenantRequired),
        ApiError::Refused(refusal) => format!("{}: {refusal}", refusal.code()),
        other => other.to_string(),
    }
}

impl IntoResponse for PlainError {
    fn into_response(self) -> Response {
        log(&self.0);
        let mut response = reply::text(status(&self.0), body(&self.0));
        if matches!(self.0.kind(), Kind::Limited | Kind::Unavailable) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use query::QueryError;

    use super::*;

    #[test]
    fn errors_are_plain_text_with_a_status() {
        let cases: [(ApiError, u16, &str); 7] = [
            (
                QueryError::Parse("parse error at line 1, col 2".into()).into(),
                400,
                "parse error at line 1, col 2",
            ),
            (QueryError::Execution("x".into()).into(), 400, "x"),
            (QueryError::Limited("y".into()).into(), 429, "y"),
            (QueryError::Internal("z".into()).into(), 500, "query failed: z"),
            (Refusal::TenantRequired.into(), 401, "no org id\n"),
            (
                Refusal::TenantMismatch("b".into()).into(),
                403,
                "ERR_TENANT_MISMATCH: tenant mismatch: tenant=b is not one that the caller may act for",
            ),
            (
                ApiError::Body { max_bytes: 9 },
                413,
                "request body is larger than allowed or incomplete: max_bytes=9",
            ),
        ];
        for (error, expected_status, expected_body) in cases {
            assert_eq!(status(&error).as_u16(), expected_status, "{error}");
            assert_eq!(body(&error), expected_body);
        }
        assert_eq!(status(&QueryError::Timeout { timeout_ms: 1 }.into()).as_u16(), 504);
    }
}
