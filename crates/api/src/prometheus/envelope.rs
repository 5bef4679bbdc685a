//! Prometheus' envelope around every answer, and what its statuses say of errors besides their kinds.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::error::Classified;
use query::QueryError;

use crate::error::{ApiError, log};
use crate::failure::{enveloped, prometheus_status};
use crate::json::Json;

/// An error on its way to a client of Prometheus' API.
pub(crate) struct PromError(ApiError);

impl<E: Into<ApiError>> From<E> for PromError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// Writes `{"status":"success","data":…}` with the warnings and infos that there are.
pub(crate) fn write_success(
    json: &mut Json,
    warnings: &[String],
    infos: &[String],
    write_data: impl FnOnce(&mut Json),
) {
    begin_success(json);
    write_data(json);
    end_success(json, warnings, infos);
}

/// What stands before the data.
pub(crate) fn begin_success(json: &mut Json) {
    json.raw("{\"status\":\"success\",\"data\":");
}

/// What stands behind the data: the warnings and infos that there are.
pub(crate) fn end_success(json: &mut Json, warnings: &[String], infos: &[String]) {
    for (name, texts) in [(",\"warnings\":", warnings), (",\"infos\":", infos)] {
        if !texts.is_empty() {
            json.raw(name);
            json.texts(texts);
        }
    }
    json.raw("}");
}

/// The status and the `errorType` of an error.
fn classified(error: &ApiError) -> (StatusCode, &'static str) {
    if let ApiError::Query(QueryError::Execution(_)) = error {
        return (StatusCode::UNPROCESSABLE_ENTITY, "execution");
    }
    if let ApiError::Disabled(_) = error {
        return (StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    }
    if let ApiError::Body { .. } = error {
        return (StatusCode::PAYLOAD_TOO_LARGE, "bad_data");
    }
    prometheus_status(error.kind())
}

impl IntoResponse for PromError {
    fn into_response(self) -> Response {
        log(&self.0);
        let message = match &self.0 {
            ApiError::Refused(refusal) => format!("{}: {refusal}", refusal.code()),
            ApiError::Query(QueryError::Timeout { .. }) => {
                "query timed out in expression evaluation".to_owned()
            }
            other => other.to_string(),
        };
        enveloped(self.0.kind(), classified(&self.0), &message)
    }
}

#[cfg(test)]
mod tests {
    use model::tenant::Refusal;

    use super::*;
    use crate::json::written;

    #[test]
    fn answers_carry_warnings_where_there_are_some() {
        let text = |warnings: &[String], infos: &[String]| {
            String::from_utf8(written(|json| write_success(json, warnings, infos, |json| json.raw("[]"))))
                .unwrap()
        };
        assert_eq!(text(&[], &[]), r#"{"status":"success","data":[]}"#);
        assert_eq!(
            text(&["w".into()], &["i".into(), "j".into()]),
            r#"{"status":"success","data":[],"warnings":["w"],"infos":["i","j"]}"#
        );
    }

    #[test]
    fn every_kind_of_error_has_its_status() {
        let cases: [(ApiError, u16, &str); 11] = [
            (ApiError::parameter("step", "bad"), 400, "bad_data"),
            (QueryError::Parse("1:2: parse error: x".into()).into(), 400, "bad_data"),
            (QueryError::Execution("x".into()).into(), 422, "execution"),
            (QueryError::Limited("x".into()).into(), 429, "too_many_requests"),
            (QueryError::Timeout { timeout_ms: 5 }.into(), 503, "timeout"),
            (QueryError::Internal("x".into()).into(), 500, "internal"),
            (Refusal::TenantRequired.into(), 401, "unauthorized"),
            (Refusal::TenantMismatch("b".into()).into(), 403, "forbidden"),
            (ApiError::NotFound("x".into()), 404, "not_found"),
            (ApiError::Body { max_bytes: 1 }, 413, "bad_data"),
            (ApiError::Disabled("search API"), 503, "unavailable"),
        ];
        for (error, status, error_type) in cases {
            assert_eq!(classified(&error), (StatusCode::from_u16(status).unwrap(), error_type), "{error}");
        }
    }
}
