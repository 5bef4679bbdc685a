//! Checks samples, histograms and exemplars.

use arrow::array::{Int64Array, RecordBatch, UInt32Array};
use model::histogram::HistogramsView;
use model::ingest::Reason;
use model::metric::{EXEMPLARS_SCHEMA, HISTOGRAMS_SCHEMA, MetricBatch, SAMPLES_SCHEMA, SERIES_SCHEMA};
use model::{Signal, TimestampMs, TimestampNs};

use super::window::Windows;
use super::{Check, Kept, Verdicts, check_schema, column, compact, name_of};

pub(super) fn validate(batch: MetricBatch, check: &mut Check<'_>) -> Result<MetricBatch, String> {
    let MetricBatch { series, samples, histograms, exemplars } = batch;
    check_schema(&series, &SERIES_SCHEMA)?;
    check_schema(&samples, &SAMPLES_SCHEMA)?;
    check_schema(&histograms, &HISTOGRAMS_SCHEMA)?;
    check_schema(&exemplars, &EXEMPLARS_SCHEMA)?;
    let labels = column::<arrow::array::BinaryArray>(&series, 0);
    let verdicts = Verdicts::new(labels, check, true);
    let windows = Windows::new(Signal::Metrics, labels, check);
    let table = Table { windows: &windows, series: &series, verdicts: &verdicts };
    let kept = [
        table.check(&samples, check, |_| None),
        table.check(&histograms, check, histogram_check(&histograms)?),
        table.check(&exemplars, check, |_| None),
    ];
    if kept.iter().all(Kept::is_all) && verdicts.is_all_good() {
        return Ok(MetricBatch { series, samples, histograms, exemplars });
    }
    check.known = None;
    let rows = vec![kept[0].apply(samples)?, kept[1].apply(histograms)?, kept[2].apply(exemplars)?];
    let (series, rows) = compact(&series, rows)?;
    let [samples, histograms, exemplars] =
        <[RecordBatch; 3]>::try_from(rows).map_err(|_| "three tables stay three".to_owned())?;
    Ok(MetricBatch { series, samples, histograms, exemplars })
}

fn histogram_check(
    histograms: &RecordBatch,
) -> Result<impl Fn(usize) -> Option<(Reason, &'static str)>, String> {
    let view = HistogramsView::new(histograms.column(3)).ok_or("a histogram column is of another type")?;
    Ok(move |row: usize| match view.get(row) {
        Some(histogram) if histogram.is_valid() => None,
        Some(_) => Some((Reason::InvalidHistogram, "the buckets do not fit their spans or schema")),
        None => Some((Reason::InvalidHistogram, "there is no histogram")),
    })
}

struct Table<'a> {
    series: &'a RecordBatch,
    verdicts: &'a Verdicts,
    windows: &'a Windows,
}

impl Table<'_> {
    /// Checks the rows of one table: their series, their time, and what `extra` says.
    fn check(
        &self,
        rows: &RecordBatch,
        check: &mut Check<'_>,
        extra: impl Fn(usize) -> Option<(Reason, &'static str)>,
    ) -> Kept {
        let numbers: &UInt32Array = column(rows, 0);
        let timestamps: &Int64Array = column(rows, 1);
        let mut kept = Kept::default();
        for (row, (number, timestamp_ms)) in numbers.values().iter().zip(timestamps.values()).enumerate() {
            if let Err(bad) = self.verdicts.verdict(*number, "series") {
                check.receipt.reject(bad.reason, 1, || bad.text);
                kept.drop_row(row);
                continue;
            }
            let TimestampNs(timestamp_ns) = TimestampMs(*timestamp_ms).to_ns();
            let window = self.windows.of(*number);
            if let Some(reason) = window.verdict(timestamp_ns) {
                let example = || format!("{}: {}", self.name(*number), window.explain(reason, timestamp_ns));
                check.receipt.reject(reason, 1, example);
                kept.drop_row(row);
            } else if let Some((reason, text)) = extra(row) {
                check.receipt.reject(reason, 1, || format!("{}: {text}", self.name(*number)));
                kept.drop_row(row);
            }
        }
        kept
    }

    fn name(&self, number: u32) -> String {
        name_of(column::<arrow::array::BinaryArray>(self.series, 0).value(number as usize))
    }
}
