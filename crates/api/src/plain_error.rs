//! Errors in plain text: Loki's and Tempo's, and those of two routes of Prometheus.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::error::Classified;

use crate::error::{ApiError, log};
use crate::failure::{plain_status, with_retry};
use crate::reply;

/// An error on its way to a client of Loki's or Tempo's API.
pub(crate) struct PlainError(ApiError);

impl<E: Into<ApiError>> From<E> for PlainError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

fn status(error: &ApiError) -> StatusCode {
    match error {
        ApiError::Body { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        other => plain_status(other.kind()),
    }
}

/// The body of an error; that of a refusal begins with its stable code.
fn body(error: &ApiError) -> String {
    match error {
        ApiError::Refused(refusal) => format!("{}: {refusal}", refusal.code()),
        other => other.to_string(),
    }
}

impl IntoResponse for PlainError {
    fn into_response(self) -> Response {
        log(&self.0);
        with_retry(self.0.kind(), reply::text(status(&self.0), body(&self.0)))
    }
}

/// The same on its way to a client of Prometheus' plain routes, which end it with a line feed.
pub(crate) struct LineError(ApiError);

impl<E: Into<ApiError>> From<E> for LineError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for LineError {
    fn into_response(self) -> Response {
        log(&self.0);
        let line = format!("{}\n", body(&self.0).trim_end());
        with_retry(self.0.kind(), reply::text(status(&self.0), line))
    }
}

#[cfg(test)]
mod tests {
    use model::tenant::Refusal;
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
            (Refusal::TenantRequired.into(), 401, "TENANT_REQUIRED: no org id"),
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
