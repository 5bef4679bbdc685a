//! The leaf of PromQL: the samples of a range of series, series by series, into the kernel.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type, SchemaRef, UInt32Type};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::Labels;
use model::histogram::{HistogramsView, NativeHistogram};
use storage::{SeriesSet, StorageError};

use super::{Counters, Memory, Work, split};
use crate::error::QueryError;
use crate::pace::Pace;

/// Fewer series than this are not worth a partition of their own.
const MIN_SERIES_PER_PARTITION: usize = 16;

/// A PromQL leaf over the series that its matchers selected.
pub(crate) struct MetricsWork {
    leaf: Arc<promql::Leaf>,
    set: SeriesSet,
    /// As they are answered, where they are not answered as they are.
    labels: Option<Arc<[Labels]>>,
    /// Which series are of one histogram, where quantiles are computed.
    families: Option<Arc<promql::Families>>,
    parts: Vec<Range<usize>>,
    counters: Arc<Counters>,
}

impl MetricsWork {
    pub(crate) fn new(
        leaf: Arc<promql::Leaf>,
        set: SeriesSet,
        labels: Option<Arc<[Labels]>>,
        parallelism: usize,
        counters: Arc<Counters>,
    ) -> Self {
        let series = set.labels().len();
        let mut parts = split(series, parallelism.min(series / MIN_SERIES_PER_PARTITION + 1));
        // Native histograms may belong to the same metrics as classic ones: then all is seen together.
        let families = if set.has_histograms() {
            None
        } else {
            leaf.families(labels.as_deref().unwrap_or(set.labels()))
        };
        if let Some(families) = &families {
            let within = series / parts.len() / 4;
            for i in 1..parts.len() {
                let cut = families.cut_near(parts[i].start, within);
                (parts[i - 1].end, parts[i].start) = (cut, cut);
            }
        }
        Self { leaf, set, labels, families: families.map(Arc::new), parts, counters }
    }
}

impl std::fmt::Debug for MetricsWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} over {} series", self.leaf.matchers(), self.set.labels().len())
    }
}

impl Work for MetricsWork {
    fn name(&self) -> &'static str {
        "MetricsLeafExec"
    }

    fn schema(&self) -> SchemaRef {
        self.leaf.schema()
    }

    fn partitions(&self) -> usize {
        self.parts.len()
    }

    fn run(
        &self,
        partition: usize,
        memory: Memory,
        pace: Pace,
    ) -> BoxFuture<'static, Result<Vec<RecordBatch>, QueryError>> {
        let (leaf, set) = (Arc::clone(&self.leaf), (self.set.clone(), self.labels.clone()));
        let (part, counters) = (self.parts[partition].clone(), Arc::clone(&self.counters));
        let worker = leaf.worker(self.families.clone().map(|families| (families, part.clone())));
        Box::pin(evaluate((leaf, worker), set, part, memory, pace, counters))
    }
}

async fn evaluate(
    (leaf, mut worker): (Arc<promql::Leaf>, promql::Worker),
    (set, labels): (SeriesSet, Option<Arc<[Labels]>>),
    part: Range<usize>,
    mut memory: Memory,
    mut pace: Pace,
    counters: Arc<Counters>,
) -> Result<Vec<RecordBatch>, QueryError> {
    counters.series.fetch_add(part.len() as u64, Ordering::Relaxed);
    let mut floats = Runs::new(set.samples(part.clone(), leaf.range()), Arc::clone(&counters));
    let mut histograms = set
        .has_histograms()
        .then(|| Runs::new(set.histograms(part, leaf.histogram_range()), Arc::clone(&counters)));
    loop {
        let float = floats.peek().await?;
        let histogram = match &mut histograms {
            Some(runs) => runs.peek().await?,
            None => None,
        };
        let Some(series) = float.into_iter().chain(histogram).min() else { break };
        let float = if float == Some(series) { floats.take().await? } else { None };
        let histogram = match &mut histograms {
            Some(runs) if histogram == Some(series) => runs.take().await?,
            _ => None,
        };
        let held = float.as_ref().map_or(0, RecordBatch::get_array_memory_size)
            + histogram.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        memory.hold(worker.memory_bytes() + held)?;
        let starts_ms = float.as_ref().map(starts_column).unwrap_or_default();
        let histogram_starts_ms = histogram.as_ref().map(starts_column).unwrap_or_default();
        let (timestamps_ms, values) = float.map(|run| float_columns(&run)).unwrap_or_default();
        let (histogram_timestamps_ms, values_of_histograms) =
            histogram.map(|run| histogram_columns(&run)).transpose()?.unwrap_or_default();
        let samples = promql::SeriesSamples {
            timestamps_ms: &timestamps_ms,
            values: &values,
            histogram_timestamps_ms: &histogram_timestamps_ms,
            histograms: &values_of_histograms,
            starts_ms: &starts_ms,
            histogram_starts_ms: &histogram_starts_ms,
        };
        let labels = labels
            .as_deref()
            .unwrap_or(set.labels())
            .get(series as usize)
            .ok_or_else(|| number_out_of_range(series))?;
        worker.series(series as usize, labels, samples)?;
        pace.step().await;
    }
    memory.hold(worker.memory_bytes())?;
    counters.samples.lock().add(worker.counted(), worker.most_held());
    Ok(vec![worker.finish()?])
}

fn number_out_of_range(series: u32) -> QueryError {
    QueryError::Internal(format!("storage gave a series that was not selected: series={series}"))
}

/// Since when each sample counts; empty where none says so.
fn starts_column(run: &RecordBatch) -> ScalarBuffer<i64> {
    let starts = run.column(2).as_primitive::<Int64Type>().values();
    if starts.iter().all(|start| *start == 0) { ScalarBuffer::default() } else { starts.clone() }
}

fn float_columns(run: &RecordBatch) -> (ScalarBuffer<i64>, ScalarBuffer<f64>) {
    let timestamps = run.column(1).as_primitive::<Int64Type>().values().clone();
    (timestamps, run.column(3).as_primitive::<Float64Type>().values().clone())
}

fn histogram_columns(run: &RecordBatch) -> Result<(ScalarBuffer<i64>, Vec<NativeHistogram>), QueryError> {
    let timestamps = run.column(1).as_primitive::<Int64Type>().values().clone();
    let view = HistogramsView::new(run.column(3).as_ref())
        .ok_or_else(|| QueryError::Internal("storage gave a histogram column of another type".into()))?;
    let histograms = (0..run.num_rows()).map(|row| view.get(row).unwrap_or_default()).collect();
    Ok((timestamps, histograms))
}

/// Cuts a stream that is sorted by series into one batch per series; copies only where a series crosses batches.
struct Runs {
    stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
    batch: Option<RecordBatch>,
    counters: Arc<Counters>,
}

impl Runs {
    fn new(stream: BoxStream<'static, Result<RecordBatch, StorageError>>, counters: Arc<Counters>) -> Self {
        Self { stream, batch: None, counters }
    }

    /// The series that comes next, where there is one.
    async fn peek(&mut self) -> Result<Option<u32>, QueryError> {
        while self.batch.as_ref().is_none_or(|batch| batch.num_rows() == 0) {
            match self.stream.next().await.transpose()? {
                Some(batch) => {
                    self.counters.read(&batch);
                    self.batch = Some(batch);
                }
                None => return Ok(None),
            }
        }
        Ok(self.batch.as_ref().map(|batch| batch.column(0).as_primitive::<UInt32Type>().value(0)))
    }

    /// All rows of the series that comes next.
    async fn take(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        let Some(series) = self.peek().await? else { return Ok(None) };
        let mut pieces = VecDeque::new();
        while self.peek().await? == Some(series) {
            let Some(batch) = self.batch.take() else { break };
            let numbers = batch.column(0).as_primitive::<UInt32Type>().values();
            let rows = numbers.partition_point(|number| *number <= series);
            pieces.push_back(batch.slice(0, rows));
            self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        match (pieces.pop_front(), pieces.is_empty()) {
            (Some(only), true) => Ok(Some(only)),
            (Some(first), false) => {
                let schema = first.schema();
                let all = std::iter::once(&first).chain(&pieces);
                Ok(Some(concat_batches(&schema, all).map_err(|e| QueryError::Internal(e.to_string()))?))
            }
            (None, _) => Ok(None),
        }
    }
}
