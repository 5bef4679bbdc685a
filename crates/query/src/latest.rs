//! The newest sample of each series, as it was written: what other servers take over.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type};
use futures::TryStreamExt;
use model::metric::is_stale;
use model::time::NS_PER_MS;
use model::{Labels, Matcher, Signal, TenantContext, TimeRange};

use crate::engine::QueryEngine;
use crate::error::QueryError;

/// A series with its newest sample.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestSample {
    /// The series.
    pub labels: Labels,
    /// When the sample was taken.
    pub timestamp_ms: i64,
    /// Its value.
    pub value: f64,
}

impl QueryEngine {
    /// The newest sample of every series that meets any of the sets, sorted by the series; no older than the lookback
    /// before `at_ms`. Series that have gone stale and native histograms are left out.
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
            let snapshot = running.storage.metrics(&context, range).await?;
            let mut latest: BTreeMap<Labels, (i64, f64)> = BTreeMap::new();
            for matchers in &sets {
                let set = snapshot.select(matchers).await?;
                let mut rows = set.samples(0..set.labels().len(), range);
                while let Some(batch) = rows.try_next().await? {
                    let series = batch.column(0).as_primitive::<UInt32Type>().values();
                    let timestamps = batch.column(1).as_primitive::<Int64Type>().values();
                    let values = batch.column(3).as_primitive::<Float64Type>().values();
                    for row in 0..batch.num_rows() {
                        let is_last = series.get(row + 1) != Some(&series[row]);
                        if let Some(labels) = set.labels().get(series[row] as usize).filter(|_| is_last) {
                            latest.insert(labels.clone(), (timestamps[row], values[row]));
                        }
                    }
                }
            }
            let latest = latest.into_iter().filter(|(_, (_, value))| !is_stale(*value));
            Ok(latest
                .map(|(labels, (timestamp_ms, value))| LatestSample { labels, timestamp_ms, value })
                .collect())
        })
        .await
    }
}
