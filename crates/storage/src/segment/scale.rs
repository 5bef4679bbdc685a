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
fn scale_one(value: f64, power: f64) -> Option<i64> {
    let scaled = (value * power).round();
    if scaled.is_nan() || scaled.abs() > LARGEST {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the value is whole and within 53 bits")]
    let scaled = scaled as i64;
    // Bits, because negative zero compares equal to zero.
    (divide(scaled, power).to_bits() == value.to_bits()).then_some(scaled)
}

#[expect(clippy::cast_precision_loss, reason = "what was scaled is within 53 bits")]
fn divide(scaled: i64, power: f64) -> f64 {
    scaled as f64 / power
}

/// The least scale that gives back as many values of a chunk as possible; none where most do not scale.
fn choose(values: &[f64]) -> Option<usize> {
    let (mut scale, mut exact) = (0, 0);
    for (i, value) in values.iter().enumerate() {
        if i == PROBES && exact == 0 {
            return None;
        }
        let fits = (scale..POWERS.len()).find(|s| scale_one(*value, POWERS[*s]).is_some());
        if let Some(fits) = fits {
            scale = fits;
            exact += 1;
        }
    }
    (exact * 2 >= values.len()).then_some(scale)
}

/// Scales the values of one series, chunk by chunk: for each value its scale, and the integer where there is one.
pub(crate) fn scale(values: &[f64], scales: &mut Vec<i8>, scaled: &mut Vec<Option<i64>>) {
    for chunk in values.chunks(CHUNK_VALUES) {
        let scale = choose(chunk);
        let number = scale.map_or(0, |s| i8::try_from(s).expect("there are ten scales"));
        scales.resize(scales.len() + chunk.len(), number);
        match scale {
            Some(scale) => scaled.extend(chunk.iter().map(|v| scale_one(*v, POWERS[scale]))),
            None => scaled.resize(scaled.len() + chunk.len(), None),
        }
    }
}

/// The value of a scaled integer; none for a scale that is not one.
pub(crate) fn unscale(scaled: i64, scale: i8) -> Option<f64> {
    let power = POWERS.get(usize::try_from(scale).ok()?)?;
    Some(divide(scaled, *power))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[f64]) -> usize {
        let (mut scales, mut scaled) = (Vec::new(), Vec::new());
        scale(values, &mut scales, &mut scaled);
        assert_eq!((scales.len(), scaled.len()), (values.len(), values.len()));
        for ((value, scale), scaled) in values.iter().zip(&scales).zip(&scaled) {
            if let Some(scaled) = scaled {
                assert_eq!(unscale(*scaled, *scale).unwrap().to_bits(), value.to_bits());
            }
        }
        scaled.iter().flatten().count()
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
