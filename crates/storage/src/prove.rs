//! Whether the store or this node's log has rows, whatever manifests say of them: every object of a tenant's signal is looked
//! into, also those that no manifest names any more, and every log file. For showing that what was to go has gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use model::{Matcher, Signal, TenantContext, TimeRange};
use object_store::ObjectMeta;

use crate::error::StorageError;
use crate::hidden::{Hidden, KeepingCache};
use crate::layout;
use crate::manifest::Manifest;
use crate::manifest::keeping::Policy;
use crate::read::{
    LogColumns, LogScan, LogsSnapshot, MetricsSnapshot, Source, TraceIds, TraceScan, TracesSnapshot,
};
use crate::runtime::blocking;
use crate::segment::survey;
use crate::storage::Storage;
use crate::wal::search::Sought;

/// Rows that objects of the store have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// How many rows.
    pub rows: usize,
    /// Segments with rows of the time, of which some may be among them.
    pub segments: Vec<String>,
    /// How many such rows there are in files of this node's log.
    pub log_rows: usize,
    /// The files of the log that have them, by their sequences.
    pub log_files: Vec<u64>,
}

impl Storage {
    /// Looks into every object and log file for rows of a time: of metrics and logs those whose labels meet all matchers, of traces
    /// those of a trace.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn stored(
        &self,
        ctx: &TenantContext,
        signal: Signal,
        matchers: &[Matcher],
        trace_id: Option<[u8; 16]>,
        range: TimeRange,
    ) -> Result<Stored, StorageError> {
        let sought =
            Sought { tenant: ctx.tenant().clone(), signal, matchers: matchers.to_vec(), trace_id, range };
        let (disk, data_dir) =
            (Arc::clone(&self.engine.components.disk), self.engine.settings.data_dir.clone());
        let runtime = self.engine.runtime();
        let logged = blocking(runtime, move || sought.in_log(&*disk, &data_dir)).await??;
        let source = self.everything(ctx, signal, range).await?;
        let mut stored = Stored {
            segments: source.manifest.segments.iter().map(|segment| segment.id.clone()).collect(),
            rows: 0,
            log_rows: logged.iter().map(|(_, rows)| rows).sum(),
            log_files: logged.iter().map(|(sequence, _)| *sequence).collect(),
        };
        if stored.segments.is_empty() {
            return Ok(stored);
        }
        let mut batches = match signal {
            Signal::Metrics => {
                let set = MetricsSnapshot::new(source, range).select(matchers).await?;
                set.samples(0..set.labels().len(), range)
            }
            Signal::Logs => {
                let set = LogsSnapshot::new(source, range).select(matchers).await?;
                let scan = LogScan { range, needles: Vec::new(), columns: LogColumns::NONE };
                set.entries(0..set.labels().len(), scan)
            }
            Signal::Traces => {
                let trace_ids = trace_id.map_or(TraceIds::All, TraceIds::One);
                TracesSnapshot::new(source, range).scan(TraceScan { trace_ids, range, service: None })
            }
        };
        while let Some(batch) = batches.try_next().await? {
            stored.rows += batch.num_rows();
        }
        Ok(stored)
    }

    /// All segments in the store with data of a time, as if a manifest named them all and hid nothing.
    async fn everything(
        &self,
        ctx: &TenantContext,
        signal: Signal,
        range: TimeRange,
    ) -> Result<Source, StorageError> {
        let engine = &self.engine;
        let store = &engine.components.store;
        let prefix = layout::segments(ctx.tenant(), signal);
        let objects: Vec<ObjectMeta> = store.list(Some(&prefix)).try_collect().await?;
        let mut files: BTreeMap<String, Vec<ObjectMeta>> = BTreeMap::new();
        for object in objects {
            if let Some(id) = layout::segment_id(&object.location) {
                files.entry(id.to_owned()).or_default().push(object);
            }
        }
        let mut manifest = Manifest::empty(ctx.tenant(), signal);
        for (id, files) in files {
            match survey::segment(&**store, signal, &id, &files).await {
                Ok(Some(segment)) if segment.range().overlaps(range) => manifest.segments.push(segment),
                Ok(_) | Err(StorageError::Corrupt { .. }) => {}
                // Swept since it was listed.
                Err(StorageError::Store(object_store::Error::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let manifest = Arc::new(manifest);
        let keeping = KeepingCache::default().get(&manifest, Policy::default())?;
        let hidden = Hidden::of_reads(signal, keeping, engine.clock().now().0);
        let now_ns = engine.clock().monotonic_ns();
        Ok(engine.read_from((ctx.tenant().clone(), signal), manifest, now_ns, Vec::new(), hidden))
    }
}
