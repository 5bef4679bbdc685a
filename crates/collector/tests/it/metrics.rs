//! OTLP metrics become the series that Prometheus would make of them.

use collector::settings::{OtlpMetricsSettings, Settings};
use http::StatusCode;
use model::Batch;
use model::histogram::Span;
use model::metric::is_stale;
use prost::Message as _;
use wire::otlp::ExportMetricsServiceResponse;
use wire::otlp::common::any_value::Value;
use wire::otlp::metrics::exponential_histogram_data_point::Buckets;
use wire::otlp::metrics::metric::Data;
use wire::otlp::metrics::summary_data_point::ValueAtQuantile;
use wire::otlp::metrics::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, Sum, Summary, SummaryDataPoint, exemplar,
};

use crate::door::{Door, post};
use crate::otlp::{gauge, metric, metrics, pair, point, resource, string};
use crate::shown;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const CUMULATIVE: i32 = 2;
const DELTA: i32 = 1;

async fn map_with(settings: Settings, of: Vec<Metric>, attributes: &[(&str, &str)]) -> Batch {
    let door = Door::with(settings);
    let body = metrics(vec![(resource(attributes), of)]).encode_to_vec();
    let reply = door.send(door.collector.otlp_http(), post("/v1/metrics", &[PROTOBUF], body)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    door.batch()
}

async fn map(of: Vec<Metric>) -> Batch {
    map_with(Settings::default(), of, &[]).await
}

fn sum(is_monotonic: bool, aggregation_temporality: i32) -> Data {
    let start = NumberDataPoint { start_time_unix_nano: 1_000_000_000, ..point(3.0) };
    Data::Sum(Sum { data_points: vec![start], aggregation_temporality, is_monotonic })
}

fn histogram(point: HistogramDataPoint) -> Metric {
    let data = Histogram { data_points: vec![point], aggregation_temporality: CUMULATIVE };
    metric("latency", "s", Data::Histogram(data))
}

fn classic() -> HistogramDataPoint {
    HistogramDataPoint {
        time_unix_nano: 5_000_000_000,
        start_time_unix_nano: 1_000_000_000,
        count: 6,
        sum: Some(4.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 1.0],
        ..HistogramDataPoint::default()
    }
}

#[tokio::test]
async fn numbers() {
    let mut labelled = point(1.0);
    labelled.attributes = vec![
        pair("http.method", string("GET")),
        pair("http_method", string("PUT")),
        pair("code", Value::IntValue(200)),
        pair("empty", string("")),
    ];
    let of = vec![
        gauge("cpu.load", 0.5),
        metric("requests", "1", sum(true, CUMULATIVE)),
        metric("queue.size", "{item}", sum(false, CUMULATIVE)),
        metric("labelled", "By", Data::Gauge(wire::otlp::metrics::Gauge { data_points: vec![labelled] })),
    ];
    let batch = map(of).await;
    let want = [
        "cpu_load 0.5@5000",
        "labelled_bytes{code=\"200\", http_method=\"GET;PUT\"} 1@5000",
        "queue_size 3@5000 from 1000",
        "requests_total 3@5000 from 1000",
    ];
    assert_eq!(shown::samples(&batch), want);
    let want = [
        "cpu_load gauge  ",
        "requests_total counter  ",
        "queue_size gauge  ",
        "labelled_bytes{code=\"200\", http_method=\"GET;PUT\"} gauge bytes ",
    ];
    assert_eq!(shown::series(&batch), want);
}

#[tokio::test]
async fn classic_histograms() {
    let batch = map(vec![histogram(classic())]).await;
    let want = [
        "latency_seconds_bucket{le=\"+Inf\"} 6@5000 from 1000",
        "latency_seconds_bucket{le=\"0.5\"} 1@5000 from 1000",
        "latency_seconds_bucket{le=\"1\"} 3@5000 from 1000",
        "latency_seconds_count 6@5000 from 1000",
        "latency_seconds_sum 4.5@5000 from 1000",
    ];
    assert_eq!(shown::samples(&batch), want);
}

#[tokio::test]
async fn infinite_bounds_have_no_bucket_of_their_own() {
    let explicit_bounds = vec![f64::NEG_INFINITY, 1.0];
    let batch = map(vec![histogram(HistogramDataPoint { explicit_bounds, ..classic() })]).await;
    let buckets: Vec<String> =
        shown::samples(&batch).into_iter().filter(|line| line.contains("_bucket")).collect();
    let want = [
        "latency_seconds_bucket{le=\"+Inf\"} 6@5000 from 1000",
        "latency_seconds_bucket{le=\"1\"} 3@5000 from 1000",
    ];
    assert_eq!(buckets, want);
}

#[tokio::test]
async fn no_recorded_value_is_stale() {
    let gauge_point = NumberDataPoint { flags: 1, value: None, ..point(0.0) };
    let gauge = Data::Gauge(wire::otlp::metrics::Gauge { data_points: vec![gauge_point] });
    let exponential = ExponentialHistogramDataPoint { flags: 1, ..ExponentialHistogramDataPoint::default() };
    let exponential =
        ExponentialHistogram { data_points: vec![exponential], aggregation_temporality: CUMULATIVE };
    let of = vec![
        metric("gone", "", gauge),
        histogram(HistogramDataPoint { flags: 1, ..classic() }),
        metric("native", "", Data::ExponentialHistogram(exponential)),
    ];
    let batch = map(of).await;
    let samples = shown::samples(&batch);
    assert_eq!(samples.len(), 6);
    assert!(samples.iter().all(|line| line.contains(" stale@")), "{samples:?}");
    let (_, _, native) = &shown::histograms(&batch)[0];
    assert!(is_stale(native.sum) && is_stale(native.count));
}

#[tokio::test]
async fn exponential_histograms() {
    let point = ExponentialHistogramDataPoint {
        time_unix_nano: 5_000_000_000,
        count: 7,
        sum: Some(2.5),
        scale: 9,
        zero_count: 1,
        positive: Some(Buckets { offset: 0, bucket_counts: vec![1, 2, 3] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: CUMULATIVE };
    let batch = map(vec![metric("native", "s", Data::ExponentialHistogram(data))]).await;
    let histograms = shown::histograms(&batch);
    let (labels, timestamp_ms, native) = &histograms[0];
    assert_eq!((labels.as_str(), *timestamp_ms), ("native_seconds", 5_000));
    assert_eq!((native.schema, native.count, native.zero_count, native.sum), (8, 7.0, 1.0, 2.5));
    assert_eq!(native.zero_threshold, 1e-128);
    assert_eq!(native.positive_spans, [Span { offset: 1, length: 2 }]);
    assert_eq!(native.positive_counts, [3.0, 3.0]);
}

#[tokio::test]
async fn summaries() {
    let point = SummaryDataPoint {
        time_unix_nano: 5_000_000_000,
        count: 4,
        sum: 8.0,
        quantile_values: vec![ValueAtQuantile { quantile: 0.99, value: 3.0 }],
        ..SummaryDataPoint::default()
    };
    let batch = map(vec![metric("s", "", Data::Summary(Summary { data_points: vec![point] }))]).await;
    assert_eq!(shown::samples(&batch), ["s_count 4@5000", "s_sum 8@5000", "s{quantile=\"0.99\"} 3@5000"]);
}

#[tokio::test]
async fn exemplars_stay_with_their_bucket() {
    let exemplar = |value, filtered: &[(&str, &str)]| Exemplar {
        filtered_attributes: filtered.iter().map(|(key, value)| pair(key, string(value))).collect(),
        time_unix_nano: 4_000_000_000,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        value: Some(exemplar::Value::AsDouble(value)),
    };
    let long = "x".repeat(200);
    let exemplars = vec![exemplar(0.7, &[("user.id", "u1")]), exemplar(9.0, &[("too.long", &long)])];
    let batch = map(vec![histogram(HistogramDataPoint { exemplars, ..classic() })]).await;
    let ids = format!(
        "trace_id=String(\"{}\") span_id=String(\"{}\")",
        hex::encode([0xab; 16]),
        hex::encode([0xcd; 8])
    );
    let want = [
        format!("latency_seconds_bucket{{le=\"1\"}} 0.7@4000 {ids} user_id=String(\"u1\")"),
        format!("latency_seconds_bucket{{le=\"+Inf\"}} 9@4000 {ids}"),
    ];
    assert_eq!(shown::exemplars(&batch), want);
}

#[tokio::test]
async fn a_resource_is_an_identity_and_target_info() {
    let attributes = [
        ("service.namespace", "shop"),
        ("service.name", "cart"),
        ("service.instance.id", "i-1"),
        ("host.name", "h"),
    ];
    let batch = map_with(Settings::default(), vec![gauge("up.time", 1.0)], &attributes).await;
    let want = [
        "target_info{host_name=\"h\", instance=\"i-1\", job=\"shop/cart\"} 1@5000",
        "up_time{instance=\"i-1\", job=\"shop/cart\"} 1@5000",
    ];
    assert_eq!(shown::samples(&batch), want);

    let only_identity = map_with(Settings::default(), vec![gauge("x", 1.0)], &attributes[..3]).await;
    assert_eq!(shown::samples(&only_identity), ["x{instance=\"i-1\", job=\"shop/cart\"} 1@5000"]);
    let no_identity = map_with(Settings::default(), vec![gauge("x", 1.0)], &attributes[3..]).await;
    assert_eq!(shown::samples(&no_identity), ["x 1@5000"]);
}

#[tokio::test]
async fn settings_promote_attributes_and_scopes() {
    let otlp_metrics = OtlpMetricsSettings {
        promote_resource_attributes: vec!["host.name".to_owned()],
        promote_scope_metadata: true,
        ..OtlpMetricsSettings::default()
    };
    let settings = Settings { otlp_metrics, ..Settings::default() };
    let batch = map_with(settings, vec![gauge("x", 1.0)], &[("host.name", "h")]).await;
    let want = "x{host_name=\"h\", otel_scope_name=\"lib\", otel_scope_version=\"1.2\"} 1@5000";
    assert_eq!(shown::samples(&batch), [want]);
}

#[tokio::test]
async fn a_series_stands_once() {
    let batch = map(vec![gauge("x", 1.0), gauge("x", 2.0)]).await;
    assert_eq!(shown::samples(&batch), ["x 1@5000", "x 2@5000"]);
    assert_eq!(shown::series(&batch).len(), 1);
}

#[tokio::test]
async fn points_that_cannot_be_mapped_are_rejected_and_named() {
    let no_value = NumberDataPoint { value: None, ..point(0.0) };
    let no_value = Data::Gauge(wire::otlp::metrics::Gauge { data_points: vec![no_value] });
    let misfit = HistogramDataPoint { explicit_bounds: vec![1.0], ..classic() };
    let coarse = ExponentialHistogramDataPoint { scale: -5, ..ExponentialHistogramDataPoint::default() };
    let coarse = ExponentialHistogram { data_points: vec![coarse], aggregation_temporality: CUMULATIVE };
    let table = [
        (metric("d", "", sum(true, DELTA)), "metric=`d`: its temporality is not cumulative"),
        (metric("u", "", sum(false, 0)), "metric=`u`: its temporality is not cumulative"),
        (metric("n", "", no_value), "metric=`n`: a point has no value"),
        (histogram(misfit), "buckets and bounds do not fit together"),
        (metric("c", "", Data::ExponentialHistogram(coarse)), "scale must be at least `-4`"),
        (Metric { name: "e".to_owned(), ..Metric::default() }, "metric=`e`: it has no data of a known kind"),
        (gauge("...", 1.0), "metric=`...`: nothing remains of its name"),
    ];
    for (bad, want) in table {
        let door = Door::new();
        let body = metrics(vec![(None, vec![gauge("good", 1.0), bad])]).encode_to_vec();
        let reply = door.send(door.collector.otlp_http(), post("/v1/metrics", &[PROTOBUF], body)).await;
        assert_eq!(reply.status, StatusCode::OK);
        let partial = ExportMetricsServiceResponse::decode(reply.body).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_data_points, 1, "{want}");
        assert!(partial.error_message.contains(want), "{}", partial.error_message);
        assert_eq!(shown::samples(&door.batch()), ["good 1@5000"]);
    }
}
