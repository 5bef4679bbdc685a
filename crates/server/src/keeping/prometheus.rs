//! Prometheus' admin API of its database: deleting series.
//!
//! Source: "HTTP API" of Prometheus 3, "TSDB Admin APIs".

use axum::extract::{Request, State};
use http::StatusCode;
use model::audit::Action;
use model::time::NS_PER_MS;
use model::{Matcher, Signal, TimeRange};
use storage::delete::DeletionRequest;

use super::Keeping;
use super::asked::{Asked, Failure, PromFailure};
use super::holds::moment;

/// Times that stand for the beginning and the end of time.
const ALL_OF_TIME: [(&str, i64); 2] =
    [("-292273086-05-16T16:47:06Z", i64::MIN), ("292277025-08-18T07:12:54.999999999Z", i64::MAX)];

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
        Some(text) => parse_time(text)
            .map_err(|reason| Failure::Invalid(format!("invalid parameter \"{name}\": {reason}"))),
    };
    let (start_ns, end_ns) = (time("start", i64::MIN)?, time("end", i64::MAX)?);
    let query = asked.all("match[]").collect::<Vec<_>>().join(", ");
    let event = asked.event(Action::DeleteRequested, &query).with("signal", "metrics");
    let event = event.with("start", moment(start_ns)).with("end", moment(end_ns));
    let request = DeletionRequest {
        query,
        selectors,
        lines: Vec::new(),
        range: TimeRange::new(start_ns, end_ns),
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
    Asked::read(request).await?;
    keeping.storage.compact().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST` and `PUT /api/v1/admin/tsdb/snapshot`: there is nothing to be copied that could change.
pub(super) async fn snapshot(request: Request) -> Result<StatusCode, PromFailure> {
    Asked::read(request).await?;
    let message = "snapshots are not made: segments and manifests in the object store never change, so that a copy of \
                   the store's folder or bucket is one; flush first (POST /flush)";
    Err(Failure::Invalid(message.to_owned()).into())
}

/// Nanoseconds of a moment: seconds as a float, to the millisecond, or RFC 3339.
fn parse_time(text: &str) -> Result<i64, String> {
    let invalid = || format!("cannot parse {text:?} to a valid timestamp");
    if let Ok(seconds) = text.parse::<f64>() {
        if !seconds.is_finite() {
            return Err(invalid());
        }
        let fraction_ms = (seconds.fract() * 1_000.0).round() as i64;
        let ms = (seconds.trunc() as i64).saturating_mul(1_000).saturating_add(fraction_ms);
        return Ok(ms.saturating_mul(NS_PER_MS));
    }
    if let Some((_, moment)) = ALL_OF_TIME.iter().find(|(name, _)| *name == text) {
        return Ok(*moment);
    }
    let moment: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
    i64::try_from(moment.as_nanosecond()).map_err(|_| invalid())
}
