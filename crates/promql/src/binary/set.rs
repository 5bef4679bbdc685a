//! `and or unless`: which series stay, step by step.

use hashbrown::HashMap;
use model::Labels;

use super::pair::signature;
use crate::ast::{BinaryOp, Matching};
use crate::error::EvalError;
use crate::vector::{Grid, GridSeries, Present};

pub(super) fn join(op: BinaryOp, matching: &Matching, mut lhs: Grid, rhs: Grid) -> Result<Grid, EvalError> {
    if op == BinaryOp::Or {
        let taken = presences(matching, &lhs);
        for mut series in rhs.series {
            if let Some(taken) = taken.get(&signature(matching, &series.labels)) {
                restrict(&mut series, |presence| presence.subtract(taken));
            }
            lhs.series.push(series);
        }
        return lhs.unite();
    }
    let others = presences(matching, &rhs);
    let nothing = Present::none(lhs.steps.count);
    for series in &mut lhs.series {
        let other = others.get(&signature(matching, &series.labels)).unwrap_or(&nothing);
        restrict(series, |presence| match op {
            BinaryOp::And => presence.intersect(other),
            _ => presence.subtract(other),
        });
    }
    lhs.series.retain(|series| !series.is_absent());
    Ok(lhs)
}

/// At which steps each signature has a value.
fn presences(matching: &Matching, grid: &Grid) -> HashMap<Labels, Present> {
    let mut presences: HashMap<Labels, Present> = HashMap::new();
    for series in &grid.series {
        presences
            .entry(signature(matching, &series.labels))
            .or_insert_with(|| Present::none(grid.steps.count))
            .unite(&series.presence());
    }
    presences
}

fn restrict(series: &mut GridSeries, change: impl FnOnce(&mut Present)) {
    let mut keep = series.presence();
    change(&mut keep);
    series.present.intersect(&keep);
    for (step, histogram) in series.histograms.iter_mut().enumerate() {
        if !keep.get(step) {
            *histogram = None;
        }
    }
}
