//! Loki's deletions: asked for, listed, taken back.
//!
//! Source: "Loki HTTP API" 3, "Compactor". A deletion hides its lines at once; what Loki splits by `max_interval` is one
//! request here.

use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use model::audit::Action;
use model::time::NS_PER_S;
use model::{Signal, TimeRange};
use serde::Serialize;
use storage::delete::{Cancelled, DeletionRequest};
use storage::manifest::keeping::Deletion;

use super::Keeping;
use super::asked::{Asked, Failure};
use super::holds::moment;

/// What is said where a tenant's lines are not deleted on request.
const DISABLED: &str = "deletion is not available for this tenant: its deletion_mode is disabled";

/// A deletion as Loki lists it; times in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    request_id: String,
    start_time: f64,
    end_time: f64,
    query: String,
    status: &'static str,
    created_at: f64,
}

/// `POST` and `PUT /loki/api/v1/delete`.
pub(super) async fn add(State(keeping): State<Keeping>, request: Request) -> Result<StatusCode, Failure> {
    let asked = Asked::read(request).await?;
    if !asked.context.limits().logs.deletes_on_request {
        return Err(Failure::Forbidden(DISABLED.to_owned()));
    }
    let invalid = |message: &str| Failure::Invalid(message.to_owned());
    let query = asked.get("query").ok_or_else(|| invalid("query not set"))?;
    let deletion = query::parse_log_deletion(query).map_err(|error| Failure::Invalid(error.to_string()))?;
    let now_ns = keeping.clock.now().0;
    let start = asked.get("start").ok_or_else(|| invalid("start time not set"))?;
    let start_ns = parse_time(start)
        .ok_or_else(|| invalid("invalid start time: require unix seconds or RFC3339 format"))?;
    let end_ns = match asked.get("end") {
        None => now_ns,
        Some(text) => parse_time(text)
            .ok_or_else(|| invalid("invalid end time: require unix seconds or RFC3339 format"))?,
    };
    if end_ns > now_ns {
        return Err(invalid("deletes in the future are not allowed"));
    }
    if start_ns >= end_ns {
        return Err(invalid("start time can't be greater than or equal to end time"));
    }
    if let Some(text) = asked.get("max_interval") {
        let interval = duration_ns(text)
            .ok_or_else(|| invalid("invalid max_interval: valid time units are 's', 'm', 'h'"))?;
        if interval > end_ns.saturating_sub(start_ns) {
            return Err(invalid(
                "max_interval can't be greater than the interval to be deleted (end_time - start_time)",
            ));
        }
    }
    let event = asked.event(Action::DeleteRequested, query).with("signal", "logs");
    let event = event.with("start", moment(start_ns)).with("end", moment(end_ns));
    let request = DeletionRequest {
        query: query.to_owned(),
        selectors: vec![deletion.matchers],
        lines: deletion.lines,
        labels: deletion.labels,
        range: TimeRange::new(start_ns, end_ns),
        actor: asked.actor.clone(),
        cancel_period_ns: keeping.cancel_period_ns,
    };
    let made = keeping.storage.delete(&asked.context, Signal::Logs, &request).await?;
    let ids: Vec<&str> = made.iter().map(|deletion| deletion.id.as_str()).collect();
    keeping.audit.record(event.with("id", ids.join(" ")));
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /loki/api/v1/delete`.
pub(super) async fn list(
    State(keeping): State<Keeping>,
    request: Request,
) -> Result<Json<Vec<Listed>>, Failure> {
    let asked = Asked::read(request).await?;
    let deletions = keeping.storage.deletions(&asked.context, Signal::Logs).await?;
    let seconds = |ns: i64| (ns.div_euclid(NS_PER_S / 1_000)) as f64 / 1_000.0;
    let listed = |deletion: Deletion| Listed {
        start_time: seconds(deletion.start_ns),
        end_time: seconds(deletion.end_ns),
        status: if deletion.processed_ns.is_some() { "processed" } else { "received" },
        created_at: seconds(deletion.requested_ns),
        query: deletion.query,
        request_id: deletion.id,
    };
    Ok(Json(deletions.into_iter().map(listed).collect()))
}

/// `DELETE /loki/api/v1/delete`.
pub(super) async fn cancel(State(keeping): State<Keeping>, request: Request) -> Result<StatusCode, Failure> {
    let asked = Asked::read(request).await?;
    let id = asked.get("request_id").ok_or_else(|| Failure::Invalid("request_id not set".to_owned()))?;
    let is_forced = asked.get("force") == Some("true");
    match keeping.storage.cancel_deletion(&asked.context, Signal::Logs, id, is_forced).await? {
        Cancelled::Done => {
            keeping.audit.record(asked.event(Action::DeleteCancelled, id));
            Ok(StatusCode::NO_CONTENT)
        }
        Cancelled::Unknown => Err(Failure::NotFound("could not find delete request with given id".to_owned())),
        Cancelled::TooLate => Err(Failure::Invalid(
            "deletion of request past the deadline of the cancel period since its creation is not allowed, or it is \
             worked off already"
                .to_owned(),
        )),
    }
}

/// Nanoseconds of a moment: seconds, also with a fraction, longer numbers as nanoseconds, or RFC 3339.
fn parse_time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(if text.len() <= 10 { number.saturating_mul(NS_PER_S) } else { number });
    }
    if let Some(seconds) = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()) {
        return Some((seconds * 1_000.0).round() as i64 * (NS_PER_S / 1_000));
    }
    let moment: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(moment.as_nanosecond()).ok()
}

/// Nanoseconds of a duration as `24h` or `1h30m`.
fn duration_ns(text: &str) -> Option<i64> {
    let duration: crate::config::units::Duration = text.parse().ok()?;
    (duration.as_ms() > 0).then(|| duration.as_ns())
}
