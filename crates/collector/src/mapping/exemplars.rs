//! OTLP exemplars to exemplars of a series.

use wire::otlp::metrics::Exemplar;
use wire::otlp::metrics::exemplar::Value;

use super::attributes;
use super::metrics::ms;
use super::names;
use super::series::SeriesBatch;
use crate::bounds::MAX_EXEMPLAR_CHARS;
use crate::settings::TranslationStrategy;

/// The observed value; none where the exemplar has none.
pub(crate) fn value(exemplar: &Exemplar) -> Option<f64> {
    match exemplar.value {
        Some(Value::AsDouble(value)) => Some(value),
        Some(Value::AsInt(value)) => Some(value as f64),
        None => None,
    }
}

/// Adds an exemplar to a series: its trace, its span, and as many filtered attributes as fit.
pub(crate) fn add(batch: &mut SeriesBatch, series: u32, exemplar: &Exemplar, strategy: TranslationStrategy) {
    let Some(value) = value(exemplar) else { return };
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, id) in [("trace_id", &exemplar.trace_id), ("span_id", &exemplar.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            labels.push((name.to_owned(), hex::encode(id)));
        }
    }
    let chars = |(name, value): &(String, String)| name.chars().count() + value.chars().count();
    let mut total: usize = labels.iter().map(chars).sum();
    for pair in &exemplar.filtered_attributes {
        let name = names::attribute_label(&pair.key, strategy).into_owned();
        let label = (name, attributes::text(pair.value.as_ref()).into_owned());
        let size = chars(&label);
        if total + size <= MAX_EXEMPLAR_CHARS && !labels.iter().any(|(name, _)| *name == label.0) {
            total += size;
            labels.push(label);
        }
    }
    let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    batch.columns.exemplar(series, ms(exemplar.time_unix_nano), value, pairs);
}
