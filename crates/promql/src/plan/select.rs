//! Selectors and subqueries: leaves, and where their windows lie.

use model::labels::{METRIC_NAME, is_of_metric};
use model::{MatchOp, Matcher};

use super::{Planner, RangePlaces, Source};
use crate::ast::{AggregateOp, At, Expr, Extended, Grouping, Moved, Place, Selector};
use crate::error::EvalError;
use crate::kernels::{Kernel, Margin, Windows};
use crate::leaf::{BOUND, Leaf, Reduce, Work, quantiles_schema, raw_schema, values_schema};
use crate::vector::Steps;

/// The step of subqueries that name none.
const DEFAULT_SUBQUERY_STEP_MS: i64 = 60_000;

/// What of the newest sample is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    Value,
    Timestamp,
    Start,
}

impl Planner {
    /// A leaf for an instant selector: values, or what the samples say of time.
    pub(super) fn instant(
        &mut self,
        selector: &Selector,
        steps: Steps,
        of: Sampled,
    ) -> Result<usize, EvalError> {
        let mut windows = self.windows(&selector.moved, self.params.lookback_ms, steps)?;
        // The window itself looks back far enough.
        windows.margin.before_ms = 0;
        let kernel = match (of, selector.moved.extended) {
            (Sampled::Timestamp, _) => Kernel::Timestamp,
            (Sampled::Start, _) => Kernel::Start,
            (Sampled::Value, Some(Extended::Smoothed)) => Kernel::Smoothed,
            (Sampled::Value, _) => Kernel::Instant,
        };
        let keep_name = of == Sampled::Value;
        let places = RangePlaces { samples: selector.place, param: Place::default() };
        Ok(self.leaf(selector, windows, Work::Kernel { kernel, keep_name, reduce: None }, places))
    }

    /// Whether the samples of each step are counted here.
    pub(super) const fn is_counted(&self) -> bool {
        self.params.counts_samples && !self.in_subquery
    }

    pub(super) fn leaf(
        &mut self,
        selector: &Selector,
        windows: Windows,
        work: Work,
        places: RangePlaces,
    ) -> usize {
        let number = self.leaves.len();
        let schema = if work == Work::Raw { raw_schema() } else { values_schema(false) };
        self.leaves.push(Leaf {
            number,
            matchers: selector.matchers.clone(),
            windows,
            work,
            places,
            tells_resets: self.tells_resets,
            delayed_names: self.params.delayed_names,
            start_timestamps: self.params.start_timestamps,
            is_counted: self.is_counted(),
            lookback_ms: self.params.lookback_ms,
            max_samples: self.params.max_samples,
            quantiles: None,
            schema,
        });
        number
    }

    pub(super) fn windows(&self, moved: &Moved, range_ms: i64, steps: Steps) -> Result<Windows, EvalError> {
        let at_ms = moved.at.map(|at| match at {
            At::Timestamp(ms) => ms,
            At::Start => self.params.start_ms,
            At::End => self.params.end_ms,
        });
        let lookback_ms = self.params.lookback_ms;
        let margin = match moved.extended {
            // The first sample of a window is compared with the one before it.
            None if self.tells_resets => Margin { before_ms: lookback_ms, after_ms: 0 },
            None => Margin::default(),
            Some(Extended::Anchored) => Margin { before_ms: lookback_ms, after_ms: 0 },
            Some(Extended::Smoothed) => Margin { before_ms: lookback_ms, after_ms: lookback_ms },
        };
        Ok(Windows { steps, range_ms, offset_ms: self.offset_ms(moved.offset.as_ref())?, at_ms, margin })
    }

    /// The samples of a range vector: those of a leaf, or the values of a subquery.
    pub(super) fn source(&mut self, matrix: &Expr, steps: Steps) -> Result<(Source, Windows), EvalError> {
        match matrix.unparenthesized() {
            Expr::Range(selector, range) => {
                if let Some(extended) = selector.moved.extended {
                    let word = extended.as_str();
                    let message = format!("{word} modifier can only be used in an argument of a function");
                    return Err(EvalError::Parameter(message));
                }
                let windows = self.windows(&selector.moved, self.positive_ms(range)?, steps)?;
                let places = RangePlaces { samples: selector.place, param: Place::default() };
                Ok((Source::Leaf(self.leaf(selector, windows, Work::Raw, places)), windows))
            }
            Expr::Subquery(subquery) => {
                let windows = self.windows(&subquery.moved, self.positive_ms(&subquery.range)?, steps)?;
                // A step of less than a millisecond is none.
                let step_ms = match subquery.step.as_ref().map_or(Ok(0), |step| self.positive_ms(step))? {
                    0 => DEFAULT_SUBQUERY_STEP_MS,
                    step_ms => step_ms,
                };
                let inner = subquery_steps(&windows, step_ms)?;
                if inner.count > self.params.max_samples {
                    return Err(EvalError::TooManySamples);
                }
                let tells_resets = std::mem::replace(&mut self.tells_resets, false);
                let is_result = std::mem::replace(&mut self.is_result, false);
                let in_subquery = std::mem::replace(&mut self.in_subquery, !is_result);
                let node = self.node(&subquery.expr, inner)?;
                (self.tells_resets, self.in_subquery) = (tells_resets, in_subquery);
                Ok((Source::Node(Box::new(node), inner), windows))
            }
            _ => Err(EvalError::Unsupported("this kind of range vector".to_owned())),
        }
    }
}

/// The multiples of the step within all windows.
fn subquery_steps(windows: &Windows, step_ms: i64) -> Result<Steps, EvalError> {
    let (before_ms, last_ms) = windows.hull();
    let mut start_ms = before_ms / step_ms * step_ms;
    if start_ms <= before_ms {
        start_ms = start_ms.saturating_add(step_ms);
    }
    // A window may lie between two multiples: a step behind it gives no sample to any window.
    Steps::range(start_ms, last_ms.max(start_ms), step_ms)
}

impl Leaf {
    /// Whether series of several metrics may become the same when their names go: then all of them must be seen beside
    /// each other.
    pub(super) fn may_clash(&self) -> bool {
        let is_one_metric = |matcher: &Matcher| {
            matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal && !matcher.value.is_empty()
        };
        self.drops_names_at_once() && !self.matchers.iter().any(is_one_metric)
    }

    /// Folds groups within the leaf where that gives the same: true if it does from now on.
    pub(super) fn reduce_by(&mut self, op: AggregateOp, grouping: &Grouping, place: Place) -> bool {
        let folds = matches!(
            op,
            AggregateOp::Sum
                | AggregateOp::Avg
                | AggregateOp::Min
                | AggregateOp::Max
                | AggregateOp::Count
                | AggregateOp::Group
        );
        // A name that is to go from the result may still part the groups.
        let delayed = self.delayed_names;
        let by_name = !grouping.without && grouping.labels.iter().any(|label| is_of_metric(label));
        match &mut self.work {
            Work::Kernel { keep_name, reduce: reduce @ None, .. }
                if folds && (*keep_name || !by_name || !delayed) =>
            {
                *reduce = Some(Reduce { op, grouping: grouping.clone(), place });
                self.schema = values_schema(true);
                true
            }
            _ => false,
        }
    }

    /// Has the workers compute quantiles of classic histograms where that gives the same: true if they do from now on.
    pub(super) fn compute_quantiles(&mut self, quantiles: &[f64]) -> bool {
        let Work::Kernel { reduce, .. } = &self.work else { return false };
        let sees_all = match reduce {
            Some(reduce) => reduce.grouping.keeps(BOUND) && reduce.op != AggregateOp::Count,
            None => !self.may_clash(),
        };
        if self.delayed_names || !sees_all {
            return false;
        }
        self.schema = quantiles_schema(reduce.is_some());
        self.quantiles = Some(quantiles.to_vec());
        true
    }
}
