//! What is read from an exposition text.

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;

use super::*;

const TARGET: Target<'_> =
    Target { format: Format::OpenMetrics, labels: &[("job", "j")], timestamp_ms: 1_000 };

fn read(text: &str, format: Format) -> Result<Vec<(String, i64, f64)>, ExpositionError> {
    let batch = parse(text, &Target { format, ..TARGET })?;
    let timestamps = batch.samples.column(1).as_primitive::<Int64Type>();
    let values = batch.samples.column(3).as_primitive::<Float64Type>();
    let series = batch.label_bytes();
    Ok((0..batch.samples.num_rows())
        .map(|i| {
            let labels = Labels::from_bytes(series.value(i)).unwrap();
            (labels.to_string(), timestamps.value(i), values.value(i))
        })
        .collect())
}

#[test]
fn samples_of_both_formats() {
    let text = "# HELP a_total what\\nit is\n# TYPE a_total counter\na_total{x=\"1\\\"\\\\\",job=\"own\",} 2 17\nb +Inf\n\n";
    let expected = [
        ("a_total{exported_job=\"own\", job=\"j\", x=\"1\\\"\\\\\"}".to_owned(), 17, 2.0),
        ("b{job=\"j\"}".to_owned(), 1_000, f64::INFINITY),
    ];
    assert_eq!(read(text, Format::PrometheusText).unwrap(), expected);
    let text = "# TYPE a counter\n# UNIT a s\na_total 2 1.5 # {trace_id=\"t\"} 0.5 1.25\n{\"my.metric\",l=\"v\"} 3\n# EOF\n";
    let expected = [
        ("a_total{job=\"j\"}".to_owned(), 1_500, 2.0),
        ("my.metric{job=\"j\", l=\"v\"}".to_owned(), 1_000, 3.0),
    ];
    assert_eq!(read(text, Format::OpenMetrics).unwrap(), expected);
    let batch = parse(text, &TARGET).unwrap();
    assert_eq!(batch.exemplars.num_rows(), 1);
    let types = batch.series.column(1).as_primitive::<arrow::datatypes::UInt8Type>();
    assert_eq!(MetricType::from_u8(types.value(0)), MetricType::Counter);
}

#[test]
fn bad_lines_are_named() {
    for (text, line) in [
        ("a 1\nb\n", 2),
        ("a{x=\"1} 1\n", 1),
        ("a{x} 1\n", 1),
        ("a x\n", 1),
        ("a 1 2 3\n", 1),
        ("# TYPE a nonsense\n", 1),
        ("{} 1\n", 1),
    ] {
        assert_eq!(read(text, Format::PrometheusText).unwrap_err().line, line, "{text}");
    }
    assert_eq!(read("a 1\n", Format::OpenMetrics).unwrap_err().line, 2);
    assert_eq!(read("# EOF\na 1\n", Format::OpenMetrics).unwrap_err().line, 2);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        let _ = read(&text, Format::PrometheusText);
        let _ = read(&text, Format::OpenMetrics);
    }

    #[test]
    fn nearly_right_text_never_panics(text in "[a{}=\"\\\\ #1.,\n]{0,60}") {
        let _ = read(&text, Format::PrometheusText);
        let _ = read(&text, Format::OpenMetrics);
    }
}
