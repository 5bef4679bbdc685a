//! Loki's deletions: asked for, listed, taken back.
//!
//! Source: "Loki HTTP API" 3, "Compactor". A deletion hides its lines at once; what Loki splits by `max_interval` is one
//! request here.

use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use model::audit::Action;
use model::limits::DeletionMode;
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

/// The digits of seconds since the epoch until the year 2286, which nanoseconds do not reach.
const MAX_SECONDS_DIGITS: usize = 10;
/// Seconds that nanoseconds reach, and some fewer.
const MAX_SECONDS: f64 = 9.2e9;

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

/// A request for a tenant whose lines are deleted on request, and what becomes of them.
async fn read(request: Request) -> Result<(Asked, DeletionMode), Failure> {
    let asked = Asked::read(request).await?;
    match asked.context.limits().logs.deletions {
        DeletionMode::Disabled => Err(Failure::Forbidden(DISABLED.to_owned())),
        mode => Ok((asked, mode)),
    }
}

/// `POST` and `PUT /loki/api/v1/delete`.
pub(super) async fn add(State(keeping): State<Keeping>, request: Request) -> Result<StatusCode, Failure> {
    let (asked, mode) = read(request).await?;
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
        cancel_period_ns: match mode {
            // It is never due: a filter, which can always be taken back.
            DeletionMode::FilterOnly => i64::MAX,
            _ => keeping.cancel_period_ns,
        },
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
    let (asked, _) = read(request).await?;
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
    let (asked, _) = read(request).await?;
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

/// Nanoseconds of a moment: seconds with ten digits at most, also with a fraction, or RFC 3339. Longer numbers are those of
/// somebody who means milliseconds or nanoseconds: taken for seconds they would delete too much.
fn parse_time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return (text.len() <= MAX_SECONDS_DIGITS).then_some(seconds)?.checked_mul(NS_PER_S);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1_000.0).round();
        // Not a number is in no range.
        return (0.0..MAX_SECONDS * 1_000.0).contains(&ms).then(|| ms as i64 * (NS_PER_S / 1_000));
    }
    let moment: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(moment.as_nanosecond()).ok()
}

/// Nanoseconds of a duration as `24h` or `1h30m`.
fn duration_ns(text: &str) -> Option<i64> {
    let duration: crate::config::units::Duration = text.parse().ok()?;
    (duration.as_ms() > 0).then(|| duration.as_ns())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_or_rfc_3339_and_nothing_that_would_wrap() {
        for (text, ns) in [
            ("0", Some(0)),
            ("1795426475", Some(1_795_426_475 * NS_PER_S)),
            ("1795426475.5", Some(1_795_426_475_500 * (NS_PER_S / 1_000))),
            ("1970-01-01T00:00:01Z", Some(NS_PER_S)),
            ("9999999999", None),
            ("1795426465000", None),
            ("1795426000000.5", None),
            ("1795426465000000000", None),
            ("1e300", None),
            ("-1e300", None),
            ("nan", None),
            ("inf", None),
            ("soon", None),
        ] {
            assert_eq!(parse_time(text), ns, "{text}");
        }
    }
}
