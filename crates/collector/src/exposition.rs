//! The text formats in which programs expose their metrics: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! Not here: fetching the text. A text with a bad line is refused whole, as scrapers do, with the line named.

mod line;

use std::collections::HashMap;

use model::Labels;
use model::labels::METRIC_NAME;
use model::metric::{MetricBatch, MetricBatchBuilder, MetricType, SeriesInfo};

use line::{Line, Sample};

/// Which of the two formats a text is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Timestamps in milliseconds, no exemplars, `#` begins a comment.
    PrometheusText,
    /// Timestamps in seconds, exemplars, `# EOF` at the end.
    OpenMetrics,
}

/// Where a text came from, and when.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The format of the text.
    pub format: Format,
    /// Labels that every series gets (`job`, `instance`); one that the text has too is kept as `exported_<name>`.
    pub labels: &'a [(&'a str, &'a str)],
    /// The time of samples that have none of their own.
    pub timestamp_ms: i64,
}

/// A text that is not in its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ExpositionError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

#[derive(Default)]
struct Family<'a> {
    metric_type: MetricType,
    unit: &'a str,
    help: String,
}

/// Reads a text into a batch.
///
/// # Errors
/// When a line is not of the format, or an OpenMetrics text does not end with `# EOF`.
pub fn parse(text: &str, target: &Target<'_>) -> Result<MetricBatch, ExpositionError> {
    let mut builder = MetricBatchBuilder::default();
    let mut families: HashMap<&str, Family<'_>> = HashMap::new();
    let mut ended = false;
    for (index, raw) in text.lines().enumerate() {
        let at = |message: String| ExpositionError { line: index + 1, message };
        if ended {
            return Err(at("text after # EOF".into()));
        }
        match line::parse(raw, target.format).map_err(at)? {
            Line::Empty => {}
            Line::End => ended = true,
            Line::Help(name, help) => families.entry(name).or_default().help = help,
            Line::Type(name, metric_type) => families.entry(name).or_default().metric_type = metric_type,
            Line::Unit(name, unit) => families.entry(name).or_default().unit = unit,
            Line::Sample(sample) => append(&mut builder, &families, &sample, target),
        }
    }
    if target.format == Format::OpenMetrics && !ended {
        let line = text.lines().count() + 1;
        return Err(ExpositionError { line, message: "the text does not end with # EOF".into() });
    }
    Ok(builder.finish())
}

fn append(
    builder: &mut MetricBatchBuilder,
    families: &HashMap<&str, Family<'_>>,
    sample: &Sample<'_>,
    target: &Target<'_>,
) {
    let own = sample.labels.iter().map(|(name, value)| {
        let clashes = target.labels.iter().any(|(base, _)| base == name);
        (if clashes { format!("exported_{name}") } else { (*name).to_owned() }, value.to_string())
    });
    let base = target.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let name = std::iter::once((METRIC_NAME.to_owned(), sample.name.to_owned()));
    let labels = Labels::from_pairs(name.chain(base).chain(own));
    let info = family(families, sample.name).map_or_else(SeriesInfo::default, |family| SeriesInfo {
        metric_type: family.metric_type,
        unit: family.unit,
        help: &family.help,
    });
    let series = builder.series(&labels, info);
    let timestamp_ms = sample.timestamp_ms.unwrap_or(target.timestamp_ms);
    builder.sample(series, timestamp_ms, 0, sample.value);
    if let Some(exemplar) = &sample.exemplar {
        let labels = exemplar.labels.iter().map(|(name, value)| (*name, value.as_ref()));
        builder.exemplar(series, exemplar.timestamp_ms.unwrap_or(timestamp_ms), exemplar.value, labels);
    }
}

/// The family of a sample: the one of its name, or of its name without a suffix that its type allows.
fn family<'f, 'a>(families: &'f HashMap<&str, Family<'a>>, name: &str) -> Option<&'f Family<'a>> {
    const SUFFIXES: [&str; 7] = ["_total", "_bucket", "_sum", "_count", "_created", "_info", "_gcount"];
    families.get(name).or_else(|| {
        let stems = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
        stems.filter_map(|stem| families.get(stem)).next()
    })
}

#[cfg(test)]
mod tests;
