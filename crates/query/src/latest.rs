//! The newest sample of each series, as it was written: what other servers take over.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type};
use futures::TryStreamExt;
use model::histogram::HistogramsView;
use model::metric::is_stale;
use model::time::NS_PER_MS;
use model::{Labels, Matcher, Signal, TenantContext, TimeRange};

use crate::answer::Point;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::federation;

/// A series with its newest sample.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestSample {
    /// The series.
    pub labels: Labels,
    /// When the sample was taken.
    pub timestamp_ms: i64,
    /// Its value.
    pub value: Point,
}

impl QueryEngine {
    /// The newest sample of every series that meets any of the sets, sorted by the series; no older than the lookback
    /// before `at_ms`. Series that have gone stale are left out.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn latest_samples(
        &self,
        context: &TenantContext,
        sets: Vec<Vec<Matcher>>,
        at_ms: i64,
    ) -> Result<Vec<LatestSample>, QueryError> {
        let lookback_ms = self.settings().lookback_ms;
        let range = TimeRange::new((at_ms - lookback_ms) * NS_PER_MS + 1, at_ms * NS_PER_MS);
        self.run((context, Signal::Metrics), None, move |_engine, context, running| async move {
            let mut latest: BTreeMap<Labels, (i64, Point)> = BTreeMap::new();
            for member in context.members() {
                let snapshot = running.storage.metrics(member, range).await?;
                for matchers in federation::sets(&context, member, &sets) {
                    let set = snapshot.select(&matchers).await?;
                    let labels = federation::labels(&context, member, set.labels());
                    let labels = labels.as_deref().unwrap_or(set.labels());
                    let all = 0..set.labels().len();
                    let mut rows = set.samples(all.clone(), range);
                    while let Some(batch) = rows.try_next().await? {
                        let values = batch.column(3).as_primitive::<Float64Type>().values();
                        gather(&batch, labels, |row| Some(Point::Float(values[row])), &mut latest);
                    }
                    if !set.has_histograms() {
                        continue;
                    }
                    let mut rows = set.histograms(all, range);
                    while let Some(batch) = rows.try_next().await? {
                        let view = HistogramsView::new(batch.column(3).as_ref());
                        let value = |row| Some(Point::Histogram(Box::new(view.as_ref()?.get(row)?)));
                        gather(&batch, labels, value, &mut latest);
                    }
                }
            }
            let is_there = |value: &Point| match value {
                Point::Float(value) => !is_stale(*value),
                Point::Histogram(histogram) => !is_stale(histogram.sum),
            };
            let latest = latest.into_iter().filter(|(_, (_, value))| is_there(value));
            Ok(latest
                .map(|(labels, (timestamp_ms, value))| LatestSample { labels, timestamp_ms, value })
                .collect())
        })
        .await
    }
}

/// Takes the last sample of each series in a batch, which is sorted by series and time, where there is no later one.
fn gather(
    batch: &RecordBatch,
    labels: &[Labels],
    value: impl Fn(usize) -> Option<Point>,
    latest: &mut BTreeMap<Labels, (i64, Point)>,
) {
    let series = batch.column(0).as_primitive::<UInt32Type>().values();
    let timestamps = batch.column(1).as_primitive::<Int64Type>().values();
    for row in 0..batch.num_rows() {
        let is_last = series.get(row + 1) != Some(&series[row]);
        let Some(labels) = labels.get(series[row] as usize).filter(|_| is_last) else { continue };
        let is_later = latest.get(labels).is_none_or(|(at, _)| *at <= timestamps[row]);
        if let Some(value) = value(row).filter(|_| is_later) {
            latest.insert(labels.clone(), (timestamps[row], value));
        }
    }
}
