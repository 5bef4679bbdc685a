//! Aggregations: the series of a group become one, or some of them stay. A file per way of doing it.

mod count_values;

pub(crate) mod fold;

mod heap;

mod moments;

mod order;

pub(crate) mod sum;

use hashbrown::HashMap;
use model::Labels;
use model::labels::{METRIC_NAME, is_of_metric};

use crate::annotations::Annotations;
use crate::ast::{AggregateOp, Grouping, Place};
use crate::error::EvalError;
use crate::functions::quantile::check_quantiles;
use crate::vector::{Grid, GridSeries};

/// The parameter before the vector.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// None.
    None,
    /// A number per step.
    Numbers(Vec<f64>),
    /// A text.
    Text(String),
}

impl Param {
    fn numbers(&self, op: AggregateOp) -> Result<&[f64], EvalError> {
        match self {
            Param::Numbers(numbers) => Ok(numbers),
            _ => Err(EvalError::Parameter(format!("{} needs a number as its parameter", op.as_str()))),
        }
    }
}

impl Grouping {
    /// The labels of the group to which a series belongs.
    #[must_use]
    pub fn key(&self, labels: &Labels) -> Labels {
        if self.labels.is_empty() && !self.without {
            return Labels::empty();
        }
        labels.filter(|name| self.keeps(name))
    }

    /// Whether groups differ by this label.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        if self.without { name != METRIC_NAME && !self.names(name) } else { self.names(name) }
    }

    fn names(&self, name: &str) -> bool {
        self.labels.iter().any(|label| label == name)
    }
}

/// The groups of a grid, in the order in which they were met, each with its series.
pub(crate) struct Groups {
    pub(crate) keys: Vec<Labels>,
    pub(crate) members: Vec<Vec<usize>>,
}

impl Groups {
    pub(crate) fn of(grouping: &Grouping, series: &[GridSeries]) -> Self {
        let mut numbers: HashMap<Labels, usize> = HashMap::new();
        let mut groups = Self { keys: Vec::new(), members: Vec::new() };
        for (i, series) in series.iter().enumerate() {
            let key = grouping.key(&series.labels);
            let number = *numbers.entry(key).or_insert_with_key(|key| {
                groups.keys.push(key.clone());
                groups.members.push(Vec::new());
                groups.keys.len() - 1
            });
            groups.members[number].push(i);
        }
        groups
    }
}

/// Where an aggregation's parts stand in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) whole: Place,
    pub(crate) input: Place,
    pub(crate) param: Place,
}

/// Aggregates the series of a grid.
///
/// # Errors
/// When the parameter is not one that the operator takes, or two results have the same labels.
pub fn aggregate(
    op: AggregateOp,
    grouping: &Grouping,
    param: &Param,
    grid: Grid,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    within(op, grouping, param, grid, Places::default(), notes)
}

/// The same within a query.
pub(crate) fn within(
    op: AggregateOp,
    grouping: &Grouping,
    param: &Param,
    grid: Grid,
    places: Places,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    let by_name = !grouping.without && grouping.labels.iter().any(|label| is_of_metric(label));
    let name_dropped = by_name && grid.series.iter().any(|series| series.name_dropped);
    notes.at(places.param);
    match (op, param) {
        (AggregateOp::Quantile, Param::Numbers(quantiles)) => {
            check_quantiles(quantiles, notes);
        }
        (AggregateOp::LimitRatio, Param::Numbers(ratios)) => order::check_ratios(ratios, notes)?,
        _ => {}
    }
    let is_ranked = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
    notes.at(if is_ranked { places.whole } else { places.input });
    let mut out = compute(op, grouping, param, grid, notes)?;
    if name_dropped {
        out.series.iter_mut().for_each(|series| series.name_dropped = true);
    }
    out.unite()
}

fn compute(
    op: AggregateOp,
    grouping: &Grouping,
    param: &Param,
    grid: Grid,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    match op {
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Count
        | AggregateOp::Group => {
            let mut folds = fold::Folds::new(op, grid.steps);
            for series in &grid.series {
                folds.add(&grouping.key(&series.labels), series, notes);
            }
            Ok(folds.finish(notes))
        }
        AggregateOp::Stddev | AggregateOp::Stdvar => Ok(moments::aggregate(op, grouping, &grid, notes)),
        AggregateOp::Quantile => Ok(moments::quantile(grouping, param.numbers(op)?, &grid, notes)),
        AggregateOp::Topk | AggregateOp::Bottomk => {
            order::top_or_bottom(op, grouping, param.numbers(op)?, grid, notes)
        }
        AggregateOp::Limitk => order::limit(grouping, param.numbers(op)?, grid),
        AggregateOp::LimitRatio => Ok(order::limit_ratio(param.numbers(op)?, grid)),
        AggregateOp::CountValues => match param {
            Param::Text(label) => count_values::aggregate(label, grouping, &grid),
            _ => Err(EvalError::Parameter(
                "count_values needs the name of a label as its parameter".to_owned(),
            )),
        },
    }
}

/// What is said where an aggregation leaves histograms out.
fn ignored_histograms(op: AggregateOp, notes: &mut Annotations) {
    notes.info(format!("ignored histogram in {} aggregation", op.as_str()));
}
