//! `deriv` and `predict_linear`: a straight line through the numbers of a window.

use super::{Window, only_floats, seconds};
use crate::aggregate::sum::Sum;
use crate::annotations::Annotations;
use crate::value::Point;

pub(super) fn deriv(window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    let values = only_floats(window, name, notes).filter(|values| values.len() > 1)?;
    // From the first sample, so that large timestamps do not take the digits.
    let (slope, _) = line(window.timestamps_ms, values, *window.timestamps_ms.first()?);
    Some(Point::Float(slope))
}

pub(super) fn predict_linear(
    window: &Window<'_>,
    ahead_s: f64,
    name: &str,
    notes: &mut Annotations,
) -> Option<Point> {
    let values = only_floats(window, name, notes).filter(|values| values.len() > 1)?;
    let (slope, intercept) = line(window.timestamps_ms, values, window.step_ms);
    Some(Point::Float(slope * ahead_s + intercept))
}

/// Slope and value at a moment of the line with the least squares.
fn line(timestamps_ms: &[i64], values: &[f64], intercept_ms: i64) -> (f64, f64) {
    let first = values.first().copied().unwrap_or(f64::NAN);
    if values.iter().all(|value| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut n, mut x, mut y, mut xy, mut xx) =
        (0.0, Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for (at, value) in timestamps_ms.iter().zip(values) {
        let t = seconds(at.saturating_sub(intercept_ms));
        n += 1.0;
        x.add(t);
        y.add(*value);
        xy.add(t * value);
        xx.add(t * t);
    }
    let [x, y, xy, xx] = [x, y, xy, xx].map(|sum| sum.value + sum.lost);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}
