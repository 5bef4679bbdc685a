//! Calendar functions over Unix seconds, in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The function of that name, where it is one of these.
pub(crate) fn lookup(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |seconds| with(seconds, |t| f64::from(t.minute())),
        "hour" => |seconds| with(seconds, |t| f64::from(t.hour())),
        "day_of_week" => |seconds| with(seconds, |t| f64::from(t.weekday().to_sunday_zero_offset())),
        "day_of_month" => |seconds| with(seconds, |t| f64::from(t.day())),
        "day_of_year" => |seconds| with(seconds, |t| f64::from(t.day_of_year())),
        "days_in_month" => |seconds| with(seconds, |t| f64::from(t.days_in_month())),
        "month" => |seconds| with(seconds, |t| f64::from(t.month())),
        "year" => |seconds| with(seconds, |t| f64::from(t.year())),
        _ => return None,
    })
}

/// A part of the moment; NaN where the number is no moment.
fn with(seconds: f64, part: impl FnOnce(&jiff::Zoned) -> f64) -> f64 {
    if !seconds.is_finite() || seconds.abs() > 1e12 {
        return f64::NAN;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the bounds were checked")]
    let whole = seconds.floor() as i64;
    Timestamp::from_second(whole).map_or(f64::NAN, |at| part(&at.to_zoned(TimeZone::UTC)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_moment() {
        let cases = [
            ("year", 2023.0),
            ("month", 11.0),
            ("day_of_month", 14.0),
            ("day_of_week", 2.0),
            ("day_of_year", 318.0),
            ("days_in_month", 30.0),
            ("hour", 22.0),
            ("minute", 13.0),
        ];
        for (name, wanted) in cases {
            assert_eq!(lookup(name).unwrap()(1_700_000_000.0), wanted, "{name}");
        }
        assert!(lookup("year").unwrap()(f64::INFINITY).is_nan());
    }
}
