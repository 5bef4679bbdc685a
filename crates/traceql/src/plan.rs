//! From a query to what runs: one leaf, whose workers take whole traces, and the finish that joins their answers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use model::TimeRange;
use model::trace::SpansView;

use crate::answer::{ShownField, TraceMatch};
use crate::ast::{FieldExpr, Query};
use crate::error::{EvalError, PlanError};
use crate::eval::pipeline::{Pipeline, union};
use crate::eval::trace::Trace;
use crate::glance::Glance;
use crate::mentions::{self, Columns};
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
    columns: Columns,
    glance: Glance,
    glanced: Columns,
}

/// Plans a search.
///
/// # Errors
/// When a regular expression does not compile or is not a constant.
pub fn plan(query: &Query, params: &SearchParams) -> Result<Plan, PlanError> {
    let mut fields: Vec<&FieldExpr> = Vec::new();
    mentions::fields(&query.stages, &mut fields);
    let mut glanced: Vec<&FieldExpr> = Vec::new();
    let glance = Glance::new(&query.stages, &mut glanced)?;
    let leaf = Leaf {
        params: *params,
        pipeline: Pipeline::new(&query.stages)?,
        shown: ShownField::of(&fields),
        columns: Columns::of_answers(&fields),
        glance,
        glanced: Columns::of(&glanced),
    };
    Ok(Plan { leaf: Arc::new(leaf) })
}

impl Leaf {
    /// The time in which a trace must have a span to answer.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.params.start_ns, self.params.end_ns)
    }

    /// The columns of spans that are looked at.
    #[must_use]
    pub const fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The columns that [`Leaf::marks`] looks at.
    #[must_use]
    pub const fn glanced_columns(&self) -> &Columns {
        &self.glanced
    }

    /// What each span, of any trace, has of what traces that answer have: a bit for each such thing. Those of a trace's
    /// spans, joined by `|`, are the trace's.
    ///
    /// # Errors
    /// When the columns are not those of spans.
    pub fn marks(&self, spans: &RecordBatch) -> Result<Vec<u32>, EvalError> {
        // Each span is looked at alone: that they are of many traces does not matter.
        Ok(self.glance.marks(&Trace::new(spans)?))
    }

    /// Whether a trace with these marks and so many spans may answer; one that may not, does not.
    #[must_use]
    pub fn may_answer(&self, marks: u32, spans: usize) -> bool {
        self.glance.passes(marks, spans)
    }

    /// Whether spans without marks count for [`Leaf::may_answer`], beyond that a trace has one.
    #[must_use]
    pub fn counts_spans(&self) -> bool {
        self.glance.counts_spans()
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

    /// The columns of spans that it looks at.
    #[must_use]
    pub fn columns(&self) -> Columns {
        let mut fields: Vec<&FieldExpr> = Vec::new();
        mentions::fields(&self.query.stages, &mut fields);
        Columns::of_answers(&fields)
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
