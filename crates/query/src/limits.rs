//! What a tenant's queries may ask for, and what is said to one that asks for more. Time, memory and turns are the
//! engine's (`engine.rs`, `memory.rs`, `turns.rs`).

use model::limits::QueryLimits;
use model::time::NS_PER_S;
use model::{Signal, TenantContext, TimeRange, TimestampNs};

use crate::error::QueryError;

/// The file in which the limits of a signal are raised.
const fn file(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "metrics-overrides.yaml",
        Signal::Logs => "loki-overrides.yaml",
        Signal::Traces => "tempo-overrides.yaml",
    }
}

/// A query that asks for more than it may: which limit, and who can raise it.
pub(crate) fn over(signal: Signal, key: &str, asked: &str, most: &str) -> QueryError {
    let file = file(signal);
    QueryError::Execution(format!(
        "the query is over a limit of its tenant: {key}={most}, asked for {asked}; ask for less, or have the operator \
         raise {key} in {file}"
    ))
}

/// Checks the time from the first to the last moment that is asked for.
pub(crate) fn check_length(
    signal: Signal,
    key: &str,
    most_ns: Option<i64>,
    asked: TimeRange,
) -> Result<(), QueryError> {
    let length_ns = asked.end_ns.saturating_sub(asked.start_ns);
    match most_ns {
        Some(most_ns) if length_ns > most_ns => {
            Err(over(signal, key, &seconds(length_ns), &seconds(most_ns)))
        }
        _ => Ok(()),
    }
}

/// Checks the time that selectors look back from each moment that is asked for: a range in brackets is not a way around
/// the limit. `read` is what each of them reads.
pub(crate) fn check_ranges(
    signal: Signal,
    most_ns: Option<i64>,
    asked: TimeRange,
    mut read: impl Iterator<Item = TimeRange>,
) -> Result<(), QueryError> {
    let length_ns = |range: TimeRange| range.end_ns.saturating_sub(range.start_ns);
    read.try_for_each(|range| {
        let back = TimeRange::new(0, length_ns(range).saturating_sub(length_ns(asked)));
        check_length(signal, "max_query_length", most_ns, back)
    })
}

/// The part of a range that is not further back than the tenant may look.
pub(crate) fn within_lookback(limits: &QueryLimits, now: TimestampNs, range: TimeRange) -> TimeRange {
    match limits.max_lookback_ns {
        None => range,
        Some(lookback_ns) => {
            TimeRange::new(range.start_ns.max(now.0.saturating_sub(lookback_ns)), range.end_ns)
        }
    }
}

/// The part of a range whose names are listed. A list of streams' labels is refused like a query where it asks for too long
/// a time, as Loki does; those of series and spans, for which clients name no times, are of the end of it.
pub(crate) fn listed(
    context: &TenantContext,
    signal: Signal,
    now: TimestampNs,
    asked: TimeRange,
) -> Result<TimeRange, QueryError> {
    let limits = context.limits().query(signal);
    let range = within_lookback(limits, now, asked);
    if signal == Signal::Logs {
        return check_length(signal, "max_query_length", limits.max_length_ns, range).map(|()| range);
    }
    let last_ns = range.end_ns.min(now.0);
    let first_ns = limits.max_length_ns.map_or(i64::MIN, |most_ns| last_ns.saturating_sub(most_ns));
    Ok(TimeRange::new(range.start_ns.max(first_ns), range.end_ns))
}

/// Checks how many series a query reads.
pub(crate) fn check_series(context: &TenantContext, signal: Signal, series: usize) -> Result<(), QueryError> {
    match context.limits().query(signal).max_series {
        Some(most) if series > most => {
            Err(over(signal, "max_query_series", &series.to_string(), &most.to_string()))
        }
        _ => Ok(()),
    }
}

fn seconds(ns: i64) -> String {
    format!("{}s", ns.saturating_add(NS_PER_S - 1) / NS_PER_S)
}
