//! What is estimated from the buckets of a native histogram: quantiles, shares, deviations.
//!
//! Within an exponential bucket values are taken to be spread evenly on a logarithmic scale; within the zero bucket
//! and custom buckets on a linear one.

use model::histogram::NativeHistogram;

use super::buckets::{self, Bucket};
use super::is_custom;

/// The span of the zero bucket: one side of it where all other buckets are of that sign.
pub(crate) fn zero_span(h: &NativeHistogram) -> (f64, f64) {
    let (negative, positive) = (!h.negative_counts.is_empty(), !h.positive_counts.is_empty());
    match (negative, positive) {
        (false, true) => (0.0, h.zero_threshold),
        (true, false) => (-h.zero_threshold, 0.0),
        _ => (-h.zero_threshold, h.zero_threshold),
    }
}

fn is_linear(h: &NativeHistogram, bucket: &Bucket) -> bool {
    is_custom(h) || bucket.index.is_none()
}

/// The value below which a share `q` of the observations lies, and whether it is a bucket's edge by itself, which
/// observations that are no numbers do not move.
pub(crate) fn quantile(q: f64, h: &NativeHistogram) -> (f64, bool) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, true);
    }
    if q > 1.0 {
        return (f64::INFINITY, true);
    }
    if q.is_nan() || h.count == 0.0 {
        return (f64::NAN, true);
    }
    let ascending = h.sum.is_nan() || q < 0.5;
    let mut all = buckets::all(h);
    if !ascending {
        all.reverse();
    }
    let rank = if ascending { q * h.count } else { (1.0 - q) * h.count };
    let mut count = 0.0;
    let mut found = None;
    for bucket in all {
        count += bucket.count;
        found = Some(bucket);
        if count >= rank {
            break;
        }
    }
    // Without a bucket the observations are where they would all be zero.
    let Some(bucket) = found else { return (if h.sum.is_nan() { f64::NAN } else { 0.0 }, false) };
    let (mut lower, upper) = bucket.edges(zero_span(h));
    if is_custom(h) {
        if lower == f64::NEG_INFINITY {
            if upper <= 0.0 {
                return (upper, true);
            }
            lower = 0.0;
        } else if upper == f64::INFINITY {
            return (lower, true);
        }
    }
    let count = count.min(h.count);
    if count < rank {
        return (if h.sum.is_nan() { f64::NAN } else { upper }, false);
    }
    let into = if ascending { rank - (count - bucket.count) } else { count - rank };
    let share = into / bucket.count;
    if is_linear(h, &bucket) {
        return (lower + (upper - lower) * share, false);
    }
    let (low, high) = (lower.abs().log2(), upper.abs().log2());
    let quantile = if lower > 0.0 {
        (low + (high - low) * share).exp2()
    } else {
        -(high + (low - high) * (1.0 - share)).exp2()
    };
    (quantile, false)
}

/// Which share of a bucket lies below a value.
pub(super) fn share_below(h: &NativeHistogram, bucket: &Bucket, zero: (f64, f64), at: f64) -> f64 {
    let (mut lower, upper) = bucket.edges(zero);
    if at >= upper {
        return 1.0;
    }
    if at <= lower {
        return 0.0;
    }
    if is_custom(h) && lower == f64::NEG_INFINITY {
        if upper <= 0.0 || at <= 0.0 {
            return 0.0;
        }
        lower = 0.0;
    }
    if upper == f64::INFINITY {
        return 0.0;
    }
    if is_linear(h, bucket) {
        return (at - lower) / (upper - lower);
    }
    let (low, high, at_log) = (lower.abs().log2(), upper.abs().log2(), at.abs().log2());
    if lower > 0.0 { (at_log - low) / (high - low) } else { 1.0 - (at_log - high) / (low - high) }
}

/// The share of the observations between two values.
pub(crate) fn fraction(lower: f64, upper: f64, h: &NativeHistogram) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let zero = zero_span(h);
    let all = buckets::all(h);
    // Of custom buckets too, the one around zero begins there.
    let from_zero = |bucket: &Bucket| is_custom(h) && bucket.lower <= 0.0 && bucket.upper >= 0.0;
    let share = |bucket: &Bucket, at: f64| {
        if from_zero(bucket) && at < bucket.upper {
            return if bucket.upper.is_infinite() { 0.0 } else { (at / bucket.upper).max(0.0) };
        }
        // Where a bucket begins that goes on below all numbers is not known: all of it counts as below.
        let is_open = is_custom(h) && bucket.lower == f64::NEG_INFINITY;
        if is_open && at > f64::NEG_INFINITY { 1.0 } else { share_below(h, bucket, zero, at) }
    };
    let rank = |at: f64| -> f64 {
        // What is no number is in no bucket, and so in no fraction.
        let share = |bucket: &Bucket| if at == f64::INFINITY { 1.0 } else { share(bucket, at) };
        all.iter().map(|bucket| bucket.count * share(bucket)).sum::<f64>().min(h.count)
    };
    (rank(upper) - rank(lower)) / h.count
}

/// The value that stands for a part of a bucket.
pub(super) fn middle(h: &NativeHistogram, bucket: &Bucket, lower: f64, upper: f64) -> f64 {
    if is_linear(h, bucket) {
        return match (lower.is_infinite(), upper.is_infinite()) {
            (true, _) if upper > 0.0 => upper / 2.0,
            (true, _) => upper,
            (_, true) => lower,
            _ => f64::midpoint(lower, upper),
        };
    }
    let geometric = (lower.abs() * upper.abs()).sqrt();
    if lower < 0.0 { -geometric } else { geometric }
}

/// The variance of the observations.
pub(crate) fn variance(h: &NativeHistogram) -> f64 {
    let mean = h.sum / h.count;
    let mut squares = crate::aggregate::sum::Sum::default();
    for bucket in buckets::all(h).into_iter().filter(|bucket| bucket.count != 0.0) {
        let value = if is_custom(h) {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.index.is_none() {
            0.0
        } else {
            middle(h, &bucket, bucket.lower, bucket.upper)
        };
        let delta = value - mean;
        squares.add(bucket.count * delta * delta);
    }
    squares.total() / h.count
}
