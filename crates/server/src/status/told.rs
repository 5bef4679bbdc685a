//! The figures of one tenant's signal as JSON.

use model::limits::Limits;
use model::time::NS_PER_S;
use model::{Signal, TenantId};
use serde_json::{Map, Value, json};
use storage::Usage;

use super::Status;
use super::activity::Lately;
use crate::overrides::{Explained, Origin};

/// Seconds of a slot of the last hour, for rates.
const HOUR_S: u64 = 3_600;

/// A moment as text.
pub(super) fn moment(ns: i64) -> Value {
    jiff::Timestamp::from_nanosecond(ns.into()).map_or(Value::Null, |moment| moment.to_string().into())
}

fn maybe(ns: Option<i64>) -> Value {
    ns.map_or(Value::Null, moment)
}

impl Status {
    /// The figures of a tenant's signal; with `explains` also every limit and where it comes from.
    pub(super) fn tell(&self, tenant: &TenantId, signal: Signal, explains: bool) -> Value {
        let lately = self.activity.lately(tenant, signal);
        let usage = self.storage.usage(tenant, signal);
        let active = self.storage.active(tenant, signal);
        let limits = self.limits.limits(tenant);
        let explained = explains.then(|| self.explained(tenant, signal));
        let mut told = Map::new();
        told.insert("id".into(), tenant.as_str().into());
        told.insert("first_write".into(), maybe(first_write(&lately, usage.as_ref())));
        told.insert("last_write".into(), maybe(lately.last_write_ns));
        told.insert("last_query".into(), maybe(lately.last_query_ns));
        told.insert("ingest".into(), ingest(&lately));
        told.insert(active_name(signal).into(), active.into());
        told.insert("storage".into(), stored(usage.as_ref()));
        told.insert("retention".into(), retention(&limits, signal, explained.as_deref(), &self.origins.base));
        told.insert("headroom".into(), headroom(&limits, signal, &lately, active));
        if let Some(explained) = explained {
            let limits = explained.iter().map(|limit| {
                let source = source(limit, &self.origins.base, signal);
                json!({ "key": limit.key, "value": limit.value, "source": source, "about": limit.about })
            });
            told.insert("limits".into(), limits.collect());
        }
        Value::Object(told)
    }

    /// The limits of a signal that are in force.
    fn explained(&self, tenant: &TenantId, signal: Signal) -> Vec<Explained> {
        let all = self.origins.overrides.explain(tenant).into_iter();
        all.filter(|limit| limit.signal == signal.as_str()).collect()
    }
}

/// The key with which each signal's file sets how long it is kept.
const fn retention_key(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics | Signal::Logs => "retention_period",
        Signal::Traces => "compaction.block_retention",
    }
}

/// Where a limit comes from: a line of a file, `stella.yaml`, or nowhere.
fn source(limit: &Explained, base: &Limits, signal: Signal) -> String {
    let default = Limits::default();
    let is_settled = match limit.key {
        "query_timeout" => base.query(signal).timeout_ns != default.query(signal).timeout_ns,
        key if key == retention_key(signal) => base.retention.of(signal) != default.retention.of(signal),
        _ => false,
    };
    match &limit.origin {
        Origin::File { path, line } => format!("{}:{line}", path.display()),
        Origin::Default if is_settled => "stella.yaml".to_owned(),
        Origin::Default => "default".to_owned(),
    }
}

const fn active_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "active_series",
        Signal::Logs => "active_streams",
        Signal::Traces => "active_traces",
    }
}

/// The first write that is known of: one that was counted, or of what is in the store.
fn first_write(lately: &Lately, usage: Option<&Usage>) -> Option<i64> {
    let stored = usage.and_then(|usage| i64::try_from(usage.first_segment_ms?).ok()?.checked_mul(1_000_000));
    stored.into_iter().chain(lately.first_write_ns).min()
}

fn ingest(lately: &Lately) -> Value {
    let rejected = |window: usize| -> Map<String, Value> {
        let counts =
            lately.rejected.iter().map(|(reason, counts)| (reason.clone().into_owned(), counts[window]));
        counts.filter(|(_, count)| *count > 0).map(|(reason, count)| (reason, count.into())).collect()
    };
    json!({
        "items_1h": lately.items[0],
        "items_24h": lately.items[1],
        "bytes_1h": lately.bytes[0],
        "bytes_24h": lately.bytes[1],
        "rejected_1h": rejected(0),
        "rejected_24h": rejected(1),
    })
}

fn stored(usage: Option<&Usage>) -> Value {
    json!({
        "bytes": usage.map_or(0, |usage| usage.stored_bytes),
        "segments": usage.map_or(0, |usage| usage.segments),
        "memory_bytes": usage.map_or(0, |usage| usage.head_bytes),
        "oldest": maybe(usage.and_then(|usage| usage.time).map(|time| time.start_ns)),
        "newest": maybe(usage.and_then(|usage| usage.time).map(|time| time.end_ns)),
    })
}

fn retention(limits: &Limits, signal: Signal, explained: Option<&[Explained]>, base: &Limits) -> Value {
    let limit = explained.and_then(|all| all.iter().find(|limit| limit.key == retention_key(signal)));
    let mut told = json!({ "period_s": limits.retention.of(signal).map(|ns| ns / NS_PER_S) });
    if let Some(limit) = limit {
        told["period"] = limit.value.clone().into();
        told["source"] = source(limit, base, signal).into();
    }
    told
}

/// How much of a limit is used: nothing where there is no limit.
fn used(limit: Option<u64>, used: u64) -> Value {
    match limit {
        Some(limit) => json!({ "limit": limit, "used": used, "left": limit.saturating_sub(used) }),
        None => json!({ "limit": null, "used": used, "left": null }),
    }
}

fn headroom(limits: &Limits, signal: Signal, lately: &Lately, active: u64) -> Value {
    let intake = limits.intake(signal);
    // Samples are counted by number, lines and spans by bytes; the mean of the hour.
    let (name, sent) = match signal {
        Signal::Metrics => ("items_per_s", lately.items[0]),
        Signal::Logs | Signal::Traces => ("bytes_per_s", lately.bytes[0]),
    };
    json!({ name: used(intake.rate_per_s, sent / HOUR_S), active_name(signal): used(intake.max_active, active) })
}
