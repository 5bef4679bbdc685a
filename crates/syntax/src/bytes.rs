//! Sizes in bytes: `10KB` is ten thousand, `10KiB` is 10 × 1024; letter case does not count.

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a size in bytes: text=`{0}`, write a number and one of B KB MB GB TB PB EB or KiB MiB GiB TiB PiB EiB"
)]
pub struct BytesError(String);

const UNITS: [(&str, u32, u32); 6] =
    [("k", 1_000, 1), ("m", 1_000, 2), ("g", 1_000, 3), ("t", 1_000, 4), ("p", 1_000, 5), ("e", 1_000, 6)];

/// Parses a size; a number without a unit is bytes.
///
/// # Errors
/// When the number is missing, the unit is unknown or the size does not fit 64 bits.
pub fn parse(text: &str) -> Result<u64, BytesError> {
    let error = || BytesError(text.to_owned());
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let multiplier = multiplier(&unit.trim().to_ascii_lowercase()).ok_or_else(error)?;
    let number = number.replace(',', "");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(multiplier).ok_or_else(error);
    }
    let float: f64 = number.parse().map_err(|_| error())?;
    #[expect(clippy::cast_precision_loss, reason = "a fraction of a unit is approximate by nature")]
    let bytes = float * multiplier as f64;
    if !(0.0..18_446_744_073_709_551_615.0).contains(&bytes) {
        return Err(error());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    let bytes = bytes as u64;
    Ok(bytes)
}

fn multiplier(unit: &str) -> Option<u64> {
    if unit.is_empty() || unit == "b" {
        return Some(1);
    }
    let (prefix, rest) = unit.split_at_checked(1)?;
    let (_, base, exponent) = UNITS.into_iter().find(|(name, ..)| *name == prefix)?;
    match rest {
        "" | "b" => Some(u64::from(base).pow(exponent)),
        "i" | "ib" => Some(1024_u64.pow(exponent)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("42", Some(42)),
            ("10KB", Some(10_000)),
            ("10kb", Some(10_000)),
            ("1KiB", Some(1024)),
            ("5 MiB", Some(5 << 20)),
            ("1.5k", Some(1_500)),
            ("2eib", Some(2 << 60)),
            ("30EB", None),
            ("", None),
            ("KB", None),
            ("1XB", None),
            ("-1B", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text).ok(), bytes, "{text}");
        }
    }
}
