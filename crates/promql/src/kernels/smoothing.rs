//! `double_exponential_smoothing`: a smoothed value that follows the trend (Holt's linear method).

use super::{Window, only_floats};
use crate::annotations::Annotations;
use crate::value::Point;

pub(super) fn smooth(
    window: &Window<'_>,
    level_factor: f64,
    trend_factor: f64,
    name: &str,
    notes: &mut Annotations,
) -> Option<Point> {
    let [first, second, rest @ ..] = only_floats(window, name, notes)? else { return None };
    let (mut before, mut level, mut trend) = (*first, *first, second - first);
    for (i, value) in std::iter::once(second).chain(rest).enumerate() {
        if i > 0 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = level_factor * value + (1.0 - level_factor) * (level + trend);
        (before, level) = (level, next);
    }
    Some(Point::Float(level))
}
