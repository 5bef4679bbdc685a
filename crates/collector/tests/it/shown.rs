//! Batches as lines of text, for tables of expectations.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, UInt8Type, UInt32Type};
use model::attributes::AttributesView;
use model::histogram::{HistogramsView, NativeHistogram};
use model::metric::is_stale;
use model::{Batch, Labels};

fn labels(batch: &RecordBatch, row: u32) -> String {
    let bytes = batch.column(0).as_binary::<i32>().value(row as usize);
    Labels::from_bytes(bytes).unwrap().to_string()
}

fn int(batch: &RecordBatch, column: &str, row: usize) -> i64 {
    batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().value(row)
}

fn float(batch: &RecordBatch, column: &str, row: usize) -> f64 {
    batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().value(row)
}

fn number(batch: &RecordBatch, column: &str, row: usize) -> u32 {
    batch.column_by_name(column).unwrap().as_primitive::<UInt32Type>().value(row)
}

fn text<'a>(batch: &'a RecordBatch, column: &str, row: usize) -> &'a str {
    batch.column_by_name(column).unwrap().as_string::<i32>().value(row)
}

fn attributes(batch: &RecordBatch, column: &str, row: usize) -> String {
    let view = AttributesView::new(batch.column_by_name(column).unwrap()).unwrap();
    let pairs: Vec<String> = view.row(row).map(|(name, value)| format!("{name}={value:?}")).collect();
    pairs.join(" ")
}

/// `labels value@timestamp_ms` or, where the start is known, `labels value@timestamp_ms from start_ms`; sorted.
pub(crate) fn samples(batch: &Batch) -> Vec<String> {
    let Batch::Metrics(batch) = batch else { panic!("metrics were expected") };
    let rows = &batch.samples;
    let mut lines: Vec<String> = (0..rows.num_rows())
        .map(|row| {
            let of = labels(&batch.series, number(rows, "series", row));
            let value = float(rows, "value", row);
            let value = if is_stale(value) { "stale".to_owned() } else { value.to_string() };
            let start = match int(rows, "start_ms", row) {
                0 => String::new(),
                start => format!(" from {start}"),
            };
            format!("{of} {value}@{}{start}", int(rows, "timestamp_ms", row))
        })
        .collect();
    lines.sort();
    lines
}

/// The histograms with their series.
pub(crate) fn histograms(batch: &Batch) -> Vec<(String, i64, NativeHistogram)> {
    let Batch::Metrics(batch) = batch else { panic!("metrics were expected") };
    let rows = &batch.histograms;
    let view = HistogramsView::new(rows.column_by_name("histogram").unwrap()).unwrap();
    (0..rows.num_rows())
        .map(|row| {
            let of = labels(&batch.series, number(rows, "series", row));
            (of, int(rows, "timestamp_ms", row), view.get(row).unwrap())
        })
        .collect()
}

/// `labels value@timestamp_ms attributes`.
pub(crate) fn exemplars(batch: &Batch) -> Vec<String> {
    let Batch::Metrics(batch) = batch else { panic!("metrics were expected") };
    let rows = &batch.exemplars;
    (0..rows.num_rows())
        .map(|row| {
            let of = labels(&batch.series, number(rows, "series", row));
            let (value, at) = (float(rows, "value", row), int(rows, "timestamp_ms", row));
            format!("{of} {value}@{at} {}", attributes(rows, "labels", row))
        })
        .collect()
}

/// `labels type unit help`, in the order of the series.
pub(crate) fn series(batch: &Batch) -> Vec<String> {
    let Batch::Metrics(batch) = batch else { panic!("metrics were expected") };
    let rows = &batch.series;
    let types = rows.column(1).as_primitive::<UInt8Type>();
    (0..rows.num_rows())
        .map(|row| {
            let of = labels(rows, u32::try_from(row).unwrap());
            let metric_type = model::metric::MetricType::from_u8(types.value(row)).as_str();
            format!("{of} {metric_type} {} {}", text(rows, "unit", row), text(rows, "help", row))
        })
        .collect()
}

/// `labels timestamp_ns severity line | metadata`, with trace and span where there are some.
pub(crate) fn entries(batch: &Batch) -> Vec<String> {
    let Batch::Logs(batch) = batch else { panic!("logs were expected") };
    let rows = &batch.entries;
    let id = |column: &str, row| {
        let ids = rows.column_by_name(column).unwrap().as_fixed_size_binary();
        if ids.is_null(row) { String::new() } else { format!(" {column}={}", hex::encode(ids.value(row))) }
    };
    (0..rows.num_rows())
        .map(|row| {
            let of = labels(&batch.streams, number(rows, "stream", row));
            let severity = rows.column_by_name("severity").unwrap().as_primitive::<UInt8Type>().value(row);
            let ids = format!("{}{}", id("trace_id", row), id("span_id", row));
            let metadata = attributes(rows, "metadata", row);
            let at = int(rows, "timestamp_ns", row);
            format!("{of} {at} {severity} {}{ids} | {metadata}", text(rows, "line", row))
        })
        .collect()
}
