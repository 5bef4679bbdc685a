//! `double_exponential_smoothing`: a smoothed value that follows the trend (Holt's linear method).

use super::{Kernel, RangeFunction, SeriesSamples, Window, Windows, each_window, only_floats};
use crate::annotations::Annotations;
use crate::error::EvalError;
use crate::value::Point;

/// Refuses parameters that a step with a sample may not have.
pub(crate) fn check(kernel: &Kernel, windows: &Windows, samples: SeriesSamples<'_>) -> Result<(), EvalError> {
    let Kernel::Range(RangeFunction::Smoothing, params) = kernel else { return Ok(()) };
    let beyond = |factor: f64| factor <= 0.0 || factor >= 1.0;
    if !params.iter().flatten().any(|factor| beyond(*factor)) {
        return Ok(());
    }
    let mut refused = None;
    each_window(windows, samples, |step, _| {
        for ((name, short), param) in [("smoothing", "sf"), ("trend", "tf")].into_iter().zip(params) {
            if let Some(factor) = param.get(step).filter(|factor| beyond(**factor) && refused.is_none()) {
                refused = Some(format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:.6}"));
            }
        }
    });
    refused.map_or(Ok(()), |text| Err(EvalError::Parameter(text)))
}

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
