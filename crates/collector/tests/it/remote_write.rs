//! Remote write 1.0 and 2.0.

use http::StatusCode;
use model::Signal;
use model::ingest::Reason;
use model::metric::{STALE_NAN_BITS, is_stale};
use wire::remote_write::{BucketSpan, Count, Histogram, v1, v2};

use crate::door::{Door, Mood, Reply, anonymous, full, items, limited, post, too_large};
use crate::shown;

const V1: (&str, &str) = ("content-type", "application/x-protobuf");
const V2: (&str, &str) = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");

fn snappy(message: &impl prost::Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

async fn write(door: &Door, content_type: (&str, &str), message: &impl prost::Message) -> Reply {
    let request = post("/api/v1/write", &[content_type, SNAPPY], snappy(message));
    door.send(door.collector.prometheus_write(), request).await
}

fn labels(pairs: &[(&str, &str)]) -> Vec<v1::Label> {
    pairs.iter().map(|(n, v)| v1::Label { name: (*n).to_owned(), value: (*v).to_owned() }).collect()
}

fn series(pairs: &[(&str, &str)], value: f64) -> v1::TimeSeries {
    v1::TimeSeries {
        labels: labels(pairs),
        samples: vec![v1::Sample { value, timestamp: 5_000 }],
        ..v1::TimeSeries::default()
    }
}

fn request(timeseries: Vec<v1::TimeSeries>) -> v1::WriteRequest {
    v1::WriteRequest { timeseries, ..v1::WriteRequest::default() }
}

fn native() -> Histogram {
    Histogram {
        count: Some(Count::Int(6)),
        sum: 2.5,
        schema: 1,
        positive_spans: vec![BucketSpan { offset: 2, length: 3 }],
        positive_deltas: vec![1, 1, 1],
        timestamp: 6_000,
        ..Histogram::default()
    }
}

#[tokio::test]
async fn version_1_comes_in() {
    let door = Door::new();
    let mut full = series(&[("job", "j"), ("__name__", "x_total")], 1.0);
    full.histograms = vec![native()];
    full.exemplars =
        vec![v1::Exemplar { labels: labels(&[("trace_id", "t")]), value: 0.5, timestamp: 4_000 }];
    let stale = series(&[("__name__", "gone")], f64::from_bits(STALE_NAN_BITS));
    let reply = write(&door, V1, &request(vec![full, stale])).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::NO_CONTENT, 0));
    assert!(!reply.headers.contains_key("x-prometheus-remote-write-samples-written"));
    let batch = door.batch();
    assert_eq!(shown::samples(&batch), ["gone stale@5000", "x_total{job=\"j\"} 1@5000"]);
    assert_eq!(shown::exemplars(&batch), ["x_total{job=\"j\"} 0.5@4000 trace_id=String(\"t\")"]);
    let (of, at, histogram) = &shown::histograms(&batch)[0];
    assert_eq!((of.as_str(), *at), ("x_total{job=\"j\"}", 6_000));
    assert_eq!(histogram.positive_counts, [1.0, 2.0, 3.0]);
    assert!(!is_stale(histogram.sum));
    assert_eq!(items(&door, "accepted", Signal::Metrics, "prometheusremotewrite", "http"), "4");
}

#[tokio::test]
async fn metadata_is_remembered_for_later_requests() {
    let door = Door::new();
    let told = v1::MetricMetadata {
        r#type: v1::MetricType::Histogram as i32,
        metric_family_name: "latency".to_owned(),
        help: "How long.".to_owned(),
        unit: "seconds".to_owned(),
    };
    let metadata = v1::WriteRequest { metadata: vec![told], ..v1::WriteRequest::default() };
    assert_eq!(write(&door, V1, &metadata).await.status, StatusCode::NO_CONTENT);
    assert!(door.batches().is_empty());
    let later = request(vec![series(&[("__name__", "latency_bucket"), ("le", "1")], 1.0)]);
    write(&door, V1, &later).await;
    assert_eq!(shown::series(&door.batch()), ["latency_bucket{le=\"1\"} histogram seconds How long."]);
}

#[tokio::test]
async fn version_2_comes_in_and_is_counted() {
    let door = Door::new();
    let symbols = ["", "__name__", "x_total", "job", "j", "How many.", "bytes", "trace_id", "t"];
    let of = v2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![v2::Sample { value: 1.0, timestamp: 5_000, start_timestamp: 1_000 }],
        histograms: vec![Histogram { start_timestamp: 2_000, ..native() }],
        exemplars: vec![v2::Exemplar { labels_refs: vec![7, 8], value: 0.5, timestamp: 4_000 }],
        metadata: Some(v2::Metadata { r#type: v1::MetricType::Counter as i32, help_ref: 5, unit_ref: 6 }),
        created_timestamp: 0,
    };
    let old = v2::TimeSeries {
        labels_refs: vec![1, 4],
        samples: vec![v2::Sample { value: 2.0, timestamp: 5_000, start_timestamp: 0 }],
        created_timestamp: 3_000,
        ..v2::TimeSeries::default()
    };
    let message =
        v2::Request { symbols: symbols.map(str::to_owned).to_vec(), timeseries: vec![of.clone(), old] };
    let reply = write(&door, V2, &message).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    let written = |reply: &Reply| {
        ["samples", "histograms", "exemplars"]
            .map(|kind| reply.header(&format!("x-prometheus-remote-write-{kind}-written")).to_owned())
    };
    assert_eq!(written(&reply), ["2", "1", "1"]);
    let batch = door.batch();
    assert_eq!(shown::samples(&batch), ["j 2@5000 from 3000", "x_total{job=\"j\"} 1@5000 from 1000"]);
    assert_eq!(shown::series(&batch)[0], "x_total{job=\"j\"} counter bytes How many.");

    let broken = v2::TimeSeries { labels_refs: vec![1, 99], ..of };
    let message = v2::Request { timeseries: vec![broken], ..message };
    let reply = write(&door, V2, &message).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(written(&reply), ["0", "0", "0"]);
}

#[tokio::test]
async fn good_series_are_kept_and_bad_ones_named() {
    let door = Door::new();
    let mut misfit = series(&[("__name__", "misfit")], 1.0);
    misfit.histograms = vec![Histogram { positive_deltas: vec![], ..native() }];
    let twice = series(&[("__name__", "twice"), ("a", "1"), ("a", "2")], 1.0);
    let unsorted = series(&[("z", "1"), ("__name__", "unsorted"), ("a", "2")], 1.0);
    let reply = write(&door, V1, &request(vec![misfit, twice, unsorted])).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let want = "sample ignored, reason: invalid_histogram: histogram of series=`misfit`: spans, counts and bounds do \
                not fit together\nsample ignored, reason: invalid_labels: series=`twice{a=\"2\"}`: label=`a` stands \
                twice\ntotal ignored: 2 out of 4\n";
    assert_eq!(reply.text(), want);
    assert_eq!(shown::samples(&door.batch()), ["misfit 1@5000", "unsorted{a=\"2\", z=\"1\"} 1@5000"]);
}

#[tokio::test]
async fn what_the_store_rejects_is_not_counted_as_written() {
    let door = Door::new();
    door.mood(Mood::Rejects(1, Reason::TooOld));
    let of = |value| v2::TimeSeries {
        labels_refs: vec![1, 2],
        samples: vec![v2::Sample { value, timestamp: 5_000, start_timestamp: 0 }],
        ..v2::TimeSeries::default()
    };
    let symbols = ["", "__name__", "x"].map(str::to_owned).to_vec();
    let reply = write(&door, V2, &v2::Request { symbols, timeseries: vec![of(1.0), of(2.0)] }).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.header("x-prometheus-remote-write-samples-written"), "1");
    assert!(reply.text().contains("greater_than_max_sample_age: the first of them"), "{}", reply.text());
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let good = snappy(&request(vec![series(&[("__name__", "x")], 1.0)]));
    let other = ("content-type", "application/x-protobuf;proto=some.Other");
    let table = [
        (
            vec![("content-type", "application/json"), SNAPPY],
            good.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (vec![other, SNAPPY], good.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![V1, ("content-encoding", "gzip")], good.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![V1, SNAPPY], b"\xff\xff\xff".to_vec(), StatusCode::BAD_REQUEST),
        (vec![V1], good.clone(), StatusCode::NO_CONTENT),
    ];
    for (headers, body, status) in table {
        let door = Door::new();
        let reply = door.send(door.collector.prometheus_write(), post("/api/v1/write", &headers, body)).await;
        assert_eq!(reply.status, status, "{headers:?}");
    }
    let door = Door::new();
    let nobody = anonymous("/api/v1/write", &[V1, SNAPPY], good.clone());
    let reply = door.send(door.collector.prometheus_write(), nobody).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::UNAUTHORIZED, "TENANT_REQUIRED: no org id\n"));
    // Prometheus tries again after 5xx, and drops what is answered with 4xx.
    for (mood, status, retry_after) in [
        (limited(), StatusCode::TOO_MANY_REQUESTS, "7"),
        (Mood::Fails(full()), StatusCode::INSUFFICIENT_STORAGE, "30"),
        (Mood::Fails(too_large()), StatusCode::PAYLOAD_TOO_LARGE, ""),
    ] {
        door.mood(mood);
        let request = post("/api/v1/write", &[V1, SNAPPY], good.clone());
        let reply = door.send(door.collector.prometheus_write(), request).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, retry_after));
    }
}
