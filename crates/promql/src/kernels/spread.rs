//! `stddev_over_time`, `stdvar_over_time`, `quantile_over_time`, `mad_over_time`.

use super::{Window, only_floats};
use crate::aggregate::sum::Sum;
use crate::annotations::Annotations;
use crate::functions::quantile::quantile as quantile_of;
use crate::value::Point;

pub(super) fn stdvar(window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    only_floats(window, name, notes).map(|values| Point::Float(variance(values)))
}

pub(super) fn stddev(window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    only_floats(window, name, notes).map(|values| Point::Float(variance(values).sqrt()))
}

/// Welford's method with sums that keep their lost digits.
fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for value in values {
        count += 1.0;
        let delta = value - (mean.value + mean.lost);
        mean.add(delta / count);
        squares.add(delta * (value - (mean.value + mean.lost)));
    }
    (squares.value + squares.lost) / count
}

pub(super) fn quantile(window: &Window<'_>, q: f64, name: &str, notes: &mut Annotations) -> Option<Point> {
    let values = only_floats(window, name, notes)?;
    Some(Point::Float(quantile_of(q, &mut values.to_vec())))
}

pub(super) fn mad(window: &Window<'_>, name: &str, notes: &mut Annotations) -> Option<Point> {
    let mut values = only_floats(window, name, notes)?.to_vec();
    if values.iter().any(|value| value.is_nan()) {
        return Some(Point::Float(f64::NAN));
    }
    let median = quantile_of(0.5, &mut values);
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    Some(Point::Float(quantile_of(0.5, &mut deviations)))
}
