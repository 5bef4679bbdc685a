//! The operators `</` and `>/`: a histogram without the observations above, or below, a value.

use model::histogram::NativeHistogram;

use super::buckets::{self, Bucket};
use super::{Spread, compact, estimate, is_custom};

/// What stays of a bucket: the share of its count, and the edges between which that lies.
struct Kept {
    share: f64,
    lower: f64,
    upper: f64,
}

const NOTHING: Kept = Kept { share: 0.0, lower: 0.0, upper: 0.0 };

/// Keeps what lies at or below (`upper`) or above a value; a bucket that the value cuts is divided as quantiles are.
pub(crate) fn trim(h: &NativeHistogram, at: f64, upper: bool) -> NativeHistogram {
    let mut spread = Spread::of(h);
    let (mut count, mut sum, mut is_cut) = (0.0, 0.0, false);
    for bucket in buckets::all(h) {
        let kept = if is_custom(h) { custom(&bucket, at, upper) } else { exponential(h, &bucket, at, upper) };
        let remaining = bucket.count * kept.share;
        // Where no count changes, the sum is the one that was told.
        is_cut |= remaining != bucket.count;
        if remaining > 0.0 {
            count += remaining;
            sum += remaining * estimate::middle(h, &bucket, kept.lower, kept.upper);
        }
        spread.set(&bucket, remaining);
    }
    if !is_cut {
        return compact(h);
    }
    let mut out = spread.gather();
    (out.count, out.sum, out.reset_hint) = (count, sum, h.reset_hint);
    compact(&out)
}

/// The span of the zero bucket: one side of it where all other buckets that have something are of that sign.
fn zero_span(h: &NativeHistogram) -> (f64, f64) {
    let has = |counts: &[f64]| counts.iter().any(|count| *count != 0.0);
    match (has(&h.negative_counts), has(&h.positive_counts)) {
        (false, true) => (0.0, h.zero_threshold),
        (true, false) => (-h.zero_threshold, 0.0),
        _ => (-h.zero_threshold, h.zero_threshold),
    }
}

fn exponential(h: &NativeHistogram, bucket: &Bucket, at: f64, upper: bool) -> Kept {
    let zero = zero_span(h);
    let (low, high) = bucket.edges(zero);
    let below = estimate::share_below(h, bucket, zero, at);
    if upper {
        Kept { share: below, lower: low, upper: high.min(at) }
    } else {
        Kept { share: 1.0 - below, lower: low.max(at), upper: high }
    }
}

/// Buckets without a bound on one side hold nothing that could be divided: they stay or go whole.
fn custom(bucket: &Bucket, at: f64, upper: bool) -> Kept {
    let open_below = bucket.lower == f64::NEG_INFINITY;
    let open_above = bucket.upper == f64::INFINITY;
    let (lower, upper_edge) = (bucket.lower, bucket.upper);
    let at_one = |value: f64| Kept { share: 1.0, lower: value, upper: value };
    if at.is_infinite() {
        let all = Kept { share: 1.0, lower, upper: upper_edge };
        return if (at > 0.0) == upper { all } else { NOTHING };
    }
    if open_above && (upper || open_below) {
        return NOTHING;
    }
    if open_above {
        return at_one(bucket.lower.max(at));
    }
    if open_below && bucket.upper <= 0.0 {
        return if upper { at_one(bucket.upper.min(at)) } else { NOTHING };
    }
    if open_below && !upper && at < 0.0 {
        return NOTHING;
    }
    // The lowest of positive buckets begins at zero, as for quantiles.
    let low = if open_below { 0.0 } else { bucket.lower };
    let below = ((at - low) / (bucket.upper - low)).clamp(0.0, 1.0);
    if upper {
        Kept { share: below, lower: low, upper: bucket.upper.min(at) }
    } else {
        Kept { share: 1.0 - below, lower: low.max(at), upper: bucket.upper }
    }
}
