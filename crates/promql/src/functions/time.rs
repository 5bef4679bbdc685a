//! Calendar functions over Unix seconds, in UTC.

const DAY_S: i64 = 86_400;
/// The calendar repeats itself after so many days: 400 years.
const CYCLE_DAYS: i64 = 146_097;
/// From the first of March of the year 0 to the first of January 1970.
const EPOCH_DAYS: i64 = 719_468;

/// The function of that name, where it is one of these.
pub(crate) fn lookup(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |seconds| of(seconds, |s| s.rem_euclid(3_600) / 60),
        "hour" => |seconds| of(seconds, |s| s.rem_euclid(DAY_S) / 3_600),
        // The first of January 1970 was a Thursday.
        "day_of_week" => |seconds| of(seconds, |s| (s.div_euclid(DAY_S) + 4).rem_euclid(7)),
        "day_of_month" => |seconds| of(seconds, |s| Date::of(s).day),
        "day_of_year" => |seconds| of(seconds, |s| Date::of(s).day_of_year()),
        "days_in_month" => |seconds| of(seconds, |s| Date::of(s).days_in_month()),
        "month" => |seconds| of(seconds, |s| Date::of(s).month),
        "year" => |seconds| of(seconds, |s| Date::of(s).year),
        _ => return None,
    })
}

/// A part of the moment, whose fraction of a second is cut off; NaN where the number is no moment.
fn of(seconds: f64, part: impl FnOnce(i64) -> i64) -> f64 {
    if seconds.abs() >= MAX_SECONDS || seconds.is_nan() {
        return f64::NAN;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the bounds were checked"
    )]
    let part = part(seconds.trunc() as i64) as f64;
    part
}

/// Seconds whose year has no more digits than a float.
const MAX_SECONDS: f64 = 1e17;

/// A day of the Gregorian calendar, for all years before and after it was made.
struct Date {
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
}

impl Date {
    fn of(seconds: i64) -> Self {
        // Years begin with March here, so that the day that some have more is their last.
        let days = seconds.div_euclid(DAY_S) + EPOCH_DAYS;
        let (cycle, day) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        // From March on, five months have 153 days, again and again.
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, years) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Self { year: cycle * 400 + year + years, month, day }
    }

    const fn is_leap(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    const fn days_in_month(&self) -> i64 {
        match self.month {
            2 if self.is_leap() => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(&self) -> i64 {
        let before = (1..self.month).map(|month| Self { month, ..*self }.days_in_month());
        before.sum::<i64>() + self.day
    }
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
        let odd = [
            ("year", -0.5, 1970.0),
            ("minute", -60.5, 59.0),
            ("year", 253_402_300_800.0, 10_000.0),
            ("year", 1e12, 33_658.0),
            ("year", -62_167_219_201.0, -1.0),
            ("days_in_month", 1_709_200_000.0, 29.0),
            ("days_in_month", -2_203_900_000.0, 28.0),
            ("day_of_year", 1_735_603_200.0, 366.0),
            ("day_of_week", -1.0, 3.0),
        ];
        for (name, seconds, wanted) in odd {
            assert_eq!(lookup(name).unwrap()(seconds), wanted, "{name} {seconds}");
        }
    }

    #[test]
    fn all_days_of_centuries_are_those_of_the_calendar() {
        let mut day = jiff::civil::date(1599, 12, 31);
        while day < jiff::civil::date(2401, 1, 2) {
            let seconds = day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second() + 3_723;
            let date = Date::of(seconds);
            assert_eq!(
                (date.year, date.month, date.day),
                (day.year().into(), day.month().into(), day.day().into())
            );
            assert_eq!(date.day_of_year(), i64::from(day.day_of_year()), "{day}");
            day = day.tomorrow().unwrap();
        }
    }
}
