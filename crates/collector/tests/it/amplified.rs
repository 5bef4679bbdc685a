//! Small bodies that say something large once and mean it often: refused before it is written out.

use http::StatusCode;
use prost::Message as _;
use wire::otlp::metrics::metric::Data;
use wire::otlp::metrics::{Histogram, HistogramDataPoint};
use wire::remote_write::{v1, v2};

use crate::door::{Door, Reply, post};
use crate::otlp::{logs, metric, metrics, pair, record, resource, span, string, traces};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const V2: (&str, &str) = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");

/// A text that takes a hundred megabytes when a thousand items repeat it.
fn large() -> String {
    "y".repeat(110 << 10)
}

fn assert_refused(reply: &Reply, door: &Door, what: &str) {
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE, "{what}");
    let text = String::from_utf8_lossy(&reply.body);
    assert!(text.contains("send smaller batches"), "{what}: {text}");
    assert!(door.batches().is_empty(), "{what}");
}

#[tokio::test]
async fn attributes_of_a_resource_that_many_items_would_carry() {
    let large = large();
    let around = |key: &str| resource(&[(key, large.as_str())]);
    let histogram = HistogramDataPoint {
        bucket_counts: vec![0; 1_000],
        explicit_bounds: (1..1_000).map(f64::from).collect(),
        attributes: vec![pair("k", string(&large))],
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram { data_points: vec![histogram], aggregation_temporality: 2 };
    let cases = [
        ("/v1/logs", logs(vec![(around("k"), vec![record("x"); 1_000])]).encode_to_vec()),
        ("/v1/traces", traces(vec![(around("k"), vec![span("x"); 1_000])]).encode_to_vec()),
        (
            "/v1/metrics",
            metrics(vec![(None, vec![metric("h", "", Data::Histogram(histogram))])]).encode_to_vec(),
        ),
    ];
    for (path, body) in cases {
        assert!(body.len() < 300_000);
        let door = Door::new();
        let reply = door.send(door.collector.otlp_http(), post(path, &[PROTOBUF], body)).await;
        assert_refused(&reply, &door, path);
    }
    // What is a label stands once a stream.
    let door = Door::new();
    let body = logs(vec![(around("service.name"), vec![record("x"); 1_000])]).encode_to_vec();
    let reply = door.send(door.collector.otlp_http(), post("/v1/logs", &[PROTOBUF], body)).await;
    assert_eq!((reply.status, door.batch().items()), (StatusCode::OK, 1_000));
}

#[tokio::test]
async fn symbols_and_helps_that_many_series_would_carry() {
    let snappy = |body: Vec<u8>| snap::raw::Encoder::new().compress_vec(&body).unwrap();
    let mut symbols = vec![String::new(), "__name__".to_owned(), "a".to_owned(), large()];
    symbols.extend((0..1_000).map(|number| format!("m{number}")));
    let series = |number: u32| v2::TimeSeries {
        labels_refs: vec![1, 4 + number, 2, 3],
        samples: vec![v2::Sample { value: 1.0, timestamp: 5_000, ..v2::Sample::default() }],
        ..v2::TimeSeries::default()
    };
    let body = v2::Request { symbols, timeseries: (0..1_000).map(series).collect() };
    let door = Door::new();
    let request = post("/api/v1/write", &[V2], snappy(body.encode_to_vec()));
    let reply = door.send(door.collector.prometheus_write(), request).await;
    assert_refused(&reply, &door, "symbols");

    let label = |name: &str, value: String| v1::Label { name: name.to_owned(), value };
    let series = |number: usize| v1::TimeSeries {
        labels: vec![label("__name__", "m".to_owned()), label("i", number.to_string())],
        samples: vec![v1::Sample { value: 1.0, timestamp: 5_000 }],
        ..v1::TimeSeries::default()
    };
    let metadata = v1::MetricMetadata {
        r#type: 1,
        metric_family_name: "m".to_owned(),
        help: "h".repeat(30_000),
        unit: String::new(),
    };
    let body = v1::WriteRequest { timeseries: (0..5_000).map(series).collect(), metadata: vec![metadata] };
    let request = post("/api/v1/write", &[PROTOBUF], snappy(body.encode_to_vec()));
    let reply = door.send(door.collector.prometheus_write(), request).await;
    assert_refused(&reply, &door, "help");
}

#[tokio::test]
async fn empty_messages_that_decoding_would_make_large() {
    fn nested(inner: &[u8], number: u8) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        bytes.extend_from_slice(inner);
        bytes
    }
    let spans = nested(&nested(&[0x12, 0x00].repeat(2 << 20), 2), 1);
    let json =
        format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{}{{}}]}}]}}]}}", "{},".repeat(2 << 20));
    for (content_type, body) in [(PROTOBUF, spans), (("content-type", "application/json"), json.into_bytes())]
    {
        let door = Door::new();
        let reply = door.send(door.collector.otlp_http(), post("/v1/traces", &[content_type], body)).await;
        assert_refused(&reply, &door, content_type.1);
    }
    let series = [0x0a, 0x00].repeat(6 << 20);
    let snappy = snap::raw::Encoder::new().compress_vec(&series).unwrap();
    let door = Door::new();
    let reply = door
        .send(door.collector.prometheus_write(), post("/api/v1/write", &[PROTOBUF], snappy.clone()))
        .await;
    assert_refused(&reply, &door, "series");
    let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &[PROTOBUF], snappy)).await;
    assert_refused(&reply, &door, "streams");
}

#[tokio::test]
async fn empty_messages_over_grpc_also_where_they_are_compressed() {
    let mut inner = vec![0x0a];
    let spans = [0x12, 0x00].repeat(2 << 20);
    let mut scope = vec![0x12];
    prost::encoding::encode_varint(spans.len() as u64, &mut scope);
    scope.extend_from_slice(&spans);
    prost::encoding::encode_varint(scope.len() as u64, &mut inner);
    inner.extend_from_slice(&scope);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &inner).unwrap();
    let frame = |flag: u8, message: &[u8]| {
        [&[flag], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
    };
    let two = [frame(0, b""), frame(0, b"")].concat();
    for (what, body) in
        [("plain", frame(0, &inner)), ("gzip", frame(1, &gzip.finish().unwrap())), ("two", two)]
    {
        let door = Door::new();
        let headers = [("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let reply = door.send(door.collector.otlp_grpc(), post(path, &headers, body)).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (StatusCode::OK, "3"), "{what}");
        assert!(door.batches().is_empty(), "{what}");
    }
}
