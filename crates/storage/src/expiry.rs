//! What goes when, and why: the plan of retention as the manifests have it now. Nothing is changed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Signal, TenantContext, TenantId};

use crate::error::StorageError;
use crate::manifest::Manifest;
use crate::manifest::keeping::{Deletion, Hold, NextPolicy, Policy};
use crate::storage::Storage;

/// What goes of a tenant's signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalExpiry {
    /// The signal.
    pub signal: Signal,
    /// How long rows are kept now.
    pub policy: Policy,
    /// What keeps less and acts later.
    pub next: Option<NextPolicy>,
    /// What may not go.
    pub holds: Vec<Hold>,
    /// Deletions that are not worked off.
    pub deletions: Vec<Deletion>,
    /// The segments, by the UTC day of their data.
    pub days: Vec<DayExpiry>,
    /// Bytes of heads, which are in no segment yet.
    pub head_bytes: usize,
}

/// The segments of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayExpiry {
    /// `yyyy-mm-dd`.
    pub day: String,
    /// How many there are.
    pub segments: usize,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first moment of the data.
    pub start_ns: i64,
    /// The last moment of the data.
    pub end_ns: i64,
    /// When the last of it goes; none for never.
    pub goes_ns: Option<i64>,
    /// The hold that keeps some of it beyond that.
    pub held_by: Option<String>,
}

impl Storage {
    /// What goes when of a tenant, a signal each.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn expiry(&self, ctx: &TenantContext) -> Result<Vec<SignalExpiry>, StorageError> {
        let engine = &self.engine;
        let mut all = Vec::new();
        for signal in Signal::ALL {
            let partition = engine.tenants.get(ctx.tenant(), signal);
            let manifest = match &partition {
                Some(partition) => engine.catch_up(partition).await?,
                None => Arc::new(Manifest::empty(ctx.tenant(), signal)),
            };
            let policy = engine.policy(ctx.tenant(), signal, &manifest);
            let now_ns = engine.clock().now().0;
            let active = manifest.holds.iter().filter(|hold| hold.is_active(now_ns));
            let holds: Vec<Hold> = active.cloned().collect();
            let mut days: BTreeMap<&str, DayExpiry> = BTreeMap::new();
            for segment in &manifest.segments {
                let day = days.entry(&segment.day).or_insert_with(|| DayExpiry {
                    day: segment.day.clone(),
                    segments: 0,
                    rows: 0,
                    bytes: 0,
                    start_ns: i64::MAX,
                    end_ns: i64::MIN,
                    goes_ns: None,
                    held_by: None,
                });
                day.segments += 1;
                day.rows += segment.rows;
                day.bytes += segment.bytes();
                day.start_ns = day.start_ns.min(segment.start_ns);
                day.end_ns = day.end_ns.max(segment.end_ns);
                day.goes_ns = policy.longest_ns().map(|kept_ns| day.end_ns.saturating_add(kept_ns));
                let held = holds.iter().find(|hold| hold.range().overlaps(segment.range()));
                day.held_by = day.held_by.take().or_else(|| held.map(|hold| hold.id.clone()));
            }
            let waiting = manifest.deletions.iter().filter(|deletion| deletion.processed_ns.is_none());
            let said = engine.said_policy(ctx.tenant(), signal);
            let next = manifest.retention.as_ref().and_then(|retained| retained.next.clone());
            all.push(SignalExpiry {
                signal,
                next: next.filter(|next| next.policy == said && next.policy != policy),
                policy,
                deletions: waiting.cloned().collect(),
                days: days.into_values().collect(),
                head_bytes: partition.map_or(0, |partition| partition.unflushed_bytes()),
                holds,
            });
        }
        Ok(all)
    }

    /// The tenants that this server knows.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> =
            self.engine.tenants.all().into_iter().map(|partition| partition.id.tenant.clone()).collect();
        tenants.dedup();
        tenants
    }
}
