//! Heads become segments: a full or old head is frozen, written as Parquet, uploaded and committed. Until the commit it
//! stays readable and in the log, so that a failure at any step loses nothing.

pub(crate) mod days;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt, stream};

use model::TenantId;

use crate::bounds::FLUSH_CONCURRENCY;
use crate::building::Pace;
use crate::error::StorageError;
use crate::head::Origin;
use crate::manifest::commit::Change;
use crate::manifest::keeping::Retained;
use crate::manifest::{EarlierLog, Manifest, SegmentMeta, WalPosition};
use crate::metrics::BySignal;
use crate::partition::{Frozen, Partition};
use crate::retry::retried;
use crate::runtime::blocking;
use crate::storage::Engine;
use days::days;

impl Engine {
    /// Flushes what is full, old, or left from a failed flush; when all heads together are near their bound, also the
    /// largest ones.
    pub(crate) async fn flush_due(&self) {
        let settings = &self.settings.flush;
        let mut due = Vec::new();
        let mut others = Vec::new();
        let mut unflushed_bytes = 0;
        for partition in self.tenants.all() {
            let (bytes, since_ns) = partition.active();
            unflushed_bytes += partition.unflushed_bytes();
            let is_old = since_ns.is_some_and(|since_ns| self.age_ms(since_ns) >= settings.max_head_age_ms);
            let is_left = partition.oldest_frozen().is_some() || self.is_position_due(&partition);
            if bytes >= settings.max_head_bytes || is_old || is_left {
                due.push(partition);
            } else if since_ns.is_some() {
                others.push((bytes, partition));
            }
        }
        // At three quarters there is still room for what arrives while heads are written.
        let target = settings.max_total_head_bytes / 4 * 3;
        let mut excess = unflushed_bytes.saturating_sub(target);
        others.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, partition) in others {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            due.push(partition);
        }
        // Every failure was logged where it happened; the next tick tries again.
        let _logged = self.flush_partitions(due).await;
    }

    /// Flushes every head.
    pub(crate) async fn flush_all(&self) -> Result<(), StorageError> {
        self.flush_partitions(self.tenants.all()).await
    }

    /// The same of some tenants only.
    pub(crate) async fn flush_of(&self, is_meant: impl Fn(&TenantId) -> bool) -> Result<(), StorageError> {
        let mut partitions = self.tenants.all();
        partitions.retain(|partition| is_meant(&partition.id.tenant));
        self.flush_partitions(partitions).await
    }

    async fn flush_partitions(&self, partitions: Vec<Arc<Partition>>) -> Result<(), StorageError> {
        let mut results = stream::iter(partitions)
            .map(|partition| async move {
                let result = self.flush_partition(&partition).await;
                self.report_flush(&partition, &result);
                result
            })
            .buffer_unordered(FLUSH_CONCURRENCY);
        let mut first = Ok(());
        while let Some(result) = results.next().await {
            first = first.and(result);
        }
        drop(results);
        if let Err(error) = self.trim().await {
            tracing::warn!(%error, "a log file that is no longer needed stays until the next flush");
        }
        first
    }

    /// Counts a failure, and says once that there are some.
    fn report_flush(&self, partition: &Partition, result: &Result<(), StorageError>) {
        let id = &partition.id;
        let was_failing = partition.is_flush_failing.swap(result.is_err(), Ordering::Relaxed);
        let Err(error) = result else {
            if was_failing {
                tracing::info!(tenant = %id.tenant, signal = %id.signal, "heads can be flushed again");
            }
            return;
        };
        self.metrics.flush_failures.get_or_create(&BySignal::new(id.signal)).inc();
        if was_failing {
            tracing::debug!(tenant = %id.tenant, signal = %id.signal, %error, "a head cannot be flushed still");
        } else {
            tracing::error!(
                tenant = %id.tenant, signal = %id.signal, %error,
                "a head cannot be flushed: it stays in memory and in the log, and is tried again"
            );
        }
    }

    async fn flush_partition(&self, partition: &Arc<Partition>) -> Result<(), StorageError> {
        let (_, since_ns) = partition.active();
        if since_ns.is_none() && partition.oldest_frozen().is_none() && !self.is_position_due(partition) {
            return Ok(());
        }
        let _turn = partition.turn().await?;
        let freeze = || partition.freeze(&self.node, || self.wal.tail(), || self.replay.position());
        let mut is_frozen = freeze();
        loop {
            self.flush_all_frozen(partition).await?;
            if is_frozen {
                return Ok(());
            }
            is_frozen = freeze();
        }
    }

    /// Flushes the heads that take no more rows. The caller has the turn.
    pub(crate) async fn flush_all_frozen(&self, partition: &Arc<Partition>) -> Result<(), StorageError> {
        while let Some(frozen) = partition.oldest_frozen() {
            self.flush_frozen(partition, &frozen).await?;
        }
        Ok(())
    }

    /// Whether the manifest should say that all of the log's rows are in segments: while the replay ran it could not.
    fn is_position_due(&self, partition: &Partition) -> bool {
        self.replay.position().is_none() && partition.is_behind(&self.node)
    }

    async fn flush_frozen(
        &self,
        partition: &Arc<Partition>,
        frozen: &Arc<Frozen>,
    ) -> Result<(), StorageError> {
        let start_ns = self.clock().monotonic_ns();
        // Two flushes at a time and the merges of segments, which take half of it, never wait for each other.
        let _room = self.merges.take(frozen.bytes().min(self.settings.memory.merge_bytes / 4)).await?;
        let view = frozen.head.view();
        let of_days = view.clone();
        let days = blocking(self.runtime(), move || days(&of_days)).await??;
        let mut built = Vec::with_capacity(days.len());
        for day in &days {
            let attempt = || async {
                let build = day.build(&view);
                let built = self.build_segment(partition, &day.name, 0, build, Pace::First).await;
                built.map_err(|failure| failure.error)
            };
            built.push(retried(self.runtime(), self.settings.store.retry_backoff_ms, attempt).await?);
        }
        let after = frozen.awaits_older.then(|| EarlierLog::clone(&self.earlier_log));
        let metas = built.iter().filter_map(|built| built.meta.clone());
        let metas: Vec<_> = metas.map(|meta| SegmentMeta { after: after.clone(), ..meta }).collect();
        let transaction = self.ids.next(self.clock());
        let replayed = (frozen.head.origin() == Origin::Replay).then_some(&*self.earlier_log);
        let id = &partition.id;
        let said = self.said_policy(&id.tenant, id.signal);
        let apply = |manifest: &mut Manifest| {
            let change = add(manifest, &metas, replayed, &self.node, frozen.flushed_to);
            if change == Change::Changed {
                let said = || Retained { policy: said.clone(), next: None };
                manifest.retention.get_or_insert_with(said);
            }
            change
        };
        let commit = || async {
            built.iter().try_for_each(|built| built.in_time(self))?;
            partition.manifests.commit(partition.manifest(), &transaction, &apply).await
        };
        let manifest = retried(self.runtime(), self.settings.store.retry_backoff_ms, commit)
            .await
            .inspect_err(|_| {
                // The segments are there, and the next try uploads others.
                partition.is_sweep_due.store(true, Ordering::Relaxed);
            })?;
        partition.committed(manifest, Some(frozen));
        self.count(partition, &metas, start_ns);
        Ok(())
    }

    fn count(&self, partition: &Partition, metas: &[SegmentMeta], start_ns: u64) {
        let labels = BySignal::new(partition.id.signal);
        let metrics = &self.metrics;
        metrics.flushes.get_or_create(&labels).inc();
        metrics.flush_rows.get_or_create(&labels).inc_by(metas.iter().map(|meta| meta.rows).sum());
        metrics.flush_bytes.get_or_create(&labels).inc_by(metas.iter().map(SegmentMeta::bytes).sum());
        let elapsed = Duration::from_nanos(self.clock().monotonic_ns().saturating_sub(start_ns));
        metrics.flush_seconds.observe(elapsed.as_secs_f64());
    }
}

/// Adds segments to a manifest and moves the node's position on. Where they were replayed they go before those that
/// writers have filled since.
fn add(
    manifest: &mut Manifest,
    metas: &[SegmentMeta],
    replayed: Option<&EarlierLog>,
    node: &str,
    flushed_to: WalPosition,
) -> Change {
    let is_named = |meta: &&SegmentMeta| manifest.segments.iter().any(|segment| segment.id == meta.id);
    let cleared = manifest.cut_at(node);
    let missing = metas.iter().filter(|meta| !is_named(meta));
    let missing: Vec<SegmentMeta> = missing.map(|meta| SegmentMeta { cleared, ..meta.clone() }).collect();
    if missing.is_empty() && manifest.flushed_to(node) >= flushed_to {
        return Change::Nothing;
    }
    let is_younger = |segment: &SegmentMeta| replayed.is_some() && segment.after.as_ref() == replayed;
    let place = manifest.segments.iter().position(is_younger).unwrap_or(manifest.segments.len());
    manifest.segments.splice(place..place, missing);
    let position = manifest.flushed.entry(node.to_owned()).or_default();
    *position = flushed_to.max(*position);
    Change::Changed
}
