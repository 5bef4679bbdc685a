//! OTLP metric and attribute names to Prometheus names.
//!
//! Source: OpenTelemetry's "Prometheus and OpenMetrics Compatibility", section "OTLP Metric points to Prometheus",
//! and the behaviour of Prometheus 3 for each `translation_strategy`.

use std::borrow::Cow;

use crate::settings::TranslationStrategy;

/// What decides on a metric's suffixes besides its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suffix {
    /// A monotonic sum: `_total`.
    Total,
    /// A gauge: `_ratio` where the unit is `1`.
    Gauge,
    /// None of its own.
    Other,
}

/// Prometheus' word for a unit of UCUM.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("kBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// The same after a `/`, in the singular.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

fn word(table: &[(&'static str, &'static str)], unit: &str) -> String {
    match table.iter().find(|(symbol, _)| *symbol == unit) {
        Some((_, word)) => (*word).to_owned(),
        None => tokens(unit).collect::<Vec<_>>().join("_"),
    }
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|token| !token.is_empty())
}

/// The words of a unit and of what it is per; either may be empty. Annotations in braces are no units.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main.trim(), per.trim()),
        None => (unit.trim(), ""),
    };
    let is_unit = |text: &str| !text.contains(['{', '}']);
    let main = if is_unit(main) { word(&UNITS, main) } else { String::new() };
    let per = if is_unit(per) { word(&PER_UNITS, per) } else { String::new() };
    (main, per)
}

/// A unit in Prometheus' words, as metadata shows it: `seconds`, `bytes_per_second`.
pub(crate) fn unit(unit: &str) -> String {
    match unit_words(unit) {
        (main, per) if per.is_empty() => main,
        (main, per) if main.is_empty() => format!("per_{per}"),
        (main, per) => format!("{main}_per_{per}"),
    }
}

/// A metric's name; empty where nothing of the OTLP name can stay.
pub(crate) fn metric_name(name: &str, unit: &str, suffix: Suffix, strategy: TranslationStrategy) -> String {
    match (strategy.escapes(), strategy.adds_suffixes()) {
        (false, false) => name.to_owned(),
        (false, true) => with_suffixes(name, unit, suffix),
        (true, adds_suffixes) => {
            let mut words: Vec<Cow<'_, str>> = tokens(name).map(Cow::Borrowed).collect();
            if adds_suffixes && !words.is_empty() {
                add_words(&mut words, unit, suffix);
            }
            let joined = words.join("_");
            match joined.starts_with(|c: char| c.is_ascii_digit()) {
                true => format!("_{joined}"),
                false => joined,
            }
        }
    }
}

fn add_words(words: &mut Vec<Cow<'_, str>>, unit: &str, suffix: Suffix) {
    let (main, per) = unit_words(unit);
    let add_main = !main.is_empty() && !words.contains(&Cow::Borrowed(main.as_str()));
    let add_per = !per.is_empty() && !words.contains(&Cow::Borrowed(per.as_str()));
    if add_main {
        words.push(Cow::Owned(main));
    }
    if add_per {
        words.extend([Cow::Borrowed("per"), Cow::Owned(per)]);
    }
    if let Some(last) = last_word(unit, suffix) {
        words.retain(|word| word != last);
        words.push(Cow::Borrowed(last));
    }
}

fn last_word(unit: &str, suffix: Suffix) -> Option<&'static str> {
    match suffix {
        Suffix::Total => Some("total"),
        Suffix::Gauge if unit.trim() == "1" => Some("ratio"),
        Suffix::Gauge | Suffix::Other => None,
    }
}

fn with_suffixes(name: &str, unit: &str, suffix: Suffix) -> String {
    let last = last_word(unit, suffix);
    let stem = last.and_then(|last| name.strip_suffix(last)?.strip_suffix('_')).unwrap_or(name);
    let (main, per) = unit_words(unit);
    let mut out = stem.to_owned();
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    for word in [main.as_str(), per.as_str(), last.unwrap_or_default()] {
        if !word.is_empty() && !out.ends_with(word) {
            out.push('_');
            out.push_str(word);
        }
    }
    out
}

/// An attribute's name as a label's, by the strategy.
pub(crate) fn attribute_label(name: &str, strategy: TranslationStrategy) -> Cow<'_, str> {
    if strategy.escapes() { label_name(name) } else { Cow::Borrowed(name) }
}

/// A name of letters, digits and `_`: other characters become `_`, a leading digit gets `key_` before it, a single
/// leading underscore `key`. Several underscores in a row stay.
pub(crate) fn label_name(name: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let needs_prefix = match name.as_bytes() {
        [b'_', b'_', ..] => false,
        [first, ..] => !first.is_ascii_alphabetic(),
        [] => false,
    };
    if !needs_prefix && name.bytes().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let mut replaced = String::new();
    append_label_name(&mut replaced, name);
    Cow::Owned(replaced)
}

/// Adds what [`label_name`] makes of a name to a text.
pub(crate) fn append_label_name(out: &mut String, name: &str) {
    let start = out.len();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    out.extend(name.chars().map(|c| if is_plain(c) { c } else { '_' }));
    match &out.as_bytes()[start..] {
        [first, ..] if first.is_ascii_digit() => out.insert_str(start, "key_"),
        [b'_', b'_', ..] => {}
        [b'_', ..] => out.insert_str(start, "key"),
        _ => {}
    }
}

/// A bucket bound or quantile as Prometheus writes it: `0.5`, `1`, `+Inf`; never with an exponent.
pub(crate) fn bound(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use TranslationStrategy as S;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metric_names() {
        let with = S::UnderscoreEscapingWithSuffixes;
        let without = S::UnderscoreEscapingWithoutSuffixes;
        let utf8 = S::NoUtf8EscapingWithSuffixes;
        let table = [
            ("http.server.duration", "ms", Suffix::Other, with, "http_server_duration_milliseconds"),
            (
                "http.server.request.duration",
                "s",
                Suffix::Other,
                with,
                "http_server_request_duration_seconds",
            ),
            ("system.memory.usage", "By", Suffix::Gauge, with, "system_memory_usage_bytes"),
            ("system.cpu.utilization", "1", Suffix::Gauge, with, "system_cpu_utilization_ratio"),
            ("requests", "1", Suffix::Total, with, "requests_total"),
            ("requests.total", "{request}", Suffix::Total, with, "requests_total"),
            ("total.requests", "", Suffix::Total, with, "requests_total"),
            ("throughput", "By/s", Suffix::Gauge, with, "throughput_bytes_per_second"),
            ("speed", "m/s", Suffix::Gauge, with, "speed_meters_per_second"),
            ("ops", "{op}/s", Suffix::Gauge, with, "ops_per_second"),
            ("bytes.sent", "By", Suffix::Total, with, "bytes_sent_total"),
            ("a..b--c", "", Suffix::Gauge, with, "a_b_c"),
            ("2xx.count", "", Suffix::Gauge, with, "_2xx_count"),
            ("_leading_", "", Suffix::Gauge, with, "leading"),
            ("job:metric", "", Suffix::Gauge, with, "job:metric"),
            ("load", "custom/unit", Suffix::Gauge, with, "load_custom_per_unit"),
            ("temperature", "Cel", Suffix::Gauge, with, "temperature_celsius"),
            ("used", "%", Suffix::Gauge, with, "used_percent"),
            ("ütf", "", Suffix::Gauge, with, "tf"),
            ("...", "s", Suffix::Gauge, with, ""),
            ("http.server.duration", "ms", Suffix::Total, without, "http_server_duration"),
            ("http.server.duration", "ms", Suffix::Total, utf8, "http.server.duration_milliseconds_total"),
            ("requests_total", "1", Suffix::Total, utf8, "requests_total"),
            ("free", "1", Suffix::Gauge, utf8, "free_ratio"),
            ("sent", "By/s", Suffix::Gauge, utf8, "sent_bytes_per_second"),
            ("any.name", "ms", Suffix::Total, S::NoTranslation, "any.name"),
        ];
        for (name, unit, suffix, strategy, want) in table {
            assert_eq!(metric_name(name, unit, suffix, strategy), want, "{name} {unit} {strategy:?}");
        }
    }

    #[test]
    fn label_names() {
        let table = [
            ("http.status_code", "http_status_code"),
            ("plain", "plain"),
            ("a..b", "a__b"),
            ("2nd", "key_2nd"),
            ("_private", "key_private"),
            (".dotted", "key_dotted"),
            ("__meta", "__meta"),
            ("..x", "__x"),
            ("ü", "key_"),
            ("", ""),
        ];
        for (name, want) in table {
            assert_eq!(label_name(name), want, "{name}");
        }
        assert_eq!(attribute_label("a.b", S::NoTranslation), "a.b");
    }

    #[test]
    fn units_and_bounds() {
        let units =
            [("s", "seconds"), ("By/s", "bytes_per_second"), ("{x}/min", "per_min"), ("1", ""), ("", "")];
        for (symbol, want) in units {
            assert_eq!(unit(symbol), want, "{symbol}");
        }
        let bounds =
            [(0.5, "0.5"), (1.0, "1"), (1e10, "10000000000"), (f64::INFINITY, "+Inf"), (1e-7, "0.0000001")];
        for (value, want) in bounds {
            assert_eq!(bound(value), want);
        }
    }

    proptest! {
        #[test]
        fn escaped_names_are_of_the_classic_alphabet(name in "\\PC*", unit in "\\PC{0,8}", is_sum in any::<bool>()) {
            let suffix = if is_sum { Suffix::Total } else { Suffix::Gauge };
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let is_name = |name: &str| name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit());
            for strategy in [S::UnderscoreEscapingWithSuffixes, S::UnderscoreEscapingWithoutSuffixes] {
                let metric = metric_name(&name, &unit, suffix, strategy);
                prop_assert!(is_name(&metric) && !metric.contains("__"), "{}", metric);
            }
            let label = label_name(&name);
            prop_assert!(is_name(&label) && !label.contains(':'), "{}", label);
            prop_assert_eq!(label_name(&label), label.as_ref());
        }
    }
}
