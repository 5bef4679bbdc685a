//! Results as tables on a terminal.

use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::Value;

/// A table with these columns.
pub(super) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns);
    table
}

/// `{a="b", c="d"}` of a JSON object, the metric's name in front.
pub(super) fn labels(object: &Value) -> String {
    let Some(pairs) = object.as_object() else { return String::new() };
    let name = pairs.get("__name__").and_then(Value::as_str).unwrap_or_default();
    let rest: Vec<String> = pairs
        .iter()
        .filter(|(key, _)| *key != "__name__")
        .map(|(key, value)| format!("{key}={:?}", text(value)))
        .collect();
    if rest.is_empty() && !name.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", rest.join(", "))
    }
}

/// A JSON value without quotes.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A moment in nanoseconds as RFC 3339; the number where it is beyond the calendar.
pub(super) fn moment(ns: i128) -> String {
    match jiff::Timestamp::from_nanosecond(ns) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => ns.to_string(),
    }
}

/// A moment in seconds, as the Prometheus API writes it.
pub(super) fn moment_of_seconds(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |s| moment((s * 1e3).round() as i128 * 1_000_000))
}

/// A moment in nanoseconds, as the Loki and Tempo APIs write it: digits in a string.
pub(super) fn moment_of_digits(value: &Value) -> String {
    text(value).parse().map_or_else(|_| text(value), moment)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_read_as_selectors() {
        assert_eq!(labels(&json!({"__name__": "up"})), "up");
        assert_eq!(labels(&json!({"__name__": "up", "job": "a"})), "up{job=\"a\"}");
        assert_eq!(labels(&json!({"job": "a"})), "{job=\"a\"}");
        assert_eq!(labels(&json!({})), "{}");
    }

    #[test]
    fn moments_read_as_times() {
        assert_eq!(moment_of_seconds(&json!(1.5)), "1970-01-01T00:00:01.500Z");
        assert_eq!(moment_of_digits(&json!("1500000000")), "1970-01-01T00:00:01.500Z");
        assert_eq!(moment_of_digits(&json!("soon")), "soon");
    }
}
