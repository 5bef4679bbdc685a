//! Times as Go writes and reads them: a layout is the reference time, `Mon Jan 2 15:04:05 -0700 MST 2006`, in the form
//! that is wanted.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// A part of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'l> {
    Literal(&'l str),
    MonthName,
    MonthShort,
    Month(usize),
    WeekdayName,
    WeekdayShort,
    Day(usize),
    DayPadded,
    DayOfYear,
    Hour24,
    Hour12(usize),
    Minute(usize),
    Second(usize),
    /// Digits, and whether zeros at the end are left out.
    Fraction(usize, bool),
    Year4,
    Year2,
    HalfUpper,
    HalfLower,
    ZoneName,
    /// With a colon, and whether UTC is `Z`.
    Offset(bool, bool),
    OffsetHours,
}

/// Longer words before those that they start with.
const WORDS: [(&str, Part<'static>); 27] = [
    ("January", Part::MonthName),
    ("Jan", Part::MonthShort),
    ("Monday", Part::WeekdayName),
    ("Mon", Part::WeekdayShort),
    ("MST", Part::ZoneName),
    ("2006", Part::Year4),
    ("Z07:00", Part::Offset(true, true)),
    ("Z0700", Part::Offset(false, true)),
    ("-07:00", Part::Offset(true, false)),
    ("-0700", Part::Offset(false, false)),
    ("-07", Part::OffsetHours),
    ("002", Part::DayOfYear),
    ("01", Part::Month(2)),
    ("02", Part::Day(2)),
    ("03", Part::Hour12(2)),
    ("04", Part::Minute(2)),
    ("05", Part::Second(2)),
    ("06", Part::Year2),
    ("15", Part::Hour24),
    ("PM", Part::HalfUpper),
    ("pm", Part::HalfLower),
    ("_2", Part::DayPadded),
    ("1", Part::Month(1)),
    ("2", Part::Day(1)),
    ("3", Part::Hour12(1)),
    ("4", Part::Minute(1)),
    ("5", Part::Second(1)),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn parts(layout: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = layout;
    let mut literal = 0;
    while literal < rest.len() {
        let Some((part, length)) = part(&rest[literal..]) else {
            literal += rest[literal..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if literal > 0 {
            parts.push(Part::Literal(&rest[..literal]));
        }
        parts.push(part);
        rest = &rest[literal + length..];
        literal = 0;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    parts
}

fn part(text: &str) -> Option<(Part<'static>, usize)> {
    if let Some(digits) = text.strip_prefix(['.', ',']) {
        for (digit, trimmed) in [('0', false), ('9', true)] {
            let count = digits.chars().take_while(|c| *c == digit).count();
            if (1..=9).contains(&count) && !digits[count..].starts_with(|c: char| c.is_ascii_digit()) {
                return Some((Part::Fraction(count, trimmed), count + 1));
            }
        }
    }
    WORDS.iter().find(|(word, _)| text.starts_with(word)).map(|(word, part)| (*part, word.len()))
}

/// Writes a time in UTC.
pub(super) fn format(ns: i64, layout: &str) -> String {
    let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(ns)) else { return String::new() };
    let time = TimeZone::UTC.to_datetime(timestamp);
    parts(layout).into_iter().map(|part| written(part, time)).collect()
}

fn written(part: Part<'_>, t: DateTime) -> String {
    let hour12 = (t.hour() + 11) % 12 + 1;
    let number = |value: i8, width: usize| format!("{value:0width$}");
    let name = |names: &[&'static str], index: i8| {
        usize::try_from(index - 1).ok().and_then(|i| names.get(i).copied()).unwrap_or_default()
    };
    match part {
        Part::Literal(text) => text.to_owned(),
        Part::MonthName => name(&MONTHS, t.month()).to_owned(),
        Part::MonthShort => name(&MONTHS, t.month())[..3].to_owned(),
        Part::WeekdayName => name(&WEEKDAYS, t.weekday().to_monday_one_offset()).to_owned(),
        Part::WeekdayShort => name(&WEEKDAYS, t.weekday().to_monday_one_offset())[..3].to_owned(),
        Part::Month(width) => number(t.month(), width),
        Part::Day(width) => number(t.day(), width),
        Part::DayPadded => format!("{:2}", t.day()),
        Part::DayOfYear => format!("{:03}", t.day_of_year()),
        Part::Hour24 => number(t.hour(), 2),
        Part::Hour12(width) => number(hour12, width),
        Part::Minute(width) => number(t.minute(), width),
        Part::Second(width) => number(t.second(), width),
        Part::Fraction(digits, trimmed) => {
            let all = format!("{:09}", t.subsec_nanosecond());
            let kept = if trimmed { all[..digits].trim_end_matches('0') } else { &all[..digits] };
            if kept.is_empty() { String::new() } else { format!(".{kept}") }
        }
        Part::Year4 => format!("{:04}", t.year()),
        Part::Year2 => format!("{:02}", t.year().rem_euclid(100)),
        Part::HalfUpper => (if t.hour() < 12 { "AM" } else { "PM" }).to_owned(),
        Part::HalfLower => (if t.hour() < 12 { "am" } else { "pm" }).to_owned(),
        Part::ZoneName => "UTC".to_owned(),
        Part::Offset(_, true) => "Z".to_owned(),
        Part::Offset(true, false) => "+00:00".to_owned(),
        Part::Offset(false, false) => "+0000".to_owned(),
        Part::OffsetHours => "+00".to_owned(),
    }
}

/// What a text said of a time so far.
struct Fields {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    afternoon: Option<bool>,
    offset_seconds: Option<i32>,
}

/// Reads a time; what names no offset is in the zone, or in UTC.
pub(super) fn parse(layout: &str, zone: Option<&str>, text: &str) -> Result<i64, String> {
    let wrong = || format!("parsing time {text:?} as {layout:?}: the text is of another form");
    let zone = zone.map_or(Ok(TimeZone::UTC), |name| {
        TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))
    })?;
    let start = Fields {
        year: 1,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        nanosecond: 0,
        afternoon: None,
        offset_seconds: None,
    };
    let mut fields = start;
    let mut rest = text;
    for part in parts(layout) {
        rest = read(part, rest, &mut fields).ok_or_else(wrong)?;
        // A fraction behind the seconds is read even where the layout has none.
        if let (Part::Second(_), true) = (part, rest.starts_with('.')) {
            rest = fraction(rest, &mut fields).unwrap_or(rest);
        }
    }
    if !rest.is_empty() {
        return Err(wrong());
    }
    let hour = match fields.afternoon {
        Some(afternoon) => fields.hour % 12 + if afternoon { 12 } else { 0 },
        None => fields.hour,
    };
    let Fields { year, month, day, minute, second, nanosecond, .. } = fields;
    let time = DateTime::new(year, month, day, hour, minute, second, nanosecond).map_err(|_| wrong())?;
    let zone = match fields.offset_seconds {
        Some(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).map_err(|_| wrong())?),
        None => zone,
    };
    let timestamp = zone.to_timestamp(time).map_err(|_| wrong())?;
    i64::try_from(timestamp.as_nanosecond()).map_err(|_| wrong())
}

fn digits(text: &str, least: usize, most: usize) -> Option<(i32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (count >= least).then(|| text[..count].parse().ok().map(|value| (value, &text[count..]))).flatten()
}

fn fraction<'t>(text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let tail = text.strip_prefix(['.', ','])?;
    let count = tail.bytes().take_while(u8::is_ascii_digit).count();
    let nine = format!("{:0<9}", &tail[..count.min(9)]);
    fields.nanosecond = if count == 0 { return None } else { nine.parse().ok()? };
    Some(&tail[count..])
}

fn offset<'t>(text: &'t str, colon: bool, hours_only: bool, fields: &mut Fields) -> Option<&'t str> {
    let negative = text.starts_with('-');
    let tail = text.strip_prefix(['+', '-'])?;
    let (hours, mut tail) = digits(tail, 2, 2)?;
    let mut minutes = 0;
    if !hours_only {
        if colon {
            tail = tail.strip_prefix(':')?;
        }
        (minutes, tail) = digits(tail, 2, 2)?;
    }
    let seconds = hours * 3600 + minutes * 60;
    fields.offset_seconds = Some(if negative { -seconds } else { seconds });
    Some(tail)
}

fn named<'t>(names: &[&str], short: bool, text: &'t str) -> Option<(i8, &'t str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let name = if short { &name[..3] } else { name };
        let head = text.get(..name.len())?;
        let found = head.eq_ignore_ascii_case(name);
        found.then(|| i8::try_from(i + 1).ok().map(|number| (number, &text[name.len()..]))).flatten()
    })
}

fn read<'t>(part: Part<'_>, text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let mut small = |least: usize, slot: fn(&mut Fields) -> &mut i8| {
        let (value, rest) = digits(text, least, 2)?;
        *slot(fields) = i8::try_from(value).ok()?;
        Some(rest)
    };
    match part {
        Part::Literal(literal) => text.strip_prefix(literal),
        Part::Month(width) => small(width, |f| &mut f.month),
        Part::Day(width) => small(width, |f| &mut f.day),
        Part::Hour24 => small(2, |f| &mut f.hour),
        Part::Hour12(width) => small(width, |f| &mut f.hour),
        Part::Minute(width) => small(width, |f| &mut f.minute),
        Part::Second(width) => small(width, |f| &mut f.second),
        Part::DayPadded => {
            let (value, rest) = digits(text.trim_start_matches(' '), 1, 2)?;
            fields.day = i8::try_from(value).ok()?;
            Some(rest)
        }
        Part::MonthName | Part::MonthShort => {
            let (month, rest) = named(&MONTHS, part == Part::MonthShort, text)?;
            fields.month = month;
            Some(rest)
        }
        Part::WeekdayName | Part::WeekdayShort => {
            named(&WEEKDAYS, part == Part::WeekdayShort, text).map(|(_, rest)| rest)
        }
        // The day of the year alone does not say a month.
        Part::DayOfYear => None,
        Part::Fraction(..) => fraction(text, fields).or(Some(text)),
        Part::Year4 => {
            let (year, rest) = digits(text, 4, 4)?;
            fields.year = i16::try_from(year).ok()?;
            Some(rest)
        }
        Part::Year2 => {
            let (year, rest) = digits(text, 2, 2)?;
            fields.year = i16::try_from(if year >= 69 { 1900 + year } else { 2000 + year }).ok()?;
            Some(rest)
        }
        Part::HalfUpper | Part::HalfLower => {
            let half = text.get(..2)?;
            fields.afternoon = Some(half.eq_ignore_ascii_case("pm"));
            (half.eq_ignore_ascii_case("pm") || half.eq_ignore_ascii_case("am")).then(|| &text[2..])
        }
        Part::ZoneName => {
            let length = text.bytes().take_while(u8::is_ascii_uppercase).count();
            if matches!(&text[..length], "UTC" | "GMT") {
                fields.offset_seconds = Some(0);
            }
            (length >= 3).then(|| &text[length..])
        }
        Part::Offset(_, true) if text.starts_with('Z') => {
            fields.offset_seconds = Some(0);
            Some(&text[1..])
        }
        Part::Offset(colon, _) => offset(text, colon, false, fields),
        Part::OffsetHours => offset(text, false, true, fields),
    }
}
