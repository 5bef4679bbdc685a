//! The real store under a script: what is loaded lies in heads, in segments, or in both in pieces.

use model::histogram::NativeHistogram;
use model::limits::Limits;
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::{Batch, TenantContext};
use promql::Features;
use query::{PromAnswer, PromRequest, QueryEngine, QueryError, QuerySettings};

use super::load::Loaded;
use super::series::Sample;
use crate::fixture::Fixture;

/// Where samples lie when they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In one head.
    Heads,
    /// In a segment for each `load`.
    Segments,
    /// Every third in one segment, every third in another, and the rest in a head; queries run in many parts.
    Pieces,
}

pub(crate) struct Store {
    fixture: Fixture,
    engine: QueryEngine,
    layout: Layout,
    /// Each `clear` goes on with another tenant.
    tenant: usize,
}

impl Store {
    pub(crate) async fn new(layout: Layout) -> Self {
        let mut limits = Limits::default();
        // Scripts begin at the epoch.
        limits.retention.metrics_ns = None;
        // As where the scripts come from: what holds more is too much.
        limits.metrics.max_query_samples = 10_000;
        let fixture = Fixture::with_limits(limits).await;
        let parallelism = if layout == Layout::Pieces { 4 } else { 1 };
        let engine = fixture.engine_with(QuerySettings {
            parallelism,
            features: Features::ALL,
            ..QuerySettings::default()
        });
        Self { fixture, engine, layout, tenant: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.tenant += 1;
    }

    fn name(&self) -> String {
        format!("t{}", self.tenant)
    }

    pub(crate) fn context(&self) -> TenantContext {
        self.fixture.context(&self.name())
    }

    pub(crate) async fn load(&self, series: &[Loaded], step_ms: i64) {
        let pieces = if self.layout == Layout::Pieces { 3 } else { 1 };
        for piece in 0..pieces {
            let batch = batch(series, step_ms, |at| at % pieces == piece);
            if batch.items() > 0 {
                self.fixture.write(&self.name(), batch).await;
            }
            if self.layout == Layout::Segments || piece + 1 < pieces {
                self.fixture.storage.flush().await.unwrap();
            }
        }
    }

    pub(crate) async fn ask(&self, query: &str, request: PromRequest) -> Result<PromAnswer, QueryError> {
        self.engine.promql(&self.context(), query, request).await
    }
}

enum Value<'a> {
    Float(f64),
    Histogram(&'a NativeHistogram),
}

/// The samples whose place is wanted.
fn batch(series: &[Loaded], step_ms: i64, is_wanted: impl Fn(usize) -> bool) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for Loaded { labels, samples, starts } in series {
        for (place, sample) in samples.iter().enumerate().filter(|(place, _)| is_wanted(*place)) {
            let value = match sample {
                Sample::Float(value) => Value::Float(*value),
                Sample::Histogram(histogram, _) => Value::Histogram(histogram),
                Sample::Gap => continue,
            };
            let at_ms = i64::try_from(place).unwrap() * step_ms;
            let start_ms =
                starts.get(place).copied().flatten().map_or(0, |from_there_ms| at_ms + from_there_ms);
            let number = builder.series(labels, SeriesInfo::default());
            match value {
                Value::Float(value) => builder.sample(number, at_ms, start_ms, value),
                Value::Histogram(histogram) => builder.histogram(number, at_ms, start_ms, histogram),
            }
        }
    }
    Batch::Metrics(builder.finish())
}
