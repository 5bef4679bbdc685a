//! A line's level: from OpenTelemetry's severity, a field that names it, or the words of the line.
//!
//! Names and order are Loki's (`discover_log_levels`); one level a line, and `unknown` where nothing tells it.

use crate::bounds::{MAX_LEVEL_JSON_DEPTH, MAX_LEVEL_SCAN_BYTES, cut};

pub(crate) use model::log::DETECTED_LEVEL;

/// The level of a line that tells none.
pub(crate) const UNKNOWN: &str = "unknown";

/// Words for a level, lower case; the last column says whether a bare word in a line counts.
const WORDS: [(&str, &str, bool); 18] = [
    ("trace", "trace", true),
    ("trc", "trace", true),
    ("debug", "debug", true),
    ("dbg", "debug", true),
    ("info", "info", true),
    ("inf", "info", false),
    ("information", "info", false),
    ("informational", "info", false),
    ("notice", "info", false),
    ("warn", "warn", true),
    ("wrn", "warn", true),
    ("warning", "warn", true),
    ("error", "error", true),
    ("err", "error", true),
    ("critical", "critical", true),
    ("crit", "critical", false),
    ("fatal", "fatal", true),
    ("panic", "fatal", false),
];

/// The level of OpenTelemetry's severity number (Logs Data Model, section "Field: SeverityNumber").
pub(crate) const fn from_severity(number: i32) -> Option<&'static str> {
    match number {
        1..=4 => Some("trace"),
        5..=8 => Some("debug"),
        9..=12 => Some("info"),
        13..=16 => Some("warn"),
        17..=20 => Some("error"),
        21..=24 => Some("fatal"),
        _ => None,
    }
}

/// The level that a field's value names, in any case; OpenTelemetry's short names may end in 2 to 4 (`WARN3`).
pub(crate) fn from_text(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let known = |text: &str| WORDS.iter().find(|(word, ..)| word.eq_ignore_ascii_case(text)).map(|w| w.1);
    known(text).or_else(|| known(text.strip_suffix(['2', '3', '4'])?))
}

/// Whether a name is one in which a level is looked for.
pub(crate) fn is_level_field(name: &str, fields: &[String]) -> bool {
    fields.iter().any(|field| field.eq_ignore_ascii_case(name))
}

/// The level that a line tells: its JSON or logfmt field, else its first word for a level.
pub(crate) fn from_line(line: &str, fields: &[String]) -> Option<&'static str> {
    let line = cut(line, MAX_LEVEL_SCAN_BYTES);
    if line.trim_ascii_start().starts_with(['{', '[']) {
        if let Some(level) = from_json(line, fields) {
            return Some(level);
        }
    } else if let Some(level) = from_logfmt(line, fields) {
        return Some(level);
    }
    from_words(line)
}

/// Walks JSON text by its quotes and braces alone, so that a cut or broken line still tells what it can.
fn from_json(line: &str, fields: &[String]) -> Option<&'static str> {
    let bytes = line.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(bytes, at)?;
                let name = &line[at..end];
                at = end + 1;
                let value = after_colon(bytes, at);
                if let (Some(start), true) =
                    (value, depth <= MAX_LEVEL_JSON_DEPTH && is_level_field(name, fields))
                {
                    let end = string_end(bytes, start)?;
                    if let Some(level) = from_text(&line[start..end]) {
                        return Some(level);
                    }
                }
            }
            _ => {}
        }
    }
    None
}

/// Where the string that is open at `at` ends: the index of its closing quote.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Where the text of a string value begins, if a colon and a quote follow.
fn after_colon(bytes: &[u8], mut at: usize) -> Option<usize> {
    let skip = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    at = skip(at);
    if bytes.get(at) != Some(&b':') {
        return None;
    }
    at = skip(at + 1);
    (bytes.get(at) == Some(&b'"')).then_some(at + 1)
}

fn from_logfmt(line: &str, fields: &[String]) -> Option<&'static str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    for (at, _) in line.match_indices('=') {
        let before = &line[..at];
        let name = &before[before.trim_end_matches(is_name).len()..];
        if !is_level_field(name, fields) {
            continue;
        }
        let value = &line[at + 1..];
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => value.split([' ', '\t', ',', ';', ']', '}']).next(),
        };
        if let Some(level) = value.and_then(from_text) {
            return Some(level);
        }
    }
    None
}

fn from_words(line: &str) -> Option<&'static str> {
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut candidates = words.filter(|word| (3..=8).contains(&word.len()));
    candidates.find_map(|candidate| {
        WORDS.iter().find(|(word, _, bare)| *bare && word.eq_ignore_ascii_case(candidate)).map(|w| w.1)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::LogsSettings;

    #[test]
    fn severities() {
        let table =
            [(0, None), (1, Some("trace")), (8, Some("debug")), (9, Some("info")), (16, Some("warn"))];
        for (number, want) in table.into_iter().chain([(17, Some("error")), (24, Some("fatal")), (25, None)])
        {
            assert_eq!(from_severity(number), want, "{number}");
        }
        let texts = [("WARN3", Some("warn")), ("Information", Some("info")), ("x", None), ("", None)];
        for (text, want) in texts {
            assert_eq!(from_text(text), want, "{text}");
        }
    }

    #[test]
    fn lines() {
        let fields = LogsSettings::default().log_level_fields;
        let table = [
            (r#"{"msg":"no error here","level":"info"}"#, Some("info")),
            (r#"{"a":{"severity" : "WARNING"}}"#, Some("warn")),
            (r#"{"a":{"b":{"level":"debug"}},"level":"info"}"#, Some("info")),
            (r#"{"msg":"say \"level\":\"debug\"","lvl":"error"}"#, Some("error")),
            (r#"{"level":30,"msg":"failed with fatal"}"#, Some("fatal")),
            (r#"{"level":"#, None),
            ("ts=1 level=warn msg=\"an error\"", Some("warn")),
            ("lvl=\"ERROR\" msg=x", Some("error")),
            ("msg=hello caller=x.go", None),
            ("sublevel=debug x", Some("debug")),
            ("2024-01-01 12:00:00 ERROR something broke", Some("error")),
            ("[warning] disk nearly full, error soon", Some("warn")),
            ("error_count is 3", None),
            ("terror informs debugger", None),
            ("CRITICAL: now", Some("critical")),
            ("plain text", None),
            ("", None),
            ("ünïcödé info", Some("info")),
        ];
        for (line, want) in table {
            assert_eq!(from_line(line, &fields), want, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC*", json in r#"[{}\[\]":\\a-zé ]{0,60}"#) {
            let fields = LogsSettings::default().log_level_fields;
            from_line(&line, &fields);
            from_line(&format!("{{{json}"), &fields);
            from_line(&format!("level={line}"), &fields);
        }
    }
}
