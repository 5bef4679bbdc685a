//! What a window keeps of its samples, so that parts of it from several places can be joined, and what it answers.

use crate::ast::RangeOp;

/// What is kept per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// The sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Sum and number.
    Mean,
    /// Number, mean and sum of squared distances (Welford; joined as Chan does).
    Variance,
    /// The earliest sample and how far before the window's end it lies.
    First,
    /// The latest sample, likewise.
    Last,
    /// Every sample, because the answer needs all of them at once.
    Samples,
}

impl Kernel {
    /// The kernel of an aggregation.
    pub(crate) fn of(op: RangeOp) -> Self {
        match op {
            RangeOp::MinOverTime => Kernel::Min,
            RangeOp::MaxOverTime => Kernel::Max,
            RangeOp::AvgOverTime => Kernel::Mean,
            RangeOp::StdvarOverTime | RangeOp::StddevOverTime => Kernel::Variance,
            RangeOp::FirstOverTime => Kernel::First,
            RangeOp::LastOverTime => Kernel::Last,
            RangeOp::QuantileOverTime | RangeOp::RateCounter => Kernel::Samples,
            RangeOp::CountOverTime
            | RangeOp::Rate
            | RangeOp::BytesOverTime
            | RangeOp::BytesRate
            | RangeOp::AbsentOverTime
            | RangeOp::SumOverTime => Kernel::Sum,
        }
    }

    /// Numbers per window.
    pub(crate) const fn width(self) -> usize {
        match self {
            Kernel::Sum | Kernel::Min | Kernel::Max => 1,
            Kernel::Mean | Kernel::First | Kernel::Last => 2,
            Kernel::Variance => 3,
            Kernel::Samples => 0,
        }
    }

    /// The state of a window with one sample; `age` is how far before the window's end it lies.
    pub(crate) fn single(self, value: f64, age: f64) -> [f64; 3] {
        match self {
            Kernel::Mean => [value, 1.0, 0.0],
            Kernel::Variance => [1.0, value, 0.0],
            Kernel::First | Kernel::Last => [value, age, 0.0],
            Kernel::Sum | Kernel::Min | Kernel::Max | Kernel::Samples => [value, 0.0, 0.0],
        }
    }

    /// Joins another part of the same window, which comes later where times are equal.
    pub(crate) fn merge(self, into: &mut [f64], other: &[f64]) {
        match self {
            Kernel::Sum => into[0] += other[0],
            Kernel::Min => {
                if other[0] < into[0] || into[0].is_nan() {
                    into[0] = other[0];
                }
            }
            Kernel::Max => {
                if other[0] > into[0] || into[0].is_nan() {
                    into[0] = other[0];
                }
            }
            Kernel::Mean => {
                into[0] += other[0];
                into[1] += other[1];
            }
            Kernel::Variance => {
                let count = into[0] + other[0];
                let distance = other[1] - into[1];
                into[2] += other[2] + distance * distance * into[0] * other[0] / count;
                into[1] += distance * other[0] / count;
                into[0] = count;
            }
            Kernel::First if other[1] > into[1] => into.copy_from_slice(&other[..into.len()]),
            Kernel::Last if other[1] <= into[1] => into.copy_from_slice(&other[..into.len()]),
            Kernel::First | Kernel::Last | Kernel::Samples => {}
        }
    }
}

/// The answer of a window from what it kept.
pub(crate) fn answer(op: RangeOp, state: &[f64], range_ns: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a window's length in seconds is a floating-point number")]
    let seconds = range_ns as f64 / 1e9;
    match op {
        RangeOp::Rate | RangeOp::BytesRate => state[0] / seconds,
        RangeOp::AvgOverTime => state[0] / state[1],
        RangeOp::StdvarOverTime => state[2] / state[0],
        RangeOp::StddevOverTime => (state[2] / state[0]).sqrt(),
        _ => state[0],
    }
}

/// The answer of a window that kept all its samples, which are sorted by time; none when there are too few.
pub(crate) fn answer_samples(
    op: RangeOp,
    param: f64,
    samples: &[(i64, f64)],
    end_ns: i64,
    range_ns: i64,
) -> Option<f64> {
    if samples.is_empty() {
        return None;
    }
    match op {
        RangeOp::QuantileOverTime => {
            let mut values: Vec<f64> = samples.iter().map(|(_, v)| *v).collect();
            values.sort_by(f64::total_cmp);
            Some(quantile(param, &values))
        }
        _ => counter_rate(samples, end_ns, range_ns),
    }
}

/// The φ-quantile of sorted values, between the two nearest where it falls between.
fn quantile(q: f64, sorted: &[f64]) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rank is a floating-point number")]
    let rank = q * (sorted.len() - 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the rank is within the values"
    )]
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(sorted.len() - 1);
    let weight = rank - rank.floor();
    sorted[lower] * (1.0 - weight) + sorted[upper] * weight
}

/// The rate per second of a counter that may start anew, extended to the window's ends as Prometheus does.
fn counter_rate(samples: &[(i64, f64)], end_ns: i64, range_ns: i64) -> Option<f64> {
    let ((first_ns, first), (last_ns, last)) = (*samples.first()?, *samples.last()?);
    if samples.len() < 2 || first_ns == last_ns {
        return None;
    }
    let resets: f64 = samples.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[0].1).sum();
    let increase = last - first + resets;
    #[expect(clippy::cast_precision_loss, reason = "times within a window are far below 2^53 ns")]
    let seconds = |ns: i64| ns as f64 / 1e9;
    let sampled = seconds(last_ns - first_ns);
    #[expect(clippy::cast_precision_loss, reason = "a window has far fewer than 2^53 samples")]
    let average = sampled / (samples.len() - 1) as f64;
    let mut to_start = seconds(first_ns - (end_ns - range_ns));
    let to_end = seconds(end_ns - last_ns);
    if increase > 0.0 && first >= 0.0 {
        // A counter cannot have been below zero.
        to_start = to_start.min(sampled * (first / increase));
    }
    let threshold = average * 1.1;
    let extended = |gap: f64| if gap < threshold { gap } else { average / 2.0 };
    let covered = sampled + extended(to_start) + extended(to_end);
    Some(increase * (covered / sampled) / seconds(range_ns))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(kernel: Kernel, samples: &[(f64, f64)]) -> Vec<f64> {
        let mut state = kernel.single(samples[0].0, samples[0].1)[..kernel.width()].to_vec();
        for (value, age) in &samples[1..] {
            kernel.merge(&mut state, &kernel.single(*value, *age));
        }
        state
    }

    #[test]
    fn windows_answer() {
        let samples = [(4.0, 30.0), (2.0, 20.0), (9.0, 20.0), (1.0, 10.0)];
        for (op, expected) in [
            (RangeOp::SumOverTime, 16.0),
            (RangeOp::AvgOverTime, 4.0),
            (RangeOp::MinOverTime, 1.0),
            (RangeOp::MaxOverTime, 9.0),
            (RangeOp::FirstOverTime, 4.0),
            (RangeOp::LastOverTime, 1.0),
            (RangeOp::StdvarOverTime, 9.5),
            (RangeOp::Rate, 8.0),
        ] {
            let state = folded(Kernel::of(op), &samples);
            assert!((answer(op, &state, 2_000_000_000) - expected).abs() < 1e-9, "{op:?}");
        }
        assert_eq!(answer_samples(RangeOp::QuantileOverTime, 0.5, &[(1, 1.0), (2, 3.0)], 2, 2), Some(2.0));
        assert_eq!(answer_samples(RangeOp::RateCounter, 0.0, &[(1, 1.0)], 2, 2), None);
        let counter = [(0, 10.0), (1_000_000_000, 20.0), (2_000_000_000, 5.0)];
        let rate = answer_samples(RangeOp::RateCounter, 0.0, &counter, 2_000_000_000, 2_000_000_001);
        assert!((rate.unwrap() - 7.5).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn parts_join_to_the_whole(values in prop::collection::vec(-100_f64..100.0, 2..20), cut in 1_usize..19) {
            let samples: Vec<(f64, f64)> = values.iter().rev().enumerate()
                .map(|(age, v)| (*v, f64::from(u32::try_from(age).unwrap()))).rev().collect();
            let cut = cut.min(samples.len() - 1);
            for kernel in [Kernel::Sum, Kernel::Min, Kernel::Max, Kernel::Mean, Kernel::Variance, Kernel::First, Kernel::Last] {
                let whole = folded(kernel, &samples);
                let mut left = folded(kernel, &samples[..cut]);
                kernel.merge(&mut left, &folded(kernel, &samples[cut..]));
                for (a, b) in whole.iter().zip(&left) {
                    prop_assert!((a - b).abs() < 1e-6, "{:?} {:?} {:?}", kernel, whole, left);
                }
            }
        }
    }
}
