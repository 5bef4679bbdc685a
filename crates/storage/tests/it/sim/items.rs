//! The items of a simulation: each has a number of its own, so that whatever is read back says who wrote it. Built into
//! batches of the three signals, and read back through snapshots.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type};
use futures::TryStreamExt;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::time::NS_PER_MS;
use model::trace::{SpanFields, SpansView, TraceBatchBuilder};
use model::{AttributeRef, Batch, Labels, Matcher, Signal, TenantContext, TimeRange};
use storage::read::{LogColumns, LogScan, TraceIds, TraceScan};
use storage::{LogsSnapshot, MetricsSnapshot, Storage, StorageError, TracesSnapshot};

/// A sample, a line or a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// Its series, stream or trace.
    pub(crate) source: u32,
    pub(crate) timestamp_ns: i64,
    /// A number that no other item of the world has.
    pub(crate) value: u64,
}

/// What a read asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) range: TimeRange,
    /// One series, stream or trace, or all.
    pub(crate) source: Option<u32>,
}

/// A batch with the rows.
pub(crate) fn batch(signal: Signal, rows: &[Row]) -> Batch {
    match signal {
        Signal::Metrics => {
            let mut builder = MetricBatchBuilder::default();
            for row in rows {
                let series = builder.series(&labels(row.source), SeriesInfo::default());
                builder.sample(series, row.timestamp_ns / NS_PER_MS, 0, row.value as f64);
            }
            Batch::Metrics(builder.finish())
        }
        Signal::Logs => {
            let mut builder = LogBatchBuilder::default();
            for row in rows {
                let stream = builder.stream(&labels(row.source));
                let line = format!("line {}", row.value);
                let timestamp_ns = row.timestamp_ns;
                builder.entry(stream, Entry { timestamp_ns, line: &line, ..Entry::default() });
            }
            Batch::Logs(builder.finish())
        }
        Signal::Traces => {
            let mut builder = TraceBatchBuilder::default();
            for row in rows {
                let source = row.source.to_string();
                builder.resource_attribute("source", AttributeRef::String(&source));
                builder.span(SpanFields {
                    trace_id: trace_id(row.source),
                    span_id: (row.value + 1).to_be_bytes(),
                    name: "span",
                    start_ns: row.timestamp_ns,
                    duration_ns: 5,
                    ..SpanFields::default()
                });
            }
            Batch::Traces(builder.finish())
        }
    }
}

/// The matcher of a source.
pub(crate) fn matcher(signal: Signal, source: u32) -> Matcher {
    let name = if signal == Signal::Traces { "resource.source" } else { "source" };
    Matcher::equal(name, &source.to_string())
}

fn labels(source: u32) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("source", &source.to_string())])
}

fn source_of(labels: &Labels) -> u32 {
    labels.get("source").unwrap().parse().unwrap()
}

fn trace_id(source: u32) -> [u8; 16] {
    // Spread over the ids, so that ranges of them divide the traces.
    (u128::from(source + 1) << 120 | u128::from(source)).to_be_bytes()
}

/// A snapshot of one tenant's signal.
pub(crate) enum Snapshot {
    Metrics(MetricsSnapshot),
    Logs(LogsSnapshot),
    Traces(TracesSnapshot),
}

impl Snapshot {
    pub(crate) async fn take(
        storage: &Storage,
        ctx: &TenantContext,
        signal: Signal,
        range: TimeRange,
    ) -> Result<Self, StorageError> {
        Ok(match signal {
            Signal::Metrics => Snapshot::Metrics(storage.metrics(ctx, range).await?),
            Signal::Logs => Snapshot::Logs(storage.logs(ctx, range).await?),
            Signal::Traces => Snapshot::Traces(storage.traces(ctx, range).await?),
        })
    }

    /// The rows that are wanted, in the order of the read.
    pub(crate) async fn rows(&self, wanted: Wanted) -> Result<Vec<Row>, StorageError> {
        let name = wanted.source.map(|source| source.to_string());
        let matchers: Vec<Matcher> = name.iter().map(|name| Matcher::equal("source", name)).collect();
        match self {
            Snapshot::Metrics(snapshot) => {
                let set = snapshot.select(&matchers).await?;
                let sources: Vec<u32> = set.labels().iter().map(source_of).collect();
                let batches: Vec<RecordBatch> =
                    set.samples(0..sources.len(), wanted.range).try_collect().await?;
                Ok(batches.iter().flat_map(|batch| samples(batch, &sources)).collect())
            }
            Snapshot::Logs(snapshot) => {
                let set = snapshot.select(&matchers).await?;
                let sources: Vec<u32> = set.labels().iter().map(source_of).collect();
                let scan = LogScan { range: wanted.range, needles: Vec::new(), columns: LogColumns::ALL };
                let batches: Vec<RecordBatch> = set.entries(0..sources.len(), scan).try_collect().await?;
                Ok(batches.iter().flat_map(|batch| lines(batch, &sources)).collect())
            }
            Snapshot::Traces(snapshot) => {
                let trace_ids = wanted.source.map_or(TraceIds::All, |source| TraceIds::One(trace_id(source)));
                let scan = TraceScan { trace_ids, range: wanted.range, service: None };
                let batches: Vec<RecordBatch> = snapshot.scan(scan).try_collect().await?;
                Ok(batches.iter().flat_map(spans).collect())
            }
        }
    }
}

fn samples(batch: &RecordBatch, sources: &[u32]) -> Vec<Row> {
    let series = batch.column(0).as_primitive::<UInt32Type>();
    let timestamps = batch.column(1).as_primitive::<Int64Type>();
    let values = batch.column(3).as_primitive::<Float64Type>();
    let row = |i: usize| Row {
        source: sources[series.value(i) as usize],
        timestamp_ns: timestamps.value(i) * NS_PER_MS,
        value: values.value(i) as u64,
    };
    (0..batch.num_rows()).map(row).collect()
}

fn lines(batch: &RecordBatch, sources: &[u32]) -> Vec<Row> {
    let streams = batch.column(0).as_primitive::<UInt32Type>();
    let timestamps = batch.column(1).as_primitive::<Int64Type>();
    let texts = batch.column(2).as_string::<i32>();
    let row = |i: usize| Row {
        source: sources[streams.value(i) as usize],
        timestamp_ns: timestamps.value(i),
        value: texts.value(i).strip_prefix("line ").unwrap().parse().unwrap(),
    };
    (0..batch.num_rows()).map(row).collect()
}

fn spans(batch: &RecordBatch) -> Vec<Row> {
    let ids = batch.column(0).as_fixed_size_binary();
    let span_ids = batch.column(1).as_fixed_size_binary();
    let spans = SpansView::new(batch).unwrap();
    let row = |i: usize| Row {
        source: u32::from(ids.value(i)[15]),
        timestamp_ns: spans.start_ns(i),
        value: u64::from_be_bytes(span_ids.value(i).try_into().unwrap()) - 1,
    };
    (0..batch.num_rows()).map(row).collect()
}
