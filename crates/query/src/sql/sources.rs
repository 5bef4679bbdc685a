//! What the scans of the three tables read of the store.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use model::labels::METRIC_NAME;
use model::{Labels, TimeRange};
use storage::{LogColumns, LogMetadata, LogScan, SeriesSet, StreamSet, TraceIds, TraceScan, TracesSnapshot};

use super::catalog::Tenant;
use super::predicates::{MAX_TRACE_IDS, Wanted};
use super::scan::{Source, StoreBatches};
use super::tables::{Columns, logs, metrics, traces};
use crate::error::QueryError;
use crate::leaf::split;

/// What a scan of `metrics` reads.
pub(crate) struct MetricsSource {
    columns: Columns,
    wanted: Wanted,
    set: SeriesSet,
    parts: Vec<Range<usize>>,
    known: Arc<metrics::Known>,
}

/// What a scan of `logs` reads.
pub(crate) struct LogsSource {
    columns: Columns,
    wanted: Wanted,
    set: StreamSet,
    parts: Vec<Range<usize>>,
}

/// What a scan of `traces` reads.
pub(crate) struct TracesSource {
    columns: Columns,
    wanted: Wanted,
    snapshot: TracesSnapshot,
    parts: Vec<Vec<TraceIds>>,
}

/// Resolves what a scan of `metrics` reads.
///
/// # Errors
/// When the store fails.
pub(crate) async fn metrics(
    tenant: &Tenant,
    columns: Columns,
    wanted: Wanted,
) -> Result<MetricsSource, QueryError> {
    let snapshot = tenant.storage.metrics(&tenant.context, wanted.range).await?;
    let set = snapshot.select(&wanted.matchers).await?;
    tenant.running.hold(label_bytes(set.labels()))?;
    let mut known = metrics::Known::default();
    if columns.has(metrics::TYPE) || columns.has(metrics::UNIT) {
        known = snapshot.metadata().await?.into_iter().map(|one| (one.name.clone(), one)).collect();
    }
    let parts = split(set.labels().len(), tenant.parallelism);
    Ok(MetricsSource { columns, wanted, set, parts, known: Arc::new(known) })
}

/// Resolves what a scan of `logs` reads.
///
/// # Errors
/// When the store fails.
pub(crate) async fn logs(
    tenant: &Tenant,
    columns: Columns,
    wanted: Wanted,
) -> Result<LogsSource, QueryError> {
    let snapshot = tenant.storage.logs(&tenant.context, wanted.range).await?;
    let set = snapshot.select(&wanted.matchers).await?;
    tenant.running.hold(label_bytes(set.labels()))?;
    let parts = split(set.labels().len(), tenant.parallelism);
    Ok(LogsSource { columns, wanted, set, parts })
}

/// Resolves what a scan of `traces` reads.
///
/// # Errors
/// When the store fails.
pub(crate) async fn traces(
    tenant: &Tenant,
    columns: Columns,
    wanted: Wanted,
) -> Result<TracesSource, QueryError> {
    let snapshot = tenant.storage.traces(&tenant.context, wanted.range).await?;
    let parts = match &wanted.trace_ids {
        Some(ids) if ids.len() <= MAX_TRACE_IDS => {
            let cut = split(ids.len(), tenant.parallelism).into_iter();
            cut.map(|range| ids[range].iter().map(|id| TraceIds::One(*id)).collect()).collect()
        }
        Some(ids) => {
            // Sorted, and more than none.
            let (first, last) = (ids[0], ids[ids.len() - 1]);
            vec![vec![TraceIds::Range { first, last }]]
        }
        None => {
            let parts = tenant.parallelism.clamp(1, 256);
            (0..parts).map(|partition| vec![crate::leaf::traces::ids_of(partition, parts)]).collect()
        }
    };
    Ok(TracesSource { columns, wanted, snapshot, parts })
}

/// What the labels of a selection take, roughly.
fn label_bytes(labels: &[Labels]) -> usize {
    labels.iter().map(|labels| labels.as_bytes().len() + size_of::<Labels>()).sum()
}

/// A range of time in an explained plan: open ends are not told.
fn write_range(f: &mut fmt::Formatter<'_>, range: TimeRange) -> fmt::Result {
    if range.start_ns != i64::MIN {
        write!(f, ", start_ns={}", range.start_ns)?;
    }
    if range.end_ns != i64::MAX {
        write!(f, ", end_ns={}", range.end_ns)?;
    }
    Ok(())
}

fn write_matchers(f: &mut fmt::Formatter<'_>, wanted: &Wanted) -> fmt::Result {
    if wanted.matchers.is_empty() {
        return Ok(());
    }
    let shown = |matcher: &model::Matcher| matcher.to_string().replacen(METRIC_NAME, "name", 1);
    let matchers: Vec<String> = wanted.matchers.iter().map(shown).collect();
    write!(f, ", matchers=[{}]", matchers.join(", "))
}

impl fmt::Debug for MetricsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "columns=[{}], series={}", self.columns.names(), self.set.labels().len())?;
        write_range(f, self.wanted.range)?;
        write_matchers(f, &self.wanted)
    }
}

impl Source for MetricsSource {
    fn name(&self) -> &'static str {
        "MetricsScanExec"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(self.columns.schema())
    }

    fn partitions(&self) -> usize {
        self.parts.len()
    }

    fn series(&self, partition: usize) -> usize {
        self.parts[partition].len()
    }

    fn read(&self, partition: usize) -> StoreBatches {
        let (part, range) = (self.parts[partition].clone(), self.wanted.range);
        let samples = self.set.samples(part.clone(), range);
        if !self.set.has_histograms() {
            return samples;
        }
        let (set, histograms) = (self.set.clone(), futures::stream::once(futures::future::ready(())));
        samples.chain(histograms.flat_map(move |()| set.histograms(part.clone(), range))).boxed()
    }

    fn rows(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        metrics::rows(&self.columns, self.set.labels(), &self.known, batch)
    }
}

impl fmt::Debug for LogsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "columns=[{}], streams={}", self.columns.names(), self.set.labels().len())?;
        write_range(f, self.wanted.range)?;
        write_matchers(f, &self.wanted)?;
        match self.wanted.needles.is_empty() {
            true => Ok(()),
            false => write!(f, ", contains={:?}", self.wanted.needles),
        }
    }
}

impl Source for LogsSource {
    fn name(&self) -> &'static str {
        "LogsScanExec"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(self.columns.schema())
    }

    fn partitions(&self) -> usize {
        self.parts.len()
    }

    fn series(&self, partition: usize) -> usize {
        self.parts[partition].len()
    }

    fn read(&self, partition: usize) -> StoreBatches {
        let all = logs::SCHEMA.fields().len();
        let columns = LogColumns {
            line: self.columns.has(logs::LINE),
            metadata: match (logs::FIRST_METADATA..all).any(|place| self.columns.has(place)) {
                true => LogMetadata::All,
                false => LogMetadata::None,
            },
        };
        let scan = LogScan { range: self.wanted.range, needles: self.wanted.needles.clone(), columns };
        self.set.entries(self.parts[partition].clone(), scan)
    }

    fn rows(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        logs::rows(&self.columns, self.set.labels(), batch)
    }
}

impl fmt::Debug for TracesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "columns=[{}]", self.columns.names())?;
        write_range(f, self.wanted.range)?;
        if let Some(ids) = &self.wanted.trace_ids {
            write!(f, ", trace_ids={}", ids.len())?;
        }
        match &self.wanted.service {
            Some(service) => write!(f, ", service={service:?}"),
            None => Ok(()),
        }
    }
}

impl Source for TracesSource {
    fn name(&self) -> &'static str {
        "TracesScanExec"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(self.columns.schema())
    }

    fn partitions(&self) -> usize {
        self.parts.len()
    }

    /// How many traces there are is not known before they are read.
    fn series(&self, _partition: usize) -> usize {
        0
    }

    fn read(&self, partition: usize) -> StoreBatches {
        let (snapshot, range) = (self.snapshot.clone(), self.wanted.range);
        let service = self.wanted.service.clone();
        let scans = futures::stream::iter(self.parts[partition].clone());
        let read = move |trace_ids| snapshot.scan(TraceScan { trace_ids, range, service: service.clone() });
        scans.flat_map(read).boxed()
    }

    fn rows(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        traces::rows(&self.columns, batch)
    }
}
