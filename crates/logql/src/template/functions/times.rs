//! Times and durations. There is no `now`: an answer depends on its query and its lines alone.

use super::{Function, fixed};
use crate::pipeline::label_filter::duration_ns;
use crate::template::time;
use crate::template::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("date", 2, |_, a| Ok(Value::Text(time::format(nanoseconds(&a[1])?, &a[0].to_string())))),
    fixed("toDate", 2, |_, a| time::parse(&a[0].to_string(), None, &a[1].to_string()).map(Value::Time)),
    fixed("toDateInZone", 3, |_, a| {
        time::parse(&a[0].to_string(), Some(&a[1].to_string()), &a[2].to_string()).map(Value::Time)
    }),
    fixed("unixEpoch", 1, |_, a| epoch(&a[0], 1_000_000_000)),
    fixed("unixEpochMillis", 1, |_, a| epoch(&a[0], 1_000_000)),
    fixed("unixEpochNanos", 1, |_, a| epoch(&a[0], 1)),
    fixed("unixToTime", 1, |_, a| unix_to_time(&a[0].to_string())),
    fixed("duration", 1, |_, a| seconds(&a[0])),
    fixed("duration_seconds", 1, |_, a| seconds(&a[0])),
];

fn nanoseconds(value: &Value) -> Result<i64, String> {
    match value {
        Value::Time(ns) => Ok(*ns),
        Value::Int(seconds) => Ok(seconds.saturating_mul(1_000_000_000)),
        other => Err(format!("{other} is no time")),
    }
}

fn epoch(value: &Value, unit_ns: i64) -> Result<Value, String> {
    nanoseconds(value).map(|ns| Value::Text(ns.div_euclid(unit_ns).to_string()))
}

/// Days, seconds, milliseconds, microseconds or nanoseconds since the epoch, told apart by the number of digits.
fn unix_to_time(text: &str) -> Result<Value, String> {
    let number: i64 = text.trim().parse().map_err(|_| format!("unable to parse time '{text}'"))?;
    let unit_ns = match text.trim().len() {
        5 => 86_400_000_000_000,
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(format!("unable to parse time '{text}': unexpected number of digits")),
    };
    Ok(Value::Time(number.saturating_mul(unit_ns)))
}

fn seconds(value: &Value) -> Result<Value, String> {
    #[expect(clippy::cast_precision_loss, reason = "Loki gives durations as floating-point seconds")]
    duration_ns(&value.to_string()).map(|ns| Value::Float(ns as f64 / 1e9))
}
