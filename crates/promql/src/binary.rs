//! Binary operators between columns: numbers with numbers, series with numbers, series with series.

mod element;

mod pair;

mod set;

use crate::annotations::Annotations;
use crate::ast::{BinaryOp, Matching};
use crate::error::EvalError;
use crate::vector::{Grid, GridSeries};
use element::{Operand, Outcome};

/// Whether the result is another metric than the operand, so that the name goes.
const fn drops_name(op: BinaryOp, bool_modifier: bool) -> bool {
    bool_modifier
        || matches!(
            op,
            BinaryOp::Add
                | BinaryOp::Sub
                | BinaryOp::Mul
                | BinaryOp::Div
                | BinaryOp::Mod
                | BinaryOp::Pow
                | BinaryOp::Atan2
        )
}

/// Joins the series of two grids of the same steps.
///
/// # Errors
/// When series do not pair as the matching asks, or two results have the same labels.
pub fn binary(
    op: BinaryOp,
    matching: &Matching,
    bool_modifier: bool,
    lhs: Grid,
    rhs: Grid,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    if op.is_set() {
        set::join(op, matching, lhs, rhs)
    } else {
        pair::join(op, matching, bool_modifier, &lhs, &rhs, notes)
    }
}

/// Joins every series of a grid with a number per step; `scalar_left` says on which side the number stands.
///
/// # Errors
/// When two results have the same labels.
pub fn binary_scalar(
    op: BinaryOp,
    bool_modifier: bool,
    grid: Grid,
    scalars: &[f64],
    scalar_left: bool,
    notes: &mut Annotations,
) -> Result<Grid, EvalError> {
    let mut out = Grid::empty(grid.steps);
    for series in grid.series {
        let mut result = GridSeries::absent(series.labels.clone(), grid.steps.count);
        result.name_dropped = series.name_dropped || drops_name(op, bool_modifier);
        for (step, scalar) in scalars.iter().enumerate().take(grid.steps.count) {
            let Some(operand) = Operand::of(&series, step) else { continue };
            let scalar = Operand::Float(*scalar);
            let (a, b) = if scalar_left { (scalar, operand) } else { (operand, scalar) };
            match element::apply(op, a, b, notes) {
                Outcome::Compared(holds) if bool_modifier => {
                    result.set_float(step, f64::from(u8::from(holds)));
                }
                Outcome::Compared(true) => operand.put(&mut result, step),
                Outcome::Compared(false) | Outcome::Unjoined | Outcome::Nothing => {}
                Outcome::Float(value) => result.set_float(step, value),
                Outcome::Histogram(histogram) => result.set_histogram(step, *histogram),
            }
        }
        out.series.push(result);
    }
    out.unite()
}

/// Joins two numbers per step; comparisons give 0 or 1.
#[must_use]
pub fn binary_scalars(op: BinaryOp, lhs: &[f64], rhs: &[f64]) -> Vec<f64> {
    lhs.iter()
        .zip(rhs)
        .map(|(a, b)| match element::floats(op, *a, *b) {
            Outcome::Float(value) => value,
            Outcome::Compared(holds) => f64::from(u8::from(holds)),
            _ => f64::NAN,
        })
        .collect()
}
