//! `| unwrap x`: the number in a label as the sample of a range aggregation.

use crate::ast::{Conversion, Unwrap};
use crate::pipeline::label_filter::{bytes, duration_ns, number};
use crate::pipeline::row::Row;

/// The error label of a line whose value is no number.
const EXTRACTION_ERROR: &str = "SampleExtractionErr";

/// The sample of a line; none where the label is absent. A value that cannot be converted marks the line with an
/// error and counts as 0. The label itself is taken away: it differs from line to line.
pub(crate) fn unwrap(unwrap: &Unwrap, row: &mut Row) -> Option<f64> {
    let text = row.get(&unwrap.label)?;
    let value = convert(unwrap.conversion, text);
    row.remove(&unwrap.label);
    Some(value.unwrap_or_else(|details| {
        row.fail(EXTRACTION_ERROR, &details);
        0.0
    }))
}

fn convert(conversion: Conversion, text: &str) -> Result<f64, String> {
    #[expect(clippy::cast_precision_loss, reason = "samples are floating-point numbers")]
    match conversion {
        Conversion::Number => number(text),
        Conversion::DurationSeconds => duration_ns(text).map(|ns| ns as f64 / 1e9),
        Conversion::Bytes => bytes(text).map(|size| size as f64),
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    #[test]
    fn labels_become_samples() {
        for (conversion, text, expected, error) in [
            (Conversion::Number, "1.5", Some(1.5), ""),
            (Conversion::DurationSeconds, "250ms", Some(0.25), ""),
            (Conversion::Bytes, "1KB", Some(1000.0), ""),
            (Conversion::Number, "x", Some(0.0), EXTRACTION_ERROR),
        ] {
            let mut row = Row::new(&Labels::from_pairs([("v", text), ("app", "web")]));
            assert_eq!(unwrap(&Unwrap { label: "v".into(), conversion }, &mut row), expected);
            assert_eq!(row.error().unwrap_or_default(), error);
            assert_eq!(unwrap(&Unwrap { label: "absent".into(), conversion }, &mut row), None);
            assert_eq!(row.get("v"), None);
        }
    }
}
