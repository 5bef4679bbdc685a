//! Results of PromQL do not depend on how samples came: in which order, in how many batches, into which segments and heads,
//! and by how many parts of a query they are read.

use std::collections::BTreeMap;

use model::labels::METRIC_NAME;
use model::metric::{MetricBatchBuilder, STALE_NAN_BITS, SeriesInfo};
use model::{Batch, Labels};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use query::{Features, PromRequest, QuerySettings, Value};

use crate::fixture::{Fixture, NOW_S};

const NOW_MS: i64 = NOW_S * 1_000;
const SERIES: usize = 40;

/// One of each way of evaluating.
const QUERIES: [&str; 12] = [
    "visits_total",
    "rate(visits_total[2m])",
    "sum by (zone) (rate(visits_total[90s]))",
    "avg without (pod) (visits_total)",
    "max_over_time(visits_total[3m])",
    "quantile_over_time(0.3, visits_total[2m])",
    "stddev by (zone) (visits_total)",
    "topk by (zone) (3, visits_total)",
    "changes(visits_total[2m]) + resets(visits_total[2m])",
    "max_over_time(sum(irate(visits_total[1m]))[3m:20s])",
    "visits_total / on (zone) group_left sum by (zone) (visits_total)",
    "count_over_time(visits_total{pod=~\"p[0-3].\"}[5m]) > 2",
];

/// A sample: its series, its moment within a few minutes, its value, and the piece in which it is written.
type Sample = (usize, i64, u32, usize);

/// Samples by series and moment: the value, and the piece.
type Drawn = BTreeMap<(usize, i64), (u32, usize)>;

/// How many pieces there are, after which of them heads become segments, and how many parts a query has.
type Layout = (usize, Vec<bool>, usize);

fn batch(samples: &[Sample], is_wanted: impl Fn(&Sample) -> bool) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for (series, at, value, _) in samples.iter().filter(|sample| is_wanted(sample)) {
        let labels = Labels::from_pairs([
            (METRIC_NAME, "visits_total".to_owned()),
            ("pod", format!("p{series:02}")),
            ("zone", format!("z{}", series % 3)),
        ]);
        let number = builder.series(&labels, SeriesInfo::default());
        // Now and then a series ends.
        let value = if value % 97 == 0 { f64::from_bits(STALE_NAN_BITS) } else { f64::from(*value) };
        builder.sample(number, NOW_MS - 600_000 + at * 1_000, 0, value);
    }
    Batch::Metrics(builder.finish())
}

async fn answers(samples: &[Sample], pieces: usize, flushed: &[bool], parallelism: usize) -> Vec<String> {
    let fixture = Fixture::new().await;
    for piece in 0..pieces {
        let batch = batch(samples, |sample| sample.3 % pieces == piece);
        if batch.items() > 0 {
            fixture.write("a", batch).await;
        }
        if flushed.get(piece).copied().unwrap_or(false) {
            fixture.storage.flush().await.unwrap();
        }
    }
    let settings = QuerySettings { parallelism, features: Features::ALL, ..QuerySettings::default() };
    let engine = fixture.engine_with(settings);
    let mut answers = Vec::new();
    for query in QUERIES {
        let request = PromRequest {
            start_ms: NOW_MS - 540_000,
            end_ms: NOW_MS,
            step_ms: Some(31_000),
            timeout_ns: None,
            lookback_ms: None,
            limit: None,
            counts_samples: false,
        };
        let answer = engine.promql(&fixture.context("a"), query, request).await.unwrap();
        answers.push(format!("{query}: {} {:?} {:?}", shown(&answer.value), answer.warnings, answer.infos));
    }
    answers
}

/// Labels and points, with the digits that do not depend on the order of additions.
fn shown(value: &Value) -> String {
    let Value::Matrix(series) = value else { panic!("a range gives a matrix") };
    let point =
        |(at, point): &(i64, promql::Point)| format!("{at}={:.9e}", point.float().unwrap_or(f64::NAN));
    let one = |series: &query::SeriesValues| {
        let points: Vec<String> = series.points.iter().map(point).collect();
        format!("{} {}", series.labels, points.join(" "))
    };
    series.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[test]
fn results_are_the_same_however_samples_are_split() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let samples = prop::collection::btree_map((0..SERIES, 0_i64..600), (1_u32..1_000, 0_usize..12), 1..600);
    let layouts = (1_usize..6, prop::collection::vec(any::<bool>(), 6), 1_usize..5);
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let property = |(samples, (pieces, flushed, parallelism)): (Drawn, Layout)| {
        let samples: Vec<Sample> =
            samples.into_iter().map(|((series, at), (value, piece))| (series, at, value, piece)).collect();
        let whole = runtime.block_on(answers(&samples, 1, &[], 1));
        let split = runtime.block_on(answers(&samples, pieces, &flushed, parallelism));
        for (whole, split) in whole.iter().zip(&split) {
            prop_assert_eq!(whole, split);
        }
        Ok(())
    };
    runner.run(&(samples, layouts), property).unwrap();
}
