//! What there is of a tenant's metrics: how many series by name, label and pair of both, and the segments that hold them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use model::labels::METRIC_NAME;
use model::{Labels, Signal, TenantContext, TimeRange};
use storage::ReplayProgress;
use storage::manifest::SegmentMeta;

use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::federation;
use crate::prom::hull;

/// A name with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What is counted.
    pub name: String,
    /// How many of it there are.
    pub value: u64,
}

/// How many series there are, and what makes them many; each list begins with the largest number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series.
    pub series: u64,
    /// Pairs of a label's name and a value, each once.
    pub label_pairs: u64,
    /// The time that the series' data covers, as far as it was looked at.
    pub time: Option<TimeRange>,
    /// Series by metric name.
    pub series_by_metric: Vec<Counted>,
    /// Distinct values by label name.
    pub values_by_label: Vec<Counted>,
    /// Bytes of the values of all series by label name.
    pub bytes_by_label: Vec<Counted>,
    /// Series by pair, as `name=value`.
    pub series_by_pair: Vec<Counted>,
}

impl QueryEngine {
    /// How many segments of the tenant's metrics are set aside because they are damaged.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn damaged_segments(&self, context: &TenantContext) -> Result<usize, QueryError> {
        self.run((context, Signal::Metrics), None, |_engine, context, running| async move {
            let mut damaged = 0;
            for member in context.members() {
                damaged += running.storage.metrics(member, TimeRange::ALL).await?.missing_segments();
            }
            Ok(damaged)
        })
        .await
    }

    /// Counts the series with data in the range; lists have at most `limit` names.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn cardinality(
        &self,
        context: &TenantContext,
        range: TimeRange,
        limit: usize,
    ) -> Result<Cardinality, QueryError> {
        self.run((context, Signal::Metrics), None, move |_engine, context, running| async move {
            let mut time: Option<TimeRange> = None;
            let mut series: Vec<Labels> = Vec::new();
            for member in context.members() {
                let snapshot = running.storage.metrics(member, range).await?;
                let set = snapshot.select(&[]).await?;
                time = time.into_iter().chain(snapshot.time_bounds()).reduce(hull);
                let labels = federation::labels(&context, member, set.labels());
                series.extend_from_slice(labels.as_deref().unwrap_or(set.labels()));
            }
            Ok(Cardinality { time, ..counted(&series, limit) })
        })
        .await
    }

    /// The segments of a tenant's metrics, the oldest commit first.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn metric_segments(&self, context: &TenantContext) -> Result<Vec<SegmentMeta>, QueryError> {
        self.run((context, Signal::Metrics), None, |_engine, context, running| async move {
            let mut segments = Vec::new();
            for member in context.members() {
                segments.extend(running.storage.metrics(member, TimeRange::ALL).await?.segments());
            }
            Ok(segments)
        })
        .await
    }

    /// How far the replay of the log is.
    #[must_use]
    pub fn replay(&self) -> ReplayProgress {
        self.replay_progress()
    }
}

fn counted(series: &[Labels], limit: usize) -> Cardinality {
    let mut by_metric: HashMap<&str, u64> = HashMap::new();
    let mut by_pair: HashMap<(&str, &str), u64> = HashMap::new();
    let (mut values, mut bytes): (HashMap<&str, u64>, HashMap<&str, u64>) = (HashMap::new(), HashMap::new());
    for labels in series {
        for (name, value) in labels.iter() {
            if name == METRIC_NAME {
                *by_metric.entry(value).or_default() += 1;
            }
            *bytes.entry(name).or_default() += value.len() as u64;
            match by_pair.entry((name, value)) {
                Entry::Occupied(mut pair) => *pair.get_mut() += 1,
                Entry::Vacant(pair) => {
                    pair.insert(1);
                    *values.entry(name).or_default() += 1;
                }
            }
        }
    }
    let own = |(name, value): (&str, u64)| (name.to_owned(), value);
    Cardinality {
        series: series.len() as u64,
        label_pairs: by_pair.len() as u64,
        time: None,
        series_by_metric: largest(by_metric.into_iter().map(own), limit),
        values_by_label: largest(values.into_iter().map(own), limit),
        bytes_by_label: largest(bytes.into_iter().map(own), limit),
        series_by_pair: largest(
            by_pair.into_iter().map(|((name, value), count)| (format!("{name}={value}"), count)),
            limit,
        ),
    }
}

/// The largest numbers, and by name where they are the same.
fn largest(all: impl Iterator<Item = (String, u64)>, limit: usize) -> Vec<Counted> {
    let mut all: Vec<Counted> = all.map(|(name, value)| Counted { name, value }).collect();
    let order = |a: &Counted, b: &Counted| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name));
    if all.len() > limit && limit > 0 {
        all.select_nth_unstable_by(limit - 1, order);
    }
    all.truncate(limit);
    all.sort_unstable_by(order);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_numbers_stand_first() {
        let series = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let all = [
            series(&[(METRIC_NAME, "a"), ("pod", "one")]),
            series(&[(METRIC_NAME, "a"), ("pod", "two")]),
            series(&[(METRIC_NAME, "b"), ("pod", "one"), ("zone", "z")]),
        ];
        let counts = |list: &[Counted]| -> Vec<(String, u64)> {
            list.iter().map(|one| (one.name.clone(), one.value)).collect()
        };
        let found = counted(&all, 2);
        assert_eq!((found.series, found.label_pairs), (3, 5));
        assert_eq!(counts(&found.series_by_metric), [("a".into(), 2), ("b".into(), 1)]);
        assert_eq!(counts(&found.values_by_label), [("__name__".into(), 2), ("pod".into(), 2)]);
        assert_eq!(counts(&found.bytes_by_label), [("pod".into(), 9), ("__name__".into(), 3)]);
        assert_eq!(counts(&found.series_by_pair), [("__name__=a".into(), 2), ("pod=one".into(), 2)]);
        assert_eq!(counted(&all, 0).series_by_pair, []);
    }
}
