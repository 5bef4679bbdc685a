//! Questions about logs: LogQL.

use std::sync::Arc;

use arrow::array::RecordBatch;
use model::time::NS_PER_S;
use model::{Labels, Matcher, Signal, TenantContext, TimeRange};
use storage::StreamSet;

use crate::answer::LogAnswer;
use crate::engine::{Held, QueryEngine, Running};
use crate::error::QueryError;
use crate::federation;
use crate::leaf::logs::LogsWork;
use crate::limits::{check_length, check_ranges, within_lookback};
use crate::prom::hull;
use crate::request::{Direction, LogRequest};

/// The first window that a query for the newest or oldest lines looks at is so long at most, and shorter where lines are
/// many; each further one is four times as long.
const FIRST_WINDOW_NS: i64 = 5 * 60 * NS_PER_S;

/// The first window is so long at least.
const LEAST_WINDOW_NS: i64 = NS_PER_S / 4;

/// Lines of each stream that the first window has at most, about, where fewer are asked for: segments are read by pages of
/// so many, and a page in two windows is read twice.
const FIRST_WINDOW_LINES: f64 = 4_096.0;

impl From<logql::ParseError> for QueryError {
    fn from(error: logql::ParseError) -> Self {
        QueryError::Parse(error.to_string())
    }
}

impl From<logql::PlanError> for QueryError {
    fn from(error: logql::PlanError) -> Self {
        QueryError::Parse(error.to_string())
    }
}

impl From<logql::EvalError> for QueryError {
    fn from(error: logql::EvalError) -> Self {
        QueryError::Execution(error.to_string())
    }
}

/// Reads a stream selector, as `match[]` parameters have it.
///
/// # Errors
/// When the text is not a selector; the message has the position.
pub fn parse_log_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    Ok(logql::parse_selector(text)?)
}

/// Whether a text is a LogQL query that answers with lines; a text that is not a query is none.
#[must_use]
pub fn is_log_query(text: &str) -> bool {
    matches!(logql::parse(text), Ok(logql::Expr::Logs(_)))
}

/// A LogQL query as it is best written, on one line.
///
/// # Errors
/// When the text is not a query; the message has the position.
pub fn format_logql(text: &str) -> Result<String, QueryError> {
    Ok(logql::parse(text)?.to_string())
}

impl QueryEngine {
    /// Evaluates a LogQL query: lines, or a metric of lines at one moment or over a range of steps.
    ///
    /// # Errors
    /// When the text is not a query, cannot be computed, is over a limit or takes too long, or the store fails.
    pub async fn logql(
        &self,
        context: &TenantContext,
        query: &str,
        request: LogRequest,
    ) -> Result<LogAnswer, QueryError> {
        let expr = logql::parse(query)?;
        let most_ns = context.limits().logs.query.max_length_ns;
        check_length(Signal::Logs, "max_query_length", most_ns, asked(&expr, &request))?;
        self.run((context, Signal::Logs), request.timeout_ns, |engine, context, running| async move {
            engine.evaluate_logql(&context, &expr, request, &running).await
        })
        .await
    }

    async fn evaluate_logql(
        &self,
        context: &TenantContext,
        expr: &logql::Expr,
        request: LogRequest,
        running: &Arc<Running>,
    ) -> Result<LogAnswer, QueryError> {
        let params = logql::EvalParams {
            start_ns: request.start_ns,
            end_ns: request.end_ns,
            step_ns: request.step_ns.unwrap_or(0),
            limit: request.limit,
            direction: match request.direction {
                Direction::Forward => logql::Direction::Forward,
                Direction::Backward => logql::Direction::Backward,
            },
            max_series: context.limits().logs.query.max_series.unwrap_or(usize::MAX),
        };
        let plan = logql::plan(expr, &params)?;
        let limits = &context.limits().logs.query;
        let reads = plan.leaves.iter().map(|leaf| leaf.range());
        check_ranges(Signal::Logs, limits.max_length_ns, asked(expr, &request), reads)?;
        let max_entries = context.limits().logs.max_query_entries;
        if plan.is_log_query() && request.limit > max_entries {
            return Err(QueryError::Parse(format!(
                "max entries limit per query exceeded, limit > max_entries_limit_per_query ({} > {max_entries}); ask for \
                 less, or have the operator raise max_entries_limit_per_query in loki-overrides.yaml",
                request.limit
            )));
        }
        let range = plan.leaves.iter().map(|leaf| leaf.range()).reduce(hull).unwrap_or(TimeRange::new(0, -1));
        let seen = within_lookback(limits, self.now(), range);
        let mut snapshots = Vec::with_capacity(context.members().len());
        for member in context.members() {
            snapshots.push((member, running.storage.logs(member, seen).await?));
        }
        let mut leaves = Vec::with_capacity(plan.leaves.len());
        for leaf in &plan.leaves {
            let mut parts = Vec::new();
            for (member, snapshot) in &snapshots {
                let Some(matchers) = federation::matchers(context, member, leaf.matchers()) else { continue };
                let set = snapshot.select(&matchers).await?;
                let labels = federation::labels(context, member, set.labels());
                parts.append(&mut self.log_leaf(leaf, (&set, labels), running).await?);
            }
            leaves.push(parts);
        }
        let output = running.compute(move |_| logql::finish(&plan, leaves)).await??;
        Ok(LogAnswer { value: output.value, stats: running.stats(), held: Held::new(running) })
    }

    /// Runs a leaf; one that wants a number of lines walks windows from its end of time until it has them.
    async fn log_leaf(
        &self,
        leaf: &Arc<logql::Leaf>,
        (set, labels): (&StreamSet, Option<Arc<[Labels]>>),
        running: &Running,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let whole = leaf.range();
        let whole = match set.time_bounds() {
            Some(data) => TimeRange::new(whole.start_ns.max(data.start_ns), whole.end_ns.min(data.end_ns)),
            None => TimeRange::new(0, -1),
        };
        let windows = match leaf.lines() {
            Some((limit, direction)) => {
                let is_backward = direction == logql::Direction::Backward;
                windows(whole, first_window_ns(set, whole, is_backward, limit), is_backward)
            }
            None => vec![whole],
        };
        let mut batches = Vec::new();
        let mut lines = 0;
        for window in windows {
            let counters = Arc::clone(&running.counters);
            let parallelism = self.settings().parallelism;
            let (set, labels) = (set.clone(), labels.clone());
            let work = LogsWork::new(Arc::clone(leaf), set, labels, window, parallelism, counters);
            let found = running.leaf(work).await?;
            lines += found.iter().map(RecordBatch::num_rows).sum::<usize>();
            batches.extend(found);
            if leaf.lines().is_some_and(|(limit, _)| lines >= limit) {
                break;
            }
        }
        Ok(batches)
    }
}

/// From the first to the last moment that is asked for.
const fn asked(expr: &logql::Expr, request: &LogRequest) -> TimeRange {
    let is_instant = request.step_ns.is_none() && !matches!(expr, logql::Expr::Logs(_));
    TimeRange::new(if is_instant { request.end_ns } else { request.start_ns }, request.end_ns)
}

/// How long the first window is, so that it has not many more lines than are asked for.
fn first_window_ns(set: &StreamSet, whole: TimeRange, from_the_end: bool, limit: usize) -> i64 {
    let most = (FIRST_WINDOW_LINES * set.labels().len() as f64).max(limit as f64 * 4.0);
    let mut length = FIRST_WINDOW_NS;
    while length > LEAST_WINDOW_NS && set.rows_within(at_the_end(whole, length, from_the_end)) > most {
        length /= 4;
    }
    length
}

/// The part of a range that is so long, at its end or at its start.
fn at_the_end(range: TimeRange, length: i64, is_end: bool) -> TimeRange {
    if is_end {
        TimeRange::new(range.start_ns.max(range.end_ns.saturating_sub(length - 1)), range.end_ns)
    } else {
        TimeRange::new(range.start_ns, range.end_ns.min(range.start_ns.saturating_add(length - 1)))
    }
}

/// Cuts a range into windows that follow each other from one end, the first so long and each further one four times as
/// long as the one before.
fn windows(whole: TimeRange, first_ns: i64, from_the_end: bool) -> Vec<TimeRange> {
    let mut windows = Vec::new();
    let mut rest = whole;
    let mut length = first_ns;
    while rest.start_ns <= rest.end_ns {
        let window = at_the_end(rest, length, from_the_end);
        windows.push(window);
        if window == rest {
            break;
        }
        rest = if from_the_end {
            TimeRange::new(rest.start_ns, window.start_ns - 1)
        } else {
            TimeRange::new(window.end_ns + 1, rest.end_ns)
        };
        length = length.saturating_mul(4);
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_range_once_from_either_end() {
        for whole in [
            TimeRange::new(0, 0),
            TimeRange::new(-5, 3 * FIRST_WINDOW_NS),
            TimeRange::new(1, 400 * FIRST_WINDOW_NS),
            TimeRange::ALL,
        ] {
            let forward = windows(whole, FIRST_WINDOW_NS, false);
            assert_eq!(forward.first().map(|w| w.start_ns), Some(whole.start_ns));
            assert_eq!(forward.last().map(|w| w.end_ns), Some(whole.end_ns));
            assert!(forward.windows(2).all(|w| w[0].end_ns + 1 == w[1].start_ns), "{forward:?}");
            let mut backward = windows(whole, LEAST_WINDOW_NS, true);
            assert_eq!(backward.first().map(|w| w.end_ns), Some(whole.end_ns));
            backward.reverse();
            assert_eq!(backward.first().map(|w| w.start_ns), Some(whole.start_ns));
            assert!(backward.windows(2).all(|w| w[0].end_ns + 1 == w[1].start_ns), "{backward:?}");
        }
        assert!(windows(TimeRange::new(0, -1), 1, true).is_empty());
    }
}
