//! Floating-point values as scaled integers, where that is exactly reversible.
//!
//! `value = scaled / 10^scale`, with one scale for a chunk of a series' values. A value that does not come back bit for
//! bit (not a number, infinite, negative zero, a full mantissa) stays a float.

/// Values that share a scale.
pub(crate) const CHUNK_VALUES: usize = 1_024;

/// The powers of ten that are scales; each is exact.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Integers up to here are floats without loss, and their quotients by a power of ten are rounded once.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Values that are tried before a chunk without any that scales is left as it is.
const PROBES: usize = 16;

/// The integer for a value at a scale; none where it does not come back.
#[inline]
fn scale_one(value: f64, power: f64) -> Option<i64> {
    let scaled = value * power;
    if scaled.is_nan() || scaled.abs() > LARGEST {
        return None;
    }
    // Beyond there are no fractions, and a half more would be rounded to the next whole number.
    let half = if scaled.abs() < LARGEST / 2.0 { 0.5_f64.copysign(scaled) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "it is within 53 bits, and compared afterwards")]
    let scaled = (scaled + half) as i64;
    // Bits, because negative zero compares equal to zero.
    (unscale(scaled, power).to_bits() == value.to_bits()).then_some(scaled)
}

/// The value of a scaled integer.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "what was scaled is within 53 bits")]
pub(crate) fn unscale(scaled: i64, power: f64) -> f64 {
    scaled as f64 / power
}

/// The power of ten of a scale; none for one that is not one.
pub(crate) fn power(scale: i8) -> Option<f64> {
    POWERS.get(usize::try_from(scale).ok()?).copied()
}

/// The integers of a chunk at its scale, used again for the next chunk.
#[derive(Debug, Default)]
pub(crate) struct Scaled {
    /// The power of ten.
    pub(crate) scale: u8,
    /// An integer a value; of no meaning where the value does not scale.
    pub(crate) integers: Vec<i64>,
    /// Which values scale; empty when all do.
    pub(crate) exact: Vec<bool>,
}

impl Scaled {
    /// Scales a chunk of at least one value. The scale is the least that gives back as many of the values as possible;
    /// where most do not scale none does.
    pub(crate) fn take(&mut self, values: &[f64]) {
        self.scale = 0;
        while let Some(scale) = self.attempt(values) {
            self.scale = scale;
        }
        let exact = self.exact.iter().filter(|exact| **exact).count();
        if !self.exact.is_empty() && exact * 2 < values.len() {
            self.fail(values.len());
        }
    }

    /// Tries a scale; gives a larger one where a value asks for it.
    fn attempt(&mut self, values: &[f64]) -> Option<u8> {
        self.integers.clear();
        self.exact.clear();
        let power = POWERS[usize::from(self.scale)];
        let mut exact = 0;
        for (row, value) in values.iter().enumerate() {
            if let Some(scaled) = scale_one(*value, power) {
                self.integers.push(scaled);
                exact += 1;
                if !self.exact.is_empty() {
                    self.exact.push(true);
                }
                continue;
            }
            let larger = (self.scale + 1..).zip(&POWERS[usize::from(self.scale) + 1..]);
            if let Some((scale, _)) = larger.clone().find(|(_, power)| scale_one(*value, **power).is_some()) {
                return Some(scale);
            }
            self.exact.resize(row, true);
            self.exact.push(false);
            // The integer before it costs nothing where neighbours are told apart.
            self.integers.push(self.integers.last().copied().unwrap_or(0));
            if row + 1 == PROBES && exact == 0 {
                self.fail(values.len());
                return None;
            }
        }
        None
    }

    fn fail(&mut self, values: usize) {
        self.scale = 0;
        self.exact.clear();
        self.exact.resize(values, false);
        self.integers.clear();
        self.integers.resize(values, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[f64]) -> usize {
        let mut scaled = Scaled::default();
        let mut exact = 0;
        for chunk in values.chunks(CHUNK_VALUES) {
            scaled.take(chunk);
            assert_eq!(scaled.integers.len(), chunk.len());
            assert!(scaled.exact.is_empty() || scaled.exact.len() == chunk.len());
            for (row, value) in chunk.iter().enumerate() {
                if scaled.exact.get(row) != Some(&false) {
                    let power = power(scaled.scale.try_into().unwrap()).unwrap();
                    let back = unscale(scaled.integers[row], power);
                    assert_eq!(back.to_bits(), value.to_bits());
                    exact += 1;
                }
            }
        }
        exact
    }

    #[test]
    fn decimals_and_whole_numbers_scale_and_others_stay_floats() {
        for (values, scaled) in [
            (&[1.0, 2.0, -3.0][..], 3),
            (&[0.1, 22.25, 3.0], 3),
            (&[0.123_456_789, 1e6], 2),
            (&[f64::NAN, 1.0], 1),
            (&[f64::NAN, f64::INFINITY, -0.0, 1.0], 0),
            (&[std::f64::consts::PI, std::f64::consts::E, 2.0], 0),
            (&[1e300, 2.0, 0.5], 2),
            (&[9_007_199_254_740_992.0, -9_007_199_254_740_991.0, 9_007_199_254_740_994.0], 2),
            (&[], 0),
        ] {
            assert_eq!(round_trip(values), scaled, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn what_scales_comes_back_bit_for_bit(
            values in proptest::collection::vec(
                prop_oneof![
                    any::<f64>(),
                    any::<i64>().prop_map(|v| v as f64),
                    (-10_000_000_i64..10_000_000, 0_i32..9).prop_map(|(v, e)| v as f64 / 10_f64.powi(e)),
                ],
                0..3_000,
            )
        ) {
            round_trip(&values);
        }
    }
}
