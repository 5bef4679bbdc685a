//! The leaf of TraceQL: a first look finds the traces that may answer, and then whole traces, the newest first, go
//! through the filter until enough of them match.

mod candidates;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::TimeRange;
use model::trace::SPANS_SCHEMA;
use parking_lot::Mutex;
use storage::{SpanColumns, StorageError, TraceIds, TraceScan, TracesSnapshot};

use self::candidates::Candidates;
use super::{Counters, Memory, Work};
use crate::error::QueryError;
use crate::pace::Pace;

/// A trace of more spans than this is cut: what follows is not looked at.
pub(crate) const MAX_SPANS_PER_TRACE: usize = 1 << 20;

/// How many times the limit are fetched at first of the traces that may answer.
const FIRST_FETCH: usize = 1;

/// How many sources are looked at first, those with the newest spans; then twice as many each time, up to
/// [`storage::MAX_SPAN_SOURCES`].
const FIRST_SOURCES: usize = 1;

/// How many times as many are fetched after that, each time.
const NEXT_FETCH: usize = 4;

/// Columns of [`SPANS_SCHEMA`].
const TRACE_ID_COLUMN: usize = 0;
pub(crate) const START_COLUMN: usize = 7;

/// A TraceQL leaf over the spans of a snapshot. Its result is the spans of the traces that match, with what the query
/// looks at and nothing else.
pub(crate) struct TracesWork {
    leaf: Arc<traceql::Leaf>,
    snapshot: TracesSnapshot,
    scanned: TimeRange,
    newest: Arc<Newest>,
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
        let newest = Arc::new(Newest::new(limit));
        Self { leaf, snapshot, scanned, newest, parts: parallelism.clamp(1, 256), counters }
    }
}

impl std::fmt::Debug for TracesWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "newest {} traces of {:?}", self.newest.limit, self.scanned)
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

/// The two halves of a range of ids; none of what cannot be divided.
fn halves(ids: &TraceIds) -> Vec<TraceIds> {
    let TraceIds::Range { first, last } = ids else { return Vec::new() };
    let (start, end) = (u128::from_be_bytes(*first), u128::from_be_bytes(*last));
    if start >= end {
        return Vec::new();
    }
    let middle = start + (end - start) / 2;
    let part =
        |first: u128, last: u128| TraceIds::Range { first: first.to_be_bytes(), last: last.to_be_bytes() };
    vec![part(start, middle), part(middle + 1, end)]
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
        let search = Search {
            leaf: Arc::clone(&self.leaf),
            snapshot: self.snapshot.clone(),
            scanned: self.scanned,
            newest: Arc::clone(&self.newest),
            counters: Arc::clone(&self.counters),
        };
        Box::pin(search.run(ids_of(partition, self.parts), memory, pace))
    }
}

/// The newest come first; of those that began at one moment, the least id.
type Rank = (Reverse<i64>, [u8; 16]);

/// The newest traces that match, of all partitions: what is older than these is not looked for.
#[derive(Debug)]
struct Newest {
    limit: usize,
    ranks: Mutex<BTreeSet<Rank>>,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { limit, ranks: Mutex::new(BTreeSet::new()) }
    }

    fn add(&self, rank: Rank) {
        let mut ranks = self.ranks.lock();
        ranks.insert(rank);
        if ranks.len() > self.limit {
            ranks.pop_last();
        }
    }

    /// Whether there are enough of them that come before a rank.
    fn is_decided(&self, rank: &Rank) -> bool {
        let ranks = self.ranks.lock();
        ranks.len() >= self.limit && ranks.last().is_none_or(|last| last < rank)
    }
}

/// One partition's work.
struct Search {
    leaf: Arc<traceql::Leaf>,
    snapshot: TracesSnapshot,
    scanned: TimeRange,
    newest: Arc<Newest>,
    counters: Arc<Counters>,
}

impl Search {
    async fn run(
        self,
        trace_ids: TraceIds,
        mut memory: Memory,
        pace: Pace,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let mut kept = Kept { limit: self.newest.limit, held: 0, traces: BTreeMap::new() };
        let mut parts = vec![trace_ids];
        while let Some(part) = parts.pop() {
            let mut candidates = self.candidates(part.clone(), &pace);
            while let Some(newest) = candidates.next(kept.held, &mut memory).await? {
                let (mut at, mut some) = (0, self.newest.limit.saturating_mul(FIRST_FETCH));
                while newest.get(at).is_some_and(|next| !self.newest.is_decided(next)) {
                    let chunk = &newest[at..newest.len().min(at.saturating_add(some))];
                    let known =
                        candidates.memory_bytes() + size_of_val(newest.as_slice()) + size_of_val(chunk);
                    self.judge(chunk, known, &mut kept, &mut memory, pace.again()).await?;
                    at += chunk.len();
                    some = some.saturating_mul(NEXT_FETCH);
                }
                // What sources that were not looked at tell of has a span there, and did not begin later.
                if candidates
                    .horizon_ns()
                    .is_some_and(|horizon_ns| self.newest.is_decided(&(Reverse(horizon_ns), [0; 16])))
                {
                    break;
                }
            }
            if candidates.is_overfull() {
                parts.extend(halves(&part));
            }
        }
        Ok(kept.traces.into_values().collect())
    }

    /// The traces that may answer.
    fn candidates(&self, trace_ids: TraceIds, pace: &Pace) -> Candidates {
        // Not by service: the store would leave spans of other services out, and a trace's start would be another.
        let scan = TraceScan { trace_ids, range: self.scanned, service: None };
        let glanced = self.leaf.glanced_columns();
        let sources = self.snapshot.sources(scan, &SpanColumns::glance(&glanced.names, &glanced.lists));
        Candidates::new(
            Arc::clone(&self.leaf),
            sources,
            FIRST_SOURCES,
            Arc::clone(&self.counters),
            pace.again(),
        )
    }

    /// Fetches traces and keeps those that match; `known` are the bytes that are held besides.
    async fn judge(
        &self,
        chunk: &[Rank],
        known: usize,
        kept: &mut Kept,
        memory: &mut Memory,
        pace: Pace,
    ) -> Result<(), QueryError> {
        let mut ids: Vec<[u8; 16]> = chunk.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        let scan = TraceScan { trace_ids: TraceIds::Some(ids.into()), range: self.scanned, service: None };
        let columns = self.leaf.columns();
        let spans = self.snapshot.columns(scan, &SpanColumns::of(&columns.names, &columns.lists));
        // These spans were counted when they were looked at first.
        let counters = Arc::<Counters>::default();
        let mut traces = Traces::new(spans, Arc::clone(&counters), pace);
        while let Some(trace) = traces.next().await? {
            let mut worker = self.leaf.worker();
            worker.trace(&trace)?;
            for found in worker.finish() {
                let rank = (Reverse(found.start_ns), found.trace_id);
                if !self.newest.is_decided(&rank) {
                    self.newest.add(rank);
                    kept.keep(rank, copied(&trace)?);
                }
            }
            memory.hold(known + kept.held)?;
        }
        self.counters.add(0, counters.bytes.load(Ordering::Relaxed));
        Ok(())
    }
}

/// The newest traces of a partition that match.
struct Kept {
    limit: usize,
    held: usize,
    traces: BTreeMap<Rank, RecordBatch>,
}

impl Kept {
    fn keep(&mut self, rank: Rank, spans: RecordBatch) {
        self.held += spans.get_array_memory_size();
        if let Some(same) = self.traces.insert(rank, spans) {
            self.held = self.held.saturating_sub(same.get_array_memory_size());
        }
        if self.traces.len() > self.limit
            && let Some((_, dropped)) = self.traces.pop_last()
        {
            self.held = self.held.saturating_sub(dropped.get_array_memory_size());
        }
    }
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

/// Cuts a stream that is sorted by trace into one batch per trace.
pub(crate) struct Traces {
    stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
    batch: Option<RecordBatch>,
    /// How many rows of the batch are taken.
    taken: usize,
    counters: Arc<Counters>,
    pace: Pace,
}

impl Traces {
    pub(crate) fn new(
        stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
        counters: Arc<Counters>,
        pace: Pace,
    ) -> Self {
        let stream = stream.fuse().boxed();
        Self { stream, batch: None, taken: 0, counters, pace }
    }

    /// All spans of the trace that comes next, at most [`MAX_SPANS_PER_TRACE`] and a batch.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        let mut pieces: Vec<RecordBatch> = Vec::new();
        let mut current: Option<[u8; 16]> = None;
        let mut spans = 0;
        while let Some((id, rows)) = self.run().await? {
            if current.is_some_and(|current| current != id) {
                break;
            }
            current = Some(id);
            if let Some(batch) = self.batch.as_ref().filter(|_| spans < MAX_SPANS_PER_TRACE) {
                pieces.push(batch.slice(rows.start, rows.len()));
            }
            spans += rows.len();
            self.taken = rows.end;
        }
        if current.is_none() {
            return Ok(None);
        }
        self.counters.series.fetch_add(1, Ordering::Relaxed);
        joined(pieces).map(Some)
    }

    /// The rows of the trace that stands next in the batch, or in the next batch.
    async fn run(&mut self) -> Result<Option<([u8; 16], Range<usize>)>, QueryError> {
        while self.batch.as_ref().is_none_or(|batch| batch.num_rows() <= self.taken) {
            self.pace.step().await;
            let Some(batch) = self.stream.next().await.transpose()? else {
                self.batch = None;
                return Ok(None);
            };
            self.counters.read(&batch);
            (self.batch, self.taken) = (Some(batch), 0);
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let ids = batch.column(TRACE_ID_COLUMN).as_fixed_size_binary();
        let first = ids.value(self.taken);
        let end = (self.taken..batch.num_rows()).find(|row| ids.value(*row) != first);
        let rows = self.taken..end.unwrap_or(batch.num_rows());
        let id = first.try_into().map_err(|_| QueryError::Internal("a trace id has not 16 bytes".into()))?;
        Ok(Some((id, rows)))
    }
}

/// The batches as one.
pub(crate) fn joined(mut pieces: Vec<RecordBatch>) -> Result<RecordBatch, QueryError> {
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
    use crate::tags::view;

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

    #[test]
    fn halves_cover_the_ids_once() {
        let ids = |first: u8, last: u8| TraceIds::Range { first: [first; 16], last: [last; 16] };
        let both = halves(&ids(0, 0xff));
        let [TraceIds::Range { first, last }, TraceIds::Range { first: next, last: end }] = both[..] else {
            unreachable!("{both:?}")
        };
        assert_eq!((first, end), ([0; 16], [0xff; 16]));
        assert_eq!(u128::from_be_bytes(last) + 1, u128::from_be_bytes(next));
        assert!(halves(&ids(7, 7)).is_empty());
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
        for cut_after in 1..=batch.num_rows() {
            let mut all = traces(&batch, cut_after);
            let mut found = Vec::new();
            while let Some(trace) = all.next().await.unwrap() {
                found.push((view(&trace).unwrap().trace_id(0)[0], trace.num_rows()));
            }
            let expected: Vec<(u8, usize)> = (1..).zip(lengths.map(usize::from)).collect();
            assert_eq!(found, expected, "cut_after={cut_after}");
            assert!(all.next().await.unwrap().is_none());
            assert_eq!(all.counters.series.load(Ordering::Relaxed), lengths.len() as u64);
        }
    }
}
