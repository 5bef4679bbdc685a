//! The leaf of TraceQL: whole traces, one after the other, through the filter; the newest that match stay.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::TimeRange;
use model::trace::SPANS_SCHEMA;
use storage::{StorageError, TraceIds, TraceScan, TracesSnapshot};

use super::{Counters, Memory, Work};
use crate::error::QueryError;
use crate::pace::Pace;
use crate::tags::view;

/// A trace of more spans than this is cut: what follows is not looked at.
pub(crate) const MAX_SPANS_PER_TRACE: usize = 1 << 20;

/// A TraceQL leaf over the spans of a snapshot. Its result is the spans of the traces that match.
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
fn ids_of(partition: usize, parts: usize) -> TraceIds {
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
        let traces = Traces::new(self.snapshot.scan(scan), Arc::clone(&self.counters));
        let (leaf, limit, counters) = (Arc::clone(&self.leaf), self.limit, Arc::clone(&self.counters));
        Box::pin(evaluate(leaf, traces, limit, memory, pace, counters))
    }
}

async fn evaluate(
    leaf: Arc<traceql::Leaf>,
    mut traces: Traces,
    limit: usize,
    mut memory: Memory,
    mut pace: Pace,
    counters: Arc<Counters>,
) -> Result<Vec<RecordBatch>, QueryError> {
    let mut newest: BTreeMap<(Reverse<i64>, [u8; 16]), RecordBatch> = BTreeMap::new();
    let mut held = 0;
    while let Some(trace) = traces.next().await? {
        pace.step().await;
        counters.series.fetch_add(1, Ordering::Relaxed);
        if let Some(service) = leaf.service_hint()
            && !has_service(&trace, service)?
        {
            continue;
        }
        let mut worker = leaf.worker();
        worker.trace(&trace)?;
        for found in worker.finish() {
            let key = (Reverse(found.start_ns), found.trace_id);
            if newest.len() < limit || newest.last_key_value().is_some_and(|(last, _)| key < *last) {
                held += trace.get_array_memory_size();
                newest.insert(key, trace.clone());
            }
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

fn has_service(trace: &RecordBatch, service: &str) -> Result<bool, QueryError> {
    let view = view(trace)?;
    Ok((0..view.rows()).any(|row| view.service_name(row) == service))
}

/// Cuts a stream that is sorted by trace into one batch per trace.
pub(crate) struct Traces {
    stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
    batch: Option<RecordBatch>,
    counters: Arc<Counters>,
}

impl Traces {
    pub(crate) fn new(
        stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { stream, batch: None, counters }
    }

    /// All spans of the trace that comes next, at most [`MAX_SPANS_PER_TRACE`] and a batch.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        let mut pieces: Vec<RecordBatch> = Vec::new();
        let mut id = None;
        let mut spans = 0;
        while self.fill().await? {
            let Some(batch) = self.batch.take() else { break };
            let view = view(&batch)?;
            let first = view.trace_id(0);
            if *id.get_or_insert(first) != first {
                self.batch = Some(batch);
                break;
            }
            let rows = (0..batch.num_rows()).take_while(|row| view.trace_id(*row) == first).count();
            if spans < MAX_SPANS_PER_TRACE {
                pieces.push(batch.slice(0, rows));
            }
            spans += rows;
            self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        match pieces.len() {
            0 => Ok(None),
            1 => Ok(pieces.pop()),
            _ => concat_batches(&SPANS_SCHEMA, &pieces)
                .map(Some)
                .map_err(|error| QueryError::Internal(error.to_string())),
        }
    }

    async fn fill(&mut self) -> Result<bool, QueryError> {
        while self.batch.as_ref().is_none_or(|batch| batch.num_rows() == 0) {
            match self.stream.next().await.transpose()? {
                Some(batch) => {
                    self.counters.read(&batch);
                    self.batch = Some(batch);
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
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
}
