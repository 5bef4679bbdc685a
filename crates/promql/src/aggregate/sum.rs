//! Sums that keep the digits which each addition loses (Kahan's method as Neumaier improved it), as Prometheus sums.

/// Keeps means that would overflow as sums: a power of two, so that scaling is exact.
pub(crate) const SCALE: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// A sum and what its additions lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    /// The rounded sum.
    pub(crate) value: f64,
    /// What rounding took away.
    pub(crate) lost: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.value + value;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.value.abs() >= value.abs() {
            self.lost += (self.value - total) + value;
        } else {
            self.lost += (value - total) + self.value;
        }
        self.value = total;
    }

    pub(crate) fn total(self) -> f64 {
        if self.value.is_infinite() { self.value } else { self.value + self.lost }
    }
}

/// The sum of values.
pub(crate) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    values.into_iter().for_each(|value| sum.add(value));
    sum.total()
}

/// The mean of values, which does not overflow where the sum would; NaN of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let mut sum = Sum::default();
    values.iter().for_each(|value| sum.add(*value));
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let count = values.len() as f64;
    if !sum.value.is_infinite() || values.iter().any(|value| value.is_infinite()) {
        return sum.value / count + sum.lost / count;
    }
    let mut mean = Sum::default();
    values.iter().for_each(|value| mean.add(*value / count));
    mean.total()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_digits_survive_large_ones() {
        assert_eq!(sum([1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum([f64::INFINITY, 1.0]), f64::INFINITY);
        assert_eq!(mean(&[1.0, 1e100, 1.0, -1e100]), 0.5);
        assert_eq!(mean(&[f64::MAX, f64::MAX]), f64::MAX);
        assert!(sum([f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }
}
