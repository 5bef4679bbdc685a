//! Prometheus' admin API of its database: deleting series.
//!
//! Source: "HTTP API" of Prometheus 3, "TSDB Admin APIs".

use axum::extract::{Request, State};
use http::StatusCode;
use model::audit::Action;
use model::{Matcher, Signal, TimeRange};
use storage::delete::DeletionRequest;

use super::Keeping;
use super::asked::{Asked, Failure, PromFailure};
use super::holds::moment;

/// `POST` and `PUT /api/v1/admin/tsdb/delete_series`.
pub(super) async fn delete_series(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<StatusCode, PromFailure> {
    let asked = Asked::read(request).await?;
    let mut selectors = Vec::new();
    for text in asked.all("match[]") {
        let invalid = |reason: String| Failure::Invalid(format!("invalid parameter \"match[]\": {reason}"));
        let matchers = query::parse_metric_selector(text).map_err(|error| invalid(error.to_string()))?;
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(invalid("match[] must contain at least one non-empty matcher".to_owned()).into());
        }
        selectors.push(matchers);
    }
    if selectors.is_empty() {
        return Err(Failure::Invalid("no match[] parameter provided".to_owned()).into());
    }
    let time = |name: &str, otherwise: i64| match asked.get(name) {
        None => Ok(otherwise),
        Some(text) => api::parse_prometheus_time(text)
            .map_err(|reason| Failure::Invalid(format!("invalid parameter \"{name}\": {reason}"))),
    };
    let range = TimeRange::from_ms(time("start", i64::MIN)?, time("end", i64::MAX)?);
    let query = asked.all("match[]").collect::<Vec<_>>().join(", ");
    let event = asked.event(Action::DeleteRequested, &query).with("signal", "metrics");
    let event = event.with("start", moment(range.start_ns)).with("end", moment(range.end_ns));
    let request = DeletionRequest {
        query,
        selectors,
        lines: Vec::new(),
        labels: Vec::new(),
        range,
        actor: asked.actor.clone(),
        cancel_period_ns: 0,
    };
    keeping.storage.delete(&asked.context, Signal::Metrics, &request).await?;
    keeping.audit.record(event);
    Ok(StatusCode::NO_CONTENT)
}

/// `POST` and `PUT /api/v1/admin/tsdb/clean_tombstones`: answers when no segment has rows of deletions that may be worked
/// off. The tenant's own pass does the same soon after each deletion.
pub(super) async fn clean_tombstones(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<StatusCode, PromFailure> {
    let asked = Asked::read(request).await?;
    let rewritten = keeping.storage.erase(&asked.context).await?;
    let event = asked.event(Action::TombstonesCleaned, "metrics");
    keeping.audit.record(event.with("segments_rewritten", rewritten.to_string()));
    Ok(StatusCode::NO_CONTENT)
}

/// What Go reads as a boolean.
const BOOLEANS: [&str; 12] =
    ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"];

/// `POST` and `PUT /api/v1/admin/tsdb/snapshot`: there is nothing to be copied that could change.
pub(super) async fn snapshot(request: Request) -> Result<StatusCode, PromFailure> {
    let asked = Asked::read(request).await?;
    if let Some(text) = asked.get("skip_head").filter(|text| !BOOLEANS.contains(text)) {
        let reason = format!("unable to parse boolean: strconv.ParseBool: parsing {text:?}: invalid syntax");
        return Err(Failure::Invalid(format!("invalid parameter \"skip_head\": {reason}")).into());
    }
    let message = "snapshots are not made: segments and manifests in the object store never change, so that a copy of \
                   the store's folder or bucket is one; flush first (POST /flush)";
    Err(Failure::Invalid(message.to_owned()).into())
}
