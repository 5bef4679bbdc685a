//! `count_values("label", x)`: a series per value, which counts how often the value stands in the group.

use hashbrown::HashMap;
use model::Labels;
use syntax::{number, string};

use super::Groups;
use crate::ast::Grouping;
use crate::error::EvalError;
use crate::histogram;
use crate::vector::{Grid, GridSeries};

pub(super) fn aggregate(label: &str, grouping: &Grouping, grid: &Grid) -> Result<Grid, EvalError> {
    if label.is_empty() || !string::is_text(label) {
        return Err(EvalError::Parameter(format!("invalid label name {}", string::quote(label))));
    }
    let groups = Groups::of(grouping, &grid.series);
    let mut numbers: HashMap<Labels, usize> = HashMap::new();
    let mut out = Grid::empty(grid.steps);
    for (key, members) in groups.keys.iter().zip(&groups.members) {
        for series in members.iter().map(|i| &grid.series[*i]) {
            for step in 0..grid.steps.count {
                let text = match (series.float(step), series.histogram(step)) {
                    (_, Some(histogram)) => histogram::format(histogram),
                    (Some(value), None) => number::format_plain(value),
                    (None, None) => continue,
                };
                let is_grouped_away = grouping.without && !grouping.keeps(label);
                let labels = if is_grouped_away { key.clone() } else { key.with(label, &text) };
                let at = *numbers.entry(labels).or_insert_with_key(|labels| {
                    out.series.push(GridSeries::absent(labels.clone(), grid.steps.count));
                    out.series.len() - 1
                });
                let count = out.series[at].float(step).unwrap_or(0.0);
                out.series[at].set_float(step, count + 1.0);
            }
        }
    }
    Ok(out)
}
