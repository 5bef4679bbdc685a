//! What a read starts from: manifest and heads of one moment, without what has expired.

use std::sync::Arc;
use std::time::Duration;

use model::{Signal, TenantContext, TenantId, TimeRange};

use crate::bounds::{
    READ_BATCH_BYTES, READ_BATCHES_BYTES, REFRESH_MS, REFRESH_PART_OF_GRACE, REFRESH_WAIT_MS,
    SHARED_REFRESH_MS,
};
use crate::error::StorageError;
use crate::head::HeadView;
use crate::hidden::{Hidden, KeepingCache};
use crate::manifest::Manifest;
use crate::partition::Partition;
use crate::read::memory::{Bounded, ReadMemory};
use crate::read::{LogsSnapshot, MetricsSnapshot, Source, TracesSnapshot};
use crate::storage::{Engine, Storage};

impl Storage {
    /// A consistent view of a tenant's metrics.
    ///
    /// # Errors
    /// When the snapshot cannot be made.
    pub async fn metrics(
        &self,
        ctx: &TenantContext,
        range: TimeRange,
    ) -> Result<MetricsSnapshot, StorageError> {
        let (source, range) = self.source(ctx, Signal::Metrics, range).await?;
        Ok(MetricsSnapshot::new(source, range))
    }

    /// A consistent view of a tenant's logs.
    ///
    /// # Errors
    /// When the snapshot cannot be made.
    pub async fn logs(&self, ctx: &TenantContext, range: TimeRange) -> Result<LogsSnapshot, StorageError> {
        let (source, range) = self.source(ctx, Signal::Logs, range).await?;
        Ok(LogsSnapshot::new(source, range))
    }

    /// A consistent view of a tenant's traces.
    ///
    /// # Errors
    /// When the snapshot cannot be made.
    pub async fn traces(
        &self,
        ctx: &TenantContext,
        range: TimeRange,
    ) -> Result<TracesSnapshot, StorageError> {
        let (source, range) = self.source(ctx, Signal::Traces, range).await?;
        Ok(TracesSnapshot::new(source, range))
    }

    /// The same engine; what is read of it takes memory of this.
    #[must_use]
    pub fn bounded_by(&self, memory: Arc<dyn ReadMemory>) -> Self {
        let mut bounded = self.clone();
        bounded.reads = Bounded::by(memory);
        bounded
    }

    /// Manifest and heads of one moment, and the range without what has expired.
    async fn source(
        &self,
        ctx: &TenantContext,
        signal: Signal,
        range: TimeRange,
    ) -> Result<(Source, TimeRange), StorageError> {
        let engine = &self.engine;
        let tenant = ctx.tenant().clone();
        let mut source = match engine.tenants.get(&tenant, signal) {
            Some(partition) => {
                engine.refresh(&partition).await;
                // Before the manifest is taken, which is then as new as this or newer.
                let confirmed_ns = partition.confirmed_ns();
                let state = partition.state();
                let hidden = engine.hidden_from_reads(&partition, &state.manifest)?;
                engine.read_from(
                    (tenant.clone(), signal),
                    Arc::clone(&state.manifest),
                    confirmed_ns,
                    state.head_views(),
                    hidden,
                )
            }
            None => {
                let none = Arc::new(Manifest::empty(&tenant, signal));
                let keeping = KeepingCache::default().get(&none, engine.policy(&tenant, signal, &none))?;
                let hidden = Hidden::of_reads(signal, keeping, engine.clock().now().0);
                let now_ns = engine.clock().monotonic_ns();
                engine.read_from((tenant.clone(), signal), none, now_ns, Vec::new(), hidden)
            }
        };
        let range = TimeRange::new(source.hidden.floor_ns().max(range.start_ns), range.end_ns);
        source.memory = self.reads.clone();
        let segments = source.segments(range).count().max(1);
        source.batch_bytes = (READ_BATCHES_BYTES / segments).min(READ_BATCH_BYTES);
        Ok((source, range))
    }
}

impl Engine {
    /// Takes up the newest manifest, also where this node would not need it for anything else.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn catch_up(&self, partition: &Partition) -> Result<Arc<Manifest>, StorageError> {
        let asked_ns = self.clock().monotonic_ns();
        let newest = partition.manifests.catch_up(partition.manifest()).await?;
        partition.confirm(newest, asked_ns);
        Ok(partition.manifest())
    }

    /// Takes up what other nodes have committed, when nobody has asked for a while: what they have merged or removed is
    /// swept after a grace, and a read must not begin with it shortly before. Without an answer the read goes on with what
    /// is known.
    pub(crate) async fn refresh(&self, partition: &Partition) {
        let grace_ms = self.settings.retention.sweep_grace_ms;
        let most_ms = if partition.manifest().is_of_one(&self.node) { REFRESH_MS } else { SHARED_REFRESH_MS };
        let every_ms = most_ms.min(grace_ms / REFRESH_PART_OF_GRACE);
        // What was confirmed too long ago lasts for no read: then one asks again also soon after there was no answer.
        let is_fresh = || {
            self.age_ms(partition.asked_ns()) <= every_ms
                && self.age_ms(partition.confirmed_ns()) <= grace_ms / 2
        };
        if is_fresh() {
            return;
        }
        let asking = async {
            let Ok(_one) = partition.asking.acquire().await else { return };
            if is_fresh() {
                return;
            }
            let asked_ns = self.clock().monotonic_ns();
            let current = partition.manifest();
            let newest = if self.age_ms(partition.confirmed_ns()) < grace_ms {
                partition.manifests.next(current).await
            } else {
                partition.manifests.catch_up(current).await
            };
            match newest {
                Ok(newest) => partition.confirm(newest, asked_ns),
                Err(error) => tracing::debug!(%error, "whether there is a newer manifest is not known"),
            }
        };
        tokio::select! {
            biased;
            () = asking => {}
            () = self.runtime().sleep(Duration::from_millis(REFRESH_WAIT_MS)) => {}
        }
        partition.asked(self.clock().monotonic_ns());
    }

    /// What reads use of a manifest's segments, which was the newest at a monotonic time, and of heads.
    pub(crate) fn read_from(
        &self,
        (tenant, signal): (TenantId, Signal),
        manifest: Arc<Manifest>,
        confirmed_ns: u64,
        heads: Vec<HeadView>,
        hidden: Hidden,
    ) -> Source {
        Source {
            tenant,
            signal,
            hidden: Arc::new(hidden),
            heads_cleared: manifest.cut_at(&self.node),
            manifest,
            confirmed_ns,
            grace_ms: self.settings.retention.sweep_grace_ms,
            clock: Arc::clone(&self.components.clock),
            heads,
            store: Arc::clone(&self.components.store),
            suspects: Arc::clone(&self.suspects),
            cache: Arc::clone(&self.cache),
            metrics: Arc::clone(&self.metrics),
            runtime: Arc::clone(&self.components.runtime),
            earlier_log: Arc::clone(&self.earlier_log),
            memory: Bounded::default(),
            batch_bytes: READ_BATCH_BYTES,
        }
    }
}
