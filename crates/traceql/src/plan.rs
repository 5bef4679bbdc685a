//! From a query to what runs: one leaf, whose workers take whole traces, and the finish that joins their answers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use model::TimeRange;
use model::trace::SpansView;

use crate::answer::{ShownField, TraceMatch};
use crate::ast::{FieldExpr, Query};
use crate::error::{EvalError, PlanError};
use crate::eval::condition::Condition;
use crate::eval::pipeline::{Pipeline, union};
use crate::eval::trace::Trace;
use crate::mentions;
use crate::worker::Worker;

/// What a search is asked for besides the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchParams {
    /// Traces that ended before this moment do not answer.
    pub start_ns: i64,
    /// Traces that began after this moment do not answer.
    pub end_ns: i64,
    /// How many traces are shown, the newest ones.
    pub limit: usize,
    /// How many spans of a spanset are shown, the earliest ones.
    pub spans_per_spanset: usize,
}

impl Default for SearchParams {
    /// All of time, 20 traces, 3 spans of each spanset: Tempo's defaults.
    fn default() -> Self {
        Self { start_ns: i64::MIN, end_ns: i64::MAX, limit: 20, spans_per_spanset: 3 }
    }
}

/// A query that is ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The one thing to read.
    pub leaf: Arc<Leaf>,
}

/// What is read, and what is computed over each trace of it.
#[derive(Debug)]
pub struct Leaf {
    pub(crate) params: SearchParams,
    pub(crate) pipeline: Pipeline,
    pub(crate) shown: Vec<ShownField>,
    columns: Vec<&'static str>,
    service: Option<String>,
    span_condition: Option<Condition>,
}

/// Plans a search.
///
/// # Errors
/// When a regular expression does not compile or is not a constant.
pub fn plan(query: &Query, params: &SearchParams) -> Result<Plan, PlanError> {
    let mut fields: Vec<&FieldExpr> = Vec::new();
    mentions::fields(&query.stages, &mut fields);
    let leaf = Leaf {
        params: *params,
        pipeline: Pipeline::new(&query.stages)?,
        shown: ShownField::of(&fields),
        columns: mentions::columns(&fields),
        service: mentions::service(&query.stages).map(str::to_owned),
        span_condition: mentions::span_condition(&query.stages).map(Condition::new).transpose()?,
    };
    Ok(Plan { leaf: Arc::new(leaf) })
}

impl Leaf {
    /// The time in which a trace must have a span to answer.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.params.start_ns, self.params.end_ns)
    }

    /// Names of the columns of spans that are looked at; what stands in the others makes no difference.
    #[must_use]
    pub fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// A service (`resource.service.name`) of which every trace that answers has a span. Only whole traces may be
    /// left out by it, never spans of a trace.
    #[must_use]
    pub fn service_hint(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// Which spans, of any traces, a trace that answers must have one of; none where every trace may answer.
    ///
    /// # Errors
    /// When the columns are not those of spans.
    pub fn candidates(&self, spans: &RecordBatch) -> Result<Option<Vec<bool>>, EvalError> {
        let Some(condition) = &self.span_condition else { return Ok(None) };
        // The condition looks at each span alone: that they are of many traces does not matter.
        let spans = Trace::new(spans)?;
        Ok(Some(condition.mask(&spans, &vec![true; spans.rows()])))
    }

    /// A worker for a part of the traces.
    #[must_use]
    pub fn worker(self: &Arc<Self>) -> Worker {
        Worker::new(Arc::clone(self))
    }
}

/// Joins the answers of all workers: newest first by start, ties by trace id, at most the limit.
#[must_use]
pub fn finish(plan: &Plan, parts: Vec<Vec<TraceMatch>>) -> Vec<TraceMatch> {
    let mut all: Vec<TraceMatch> = parts.into_iter().flatten().collect();
    all.sort_by_key(TraceMatch::rank);
    all.truncate(plan.leaf.params.limit);
    all
}

/// A query as a filter of spans: for tag names and values that are asked for with a query.
#[derive(Debug)]
pub struct SpanFilter {
    query: Query,
    pipeline: Pipeline,
}

impl SpanFilter {
    /// Makes a query ready to filter.
    ///
    /// # Errors
    /// When a regular expression does not compile or is not a constant.
    pub fn new(query: &Query) -> Result<Self, PlanError> {
        Ok(Self { query: query.clone(), pipeline: Pipeline::new(&query.stages)? })
    }

    /// The query that it filters by.
    #[must_use]
    pub const fn query(&self) -> &Query {
        &self.query
    }

    /// Which spans are in a spanset that the query leaves, in the order of the rows. Every trace in the batch is
    /// whole, and its spans stand together.
    ///
    /// # Errors
    /// When the columns are not those of spans.
    pub fn mask(&self, spans: &RecordBatch) -> Result<Vec<bool>, EvalError> {
        let view = SpansView::new(spans).ok_or(EvalError::Columns)?;
        let mut mask = Vec::with_capacity(view.rows());
        while mask.len() < view.rows() {
            let start = mask.len();
            let id = view.trace_id(start);
            let end = (start..view.rows()).find(|row| view.trace_id(*row) != id).unwrap_or(view.rows());
            let of_trace = spans.slice(start, end - start);
            let trace = Trace::new(&of_trace)?;
            mask.resize(end, false);
            let selected = union(self.pipeline.run(&trace, (0..trace.rows()).collect()));
            selected.into_iter().for_each(|row| mask[start + row] = true);
        }
        Ok(mask)
    }
}
