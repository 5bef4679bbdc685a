//! The first look of a search: which traces may answer, by single spans and the few columns that conditions on them
//! need. Nothing is copied, and a trace is known by its id and its first start.
//!
//! Sources are looked at by the newest span that they have, the newest first, and only as far as the search asks. What was
//! seen of a trace in some of them is remembered as long as another source may change it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use futures::stream::BoxStream;
use storage::{MAX_SPAN_SOURCES, SpanSource, StorageError};

use super::super::{Counters, Memory};
use super::{Rank, START_COLUMN, TRACE_ID_COLUMN};
use crate::error::QueryError;
use crate::pace::Pace;

/// Traces of which more than what is seen so far is remembered; with more of them the ids are divided, and each half is
/// looked at by itself.
const MAX_REMEMBERED: usize = 1 << 16;

/// What some spans tell of their trace.
#[derive(Clone, Copy, Debug)]
struct Glimpse {
    id: [u8; 16],
    start_ns: i64,
    marks: u32,
    /// Whether it was named as a trace that may answer.
    is_named: bool,
    spans: usize,
}

/// A stream of spans, sorted by trace, and what the rows at hand tell.
struct Source {
    newest_ns: i64,
    stream: BoxStream<'static, Result<RecordBatch, StorageError>>,
    glimpses: std::vec::IntoIter<Glimpse>,
    next: Option<Glimpse>,
}

/// Finds the traces that may answer in streams that are sorted by trace, each of its own source.
pub(super) struct Candidates {
    leaf: Arc<traceql::Leaf>,
    /// Those that nobody has looked at, the one with the newest span last.
    sources: Vec<Source>,
    /// How many are looked at next.
    next_sources: usize,
    /// What those before told, by trace.
    remembered: Vec<Glimpse>,
    is_overfull: bool,
    counters: Arc<Counters>,
    pace: Pace,
}

impl Candidates {
    /// Looks at so many sources first.
    pub(super) fn new(
        leaf: Arc<traceql::Leaf>,
        sources: Vec<SpanSource>,
        first: usize,
        counters: Arc<Counters>,
        pace: Pace,
    ) -> Self {
        let source = |SpanSource { newest_ns, spans }| Source {
            newest_ns,
            stream: spans,
            glimpses: Vec::new().into_iter(),
            next: None,
        };
        let mut sources: Vec<Source> = sources.into_iter().map(source).collect();
        sources.sort_by_key(|source| source.newest_ns);
        let remembered = Vec::new();
        Self { leaf, sources, next_sources: first, remembered, is_overfull: false, counters, pace }
    }

    /// Traces that are not named yet began then or before it; none where all sources were looked at.
    pub(super) fn horizon_ns(&self) -> Option<i64> {
        self.sources.last().map(|source| source.newest_ns)
    }

    /// Whether there was too much to remember, so that it has nothing more to say, although there may be more. Of a part of
    /// the ids there is less.
    pub(super) const fn is_overfull(&self) -> bool {
        self.is_overfull
    }

    /// Memory that it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.remembered.capacity() * size_of::<Glimpse>()
    }

    /// Looks at more sources, and names the traces after the horizon that may answer, the newest first, each once; none
    /// when nothing is left to look at. Their starts are exact, or they began at the horizon or before it. `held` are
    /// bytes that the search holds besides.
    pub(super) async fn next(
        &mut self,
        held: usize,
        memory: &mut Memory,
    ) -> Result<Option<Vec<Rank>>, QueryError> {
        if self.sources.is_empty() || self.is_overfull {
            return Ok(None);
        }
        let mut sources = self.next_sources();
        let horizon_ns = self.horizon_ns();
        let forgets_unmarked = !self.leaf.counts_spans();
        let mut named: Vec<Rank> = Vec::new();
        for source in &mut sources {
            self.advance(source).await?;
        }
        while let Some(id) = sources.iter().filter_map(|s| s.next).map(|next| next.id).min() {
            let mut whole = self.whole(id, &mut sources).await?;
            let is_certain = horizon_ns.is_none_or(|horizon_ns| whole.start_ns > horizon_ns);
            let is_too_new = whole.start_ns > self.leaf.range().end_ns;
            if is_certain && !is_too_new && !whole.is_named && self.leaf.may_answer(whole.marks, whole.spans)
            {
                whole.is_named = true;
                named.push((Reverse(whole.start_ns), id));
            }
            let is_forgotten = is_certain && whole.marks == 0 && !whole.is_named && forgets_unmarked;
            if horizon_ns.is_some() && !self.is_overfull && !is_forgotten {
                self.remembered.push(whole);
                if self.remembered.len() > MAX_REMEMBERED {
                    (self.is_overfull, self.remembered) = (true, Vec::new());
                }
            }
            if (named.len() + self.remembered.len()).is_power_of_two() {
                let glimpses = sources.iter().map(|source| source.glimpses.len() * size_of::<Glimpse>());
                let glimpses = glimpses.sum::<usize>() + 2 * self.remembered.len() * size_of::<Glimpse>();
                memory.hold(held + glimpses + 2 * named.len() * size_of::<Rank>())?;
            }
        }
        named.sort_unstable();
        Ok(Some(named))
    }

    /// The sources to look at, and what is remembered of those before.
    fn next_sources(&mut self) -> Vec<Source> {
        let next = self.sources.len().saturating_sub(self.next_sources);
        // Between sources that end at the same time nothing is certain.
        let end_ns = self.sources[next].newest_ns;
        let first = self.sources.partition_point(|source| source.newest_ns < end_ns);
        let first = first.max(self.sources.len().saturating_sub(MAX_SPAN_SOURCES)).min(next);
        let mut sources = self.sources.split_off(first);
        self.next_sources = self.next_sources.saturating_mul(2).min(MAX_SPAN_SOURCES);
        let glimpses = std::mem::take(&mut self.remembered).into_iter();
        sources.push(Source {
            newest_ns: end_ns,
            stream: futures::stream::empty().boxed(),
            glimpses,
            next: None,
        });
        sources
    }

    /// What the sources tell of the trace that comes next.
    async fn whole(&mut self, id: [u8; 16], sources: &mut [Source]) -> Result<Glimpse, QueryError> {
        let mut whole = Glimpse { id, start_ns: i64::MAX, marks: 0, is_named: false, spans: 0 };
        for source in sources {
            while let Some(part) = source.next.filter(|next| next.id == id) {
                whole.start_ns = whole.start_ns.min(part.start_ns);
                whole.marks |= part.marks;
                whole.is_named |= part.is_named;
                whole.spans += part.spans;
                self.advance(source).await?;
            }
        }
        self.counters.series.fetch_add(1, Ordering::Relaxed);
        Ok(whole)
    }

    /// Goes on to what a source tells of the next trace, or more of the same one.
    async fn advance(&mut self, source: &mut Source) -> Result<(), QueryError> {
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
                glimpses.push(Glimpse { id, start_ns: *start_ns, marks, is_named: false, spans: 1 });
            }
        }
    }
    Ok(glimpses)
}
