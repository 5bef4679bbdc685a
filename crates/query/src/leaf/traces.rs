//! The leaf of TraceQL: whole traces, one after the other, through the filter; the newest that match stay.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::TimeRange;
use model::trace::SPANS_SCHEMA;
use storage::{SpanColumns, StorageError, TraceIds, TraceScan, TracesSnapshot};

use super::{Counters, Memory, Work};
use crate::error::QueryError;
use crate::pace::Pace;
use crate::tags::view;

/// A trace of more spans than this is cut: what follows is not looked at.
pub(crate) const MAX_SPANS_PER_TRACE: usize = 1 << 20;

/// Columns of [`SPANS_SCHEMA`].
const TRACE_ID_COLUMN: usize = 0;
const START_COLUMN: usize = 7;

/// A TraceQL leaf over the spans of a snapshot. Its result is the spans of the traces that match, with what the query
/// looks at and nothing else.
pub(crate) struct TracesWork {
    leaf: Arc<traceql::Leaf>,
    snapshot: TracesSnapshot,
    scanned: TimeRange,
    limit: usize,
    parts: usize,
    counters: Arc<Counters>,
}

impl TracesWork {
    pub(crate) fn new(
        leaf: Arc<traceql::Leaf>,
        snapshot: TracesSnapshot,
        scanned: TimeRange,
        limit: usize,
        parallelism: usize,
        counters: Arc<Counters>,
    ) -> Self {
        Self { leaf, snapshot, scanned, limit, parts: parallelism.clamp(1, 256), counters }
    }
}

impl std::fmt::Debug for TracesWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "newest {} traces of {:?}", self.limit, self.scanned)
    }
}

/// The part of all trace ids that a partition reads, cut by the first byte.
pub(crate) fn ids_of(partition: usize, parts: usize) -> TraceIds {
    let byte = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    let mut first = [0; 16];
    first[0] = byte(256 * partition / parts);
    let mut last = [0xff; 16];
    last[0] = byte(256 * (partition + 1) / parts - 1);
    TraceIds::Range { first, last }
}

impl Work for TracesWork {
    fn name(&self) -> &'static str {
        "TracesLeafExec"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&SPANS_SCHEMA)
    }

    fn partitions(&self) -> usize {
        self.parts
    }

    fn run(
        &self,
        partition: usize,
        memory: Memory,
        pace: Pace,
    ) -> BoxFuture<'static, Result<Vec<RecordBatch>, QueryError>> {
        // Not by service: the store would leave spans of other services out, and a trace must be whole to be judged.
        let scan = TraceScan { trace_ids: ids_of(partition, self.parts), range: self.scanned, service: None };
        let spans = self.snapshot.columns(scan, SpanColumns::of(self.leaf.columns()));
        let traces = Traces::new(spans, Arc::clone(&self.counters), pace);
        Box::pin(evaluate(Arc::clone(&self.leaf), traces, self.limit, memory))
    }
}

async fn evaluate(
    leaf: Arc<traceql::Leaf>,
    mut traces: Traces,
    limit: usize,
    mut memory: Memory,
) -> Result<Vec<RecordBatch>, QueryError> {
    let mut newest: BTreeMap<(Reverse<i64>, [u8; 16]), RecordBatch> = BTreeMap::new();
    let mut held = 0;
    loop {
        // A trace that began before the last of a full list cannot get into it.
        let last = newest.last_key_value().filter(|_| newest.len() >= limit).map(|(last, _)| *last);
        let wanted = |start_ns, id| last.is_none_or(|last| (Reverse(start_ns), id) < last);
        let Some(trace) = traces.next_wanted(Some(&leaf), wanted).await? else { break };
        if let Some(service) = leaf.service_hint()
            && !has_service(&trace, service)?
        {
            continue;
        }
        let mut worker = leaf.worker();
        worker.trace(&trace)?;
        for found in worker.finish() {
            let kept = copied(&trace)?;
            held += kept.get_array_memory_size();
            newest.insert((Reverse(found.start_ns), found.trace_id), kept);
            if newest.len() > limit
                && let Some((_, dropped)) = newest.pop_last()
            {
                held = held.saturating_sub(dropped.get_array_memory_size());
            }
        }
        memory.hold(held)?;
    }
    Ok(newest.into_values().collect())
}

/// The rows in memory of their own: a slice would hold, and count as, the whole batch that it was cut from.
fn copied(trace: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let fault = |error: ArrowError| QueryError::Internal(error.to_string());
    let rows = UInt32Array::from_iter_values((0_u32..).take(trace.num_rows()));
    let (schema, mut columns, _) = take_record_batch(trace, &rows).map_err(fault)?.into_parts();
    // Builders reserve for many rows; most traces have few.
    columns.iter_mut().for_each(|column| column.shrink_to_fit());
    RecordBatch::try_new(schema, columns).map_err(fault)
}

fn has_service(trace: &RecordBatch, service: &str) -> Result<bool, QueryError> {
    let view = view(trace)?;
    Ok((0..view.rows()).any(|row| view.service_name(row) == service))
}

/// Cuts a stream that is sorted by trace into one batch per trace.
pub(crate) struct Traces {
    stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
    batch: Option<RecordBatch>,
    /// How many rows of the batch are taken.
    taken: usize,
    /// Which rows of the batch make their trace a candidate; none where all do.
    candidates: Option<Vec<bool>>,
    counters: Arc<Counters>,
    pace: Pace,
}

/// The rows of one trace within a batch.
struct Run {
    id: [u8; 16],
    rows: Range<usize>,
    start_ns: i64,
}

impl Traces {
    pub(crate) fn new(
        stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
        counters: Arc<Counters>,
        pace: Pace,
    ) -> Self {
        let stream = stream.fuse().boxed();
        Self { stream, batch: None, taken: 0, candidates: None, counters, pace }
    }

    /// All spans of the trace that comes next, at most [`MAX_SPANS_PER_TRACE`] and a batch.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        self.next_wanted(None, |_, _| true).await
    }

    /// As [`Traces::next`], of the trace that comes next among those that may answer a leaf and whose first start
    /// and id are wanted. Others are passed over before anything is copied or cut.
    pub(crate) async fn next_wanted(
        &mut self,
        leaf: Option<&traceql::Leaf>,
        wanted: impl Fn(i64, [u8; 16]) -> bool,
    ) -> Result<Option<RecordBatch>, QueryError> {
        let mut pieces: Vec<RecordBatch> = Vec::new();
        let mut current: Option<([u8; 16], i64)> = None;
        let (mut spans, mut is_candidate) = (0, false);
        loop {
            let run = self.run(leaf).await?;
            let is_another = match (&run, current) {
                (None, _) => true,
                (Some(run), Some((id, _))) => run.id != id,
                (Some(_), None) => false,
            };
            if is_another {
                if let Some((id, start_ns)) = current.take() {
                    self.counters.series.fetch_add(1, Ordering::Relaxed);
                    if is_candidate && wanted(start_ns, id) {
                        return joined(pieces).map(Some);
                    }
                }
                (spans, is_candidate) = (0, false);
                pieces.clear();
            }
            let (Some(run), Some(batch)) = (run, &self.batch) else { return Ok(None) };
            let start_ns = current.map_or(run.start_ns, |(_, start_ns)| start_ns.min(run.start_ns));
            current = Some((run.id, start_ns));
            is_candidate |=
                self.candidates.as_ref().is_none_or(|mask| mask[run.rows.clone()].contains(&true));
            // Where the trace may go on in the next batch, its rows are kept until that is known.
            let may_go_on = run.rows.end == batch.num_rows();
            let is_needed = may_go_on || !pieces.is_empty() || (is_candidate && wanted(start_ns, run.id));
            if is_needed && spans < MAX_SPANS_PER_TRACE {
                pieces.push(batch.slice(run.rows.start, run.rows.len()));
            }
            spans += run.rows.len();
            self.taken = run.rows.end;
        }
    }

    /// The rows of the trace that stands next in the batch, or in the next batch.
    async fn run(&mut self, leaf: Option<&traceql::Leaf>) -> Result<Option<Run>, QueryError> {
        while self.batch.as_ref().is_none_or(|batch| batch.num_rows() <= self.taken) {
            self.pace.step().await;
            let Some(batch) = self.stream.next().await.transpose()? else {
                self.batch = None;
                return Ok(None);
            };
            self.counters.read(&batch);
            self.candidates = leaf.map(|leaf| leaf.candidates(&batch)).transpose()?.flatten();
            (self.batch, self.taken) = (Some(batch), 0);
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let ids = batch.column(TRACE_ID_COLUMN).as_fixed_size_binary();
        let starts = batch.column(START_COLUMN).as_primitive::<Int64Type>().values();
        let first = ids.value(self.taken);
        let end = (self.taken..batch.num_rows()).find(|row| ids.value(*row) != first);
        let rows = self.taken..end.unwrap_or(batch.num_rows());
        let id = first.try_into().map_err(|_| QueryError::Internal("a trace id has not 16 bytes".into()))?;
        let start_ns = starts[rows.clone()].iter().copied().min().unwrap_or(i64::MAX);
        Ok(Some(Run { id, rows, start_ns }))
    }
}

fn joined(mut pieces: Vec<RecordBatch>) -> Result<RecordBatch, QueryError> {
    match (pieces.len(), pieces.pop()) {
        (1, Some(only)) => Ok(only),
        (_, last) => {
            pieces.extend(last);
            concat_batches(&SPANS_SCHEMA, &pieces).map_err(|error| QueryError::Internal(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use model::TimestampNs;
    use model::time::ManualClock;
    use model::trace::{SpanFields, TraceBatchBuilder};

    use super::*;

    #[test]
    fn partitions_cover_every_trace_id_once() {
        for parts in [1, 2, 3, 7, 256] {
            let mut next = 0_usize;
            for partition in 0..parts {
                let TraceIds::Range { first, last } = ids_of(partition, parts) else { unreachable!() };
                assert_eq!(usize::from(first[0]), next, "parts={parts}");
                next = usize::from(last[0]) + 1;
            }
            assert_eq!(next, 256, "parts={parts}");
        }
    }

    /// Traces 1, 2, … of so many spans each; span `k` is called `s{k}`, and traces begin one after the other.
    fn spans(lengths: &[u8]) -> RecordBatch {
        let mut builder = TraceBatchBuilder::default();
        for (trace, length) in (1..).zip(lengths) {
            for k in 0..*length {
                builder.span(SpanFields {
                    trace_id: [trace; 16],
                    span_id: [k + 1; 8],
                    name: &format!("s{k}"),
                    start_ns: i64::from(trace) * 100 + i64::from(*length - k),
                    ..SpanFields::default()
                });
            }
        }
        builder.finish().spans
    }

    fn traces(batch: &RecordBatch, cut_after: usize) -> Traces {
        let starts = (0..batch.num_rows()).step_by(cut_after);
        let pieces = starts.map(|at| Ok(batch.slice(at, cut_after.min(batch.num_rows() - at))));
        let clock = Arc::new(ManualClock::new(TimestampNs(0)));
        let stream = futures::stream::iter(pieces.collect::<Vec<_>>()).boxed();
        Traces::new(stream, Arc::default(), Pace::new(clock))
    }

    #[tokio::test]
    async fn traces_are_whole_wherever_batches_are_cut() {
        let lengths = [1, 3, 2, 7, 1, 1, 4];
        let batch = spans(&lengths);
        let query = traceql::parse("{ name = \"s2\" }").unwrap();
        let plan = traceql::plan(&query, &traceql::SearchParams::default()).unwrap();
        for cut_after in 1..=batch.num_rows() {
            let mut all = traces(&batch, cut_after);
            let mut found = Vec::new();
            while let Some(trace) = all.next().await.unwrap() {
                found.push((view(&trace).unwrap().trace_id(0)[0], trace.num_rows()));
            }
            let expected: Vec<(u8, usize)> = (1..).zip(lengths.map(usize::from)).collect();
            assert_eq!(found, expected, "cut_after={cut_after}");
            assert!(all.next().await.unwrap().is_none());

            let mut some = traces(&batch, cut_after);
            let (mut found, asked) = (Vec::new(), |start_ns, id: [u8; 16]| id[0] != 7 && start_ns > 300);
            while let Some(trace) = some.next_wanted(Some(&plan.leaf), asked).await.unwrap() {
                found.push((view(&trace).unwrap().trace_id(0)[0], trace.num_rows()));
            }
            assert_eq!(found, [(4, 7)], "cut_after={cut_after}");
            assert_eq!(some.counters.series.load(Ordering::Relaxed), lengths.len() as u64);
        }
    }
}
