//! What a read starts from: manifest and heads of one moment, without what has expired.

use std::sync::Arc;

use model::{Signal, TenantContext, TenantId, TimeRange};

use crate::error::StorageError;
use crate::head::HeadView;
use crate::manifest::Manifest;
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
        let (source, range) = self.source(ctx, Signal::Metrics, range);
        Ok(MetricsSnapshot::new(source, range))
    }

    /// A consistent view of a tenant's logs.
    ///
    /// # Errors
    /// When the snapshot cannot be made.
    pub async fn logs(&self, ctx: &TenantContext, range: TimeRange) -> Result<LogsSnapshot, StorageError> {
        let (source, range) = self.source(ctx, Signal::Logs, range);
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
        let (source, range) = self.source(ctx, Signal::Traces, range);
        Ok(TracesSnapshot::new(source, range))
    }

    /// Manifest and heads of one moment, and the range without what has expired.
    fn source(&self, ctx: &TenantContext, signal: Signal, range: TimeRange) -> (Source, TimeRange) {
        let engine = &self.engine;
        let tenant = ctx.tenant().clone();
        let (manifest, heads) = match engine.tenants.get(&tenant, signal) {
            Some(partition) => {
                let state = partition.state();
                (Arc::clone(&state.manifest), state.head_views())
            }
            None => (Arc::new(Manifest::empty(&tenant, signal)), Vec::new()),
        };
        let start_ns = engine.expired_before_ns(&tenant, signal).unwrap_or(i64::MIN).max(range.start_ns);
        (engine.read_from(tenant, signal, manifest, heads), TimeRange::new(start_ns, range.end_ns))
    }
}

impl Engine {
    /// What reads use of a manifest's segments and of heads.
    pub(crate) fn read_from(
        &self,
        tenant: TenantId,
        signal: Signal,
        manifest: Arc<Manifest>,
        heads: Vec<HeadView>,
    ) -> Source {
        Source {
            tenant,
            signal,
            manifest,
            heads,
            store: Arc::clone(&self.components.store),
            suspects: Arc::clone(&self.suspects),
            cache: Arc::clone(&self.cache),
            metrics: Arc::clone(&self.metrics),
            runtime: Arc::clone(&self.components.runtime),
            earlier_log: Arc::clone(&self.earlier_log),
        }
    }
}
