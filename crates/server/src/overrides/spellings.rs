//! Durations, sizes and numbers as the files of Loki, Tempo and Mimir spell them.

use model::time::NS_PER_S;

use crate::config::yaml::{Node, Value};

/// The units of a duration, with their nanoseconds.
const DURATION_UNITS: [(&str, f64); 10] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
    ("d", 86_400e9),
    ("w", 7.0 * 86_400e9),
    ("y", 365.0 * 86_400e9),
];

/// The units of a size: in these files all of them are powers of 1,024.
const SIZE_UNITS: [(&str, u32); 14] = [
    ("", 0),
    ("b", 0),
    ("k", 10),
    ("kb", 10),
    ("kib", 10),
    ("m", 20),
    ("mb", 20),
    ("mib", 20),
    ("g", 30),
    ("gb", 30),
    ("gib", 30),
    ("t", 40),
    ("tb", 40),
    ("tib", 40),
];

/// A duration in nanoseconds: `30d1h`, `336h0m0s`, `1.5h`, `0`.
pub(super) fn duration(node: &Node) -> Result<i64, String> {
    let bad = || format!("{} is no duration, write it like 10m, 30d or 1h30m", node.describe());
    match &node.value {
        Value::Int(0) => Ok(0),
        Value::Text(text) => duration_text(text).ok_or_else(bad),
        _ => Err(bad()),
    }
}

fn duration_text(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut ns = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, factor) = DURATION_UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        ns += number * factor;
        rest = &rest[letters..];
    }
    // Beyond it there is no time to keep anything for.
    (ns <= i64::MAX as f64 / 2.0).then_some(ns as i64)
}

/// A size in bytes: `256KB`, `5MiB`, `1048576`.
pub(super) fn size(node: &Node) -> Result<u64, String> {
    let bad = || format!("{} is no size, write it like 256KB, 5MB or 1048576", node.describe());
    match &node.value {
        Value::Int(bytes) => u64::try_from(*bytes).map_err(|_| bad()),
        Value::Float(bytes) => whole(*bytes).ok_or_else(bad),
        Value::Text(text) => size_text(text).ok_or_else(bad),
        _ => Err(bad()),
    }
}

fn size_text(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let (_, bits) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    whole(number * (1_u64 << bits) as f64)
}

/// Megabytes as a plain number, in bytes.
pub(super) fn megabytes(node: &Node) -> Result<u64, String> {
    let bad = || format!("{} is no number of megabytes, write it like 4 or 1.5", node.describe());
    let number = match &node.value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Text(text) => text.trim().parse().map_err(|_| bad())?,
        _ => return Err(bad()),
    };
    whole(number * f64::from(1 << 20)).ok_or_else(bad)
}

/// A number that is not negative.
pub(super) fn count(node: &Node) -> Result<u64, String> {
    let bad = || format!("{} is no number, write it like 5000", node.describe());
    match &node.value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| bad()),
        Value::Float(number) => whole(*number).ok_or_else(bad),
        Value::Text(text) => text.trim().parse().map_err(|_| bad()),
        _ => Err(bad()),
    }
}

/// `true` or `false`.
pub(super) fn flag(node: &Node) -> Result<bool, String> {
    match &node.value {
        Value::Bool(flag) => Ok(*flag),
        Value::Text(text) if text == "true" || text == "false" => Ok(text == "true"),
        _ => Err(format!("{} is neither true nor false", node.describe())),
    }
}

/// Text; numbers are text too.
pub(super) fn text(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => Ok(node.describe()),
        _ => Err(format!("{} is no text", node.describe())),
    }
}

fn whole(number: f64) -> Option<u64> {
    // 2^53: up to here every whole number is one of floating point.
    (0.0..=9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
}

/// A duration as these files spell it.
pub(crate) fn spell_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let units = [("d", 86_400 * NS_PER_S), ("h", 3_600 * NS_PER_S), ("m", 60 * NS_PER_S), ("s", NS_PER_S)];
    let (mut rest, mut text) = (ns, String::new());
    for (unit, length) in units.into_iter().chain([("ms", 1_000_000), ("ns", 1)]) {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    text
}

/// A size as these files spell it, where it is round; else its bytes.
pub(super) fn spell_size(bytes: u64) -> String {
    let units = [("GB", 30), ("MB", 20), ("KB", 10)];
    let round = units.into_iter().find(|(_, bits)| bytes > 0 && bytes.is_multiple_of(1 << bits));
    round.map_or_else(|| bytes.to_string(), |(unit, bits)| format!("{}{unit}", bytes >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml::parse;

    fn node(text: &str) -> Node {
        parse(&format!("k: {text}\n")).unwrap().find("k").unwrap().node.clone()
    }

    #[test]
    fn durations_are_read_and_spelled() {
        let hour = 3_600 * NS_PER_S;
        let table = [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("90s", 90 * NS_PER_S, "1m30s"),
            ("336h0m0s", 336 * hour, "14d"),
            ("30d1h", 721 * hour, "30d1h"),
            ("1w", 168 * hour, "7d"),
            ("1.5h", 90 * 60 * NS_PER_S, "1h30m"),
            ("\"250ms\"", 250_000_000, "250ms"),
        ];
        for (written, ns, spelled) in table {
            assert_eq!(duration(&node(written)), Ok(ns), "{written}");
            assert_eq!(spell_duration(ns), spelled);
        }
        for wrong in ["5", "x", "1h-2m", "-1h", "[1h]", "1fortnight", "h", "300000y", "\"\"", "1..5h"] {
            assert!(duration(&node(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_numbers_are_read_and_spelled() {
        let table = [("256KB", 256 << 10, "256KB"), ("5MiB", 5 << 20, "5MB"), ("1000", 1_000, "1000")];
        for (written, bytes, spelled) in table {
            assert_eq!(size(&node(written)), Ok(bytes), "{written}");
            assert_eq!(spell_size(bytes), spelled);
        }
        assert_eq!(size(&node("1.5MB")), Ok(3 << 19));
        assert_eq!(megabytes(&node("1.5")), Ok(3 << 19));
        assert_eq!(count(&node("1e6")), Ok(1_000_000));
        assert_eq!(flag(&node("true")), Ok(true));
        for wrong in ["-1", "12 parsecs", "[1]", "x", "1e300"] {
            assert!(size(&node(wrong)).is_err() && count(&node(wrong)).is_err(), "{wrong}");
        }
        assert!(flag(&node("1")).is_err() && text(&node("{}")).is_err() && megabytes(&node("-1")).is_err());
    }
}
