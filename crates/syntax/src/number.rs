//! Numbers as Go's `strconv` reads and writes them: decimal, hexadecimal, octal, binary, `_` between digits, `Inf`, `NaN`.

/// A text that is no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number: text=`{0}`")]
pub struct NumberError(String);

/// Parses a number, with or without a sign. A leading `0` before digits alone makes it octal, as in Go.
///
/// # Errors
/// When the text is something else.
pub fn parse(text: &str) -> Result<f64, NumberError> {
    let error = || NumberError(text.to_owned());
    let (negative, body) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let value = unsigned(body).ok_or_else(error)?;
    Ok(if negative { -value } else { value })
}

fn unsigned(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Some(f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    if lower.starts_with('_') && lower.len() > 1 || lower.ends_with('_') || lower.contains("__") {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0b", 2), ("0o", 8)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return based(digits, radix);
        }
    }
    let digits = lower.replace('_', "");
    let octal =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if octal {
        return based(&digits, 8);
    }
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-');
    let starts = digits.bytes().next().is_some_and(|b| b.is_ascii_digit() || b == b'.');
    (starts && digits.bytes().all(plain)).then(|| digits.parse().ok()).flatten()
}

/// Digits of a radix, for radix 16 with a fraction and a binary exponent (`1.8p3`).
fn based(text: &str, radix: u32) -> Option<f64> {
    let text = text.replace('_', "");
    let (mantissa, exponent) = match text.split_once('p') {
        Some((mantissa, exponent)) if radix == 16 => (mantissa, exponent.parse::<i32>().ok()?),
        _ => (text.as_str(), 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if radix == 16 => (whole, fraction),
        _ => (mantissa, ""),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if fraction.is_empty()
        && let Ok(exact) = u64::from_str_radix(whole, radix)
    {
        #[expect(clippy::cast_precision_loss, reason = "rounding to the nearest float is what is wanted")]
        return Some(exact as f64 * 2_f64.powi(exponent));
    }
    let mut value = 0.0_f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * f64::from(radix) + f64::from(c.to_digit(radix)?);
    }
    let fraction_bits = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * 2_f64.powi(exponent.checked_sub(fraction_bits)?))
}

/// Writes a number without an exponent and with as few digits as bring it back (Go's format `f`).
#[must_use]
pub fn format_plain(value: f64) -> String {
    special(value).unwrap_or_else(|| format!("{value}"))
}

/// Writes a number as Go's `%g` and `%v` do: with as few digits as bring it back, and an exponent below 1e-4 and from 1e6 on.
#[must_use]
pub fn format_short(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value}")
}

/// Writes a number as OpenMetrics has it: as [`format_short`], with a point or an exponent always.
#[must_use]
pub fn format_open_metrics(value: f64) -> String {
    let text = format_short(value);
    if value.is_finite() && !text.contains(['e', '.']) { text + ".0" } else { text }
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        return Some("NaN".to_owned());
    }
    value.is_infinite().then(|| if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let cases = [
            ("1", Some(1.0)),
            ("+1.5", Some(1.5)),
            ("-.5", Some(-0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("1_000", Some(1000.0)),
            ("0xff", Some(255.0)),
            ("0x1.8p1", Some(3.0)),
            ("0755", Some(493.0)),
            ("089", Some(89.0)),
            ("-Inf", Some(f64::NEG_INFINITY)),
            ("0x", None),
            ("", None),
            ("1__0", None),
            ("e5", None),
            ("infi", None),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text).ok(), value, "{text}");
        }
        assert!(parse("nan").unwrap().is_nan());
    }

    #[test]
    fn numbers_are_written() {
        let cases = [
            (0.0, "0", "0"),
            (-1.5, "-1.5", "-1.5"),
            (1e21, "1000000000000000000000", "1e+21"),
            (1.5e-7, "0.00000015", "1.5e-07"),
            (999_999.5, "999999.5", "999999.5"),
            (1_000_000.0, "1000000", "1e+06"),
            (1_795_420_800.0, "1795420800", "1.7954208e+09"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN"),
        ];
        for (value, plain, short) in cases {
            assert_eq!((format_plain(value).as_str(), format_short(value).as_str()), (plain, short));
        }
        for (value, text) in
            [(0.0, "0.0"), (-1.0, "-1.0"), (0.5, "0.5"), (1e7, "1e+07"), (f64::INFINITY, "+Inf")]
        {
            assert_eq!(format_open_metrics(value), text);
        }
    }
}
