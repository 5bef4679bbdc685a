//! Durations: Prometheus' (`1h30m`, whole numbers, units falling) and Go's (`1.5h`, any order), both with `d w y`.

use crate::string::quote;

/// Nanoseconds of each unit, by the name it has in a query; longest names first where one begins another.
const UNITS: [(&str, i64); 10] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

const YEAR_NS: i64 = 365 * 86_400_000_000_000;

/// What is wrong with a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is no duration.
    #[error("not a valid duration string: {}", quote(.0))]
    Invalid(String),
    /// Behind a number stands something that is no unit.
    #[error("unknown unit {} in duration {}", quote(.unit), quote(.text))]
    Unit {
        /// What stands there.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// It is one, but too long for 64 bits of nanoseconds.
    #[error("duration out of range")]
    OutOfRange,
}

/// Parses a Prometheus duration into milliseconds: `y w d h m s ms`, each at most once, in this order; `0` alone too.
///
/// # Errors
/// When it is no such duration or is longer than 64 bits of nanoseconds.
pub fn parse_prometheus_ms(text: &str) -> Result<i64, DurationError> {
    const ORDER: [(&str, i64); 7] = [
        ("y", YEAR_NS / 1_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    const MOST_MS: u64 = i64::MAX as u64 / 1_000_000;
    if text == "0" {
        return Ok(0);
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let (mut rest, mut from, mut total_ms) = (text, 0, 0_u64);
    while !rest.is_empty() || from == 0 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let behind = &rest[digits..];
        let unit = &behind[..behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len())];
        let place = match ORDER.iter().position(|(name, _)| *name == unit) {
            _ if unit.is_empty() => return Err(invalid()),
            None => return Err(DurationError::Unit { unit: unit.to_owned(), text: text.to_owned() }),
            Some(place) if place < from => return Err(invalid()),
            Some(place) => place,
        };
        let ms = number.checked_mul(ORDER[place].1.unsigned_abs()).ok_or(DurationError::OutOfRange)?;
        total_ms = total_ms.checked_add(ms).filter(|ms| *ms <= MOST_MS).ok_or(DurationError::OutOfRange)?;
        (rest, from) = (&behind[unit.len()..], place + 1);
    }
    i64::try_from(total_ms).map_err(|_| DurationError::OutOfRange)
}

/// Parses Go's durations into nanoseconds, with a sign, fractions, units in any order, and `d`, `w`, `y` besides.
///
/// # Errors
/// When it is no such duration or does not fit 64 bits.
pub fn parse_ns(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total_ns = 0_i64;
    while !rest.is_empty() {
        let (number, unit, behind) = number_and_unit(rest).ok_or_else(invalid)?;
        let unit_ns = if unit == "y" {
            YEAR_NS
        } else {
            UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ns)| *ns).ok_or_else(invalid)?
        };
        let ns = scaled(number, unit_ns).ok_or_else(invalid)?;
        total_ns = total_ns.checked_add(ns).ok_or(DurationError::OutOfRange)?;
        rest = behind;
    }
    Ok(if negative { -total_ns } else { total_ns })
}

/// Splits `1.5h30m` into `1.5`, `h`, `30m`.
fn number_and_unit(text: &str) -> Option<(&str, &str, &str)> {
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(number_len);
    let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, behind) = rest.split_at(unit_len);
    (!number.is_empty()).then_some((number, unit, behind))
}

fn scaled(number: &str, unit_ns: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Scaled by a billion so that the digits of large units do not lose their last ones.
    let (mut fraction_ns, mut scale_ns) = (0_i128, i128::from(unit_ns) * 1_000_000_000);
    for digit in fraction.bytes().take(18) {
        scale_ns /= 10;
        fraction_ns += scale_ns * i128::from(digit - b'0');
    }
    let fraction_ns = i64::try_from(fraction_ns / 1_000_000_000).ok()?;
    whole.checked_mul(unit_ns)?.checked_add(fraction_ns)
}

/// Writes milliseconds as Prometheus does: `1h30m`; weeks and years only where they are exact.
#[must_use]
pub fn format_prometheus_ms(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let (sign, mut rest) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    let mut out = sign.to_owned();
    let units = [
        ("y", 365 * 86_400_000_u64, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    for (name, unit_ms, only_exact) in units {
        if rest >= unit_ms && (!only_exact || rest % unit_ms == 0) {
            out.push_str(&format!("{}{name}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    out
}

/// Writes nanoseconds as Go does: `1h30m0s`, `1.5s`, `10ms`, `0s`.
#[must_use]
pub fn format_go_ns(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let text = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if ns < 1_000 {
        return format!("{sign}{ns}ns");
    }
    if ns < 1_000_000 {
        return format!("{sign}{}µs", fraction(ns, 1_000));
    }
    if ns < 1_000_000_000 {
        return format!("{sign}{}ms", fraction(ns, 1_000_000));
    }
    let seconds = fraction(ns % 60_000_000_000, 1_000_000_000);
    let minutes = ns / 60_000_000_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prometheus_durations() {
        let cases = [
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1w2d3h4m5s6ms", Some(788_645_006)),
            ("1y", Some(31_536_000_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("30m1h", None),
            ("1m1m", None),
            ("1.5h", None),
            ("5", None),
            ("", None),
            ("-5m", None),
            ("400y", None),
        ];
        for (text, ms) in cases {
            assert_eq!(parse_prometheus_ms(text).ok(), ms, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_duration_is_named() {
        let cases = [
            ("1.5m", "unknown unit \".\" in duration \"1.5m\""),
            ("5y1hs", "unknown unit \"hs\" in duration \"5y1hs\""),
            ("1m1h", "not a valid duration string: \"1m1h\""),
            ("7", "not a valid duration string: \"7\""),
            ("18446744073709551616s", "not a valid duration string: \"18446744073709551616s\""),
            ("293y", "duration out of range"),
        ];
        for (text, message) in cases {
            assert_eq!(parse_prometheus_ms(text).map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }

    #[test]
    fn go_durations() {
        let cases = [
            ("1.5h", Some(5_400_000_000_000)),
            ("-1m30.5s", Some(-90_500_000_000)),
            ("100us", Some(100_000)),
            ("100µs", Some(100_000)),
            (".5s", Some(500_000_000)),
            ("1d", Some(86_400_000_000_000)),
            ("30m1h", Some(5_400_000_000_000)),
            ("0", Some(0)),
            ("1.2.3s", None),
            (".s", None),
            ("10", None),
            ("", None),
            ("300000000h", None),
        ];
        for (text, ns) in cases {
            assert_eq!(parse_ns(text).ok(), ns, "{text}");
        }
    }

    #[test]
    fn durations_are_written() {
        assert_eq!(format_prometheus_ms(5_400_000), "1h30m");
        assert_eq!(format_prometheus_ms(604_800_000), "1w");
        assert_eq!(format_prometheus_ms(694_800_000), "8d1h");
        assert_eq!(format_go_ns(5_400_000_000_000), "1h30m0s");
        assert_eq!(format_go_ns(90_500_000_000), "1m30.5s");
        assert_eq!(format_go_ns(1_500_000), "1.5ms");
        assert_eq!(format_go_ns(-1_500), "-1.5µs");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0_i64..9_000_000_000_000) {
            prop_assert_eq!(parse_prometheus_ms(&format_prometheus_ms(ms)).unwrap(), ms);
        }

        #[test]
        fn go_writes_what_it_reads(ns in any::<i64>()) {
            prop_assume!(ns != i64::MIN);
            prop_assert_eq!(parse_ns(&format_go_ns(ns)).unwrap(), ns);
        }

        #[test]
        fn arbitrary_text_is_read_or_refused(text in "[0-9.a-zµ-]{0,10}") {
            let _ = (parse_ns(&text), parse_prometheus_ms(&text));
        }
    }
}
