//! `metadata`: what metrics are.

use axum::extract::{Request, State};
use axum::response::Response;
use query::MetricMetadata;

use super::Prometheus;
use super::envelope::{PromError, write_success};
use crate::error::ApiError;
use crate::json::Json;
use crate::parameters::{Asked, Parameters};
use crate::reply;

/// `GET /api/v1/metadata`.
pub(crate) async fn metadata(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let limit = number(&asked.parameters, "limit")?;
    let per_metric = number(&asked.parameters, "limit_per_metric")?;
    let mut known = door.engine.metric_metadata(&asked.context).await?;
    if let Some(name) = asked.parameters.get("metric") {
        known.retain(|metric| metric.name == name);
    }
    let response = reply::json_of(known.len(), move |json| {
        write_success(json, &[], &[], |json| write_metadata(json, &known, limit, per_metric));
    });
    Ok(response.await?)
}

/// A limit of this route: none, and below zero, mean no limit.
fn number(parameters: &Parameters, name: &'static str) -> Result<Option<usize>, ApiError> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    let limit: i64 = text.parse().map_err(|_| ApiError::Request(format!("{name} must be a number")))?;
    Ok(usize::try_from(limit).ok())
}

/// Writes an object with a list per metric; `known` is sorted by name.
fn write_metadata(
    json: &mut Json,
    known: &[MetricMetadata],
    limit: Option<usize>,
    per_metric: Option<usize>,
) {
    let metrics = known.chunk_by(|a, b| a.name == b.name).take(limit.unwrap_or(usize::MAX));
    json.raw("{");
    for (i, metric) in metrics.enumerate() {
        if i > 0 {
            json.raw(",");
        }
        json.text(&metric[0].name);
        json.raw(":");
        let shown = per_metric.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        json.list(metric.iter().take(shown), |json, one| {
            json.text_object([
                ("type", one.metric_type.as_str()),
                ("help", one.help.as_str()),
                ("unit", one.unit.as_str()),
            ]);
        });
    }
    json.raw("}");
}

#[cfg(test)]
mod tests {
    use model::metric::MetricType;

    use super::*;
    use crate::json::written;

    #[test]
    fn metrics_are_grouped_by_name() {
        let metric = |name: &str, metric_type, help: &str| MetricMetadata {
            name: name.into(),
            metric_type,
            unit: String::new(),
            help: help.into(),
        };
        let known = [
            metric("a", MetricType::Counter, "first"),
            metric("a", MetricType::Gauge, "second"),
            metric("b", MetricType::Unknown, ""),
        ];
        let text = |limit, per_metric| {
            String::from_utf8(written(|json| write_metadata(json, &known, limit, per_metric))).unwrap()
        };
        assert_eq!(
            text(None, None),
            concat!(
                r#"{"a":[{"type":"counter","help":"first","unit":""},{"type":"gauge","help":"second","unit":""}],"#,
                r#""b":[{"type":"unknown","help":"","unit":""}]}"#
            )
        );
        assert_eq!(text(Some(1), Some(1)), r#"{"a":[{"type":"counter","help":"first","unit":""}]}"#);
        assert_eq!(text(Some(0), None), "{}");
    }
}
