//! PromQL and the lists of series and labels.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use model::histogram::{NativeHistogram, Span};
use model::labels::METRIC_NAME;
use model::limits::Limits;
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use model::{Batch, Labels, Matcher, TimeRange};
use query::{Labelled, PromRequest, QueryError, QuerySettings, Value};

use crate::fixture::{Fixture, NOW_S};

const NOW_MS: i64 = NOW_S * 1_000;

fn instant(at_ms: i64) -> PromRequest {
    PromRequest {
        start_ms: at_ms,
        end_ms: at_ms,
        step_ms: None,
        timeout_ns: None,
        lookback_ms: None,
        limit: None,
        counts_samples: false,
    }
}

/// Ten minutes of counters: `requests_total{pod,zone}` of `pods` pods, growing by the pod's number plus one a second.
fn requests(pods: usize) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for pod in 0..pods {
        let labels = Labels::from_pairs([
            (METRIC_NAME, "requests_total".to_owned()),
            ("pod", format!("p{pod:03}")),
            ("zone", format!("z{}", pod % 2)),
        ]);
        let series = builder.series(&labels, SeriesInfo::default());
        for i in 0..=40_i64 {
            let value = (i * 15) as f64 * (pod + 1) as f64;
            builder.sample(series, NOW_MS - 600_000 + i * 15_000, 0, value);
        }
    }
    Batch::Metrics(builder.finish())
}

fn vector(value: Value) -> Vec<(String, f64)> {
    let Value::Vector(samples) = value else { panic!("not a vector: {value:?}") };
    let number = |point| match point {
        promql::Point::Float(number) => number,
        promql::Point::Histogram(_) => panic!("a histogram"),
    };
    samples.into_iter().map(|(labels, _, point)| (labels.to_string(), number(point))).collect()
}

#[tokio::test]
async fn rates_are_summed_the_same_whatever_the_parallelism_and_place() {
    let fixture = Fixture::new().await;
    fixture.write("a", requests(100)).await;
    let query = "sum by (zone) (rate(requests_total[5m]))";
    // Pods of zone 0 have odd growths 1, 3, .. 99, those of zone 1 even ones 2, 4, .. 100.
    let expected = [("{zone=\"z0\"}".to_owned(), 2_500.0), ("{zone=\"z1\"}".to_owned(), 2_550.0)];
    for flushed in [false, true] {
        if flushed {
            fixture.storage.flush().await.unwrap();
        }
        for parallelism in [1, 4] {
            let engine = fixture.engine(parallelism);
            let answer = engine.promql(&fixture.context("a"), query, instant(NOW_MS)).await.unwrap();
            let found = vector(answer.value);
            assert_eq!(found.len(), 2, "{found:?}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.0, expected.0);
                assert!((found.1 - expected.1).abs() < 1e-6, "{found:?}");
            }
            assert!(answer.stats.items > 0 && answer.stats.series == 100, "{:?}", answer.stats);
        }
    }
}

#[tokio::test]
async fn ranges_have_a_point_per_step() {
    let fixture = Fixture::new().await;
    fixture.write("a", requests(1)).await;
    let request =
        PromRequest { start_ms: NOW_MS - 120_000, end_ms: NOW_MS, step_ms: Some(60_000), ..instant(NOW_MS) };
    let engine = fixture.engine(2);
    let answer = engine.promql(&fixture.context("a"), "requests_total + 1", request).await.unwrap();
    let Value::Matrix(series) = answer.value else { panic!("a range gives a matrix") };
    assert_eq!(series.len(), 1);
    let points: Vec<i64> = series[0].points.iter().map(|(at_ms, _)| at_ms - NOW_MS).collect();
    assert_eq!(points, [-120_000, -60_000, 0]);
}

#[tokio::test]
async fn a_tenant_sees_its_own_alone() {
    let fixture = Fixture::new().await;
    fixture.write("a", requests(2)).await;
    let engine = fixture.engine(2);
    let (a, b) = (fixture.context("a"), fixture.context("b"));
    let found = engine.promql(&b, "requests_total", instant(NOW_MS)).await.unwrap();
    assert_eq!(vector(found.value), []);
    let found = engine.label_values(&a, Labelled::Series, "pod", &[], TimeRange::ALL, None).await.unwrap();
    assert_eq!(found.value, ["p000", "p001"]);
    let found = engine.label_values(&b, Labelled::Series, "pod", &[], TimeRange::ALL, None).await.unwrap();
    assert!(found.value.is_empty());
    let sets = [vec![Matcher::equal("pod", "p001")], vec![Matcher::equal("pod", "p001")]];
    let found = engine.label_sets(&a, Labelled::Series, &sets, TimeRange::ALL, None).await.unwrap();
    assert_eq!(found.value.len(), 1);
    let found = engine.label_names(&a, Labelled::Series, &[], TimeRange::ALL, Some(2)).await.unwrap();
    assert_eq!((found.value.len(), found.truncated), (2, true));
}

#[tokio::test]
async fn series_and_ranges_over_a_tenants_limits_are_refused() {
    let mut limits = Limits::default();
    limits.metrics.query.max_series = Some(2);
    limits.metrics.query.max_length_ns = Some(3_600_000_000_000);
    let fixture = Fixture::with_limits(limits).await;
    fixture.write("a", requests(3)).await;
    let (engine, a) = (fixture.engine(2), fixture.context("a"));
    engine.promql(&a, "requests_total{pod!=\"p002\"}", instant(NOW_MS)).await.unwrap();
    let error = engine.promql(&a, "requests_total", instant(NOW_MS)).await.unwrap_err().to_string();
    assert!(error.contains("max_query_series=2, asked for 3"), "{error}");
    let request = PromRequest { start_ms: NOW_MS - 7_200_000, step_ms: Some(60_000), ..instant(NOW_MS) };
    let error = engine.promql(&a, "vector(1)", request).await.unwrap_err().to_string();
    assert!(error.contains("raise max_query_length in metrics-overrides.yaml"), "{error}");
    let listed = engine.label_names(&a, Labelled::Series, &[], TimeRange::ALL, None).await.unwrap();
    assert!(
        listed.value.iter().any(|name| name == "pod"),
        "lists are of the time that may be asked for: {listed:?}"
    );
    let inside = PromRequest { start_ms: NOW_MS - 3_600_000, step_ms: Some(60_000), ..instant(NOW_MS) };
    engine.promql(&a, "rate(requests_total{pod=\"p001\"}[30m])", inside).await.unwrap();
    let around = "sum_over_time(requests_total{pod=\"p001\"}[2h])";
    let error = engine.promql(&a, around, instant(NOW_MS)).await.unwrap_err().to_string();
    assert!(error.contains("max_query_length=3600s, asked for 7200s"), "{error}");
}

#[tokio::test]
async fn limits_give_errors_that_name_them() {
    let limits = Limits { query_memory_bytes: 1_000, ..Limits::default() };
    let fixture = Fixture::with_limits(limits).await;
    fixture.write("a", requests(200)).await;
    let context = fixture.context("a");
    let engine = fixture.engine(2);
    let error = engine.promql(&context, "requests_total", instant(NOW_MS)).await.unwrap_err();
    let is_named = |error: &QueryError| matches!(error, QueryError::Execution(m) if m.contains("query_memory_bytes=1000"));
    assert!(is_named(&error), "{error}");
    let numbers = "sum_over_time(vector(1)[1h:1s])";
    let error = engine.promql(&context, numbers, instant(NOW_MS)).await.unwrap_err();
    assert!(is_named(&error), "numbers are held too: {error}");

    let error = engine.promql(&context, "requests_total{", instant(NOW_MS)).await.unwrap_err();
    assert!(matches!(error, QueryError::Parse(_)), "{error}");

    let request = PromRequest { timeout_ns: Some(0), ..instant(NOW_MS) };
    let error = engine.promql(&context, "requests_total", request).await.unwrap_err();
    assert!(matches!(error, QueryError::Timeout { timeout_ms: 0 }), "{error}");
}

#[tokio::test]
async fn an_answer_keeps_its_turn_until_it_is_written_and_its_memory_until_it_is_gone() {
    let fixture = Fixture::new().await;
    fixture.write("a", requests(200)).await;
    let context = fixture.context("a");
    let engine = fixture.engine_with(QuerySettings { max_concurrent: 1, ..QuerySettings::default() });
    let answer = engine.promql(&context, "requests_total", instant(NOW_MS)).await.unwrap();
    assert!(engine.memory_bytes() > 0);
    let mut next = Box::pin(engine.promql(&context, "requests_total", instant(NOW_MS)));
    assert!(next.as_mut().now_or_never().is_none(), "there is one turn");
    answer.held.written(12_345);
    let second = next.await.unwrap();
    drop(second);
    assert_eq!(engine.memory_bytes(), 12_345, "its reader has not read it yet");
    drop(answer);
    assert_eq!(engine.memory_bytes(), 0);
}

#[tokio::test]
async fn metadata_names_families() {
    let fixture = Fixture::new().await;
    let mut builder = MetricBatchBuilder::default();
    let info = |metric_type| SeriesInfo { metric_type, unit: "", help: "what it is" };
    for (name, metric_type) in [
        ("latency_bucket", MetricType::Histogram),
        ("latency_count", MetricType::Histogram),
        ("latency_sum", MetricType::Histogram),
        ("orders_count", MetricType::Gauge),
        ("pause", MetricType::Summary),
        ("pause_sum", MetricType::Summary),
    ] {
        let series = builder.series(&Labels::from_pairs([(METRIC_NAME, name)]), info(metric_type));
        builder.sample(series, NOW_MS, 0, 1.0);
    }
    fixture.write("a", Batch::Metrics(builder.finish())).await;
    let found = fixture.engine(1).metric_metadata(&fixture.context("a")).await.unwrap();
    let names: Vec<&str> = found.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["latency", "orders_count", "pause"]);
}

#[tokio::test]
async fn series_are_listed_that_have_a_sample_in_the_range() {
    let fixture = Fixture::new().await;
    let sample = |name: &str, ago_s: i64| {
        let mut builder = MetricBatchBuilder::default();
        let labels = Labels::from_pairs([(METRIC_NAME, "up"), ("pod", name), (name, "x")]);
        let series = builder.series(&labels, SeriesInfo::default());
        builder.sample(series, NOW_MS - ago_s * 1_000, 0, 1.0);
        Batch::Metrics(builder.finish())
    };
    let engine = fixture.engine(2);
    let a = fixture.context("a");
    // One head or segment across the borders of ranges, and one within.
    for (name, ago_s) in [("old", 3_000), ("young", 100), ("older", 7_000)] {
        fixture.write("a", sample(name, ago_s)).await;
    }
    for is_flushed in [false, true] {
        if is_flushed {
            fixture.storage.flush().await.unwrap();
            fixture.write("a", sample("new", 50)).await;
        }
        let within =
            |from_s: i64, to_s: i64| TimeRange::from_ms(NOW_MS - from_s * 1_000, NOW_MS - to_s * 1_000);
        let new: &[&str] = if is_flushed { &["new"] } else { &[] };
        for (range, expected) in [
            (within(600, 0), [new, &["young"]].concat()),
            (within(3_600, 60), vec!["old", "young"]),
            (within(2_000, 1_000), vec![]),
            (TimeRange::ALL, [new, &["old", "older", "young"]].concat()),
        ] {
            let sets = engine.label_sets(&a, Labelled::Series, &[], range, None).await.unwrap().value;
            let pods: BTreeSet<&str> = sets.iter().filter_map(|labels| labels.get("pod")).collect();
            assert_eq!(pods.into_iter().collect::<Vec<_>>(), expected, "{range:?}");
            // Names and values are of all that is in the same segment or head.
            let values =
                engine.label_values(&a, Labelled::Series, "pod", &[], range, None).await.unwrap().value;
            assert!(expected.iter().all(|pod| values.iter().any(|value| value == pod)), "{values:?}");
            let names = engine.label_names(&a, Labelled::Series, &[], range, None).await.unwrap().value;
            assert!(expected.iter().all(|pod| names.iter().any(|name| name == pod)), "{names:?}");
        }
    }
}

/// Two counters of the same labels, and a few minutes of them.
fn two_counters() -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for name in ["errors_total", "hits_total"] {
        let labels = Labels::from_pairs([(METRIC_NAME, name), ("pod", "a")]);
        let series = builder.series(&labels, SeriesInfo::default());
        for i in 0..=20_i64 {
            builder.sample(series, NOW_MS - 300_000 + i * 15_000, NOW_MS - 290_000, (i * 15) as f64);
        }
    }
    Batch::Metrics(builder.finish())
}

#[tokio::test]
async fn series_that_are_the_same_without_their_names_are_not_folded_together() {
    let fixture = Fixture::new().await;
    fixture.write("a", two_counters()).await;
    for (delayed_names, is_refused) in [(false, true), (true, false)] {
        let features = query::Features { delayed_names, ..query::Features::default() };
        let engine = fixture.engine_with(QuerySettings { features, ..QuerySettings::default() });
        let both = "sum(rate({__name__=~\"errors_total|hits_total\"}[5m]))";
        let answer = engine.promql(&fixture.context("a"), both, instant(NOW_MS)).await;
        if is_refused {
            let error = answer.unwrap_err().to_string();
            assert_eq!(error, "vector cannot contain metrics with the same labelset");
        } else {
            assert_eq!(vector(answer.unwrap().value).len(), 1);
        }
        for query in ["sum(rate(hits_total[5m]))", "absent_over_time({pod=\"a\"}[5m]) or vector(1)"] {
            let answer = engine.promql(&fixture.context("a"), query, instant(NOW_MS)).await.unwrap();
            assert_eq!(vector(answer.value).len(), 1, "{query}");
        }
    }
}

#[tokio::test]
async fn rates_know_since_when_samples_count_where_that_is_enabled() {
    let fixture = Fixture::new().await;
    fixture.write("a", two_counters()).await;
    // The counter began ten seconds after its first sample was taken, with nothing.
    for (start_timestamps, resets, starts) in [(false, 0.0, 0), (true, 1.0, 1)] {
        let features = query::Features { start_timestamps, ..query::Features::ALL };
        let engine = fixture.engine_with(QuerySettings { features, ..QuerySettings::default() });
        let ask = async |query: &str| {
            vector(engine.promql(&fixture.context("a"), query, instant(NOW_MS)).await.unwrap().value)
        };
        assert_eq!(ask("resets(hits_total[6m])").await, [("{pod=\"a\"}".to_owned(), resets)]);
        assert_eq!(ask("start_timestamp(hits_total)").await.len(), starts);
    }
}

#[tokio::test]
async fn the_samples_of_each_step_are_counted_where_that_is_asked_for() {
    let fixture = Fixture::new().await;
    fixture.write("a", requests(3)).await;
    let engine = fixture.engine(2);
    let start_ms = NOW_MS - 120_000;
    let range = PromRequest { start_ms, step_ms: Some(60_000), counts_samples: true, ..instant(NOW_MS) };
    for (query, of_each) in [
        // Windows are open on the left: four samples of each of three series.
        ("rate(requests_total[1m])", 12),
        ("sum(rate(requests_total[1m]))", 12),
        ("requests_total", 3),
        ("requests_total + requests_total", 6),
        // What is inside a subquery does not count, its result does.
        ("max_over_time(rate(requests_total[1m])[2m:30s])", 12),
        ("1", 0),
    ] {
        let answer = engine.promql(&fixture.context("a"), query, range).await.unwrap();
        let samples = answer.samples.unwrap();
        let steps = [NOW_MS - 120_000, NOW_MS - 60_000, NOW_MS];
        assert_eq!(samples.per_step, steps.map(|at| (at, of_each)), "{query}");
        assert_eq!(samples.total(), 3 * of_each, "{query}");
        assert!((samples.peak > 0) == (of_each > 0), "{query}");
        let uncounted = PromRequest { counts_samples: false, ..range };
        let answer = engine.promql(&fixture.context("a"), query, uncounted).await.unwrap();
        assert_eq!(answer.samples, None);
    }
    let at = PromRequest { counts_samples: true, ..instant(NOW_MS) };
    let mut builder = MetricBatchBuilder::default();
    let series = builder.series(&Labels::from_pairs([(METRIC_NAME, "sizes")]), SeriesInfo::default());
    let sizes = NativeHistogram {
        count: 10.0,
        positive_spans: vec![Span { offset: 0, length: 4 }],
        positive_counts: vec![1.0, 2.0, 3.0, 4.0],
        ..NativeHistogram::default()
    };
    [NOW_MS - 30_000, NOW_MS].into_iter().for_each(|at_ms| builder.histogram(series, at_ms, 0, &sizes));
    fixture.write("a", Batch::Metrics(builder.finish())).await;
    for (query, wanted) in [
        ("requests_total[1m]", 12),
        // Where the windows of a subquery are the result, what is inside them counts.
        ("max_over_time(requests_total[1m])[2m:30s]", 48),
        ("requests_total[2m:30s]", 12),
        // A histogram counts as many samples.
        ("sizes", 13),
        ("sizes[1m]", 26),
        ("count_over_time(sizes[1m])", 26),
        ("timestamp(sizes)", 1),
    ] {
        let answer = engine.promql(&fixture.context("a"), query, at).await.unwrap();
        assert_eq!(answer.samples.unwrap().per_step, [(NOW_MS, wanted)], "{query}");
    }
}
