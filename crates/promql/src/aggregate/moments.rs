//! `stddev stdvar quantile`: what needs all numbers of a group.

use super::{Groups, ignored_histograms};
use crate::annotations::Annotations;
use crate::ast::{AggregateOp, Grouping};
use crate::functions::quantile::quantile as quantile_of;
use crate::vector::{Grid, GridSeries};

/// The variance of numbers, which is NaN where one of them is not finite.
pub(crate) fn variance(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    squares / count
}

pub(super) fn aggregate(op: AggregateOp, grouping: &Grouping, grid: &Grid, notes: &mut Annotations) -> Grid {
    per_step(op, grouping, grid, notes, |_, values| {
        let variance = variance(values.iter().copied());
        if op == AggregateOp::Stddev { variance.sqrt() } else { variance }
    })
}

pub(super) fn quantile(grouping: &Grouping, quantiles: &[f64], grid: &Grid, notes: &mut Annotations) -> Grid {
    per_step(AggregateOp::Quantile, grouping, grid, notes, |step, values| {
        quantile_of(quantiles[step], values)
    })
}

fn per_step(
    op: AggregateOp,
    grouping: &Grouping,
    grid: &Grid,
    notes: &mut Annotations,
    compute: impl Fn(usize, &mut Vec<f64>) -> f64,
) -> Grid {
    let groups = Groups::of(grouping, &grid.series);
    if grid.series.iter().any(GridSeries::has_histograms) {
        ignored_histograms(op, notes);
    }
    let mut out = Grid::empty(grid.steps);
    let mut values = Vec::new();
    for (labels, members) in groups.keys.into_iter().zip(&groups.members) {
        let mut series = GridSeries::absent(labels, grid.steps.count);
        for step in 0..grid.steps.count {
            values.clear();
            values.extend(members.iter().filter_map(|i| grid.series[*i].float(step)));
            if !values.is_empty() {
                series.set_float(step, compute(step, &mut values));
            }
        }
        out.series.push(series);
    }
    out
}
