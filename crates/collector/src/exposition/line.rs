//! One line of an exposition text.

use std::borrow::Cow;

use model::metric::MetricType;

use super::Format;

/// The most labels that one line may have.
const MAX_LABELS: usize = 1_024;

type Pairs<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// A line, read.
pub(super) enum Line<'a> {
    /// Blank, or a comment.
    Empty,
    /// `# EOF`
    End,
    /// A family's description.
    Help(&'a str, String),
    /// A family's type.
    Type(&'a str, MetricType),
    /// A family's unit.
    Unit(&'a str, &'a str),
    /// A sample.
    Sample(Sample<'a>),
}

/// A sample with its labels in the order of the text.
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Pairs<'a>,
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) exemplar: Option<Exemplar<'a>>,
}

/// An exemplar of a sample.
pub(super) struct Exemplar<'a> {
    pub(super) labels: Pairs<'a>,
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
}

pub(super) fn parse(line: &str, format: Format) -> Result<Line<'_>, String> {
    let line = line.trim_end_matches('\r');
    if line.trim().is_empty() {
        return Ok(Line::Empty);
    }
    match line.strip_prefix('#') {
        Some(comment) => comment_line(comment, format),
        None => sample_line(line, format).map(Line::Sample),
    }
}

fn comment_line(comment: &str, format: Format) -> Result<Line<'_>, String> {
    let comment = comment.trim_start();
    if format == Format::OpenMetrics && comment == "EOF" {
        return Ok(Line::End);
    }
    let (keyword, rest) = comment.split_once([' ', '\t']).unwrap_or((comment, ""));
    let (name, text) = rest.trim_start().split_once([' ', '\t']).unwrap_or((rest.trim(), ""));
    let name = name.strip_prefix('"').and_then(|n| n.strip_suffix('"')).unwrap_or(name);
    match keyword {
        "HELP" => Ok(Line::Help(name, unescape(text.trim_start()).into_owned())),
        "TYPE" => Ok(Line::Type(name, metric_type(text.trim())?)),
        "UNIT" => Ok(Line::Unit(name, text.trim())),
        _ => Ok(Line::Empty),
    }
}

fn metric_type(text: &str) -> Result<MetricType, String> {
    Ok(match text {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        "unknown" | "untyped" => MetricType::Unknown,
        other => return Err(format!("invalid metric type {other:?}")),
    })
}

fn sample_line(line: &str, format: Format) -> Result<Sample<'_>, String> {
    let name_end = line.find(['{', ' ', '\t']).ok_or("expected a value after the metric name")?;
    let (mut name, mut rest) = line.split_at(name_end);
    let mut pairs = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        let (quoted_name, labels, after) = labels(inner)?;
        (pairs, rest) = (labels, after);
        if let Some(quoted_name) = quoted_name {
            name = quoted_name;
        }
    }
    if name.is_empty() {
        return Err("expected a metric name".into());
    }
    let (rest, exemplar) = match rest.split_once(" # ") {
        Some((rest, exemplar)) if format == Format::OpenMetrics => (rest, Some(exemplar_of(exemplar)?)),
        _ => (rest, None),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = number(words.next().ok_or("expected a value after the metric name")?)?;
    let timestamp_ms = words.next().map(|word| timestamp_ms(word, format)).transpose()?;
    match words.next() {
        Some(word) => Err(format!("unexpected text after the sample: {word:?}")),
        None => Ok(Sample { name, labels: pairs, value, timestamp_ms, exemplar }),
    }
}

fn exemplar_of(text: &str) -> Result<Exemplar<'_>, String> {
    let inner = text.trim_start().strip_prefix('{').ok_or("expected the labels of an exemplar")?;
    let (_, labels, rest) = labels(inner)?;
    let mut words = rest.split_ascii_whitespace();
    let value = number(words.next().ok_or("expected the value of an exemplar")?)?;
    let timestamp_ms = words.next().map(|word| timestamp_ms(word, Format::OpenMetrics)).transpose()?;
    Ok(Exemplar { labels, value, timestamp_ms })
}

/// Reads labels up to and with the closing brace; a quoted text without a value is the metric's name.
fn labels(mut rest: &str) -> Result<(Option<&str>, Pairs<'_>, &str), String> {
    let (mut metric, mut pairs) = (None, Pairs::new());
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((metric, pairs, after));
        }
        let quoted = rest.starts_with('"');
        let name;
        if quoted {
            let end = end_of_string(&rest[1..]).ok_or("a quoted name does not end")?;
            name = &rest[1..=end];
            rest = rest[end + 2..].trim_start();
        } else {
            let end = rest.find(['=', ',', '}', ' ']).ok_or("expected a label")?;
            name = &rest[..end];
            rest = rest[end..].trim_start();
        }
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start().strip_prefix('"').ok_or("expected a quoted label value")?;
            let end = end_of_string(after).ok_or("a label value does not end")?;
            pairs.push((name, unescape(&after[..end])));
            rest = after[end + 1..].trim_start();
        } else if quoted && metric.is_none() {
            metric = Some(name);
        } else {
            return Err(format!("expected a value of the label {name:?}"));
        }
        if pairs.len() > MAX_LABELS {
            return Err(format!("more than {MAX_LABELS} labels"));
        }
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None if rest.starts_with('}') => rest,
            None => return Err("expected a comma or a closing brace".into()),
        };
    }
}

/// Where the closing quote stands.
fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(other @ ('\\' | '"')) => out.push(other),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" | "Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        _ => text.parse().map_err(|_| format!("not a number: {text:?}")),
    }
}

fn timestamp_ms(text: &str, format: Format) -> Result<i64, String> {
    let bad = || format!("not a timestamp: {text:?}");
    match format {
        Format::PrometheusText => text.parse().map_err(|_| bad()),
        Format::OpenMetrics => {
            let seconds: f64 = text.parse().map_err(|_| bad())?;
            let ms = (seconds * 1e3).round();
            // Beyond this, milliseconds are no longer whole numbers of a double.
            if ms.abs() < 9e15 { Ok(ms as i64) } else { Err(bad()) }
        }
    }
}
