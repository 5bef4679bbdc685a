//! `query_exemplars`: the single measurements that a query's series keep.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::TimeRange;
use query::SeriesExemplars;

use super::Prometheus;
use super::envelope::{PromError, write_success};
use super::params::time;
use crate::error::ApiError;
use crate::json::Json;
use crate::parameters::Asked;
use crate::reply;

/// `GET` and `POST /api/v1/query_exemplars`.
pub(crate) async fn exemplars(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let start_ms = time(&asked.parameters, "start")?.unwrap_or(i64::MIN);
    let end_ms = time(&asked.parameters, "end")?.unwrap_or(i64::MAX);
    if end_ms < start_ms {
        return Err(ApiError::Request("end timestamp must not be before start timestamp".into()).into());
    }
    let range = TimeRange::from_ms(start_ms, end_ms);
    let query = asked.parameters.get("query").unwrap_or_default();
    let expr = query::parse_promql(query, door.engine.features());
    let expr = expr.map_err(|error| ApiError::Request(error.to_string()))?;
    if expr.selectors().is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let found = door.engine.exemplars(&asked.context, query, range).await?;
    let count = found.iter().map(|series| series.exemplars.len()).sum();
    let response = reply::json_of(count, move |json| {
        write_success(json, &[], &[], |json| json.list(&found, write_series));
    });
    Ok(response.await?)
}

fn write_series(json: &mut Json, series: &SeriesExemplars) {
    json.raw("{\"seriesLabels\":");
    json.labels(&series.labels);
    json.raw(",\"exemplars\":");
    json.list(&series.exemplars, |json, exemplar| {
        json.raw("{\"labels\":");
        json.labels(&exemplar.labels);
        json.raw(",\"value\":");
        json.float_with_exponent(exemplar.value);
        json.raw(",\"timestamp\":");
        json.seconds(exemplar.timestamp_ms);
        json.raw("}");
    });
    json.raw("}");
}
