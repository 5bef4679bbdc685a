//! Joins what the leaves' workers gave into the answer.

mod lines;
mod series;

use arrow::array::RecordBatch;
use model::Labels;
use promql::vector::{
    Annotations, Cardinality, Grid, GridSeries, Matching, Param, Steps, aggregate, binary, binary_scalar,
    binary_scalars,
};

use crate::ast::Binary;
use crate::error::EvalError;
use crate::leaf::Output as LeafOutput;
use crate::plan::{Node, Plan, vector_op};
use crate::value::{Output, SeriesValues, Stats, Value};

/// Answers a query from its leaves' batches: per leaf, in the order of the plan, those of all partitions.
///
/// # Errors
/// When batches are not of the leaf's schema, sides of an operator do not match, or the answer has too many series.
pub fn finish(plan: &Plan, leaves: Vec<Vec<RecordBatch>>) -> Result<Output, EvalError> {
    let mut stats = Stats::default();
    if plan.is_log_query() {
        let batches = leaves.into_iter().next().unwrap_or_default();
        let streams = lines::join(&batches, plan.limit, plan.direction)?;
        stats.entries_returned = streams.iter().map(|s| s.entries.len() as u64).sum();
        return Ok(Output { value: Value::Streams(streams), stats });
    }
    let mut finisher = Finisher { plan, leaves, notes: Annotations::default() };
    let value = match finisher.eval(&plan.root)? {
        Computed::Scalar(values) => scalar_value(plan.steps, &values),
        Computed::Grid(grid) => grid_value(plan, grid)?,
    };
    stats.entries_returned = match &value {
        Value::Matrix(series) => series.iter().map(|s| s.points.len() as u64).sum(),
        Value::Vector(samples) => samples.len() as u64,
        Value::Scalar(..) | Value::Streams(_) => 1,
    };
    Ok(Output { value, stats })
}

fn scalar_value(steps: Steps, values: &[f64]) -> Value {
    if steps.step_ms == 0 {
        return Value::Scalar(steps.start_ms, values.first().copied().unwrap_or(f64::NAN));
    }
    let points = steps.iter().zip(values.iter().copied()).collect();
    Value::Matrix(vec![SeriesValues { labels: Labels::empty(), points }])
}

fn grid_value(plan: &Plan, mut grid: Grid) -> Result<Value, EvalError> {
    grid.series.retain(|series| !series.is_absent());
    if plan.max_series > 0 && grid.series.len() > plan.max_series {
        return Err(EvalError::TooManySeries { limit: plan.max_series });
    }
    let steps = grid.steps;
    if steps.step_ms != 0 {
        grid.sort();
        let points =
            |s: &GridSeries| s.present.steps().map(|step| (steps.at(step), s.values[step])).collect();
        let series = grid.series.iter().map(|s| SeriesValues { labels: s.labels.clone(), points: points(s) });
        return Ok(Value::Matrix(series.collect()));
    }
    if !keeps_order(&plan.root) {
        grid.sort();
    }
    let samples =
        grid.series.iter().filter_map(|s| s.float(0).map(|v| (s.labels.clone(), steps.start_ms, v)));
    Ok(Value::Vector(samples.collect()))
}

/// Whether the query itself orders its answer.
fn keeps_order(root: &Node) -> bool {
    use promql::vector::AggregateOp as A;
    matches!(root, Node::Sort { .. } | Node::Aggregate { op: A::Topk | A::Bottomk, .. })
}

/// A part of the answer.
enum Computed {
    Scalar(Vec<f64>),
    Grid(Grid),
}

struct Finisher<'p> {
    plan: &'p Plan,
    leaves: Vec<Vec<RecordBatch>>,
    notes: Annotations,
}

impl Finisher<'_> {
    fn eval(&mut self, node: &Node) -> Result<Computed, EvalError> {
        let steps = self.plan.steps;
        Ok(match node {
            Node::Lines => Computed::Grid(Grid::empty(steps)),
            Node::Scalar(value) => Computed::Scalar(vec![*value; steps.count]),
            Node::Vector(value) => {
                let series = vec![GridSeries::full(Labels::empty(), vec![*value; steps.count])];
                Computed::Grid(Grid { steps, series })
            }
            Node::Range(leaf) => Computed::Grid(self.range(*leaf)?),
            Node::Absent(leaf, labels) => Computed::Grid(absent(&self.range(*leaf)?, labels)),
            Node::Aggregate { op, grouping, k, child } => {
                let grid = self.grid(child)?;
                let grouping =
                    promql::vector::Grouping { without: grouping.without, labels: grouping.labels.clone() };
                let param = k.map_or(Param::None, |k| Param::Numbers(vec![f64::from(k); steps.count]));
                let grid =
                    aggregate(*op, &grouping, &param, grid, &mut self.notes).map_err(matching_error)?;
                Computed::Grid(grid)
            }
            Node::Sort { descending, child } => {
                let mut grid = self.grid(child)?;
                sort(&mut grid, *descending);
                Computed::Grid(grid)
            }
            Node::Binary { shape, left, right } => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                self.binary(shape, left, right)?
            }
            Node::LabelReplace { to, replacement, from, regex, child } => {
                let mut grid = self.grid(child)?;
                for series in &mut grid.series {
                    if let Some(found) = regex.captures(series.labels.get(from).unwrap_or_default()) {
                        let mut value = String::new();
                        found.expand(replacement, &mut value);
                        series.labels = series.labels.with(to, &value);
                    }
                }
                Computed::Grid(grid.unite().map_err(matching_error)?)
            }
        })
    }

    /// Where only series make sense, a number is a series without labels.
    fn grid(&mut self, node: &Node) -> Result<Grid, EvalError> {
        Ok(match self.eval(node)? {
            Computed::Grid(grid) => grid,
            Computed::Scalar(values) => {
                Grid { steps: self.plan.steps, series: vec![GridSeries::full(Labels::empty(), values)] }
            }
        })
    }

    fn range(&mut self, leaf: usize) -> Result<Grid, EvalError> {
        let batches = self.leaves.get_mut(leaf).map(std::mem::take).unwrap_or_default();
        match self.plan.leaves.get(leaf).map(|leaf| &leaf.output) {
            Some(LeafOutput::Samples(spec)) => series::join(spec, &batches, self.plan.steps),
            _ => Ok(Grid::empty(self.plan.steps)),
        }
    }

    fn binary(&mut self, shape: &Binary, left: Computed, right: Computed) -> Result<Computed, EvalError> {
        let op = vector_op(shape.op);
        let notes = &mut self.notes;
        let grid = match (left, right) {
            (Computed::Scalar(a), Computed::Scalar(b)) => {
                return Ok(Computed::Scalar(binary_scalars(op, &a, &b)));
            }
            (Computed::Grid(grid), Computed::Scalar(scalars)) => {
                binary_scalar(op, shape.return_bool, grid, &scalars, false, notes)
            }
            (Computed::Scalar(scalars), Computed::Grid(grid)) => {
                binary_scalar(op, shape.return_bool, grid, &scalars, true, notes)
            }
            (Computed::Grid(a), Computed::Grid(b)) => {
                binary(op, &matching(shape), shape.return_bool, a, b, notes)
            }
        };
        grid.map(Computed::Grid).map_err(matching_error)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where a function of the error is asked for")]
fn matching_error(error: promql::EvalError) -> EvalError {
    EvalError::Matching(error.to_string())
}

fn matching(shape: &Binary) -> Matching {
    let (on, labels) = shape.matching.labels.clone().unwrap_or_default();
    let (card, include) = match &shape.matching.group {
        None => (Cardinality::OneToOne, Vec::new()),
        Some(group) if group.left => (Cardinality::ManyToOne, group.include.clone()),
        Some(group) => (Cardinality::OneToMany, group.include.clone()),
    };
    let card = if shape.op.is_set() { Cardinality::default() } else { card };
    Matching { on, labels, card, include, ..Matching::default() }
}

fn absent(grid: &Grid, labels: &[(String, String)]) -> Grid {
    let labels = Labels::from_pairs(labels.iter().map(|(n, v)| (n, v)));
    let mut series = GridSeries::full(labels, vec![1.0; grid.steps.count]);
    for found in &grid.series {
        found.present.steps().for_each(|step| series.clear(step));
    }
    Grid { steps: grid.steps, series: vec![series] }
}

/// By the value of the first step, NaN last; equal values by labels.
fn sort(grid: &mut Grid, descending: bool) {
    grid.series.sort_by(|a, b| {
        let (x, y) = (a.float(0).unwrap_or(f64::NAN), b.float(0).unwrap_or(f64::NAN));
        let by_value = if descending { y.total_cmp(&x) } else { x.total_cmp(&y) };
        x.is_nan().cmp(&y.is_nan()).then(by_value).then_with(|| a.labels.cmp(&b.labels))
    });
}
