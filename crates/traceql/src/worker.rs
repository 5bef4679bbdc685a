//! Evaluates traces one after the other, and keeps the newest that answer.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use model::TimeRange;

use crate::answer::TraceMatch;
use crate::error::EvalError;
use crate::eval::trace::Trace;
use crate::plan::Leaf;

/// Works on a part of the traces. It never holds more than the limit's number of answers.
#[derive(Debug)]
pub struct Worker {
    leaf: Arc<Leaf>,
    kept: BTreeMap<(Reverse<i64>, [u8; 16]), TraceMatch>,
    bytes: usize,
}

impl Worker {
    pub(crate) fn new(leaf: Arc<Leaf>) -> Self {
        Self { leaf, kept: BTreeMap::new(), bytes: 0 }
    }

    /// Takes one whole trace: all of its spans, in any order, and no others.
    ///
    /// # Errors
    /// When the columns are not those of spans.
    pub fn trace(&mut self, spans: &RecordBatch) -> Result<(), EvalError> {
        let trace = Trace::new(spans)?;
        let limit = self.leaf.params.limit;
        if trace.rows() == 0 || limit == 0 {
            return Ok(());
        }
        let (start_ns, end_ns) = trace.bounds_ns();
        if !self.leaf.range().overlaps(TimeRange::new(start_ns, end_ns)) {
            return Ok(());
        }
        let rank = (Reverse(start_ns), trace.view.trace_id(0));
        let is_full = self.kept.len() >= limit;
        if is_full && self.kept.last_key_value().is_some_and(|(last, _)| *last < rank) {
            return Ok(());
        }
        let sets = self.leaf.pipeline.run(&trace, (0..trace.rows()).collect());
        if sets.is_empty() {
            return Ok(());
        }
        let answer = TraceMatch::new(&trace, &sets, &self.leaf.shown, self.leaf.params.spans_per_spanset);
        self.bytes += answer.memory_bytes();
        let replaced = self.kept.insert(rank, answer);
        let dropped = if self.kept.len() > limit { self.kept.pop_last().map(|(_, last)| last) } else { None };
        let freed = [replaced, dropped].iter().flatten().map(TraceMatch::memory_bytes).sum();
        self.bytes = self.bytes.saturating_sub(freed);
        Ok(())
    }

    /// About how much memory the answers hold.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// The answers so far, newest first.
    #[must_use]
    pub fn finish(self) -> Vec<TraceMatch> {
        self.kept.into_values().collect()
    }
}
