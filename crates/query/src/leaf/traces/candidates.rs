//! The first look of a search: which traces may answer, by single spans and the few columns that conditions on them
//! need. Nothing is copied, and a trace is known by its id and its first start.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use futures::stream::BoxStream;
use storage::StorageError;

use super::super::{Counters, Memory};
use super::{Rank, START_COLUMN, TRACE_ID_COLUMN};
use crate::error::QueryError;
use crate::pace::Pace;

/// What some spans tell of their trace.
#[derive(Clone, Copy, Debug)]
struct Glimpse {
    id: [u8; 16],
    start_ns: i64,
    marks: u32,
    spans: usize,
}

/// A stream of spans, sorted by trace, and what the rows at hand tell.
struct Source {
    stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
    glimpses: std::vec::IntoIter<Glimpse>,
    next: Option<Glimpse>,
}

/// Finds the traces that may answer in streams that are sorted by trace, each of its own source.
pub(super) struct Candidates {
    leaf: Arc<traceql::Leaf>,
    sources: Vec<Source>,
    counters: Arc<Counters>,
    pace: Pace,
}

impl Candidates {
    pub(super) fn new(
        leaf: Arc<traceql::Leaf>,
        streams: Vec<BoxStream<'static, Result<RecordBatch, StorageError>>>,
        counters: Arc<Counters>,
        pace: Pace,
    ) -> Self {
        let source = |stream| Source { stream, glimpses: Vec::new().into_iter(), next: None };
        Self { leaf, sources: streams.into_iter().map(source).collect(), counters, pace }
    }

    /// The traces that may answer, the newest first.
    pub(super) async fn find(mut self, memory: &mut Memory) -> Result<Vec<Rank>, QueryError> {
        let mut found: Vec<Rank> = Vec::new();
        for source in 0..self.sources.len() {
            self.advance(source).await?;
        }
        while let Some(id) = self.sources.iter().filter_map(|s| s.next).map(|next| next.id).min() {
            let mut whole = Glimpse { id, start_ns: i64::MAX, marks: 0, spans: 0 };
            for source in 0..self.sources.len() {
                while let Some(part) = self.sources[source].next.filter(|next| next.id == id) {
                    whole.start_ns = whole.start_ns.min(part.start_ns);
                    whole.marks |= part.marks;
                    whole.spans += part.spans;
                    self.advance(source).await?;
                }
            }
            self.counters.series.fetch_add(1, Ordering::Relaxed);
            let is_too_new = whole.start_ns > self.leaf.range().end_ns;
            if !is_too_new && self.leaf.may_answer(whole.marks, whole.spans) {
                found.push((std::cmp::Reverse(whole.start_ns), id));
                if found.len().is_power_of_two() {
                    memory.hold(2 * found.len() * size_of::<Rank>())?;
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Goes on to what a source tells of the next trace, or more of the same one.
    async fn advance(&mut self, source: usize) -> Result<(), QueryError> {
        let source = &mut self.sources[source];
        loop {
            source.next = source.glimpses.next();
            if source.next.is_some() {
                return Ok(());
            }
            self.pace.step().await;
            let Some(batch) = source.stream.next().await.transpose()? else { return Ok(()) };
            self.counters.read(&batch);
            source.glimpses = glimpses(&self.leaf, &batch)?.into_iter();
        }
    }
}

/// What the spans of a batch tell of each trace.
fn glimpses(leaf: &traceql::Leaf, batch: &RecordBatch) -> Result<Vec<Glimpse>, QueryError> {
    let marks = leaf.marks(batch)?;
    let ids = batch.column(TRACE_ID_COLUMN).as_fixed_size_binary();
    let starts = batch.column(START_COLUMN).as_primitive::<Int64Type>().values();
    let mut glimpses: Vec<Glimpse> = Vec::new();
    for (row, (start_ns, marks)) in starts.iter().zip(marks).enumerate() {
        let id = ids.value(row);
        match glimpses.last_mut().filter(|last| last.id == id) {
            Some(last) => {
                last.start_ns = last.start_ns.min(*start_ns);
                last.marks |= marks;
                last.spans += 1;
            }
            None => {
                let id =
                    id.try_into().map_err(|_| QueryError::Internal("a trace id has not 16 bytes".into()))?;
                glimpses.push(Glimpse { id, start_ns: *start_ns, marks, spans: 1 });
            }
        }
    }
    Ok(glimpses)
}
