//! `topk bottomk limitk limit_ratio`: some series of each group stay, with all their labels.

use model::Labels;
use xxhash_rust::xxh64::xxh64;

use super::heap::Heap;
use super::{Groups, ignored_histograms};
use crate::annotations::Annotations;
use crate::ast::{AggregateOp, Grouping};
use crate::error::EvalError;
use crate::functions::quantile::extremes;
use crate::vector::{Grid, GridSeries, Present};

/// How many series a parameter asks for at one step.
fn wanted(k: f64) -> Result<usize, EvalError> {
    if k.is_nan() {
        return Err(EvalError::Parameter("Parameter value is NaN".to_owned()));
    }
    if k >= 9_223_372_036_854_775_807.0 || k <= -9_223_372_036_854_775_808.0 {
        let k = syntax::number::format_short(k);
        let side = if k.starts_with('-') { "underflows" } else { "overflows" };
        return Err(EvalError::Parameter(format!("Scalar value {k} {side} int64")));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bounds were checked")]
    let wanted = k.max(0.0) as usize;
    Ok(wanted)
}

/// Refuses parameters even where there is no series; false where no step asks for any, whatever else it asks for.
fn check(ks: &[f64]) -> Result<bool, EvalError> {
    if ks.iter().all(|k| *k < 1.0) {
        return Ok(false);
    }
    ks.iter().try_for_each(|k| wanted(*k).map(|_| ()))?;
    Ok(true)
}

pub(super) fn top_or_bottom(
    op: AggregateOp,
    grouping: &Grouping,
    ks: &[f64],
    mut grid: Grid,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    if !check(ks)? {
        return Ok(Grid::empty(grid.steps));
    }
    if grid.series.iter().any(GridSeries::has_histograms) {
        ignored_histograms(op, notes);
    }
    let groups = Groups::of(grouping, &grid.series);
    let mut kept = vec![Present::none(grid.steps.count); grid.series.len()];
    let mut heap = Heap::new(op);
    let mut order: Vec<usize> = Vec::new();
    for members in &groups.members {
        for (step, k) in ks.iter().enumerate().take(grid.steps.count) {
            heap.restart(wanted(*k)?);
            for i in members.iter().copied().filter(|i| grid.series[*i].present.get(step)) {
                heap.add(i, grid.series[i].values[step]);
            }
            heap.kept().for_each(|i| kept[i].set(step));
            if grid.steps.count == 1 {
                heap.sort();
                order.extend(heap.kept());
            }
        }
    }
    for (series, kept) in grid.series.iter_mut().zip(kept) {
        series.present = kept;
        series.histograms.clear();
    }
    if grid.steps.count == 1 {
        let mut all: Vec<Option<GridSeries>> = grid.series.into_iter().map(Some).collect();
        grid.series = order.into_iter().filter_map(|i| all[i].take()).collect();
    } else {
        grid.series.retain(|series| !series.is_absent());
    }
    Ok(grid)
}

pub(super) fn limit(grouping: &Grouping, ks: &[f64], mut grid: Grid) -> Result<Grid, EvalError> {
    if !check(ks)? {
        return Ok(Grid::empty(grid.steps));
    }
    let groups = Groups::of(grouping, &grid.series);
    for members in &groups.members {
        for (step, k) in ks.iter().enumerate().take(grid.steps.count) {
            let present = members.iter().copied().filter(|i| grid.series[*i].has(step));
            let beyond: Vec<usize> = present.skip(wanted(*k)?).collect();
            beyond.into_iter().for_each(|i| grid.series[i].clear(step));
        }
    }
    grid.series.retain(|series| !series.is_absent());
    Ok(grid)
}

/// Whether a series is within a share of all: decided by its labels alone, so that `r` and `r - 1` part the series.
fn within(series: &GridSeries, ratio: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than a float has")]
    let share = label_hash(&series.labels) as f64 / u64::MAX as f64;
    if ratio >= 0.0 { share < ratio } else { share >= 1.0 + ratio }
}

/// Prometheus' hash of a label set, so that both pick the same series: xxHash64 over names and values, each behind its
/// length, which takes one byte below 255 and otherwise 255 and three bytes, the lowest first.
fn label_hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(labels.as_bytes().len());
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(length) if length < u8::MAX => bytes.push(length),
            _ => {
                bytes.push(u8::MAX);
                bytes.extend(text.len().to_le_bytes().iter().take(3));
            }
        }
        bytes.extend(text.as_bytes());
    }
    xxh64(&bytes, 0)
}

/// Refuses ratios that are no numbers, and warns of the largest and the least of those that are beyond the bounds.
pub(super) fn check_ratios(ratios: &[f64], notes: &mut Annotations) -> Result<(), EvalError> {
    if ratios.iter().any(|ratio| ratio.is_nan()) {
        return Err(EvalError::Parameter("Ratio value is NaN".to_owned()));
    }
    let (least, largest) = extremes(ratios);
    for (ratio, bound) in [(largest, 1.0_f64), (least, -1.0)] {
        if ratio.abs() > 1.0 && ratio.signum() == bound {
            let shown = syntax::number::format_short(ratio);
            notes.warn(format!("ratio value should be between -1 and 1, got {shown}, capping to {bound}"));
        }
    }
    Ok(())
}

pub(super) fn limit_ratio(ratios: &[f64], mut grid: Grid) -> Grid {
    for (step, ratio) in ratios.iter().enumerate().take(grid.steps.count) {
        for series in &mut grid.series {
            if !within(series, ratio.clamp(-1.0, 1.0)) {
                series.clear(step);
            }
        }
    }
    grid.series.retain(|series| !series.is_absent());
    grid
}
