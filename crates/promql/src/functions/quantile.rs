//! Quantiles of numbers, as `quantile` and `quantile_over_time` compute them.

use std::cmp::Ordering;

use crate::annotations::Annotations;

/// The quantile of numbers, which get sorted: linear between the two nearest; NaN of nothing.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(Ordering::Equal)));
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let rank = q * (values.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the rank is an index")]
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// The least and the largest of the numbers that are some.
pub(crate) fn extremes(numbers: &[f64]) -> (f64, f64) {
    numbers
        .iter()
        .fold((f64::NAN, f64::NAN), |(least, largest), number| (least.min(*number), largest.max(*number)))
}

/// Warns of quantiles of an aggregation that are none: once of what is no number, and of the largest and the least.
pub(crate) fn check_quantiles(quantiles: &[f64], notes: &mut Annotations) {
    if quantiles.iter().any(|q| q.is_nan()) {
        check_quantile(f64::NAN, notes);
    }
    let (least, largest) = extremes(quantiles);
    [least, largest].into_iter().filter(|q| !q.is_nan()).for_each(|q| check_quantile(q, notes));
}

/// Warns of a quantile that is none.
pub(crate) fn check_quantile(q: f64, notes: &mut Annotations) {
    if !(0.0..=1.0).contains(&q) {
        notes.warn(format!(
            "quantile value should be between 0 and 1, got {}",
            syntax::number::format_short(q)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_nearest_two() {
        let cases = [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (-1.0, f64::NEG_INFINITY), (2.0, f64::INFINITY)];
        for (q, wanted) in cases {
            assert_eq!(quantile(q, &mut [4.0, 1.0, 3.0, 2.0]), wanted);
        }
        assert!(quantile(0.5, &mut []).is_nan());
    }
}
