//! Lengths of time as the three protocols write them: Prometheus' (`1h30m`), Go's (`1.5s`), and plain seconds.

use model::time::{NS_PER_MS, NS_PER_S};

const MINUTE_NS: i64 = 60 * NS_PER_S;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// Prometheus' units, in the only order that it takes.
const PROMETHEUS_UNITS: [(&str, i64); 7] = [
    ("y", 365 * DAY_NS),
    ("w", 7 * DAY_NS),
    ("d", DAY_NS),
    ("h", HOUR_NS),
    ("m", MINUTE_NS),
    ("s", NS_PER_S),
    ("ms", NS_PER_MS),
];

/// Go's units, in any order; both letters for micro are taken.
const GO_UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", NS_PER_MS),
    ("s", NS_PER_S),
    ("m", MINUTE_NS),
    ("h", HOUR_NS),
];

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// Nanoseconds of a duration as Prometheus writes it (`1h30m`, `500ms`, `0`): whole numbers with units in
/// descending order, each at most once.
pub(crate) fn parse_prometheus(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut units = PROMETHEUS_UNITS.as_slice();
    let mut total_ns = 0_i64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_digit(c))?);
        let (unit, after) = after.split_at(after.find(is_digit).unwrap_or(after.len()));
        let index = units.iter().position(|(name, _)| *name == unit)?;
        let ns = number.parse::<i64>().ok()?.checked_mul(units[index].1)?;
        total_ns = total_ns.checked_add(ns)?;
        units = &units[index + 1..];
        rest = after;
    }
    (!text.is_empty()).then_some(total_ns)
}

/// Nanoseconds of a duration as Go writes it (`1.5s`, `-2h45m`, `0`): decimal numbers with units in any order.
pub(crate) fn parse_go(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(0);
    }
    if unsigned.is_empty() {
        return None;
    }
    let mut rest = unsigned;
    let mut total_ns = 0.0_f64;
    while !rest.is_empty() {
        let is_number = |c: char| is_digit(c) || c == '.';
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c))?);
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let (_, unit_ns) = GO_UNITS.iter().find(|(name, _)| *name == unit)?;
        total_ns += number.parse::<f64>().ok()? * *unit_ns as f64;
        rest = after;
    }
    let total_ns = if text.starts_with('-') { -total_ns } else { total_ns };
    (total_ns.abs() < i64::MAX as f64).then_some(total_ns.round() as i64)
}

/// Nanoseconds of a parameter: seconds as a float, or a duration as Prometheus writes it.
///
/// # Errors
/// Prometheus' and Loki's words for a text that is neither, or is beyond 292 years.
pub(crate) fn parse_parameter(text: &str) -> Result<i64, String> {
    // What has digits and is beyond all numbers is none in Go.
    let is_number = |seconds: &f64| seconds.is_finite() || !text.contains(is_digit);
    if let Some(seconds) = text.parse::<f64>().ok().filter(is_number) {
        let ns = seconds * NS_PER_S as f64;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            return Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"));
        }
        return Ok(ns as i64);
    }
    parse_prometheus(text).ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_each_protocol_writes_them() {
        let prometheus = [
            ("5m", Some(5 * MINUTE_NS)),
            ("1h30m", Some(90 * MINUTE_NS)),
            ("1y2w3d4h5m6s7ms", Some(382 * DAY_NS + 4 * HOUR_NS + 5 * MINUTE_NS + 6_007 * NS_PER_MS)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("m", None),
            ("1.5s", None),
            ("30m1h", None),
            ("1m1m", None),
            ("-1m", None),
            ("1M", None),
            ("99999999999y", None),
        ];
        for (text, expected) in prometheus {
            assert_eq!(parse_prometheus(text), expected, "{text:?}");
        }
        let go = [
            ("1.5s", Some(1_500 * NS_PER_MS)),
            ("2h45m", Some(165 * MINUTE_NS)),
            ("-10ms", Some(-10 * NS_PER_MS)),
            ("100us", Some(100_000)),
            ("3µs", Some(3_000)),
            ("0", Some(0)),
            ("1m1h", Some(61 * MINUTE_NS)),
            ("", None),
            ("1", None),
            ("1.s.", None),
            ("1d", None),
            ("1e3s", None),
        ];
        for (text, expected) in go {
            assert_eq!(parse_go(text), expected, "{text:?}");
        }
    }

    #[test]
    fn parameters_are_seconds_or_durations() {
        let cases = [
            ("15", Ok(15 * NS_PER_S)),
            ("0.5", Ok(NS_PER_S / 2)),
            ("-1", Ok(-NS_PER_S)),
            ("5m", Ok(300 * NS_PER_S)),
            ("NaN", Ok(0)),
            ("1e30", Err("cannot parse \"1e30\" to a valid duration. It overflows int64")),
            ("1e400", Err("cannot parse \"1e400\" to a valid duration")),
            ("Inf", Err("cannot parse \"Inf\" to a valid duration. It overflows int64")),
            ("five", Err("cannot parse \"five\" to a valid duration")),
            ("", Err("cannot parse \"\" to a valid duration")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_parameter(text), expected.map_err(str::to_owned), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*", units in "[0-9a-zµ.+-]{0,12}") {
            for text in [&text, &units] {
                let _ = (parse_prometheus(text), parse_go(text), parse_parameter(text));
            }
        }
    }
}
