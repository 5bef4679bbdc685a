//! What remains when the leaves are read: operators, functions and aggregations over columns.

mod call;

mod classic;

mod falls;

mod info;

mod quantiles;

mod result;

use arrow::array::RecordBatch;
use model::histogram::{NativeHistogram, ResetHint};

use crate::aggregate::{self, Param};
use crate::annotations::Annotations;
use crate::binary;
use crate::error::EvalError;
use crate::functions::quantile::check_quantile;
use crate::kernels::{self, Kernel, RangeFunction, Windows};
use crate::leaf::RawSeries;
use crate::plan::{Node, Plan, Source};
use crate::value::{Point, Value};
use crate::vector::{Grid, GridSeries, Steps};

pub(crate) use classic::quantile_of;

/// The result of a query, and what is to be said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The result.
    pub value: Value,
    /// Where something may be wrong, and what may surprise.
    pub annotations: Annotations,
    /// How many samples each step looked at besides those that the leaves counted; empty where that is not counted.
    pub counted: Vec<u64>,
}

/// Computes the result from what the workers of each leaf gave, in the order of the plan's leaves.
///
/// # Errors
/// When series do not pair, labels are not unique, a parameter is not valid, there are too many samples, or a batch
/// does not fit its leaf.
pub fn finish(plan: &Plan, leaves: Vec<Vec<RecordBatch>>) -> Result<Output, EvalError> {
    finish_unless(plan, leaves, &|| false)
}

/// As [`finish`], for as long as `is_stopped` says no; it is asked before each part and each series of it.
///
/// # Errors
/// As [`finish`], and when it was stopped.
pub fn finish_unless(
    plan: &Plan,
    leaves: Vec<Vec<RecordBatch>>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Output, EvalError> {
    if leaves.len() != plan.leaves.len() {
        return Err(EvalError::Batch {
            leaf: leaves.len(),
            what: "the plan has another number of leaves".to_owned(),
        });
    }
    let mut notes = Annotations::default();
    let mut finish = Finish { plan: Some(plan), leaves, notes: &mut notes, is_stopped, counted: Vec::new() };
    let value = result::of(plan, &mut finish)?;
    let counted = finish.counted;
    Ok(Output { value, annotations: notes, counted })
}

/// The numbers of a node that reads nothing; none where it gives something else.
pub(crate) fn constant(node: &Node, notes: &mut Annotations) -> Result<Option<Vec<f64>>, EvalError> {
    let mut finish =
        Finish { plan: None, leaves: Vec::new(), notes, is_stopped: &|| false, counted: Vec::new() };
    Ok(match finish.compute(node)? {
        Computed::Numbers(numbers) => Some(numbers),
        Computed::Grid(_) | Computed::Text(_) => None,
    })
}

/// What a node gives.
enum Computed {
    Grid(Grid),
    Numbers(Vec<f64>),
    Text(String),
}

struct Finish<'p> {
    plan: Option<&'p Plan>,
    leaves: Vec<Vec<RecordBatch>>,
    notes: &'p mut Annotations,
    is_stopped: &'p dyn Fn() -> bool,
    counted: Vec<u64>,
}

impl<'p> Finish<'p> {
    fn compute(&mut self, node: &Node) -> Result<Computed, EvalError> {
        if (self.is_stopped)() {
            return Err(EvalError::Stopped);
        }
        let computed = match node {
            Node::Numbers(numbers) => Computed::Numbers(numbers.clone()),
            Node::Text(text) => Computed::Text(text.clone()),
            Node::Leaf(leaf) => Computed::Grid(self.leaf(*leaf)?),
            Node::Range { .. } => Computed::Grid(self.windows(node)?),
            Node::Matrix { .. } => {
                return Err(EvalError::Unsupported("a range vector in this place".to_owned()));
            }
            Node::Negate(inner) => match self.compute(inner)? {
                Computed::Numbers(numbers) => Computed::Numbers(numbers.into_iter().map(|n| -n).collect()),
                Computed::Grid(grid) => Computed::Grid(negate(grid)?),
                Computed::Text(_) => return Err(EvalError::Unsupported("a sign before a text".to_owned())),
            },
            Node::Binary { op, bool_modifier, matching, lhs, rhs, place } => {
                let (lhs, rhs) = (self.compute(lhs)?, self.compute(rhs)?);
                self.notes.at(*place);
                match (lhs, rhs) {
                    (Computed::Numbers(a), Computed::Numbers(b)) => {
                        Computed::Numbers(binary::binary_scalars(*op, &a, &b))
                    }
                    (Computed::Grid(a), Computed::Grid(b)) => {
                        Computed::Grid(binary::binary(*op, matching, *bool_modifier, a, b, self.notes)?)
                    }
                    (Computed::Grid(grid), Computed::Numbers(numbers)) => Computed::Grid(
                        binary::binary_scalar(*op, *bool_modifier, grid, &numbers, false, self.notes)?,
                    ),
                    (Computed::Numbers(numbers), Computed::Grid(grid)) => Computed::Grid(
                        binary::binary_scalar(*op, *bool_modifier, grid, &numbers, true, self.notes)?,
                    ),
                    _ => return Err(EvalError::Unsupported("an operator on a text".to_owned())),
                }
            }
            Node::Aggregate { op, grouping, param, input, places } => {
                let param = match param.as_ref().map(|param| self.compute(param)).transpose()? {
                    Some(Computed::Numbers(numbers)) => Param::Numbers(numbers),
                    Some(Computed::Text(text)) => Param::Text(text),
                    Some(Computed::Grid(_)) | None => Param::None,
                };
                let input = self.grid(input)?;
                Computed::Grid(aggregate::within(*op, grouping, &param, input, *places, self.notes)?)
            }
            Node::Absent { labels, input, steps } => {
                Computed::Grid(absent(labels, &self.grid(input)?, *steps))
            }
            Node::Info { input, selector, values, moments } => {
                let base = self.grid(input)?;
                let (values, moments) = (self.leaf(*values)?, self.leaf(*moments)?);
                Computed::Grid(info::enrich(selector, base, &values, &moments)?)
            }
            Node::Quantile { leaf, quantiles, places } => {
                let (leaf, batches) = self.batches(*leaf)?;
                let (buckets, mut done) = leaf.gather_quantiles(&batches, self.notes)?;
                let is_named = self.names_stay();
                let mut grid = classic::quantile(quantiles, &buckets, *places, is_named, self.notes)?;
                grid.series.append(&mut done);
                grid.sort();
                Computed::Grid(grid.unite()?)
            }
            Node::Call { function, args, places, steps } => self.call(function, args, places, *steps)?,
        };
        self.named(computed)
    }

    fn names_stay(&self) -> bool {
        self.plan.is_none_or(|plan| plan.delayed_names)
    }

    /// Takes names away at once, where they do not stay to the end of the query.
    fn named(&self, computed: Computed) -> Result<Computed, EvalError> {
        match computed {
            Computed::Grid(grid)
                if !self.names_stay() && grid.series.iter().any(|series| series.name_dropped) =>
            {
                Ok(Computed::Grid(grid.drop_names()?))
            }
            other => Ok(other),
        }
    }

    /// A function over windows of samples.
    fn windows(&mut self, node: &Node) -> Result<Grid, EvalError> {
        let Node::Range { function, source, windows, params, keep_name, places, is_counted } = node else {
            return Err(EvalError::Unsupported("windows in this place".to_owned()));
        };
        let mut numbers = Vec::with_capacity(params.len());
        for param in params {
            numbers.push(self.numbers(param)?);
        }
        let series = self.samples(source)?;
        if *function == RangeFunction::Quantile
            && let Some(quantiles) = numbers.first()
        {
            self.notes.at(places.param);
            quantiles.iter().for_each(|q| check_quantile(*q, self.notes));
        }
        let kernel = Kernel::Range(*function, numbers);
        self.notes.at(places.samples);
        if *is_counted {
            let nothing = GridSeries::absent(model::Labels::empty(), 0);
            for series in &series {
                kernels::count(&kernel, windows, series.samples(), &nothing, &mut self.counted);
            }
        }
        self.range(&kernel, windows, *keep_name, &series)
    }

    fn leaf(&mut self, leaf: usize) -> Result<Grid, EvalError> {
        let (leaf, batches) = self.batches(leaf)?;
        leaf.gather(&batches, self.notes)
    }

    /// A leaf and its batches, which are needed once.
    fn batches(&mut self, number: usize) -> Result<(&'p crate::leaf::Leaf, Vec<RecordBatch>), EvalError> {
        let plan: Option<&'p Plan> = self.plan;
        let leaf = plan.and_then(|plan| plan.leaves.get(number));
        match (leaf, self.leaves.get_mut(number)) {
            (Some(leaf), Some(batches)) => Ok((leaf, std::mem::take(batches))),
            _ => Err(EvalError::Batch { leaf: number, what: "there is no such leaf".to_owned() }),
        }
    }

    fn grid(&mut self, node: &Node) -> Result<Grid, EvalError> {
        match self.compute(node)? {
            Computed::Grid(grid) => Ok(grid),
            _ => Err(EvalError::Unsupported("something else than series in this place".to_owned())),
        }
    }

    fn numbers(&mut self, node: &Node) -> Result<Vec<f64>, EvalError> {
        match self.compute(node)? {
            Computed::Numbers(numbers) => Ok(numbers),
            _ => Err(EvalError::Unsupported("something else than a number in this place".to_owned())),
        }
    }

    fn text(&mut self, node: &Node) -> Result<String, EvalError> {
        match self.compute(node)? {
            Computed::Text(text) => Ok(text),
            _ => Err(EvalError::Unsupported("something else than a text in this place".to_owned())),
        }
    }

    fn range(
        &mut self,
        kernel: &Kernel,
        windows: &Windows,
        keep_name: bool,
        series: &[RawSeries],
    ) -> Result<Grid, EvalError> {
        let mut grid = Grid::empty(windows.steps);
        for series in series {
            if (self.is_stopped)() {
                return Err(EvalError::Stopped);
            }
            kernels::check(kernel, windows, series.samples())?;
            let labels = series.labels.clone();
            let mut result = kernels::run(kernel, windows, labels, series.samples(), self.notes);
            result.name_dropped = !keep_name || series.name_dropped;
            grid.series.push(result);
        }
        grid.unite()
    }

    /// The samples over which windows lie.
    fn samples(&mut self, source: &Source) -> Result<Vec<RawSeries>, EvalError> {
        match source {
            Source::Leaf(leaf) => {
                let (leaf, batches) = self.batches(*leaf)?;
                leaf.gather_raw(&batches, self.notes)
            }
            Source::Node(node, steps) => Ok(match self.compute(node)? {
                Computed::Grid(grid) => grid.series.iter().map(|series| as_samples(series, *steps)).collect(),
                _ => return Err(EvalError::Unsupported("a subquery of a number".to_owned())),
            }),
        }
    }
}

fn as_samples(series: &GridSeries, steps: Steps) -> RawSeries {
    let mut raw = RawSeries::new(series.labels.clone());
    raw.name_dropped = series.name_dropped;
    for (step, at) in steps.iter().enumerate() {
        match series.point(step) {
            Some(Point::Float(value)) => {
                raw.timestamps_ms.push(at);
                raw.values.push(value);
            }
            Some(Point::Histogram(histogram)) => {
                // What it says is of the sample before it in the series, which is none of these.
                let hint = if histogram.reset_hint == ResetHint::Gauge {
                    ResetHint::Gauge
                } else {
                    ResetHint::Unknown
                };
                raw.histogram_timestamps_ms.push(at);
                raw.histograms.push(NativeHistogram { reset_hint: hint, ..*histogram });
            }
            None => {}
        }
    }
    raw
}

fn negate(mut grid: Grid) -> Result<Grid, EvalError> {
    for series in &mut grid.series {
        series.name_dropped = true;
        series.values.iter_mut().for_each(|value| *value = -*value);
        for histogram in series.histograms.iter_mut().flatten() {
            **histogram = crate::histogram::scale(histogram, -1.0);
        }
    }
    grid.unite()
}

fn absent(labels: &model::Labels, input: &Grid, steps: Steps) -> Grid {
    let mut absent = GridSeries::full(labels.clone(), vec![1.0; steps.count]);
    for series in &input.series {
        absent.present.subtract(&series.presence());
    }
    let series = if absent.is_absent() { Vec::new() } else { vec![absent] };
    Grid { steps, series }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{EvalParams, plan};

    #[test]
    fn a_stopped_query_computes_no_further() {
        let params = EvalParams::instant(0);
        let plan =
            plan(&crate::parse("sum_over_time(vector(1)[10s:1s])", crate::Features::ALL).unwrap(), &params)
                .unwrap();
        assert!(finish(&plan, Vec::new()).is_ok());
        assert_eq!(finish_unless(&plan, Vec::new(), &|| true), Err(EvalError::Stopped));
    }
}
