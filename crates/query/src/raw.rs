//! The samples of series as they were written, staleness markers and all: what other servers read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type};
use futures::TryStreamExt;
use model::histogram::{HistogramsView, NativeHistogram};
use model::{Labels, Matcher, Signal, TenantContext, TimeRange};
use storage::SeriesSet;

use crate::engine::{Held, QueryEngine, Running};
use crate::error::QueryError;
use crate::federation;
use crate::limits::{check_length, check_series, within_lookback};

/// A series with its samples, ascending in time; as many times as values of each kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawSeries {
    /// The series.
    pub labels: Labels,
    /// When the numbers were taken, in milliseconds.
    pub timestamps_ms: Vec<i64>,
    /// The numbers.
    pub values: Vec<f64>,
    /// When the histograms were taken.
    pub histogram_timestamps_ms: Vec<i64>,
    /// The histograms.
    pub histograms: Vec<NativeHistogram>,
}

/// Series, and what they hold until they are dropped.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// Sorted by labels; none without a sample.
    pub series: Vec<RawSeries>,
    /// Memory.
    pub held: Held,
}

impl QueryEngine {
    /// The samples of the range of every series that meets all matchers.
    ///
    /// # Errors
    /// When it is over a limit or takes too long, or the store fails.
    pub async fn raw_series(
        &self,
        context: &TenantContext,
        matchers: Vec<Matcher>,
        range: TimeRange,
    ) -> Result<RawAnswer, QueryError> {
        let limits = context.limits().metrics.query;
        check_length(Signal::Metrics, "max_query_length", limits.max_length_ns, range)?;
        let range = within_lookback(&limits, self.now(), range);
        self.run((context, Signal::Metrics), None, move |_engine, context, running| async move {
            let most = context.limits().metrics.max_query_samples;
            let mut all = Vec::new();
            let (mut series, mut samples) = (0, 0);
            for member in context.members() {
                let Some(matchers) = federation::matchers(&context, member, &matchers) else { continue };
                let snapshot = running.storage.metrics(member, range).await?;
                let set = snapshot.select(&matchers).await?;
                series += set.labels().len();
                check_series(&context, Signal::Metrics, series)?;
                let found = gather(&running, &set, range, (&mut samples, most)).await?;
                let labels = federation::labels(&context, member, set.labels());
                let labels = labels.as_deref().unwrap_or(set.labels());
                all.extend(found.into_iter().filter_map(|(number, series)| {
                    let labels = labels.get(number as usize)?.clone();
                    Some(RawSeries { labels, ..series })
                }));
            }
            all.sort_by(|a, b| a.labels.cmp(&b.labels));
            Ok(RawAnswer { series: all, held: Held::new(&running) })
        })
        .await
    }
}

/// The samples of a set by the numbers of its series.
async fn gather(
    running: &Arc<Running>,
    set: &SeriesSet,
    range: TimeRange,
    (samples, most): (&mut usize, usize),
) -> Result<BTreeMap<u32, RawSeries>, QueryError> {
    let mut found: BTreeMap<u32, RawSeries> = BTreeMap::new();
    let mut pace = running.pace();
    let all = 0..set.labels().len();
    let mut floats = set.samples(all.clone(), range);
    while let Some(batch) = floats.try_next().await? {
        *samples += batch.num_rows();
        check_samples(*samples, most)?;
        running.counters.read(&batch);
        running.hold(batch.num_rows() * size_of::<(i64, f64)>())?;
        take_floats(&batch, &mut found);
        pace.step().await;
    }
    if !set.has_histograms() {
        return Ok(found);
    }
    let mut histograms = set.histograms(all, range);
    while let Some(batch) = histograms.try_next().await? {
        *samples += batch.num_rows();
        check_samples(*samples, most)?;
        running.counters.read(&batch);
        running.hold(batch.get_array_memory_size())?;
        take_histograms(&batch, &mut found)?;
        pace.step().await;
    }
    Ok(found)
}

fn check_samples(samples: usize, most: usize) -> Result<(), QueryError> {
    if samples > most {
        return Err(QueryError::Execution(format!("exceeded sample limit ({most})")));
    }
    Ok(())
}

/// The rows of a batch by series: the number, and its stretch.
fn stretches(batch: &RecordBatch) -> Vec<(u32, std::ops::Range<usize>)> {
    let numbers = batch.column(0).as_primitive::<UInt32Type>().values();
    let mut from = 0;
    let stretches = numbers.chunk_by(|a, b| a == b).map(|stretch| {
        let rows = from..from + stretch.len();
        from = rows.end;
        (stretch[0], rows)
    });
    stretches.collect()
}

fn take_floats(batch: &RecordBatch, found: &mut BTreeMap<u32, RawSeries>) {
    let timestamps = batch.column(1).as_primitive::<Int64Type>().values();
    let values = batch.column(3).as_primitive::<Float64Type>().values();
    for (number, rows) in stretches(batch) {
        let series = found.entry(number).or_default();
        series.timestamps_ms.extend_from_slice(&timestamps[rows.clone()]);
        series.values.extend_from_slice(&values[rows]);
    }
}

fn take_histograms(batch: &RecordBatch, found: &mut BTreeMap<u32, RawSeries>) -> Result<(), QueryError> {
    let timestamps = batch.column(1).as_primitive::<Int64Type>().values();
    let view = HistogramsView::new(batch.column(3).as_ref())
        .ok_or_else(|| QueryError::Internal("storage gave a histogram column of another type".into()))?;
    for (number, rows) in stretches(batch) {
        let series = found.entry(number).or_default();
        series.histogram_timestamps_ms.extend_from_slice(&timestamps[rows.clone()]);
        series.histograms.extend(rows.map(|row| view.get(row).unwrap_or_default()));
    }
    Ok(())
}
