//! Quantiles of classic histograms: what the workers compute as they read is what is computed of all series together, for
//! histograms as they should be and for others.

use model::labels::METRIC_NAME;
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::{Batch, Labels};
use query::{Features, PromRequest, QuerySettings, Value};

use crate::fixture::{Fixture, NOW_S};

const NOW_MS: i64 = NOW_S * 1_000;
const PODS: i64 = 24;
const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];

/// Ten minutes of a histogram per pod. Every fifth pod has something odd: counts that fall from bucket to bucket, a bound
/// that is none or stands there twice, no last bucket, or buckets that begin late. One label is sorted before `le`, one after.
fn histograms(metric: &str, inner: &str) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for pod in 0..PODS {
        for (i, bound) in (1..).zip(BOUNDS) {
            let bound = match (pod % 5, i) {
                (0, 6) if pod % 2 == 0 => continue,
                (1, 3) => "1.0",
                (1, 4) => "1",
                (2, 2) if pod % 2 == 0 => "wide",
                _ => bound,
            };
            let labels = Labels::from_pairs([
                (METRIC_NAME, metric),
                ("le", bound),
                (inner, &format!("p{pod:02}")),
                ("zone", if pod < 10 { "a" } else { "b" }),
            ]);
            let series = builder.series(&labels, SeriesInfo::default());
            let falls = pod % 5 == 3 && i == 3;
            let first = if pod % 5 == 4 && i > 2 { 12 } else { 0 };
            for k in first..=40_i64 {
                let count = k * i * (pod + 2) + (k * pod * i) % 7;
                let count = if falls { count / 4 } else { count };
                builder.sample(series, NOW_MS - 600_000 + k * 15_000, 0, count as f64);
            }
        }
    }
    Batch::Metrics(builder.finish())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_compute_what_would_be_computed_of_all_series_together() {
    let fixture = Fixture::new().await;
    fixture.write("a", histograms("near_bucket", "instance")).await;
    fixture.write("a", histograms("far_bucket", "pod")).await;
    let range = PromRequest {
        start_ms: NOW_MS - 480_000,
        end_ms: NOW_MS,
        step_ms: Some(15_000),
        timeout_ns: None,
        lookback_ms: None,
        limit: None,
        counts_samples: false,
    };
    let engine = |parallelism, delayed_names| {
        let features = Features { delayed_names, ..Features::default() };
        fixture.engine_with(QuerySettings { parallelism, features, ..QuerySettings::default() })
    };
    for of in [
        "rate(M_bucket[2m])",
        "M_bucket",
        "sum by (le, I) (rate(M_bucket[1m]))",
        "avg without (I) (increase(M_bucket[2m]))",
        "max by (le, zone) (M_bucket)",
        "count by (le) (M_bucket)",
        "sum by (I) (M_bucket)",
        "M_bucket{zone=\"nowhere\"}",
    ] {
        for (metric, inner) in [("near", "instance"), ("far", "pod")] {
            for q in ["0.9", "0", "1.5", "NaN", "(time() % 60) / 60"] {
                let query =
                    format!("histogram_quantile({q}, {})", of.replace('M', metric).replace('I', inner));
                let wanted = engine(1, true).promql(&fixture.context("a"), &query, range).await.unwrap();
                for parallelism in [1, 3] {
                    let found = engine(parallelism, false);
                    let found = found.promql(&fixture.context("a"), &query, range).await.unwrap();
                    assert_eq!(shown(&found.value), shown(&wanted.value), "{query} {parallelism}");
                    assert_eq!(found.warnings.len(), wanted.warnings.len(), "{query}");
                    assert_eq!(found.infos.len(), wanted.infos.len(), "{query}");
                }
            }
        }
    }
}

/// Values by their bits, so that what is no number compares too.
fn shown(value: &Value) -> Vec<String> {
    let Value::Matrix(series) = value else { panic!("a range gives a matrix") };
    let point = |(at, point): &(i64, promql::Point)| format!("{at} {:x}", point.float().unwrap().to_bits());
    let one = |series: &promql::SeriesValues| {
        format!("{} {:?}", series.labels, series.points.iter().map(point).collect::<Vec<_>>())
    };
    series.iter().map(one).collect()
}
