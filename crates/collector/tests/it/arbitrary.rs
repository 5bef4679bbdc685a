//! Bytes that no client would send: every door answers, and never with a fault of its own.

use axum::Router;
use http::StatusCode;
use proptest::prelude::*;
use prost::Message as _;
use wire::loki::{EntryAdapter, PushRequest, StreamAdapter, Timestamp};
use wire::remote_write::{BucketSpan, Count, Histogram, v1, v2};

use crate::door::{Door, Reply, post};
use crate::otlp::{gauge, logs, metrics, record, resource, span, traces};

type Port = fn(&Door) -> Router;

const PATHS: [(&str, Port); 7] = [
    ("/v1/metrics", |door| door.collector.otlp_http()),
    ("/v1/logs", |door| door.collector.otlp_http()),
    ("/v1/traces", |door| door.collector.otlp_http()),
    ("/api/v1/write", |door| door.collector.prometheus_write()),
    ("/api/v1/otlp/v1/metrics", |door| door.collector.prometheus_write()),
    ("/loki/api/v1/push", |door| door.collector.loki_push()),
    ("/otlp/v1/logs", |door| door.collector.loki_push()),
];

const TYPES: [&str; 4] = [
    "application/x-protobuf",
    "application/json",
    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "text/plain",
];

const ENCODINGS: [&str; 5] = ["identity", "gzip", "zstd", "snappy", "deflate"];

fn send(path: usize, content_type: &str, encoding: &str, body: Vec<u8>) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let door = Door::new();
    let (path, router) = PATHS[path];
    let request = post(path, &[("content-type", content_type), ("content-encoding", encoding)], body);
    runtime.block_on(door.send(router(&door), request))
}

fn answered(reply: &Reply) -> Result<(), TestCaseError> {
    prop_assert!(reply.status.is_success() || reply.status.is_client_error(), "{}", reply.status);
    Ok(())
}

/// Well-formed requests of every signal, to be bent.
fn requests() -> [Vec<u8>; 3] {
    let of = resource(&[("service.name", "s"), ("host", "h")]);
    [
        metrics(vec![(of.clone(), vec![gauge("x", 1.0), gauge("y", 2.0)])]).encode_to_vec(),
        logs(vec![(of.clone(), vec![record("a"), record("b")])]).encode_to_vec(),
        traces(vec![(of, vec![span("a"), span("b")])]).encode_to_vec(),
    ]
}

fn push() -> Vec<u8> {
    let entry = EntryAdapter {
        timestamp: Some(Timestamp::from_nanoseconds(7)),
        line: "level=info x".into(),
        ..EntryAdapter::default()
    };
    let labels = r#"{a="1", b="2"}"#.to_owned();
    let streams = vec![StreamAdapter { labels, entries: vec![entry], ..StreamAdapter::default() }];
    PushRequest { streams }.encode_to_vec()
}

fn write(version: &str) -> Vec<u8> {
    let histogram = Histogram {
        count: Some(Count::Int(6)),
        positive_spans: vec![BucketSpan { offset: 2, length: 3 }],
        positive_deltas: vec![1, 1, 1],
        timestamp: 6_000,
        ..Histogram::default()
    };
    if version == TYPES[0] {
        let labels = vec![v1::Label { name: "__name__".to_owned(), value: "x".to_owned() }];
        let samples = vec![v1::Sample { value: 1.0, timestamp: 5_000 }];
        let series =
            v1::TimeSeries { labels, samples, histograms: vec![histogram], ..v1::TimeSeries::default() };
        return v1::WriteRequest { timeseries: vec![series], ..v1::WriteRequest::default() }.encode_to_vec();
    }
    let series = v2::TimeSeries {
        labels_refs: vec![1, 2],
        samples: vec![v2::Sample { value: 1.0, timestamp: 5_000, start_timestamp: 1_000 }],
        histograms: vec![histogram],
        ..v2::TimeSeries::default()
    };
    let symbols = ["", "__name__", "x"].map(str::to_owned).to_vec();
    v2::Request { symbols, timeseries: vec![series] }.encode_to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes(
        path in 0..PATHS.len(),
        content_type in prop::sample::select(&TYPES),
        encoding in prop::sample::select(&ENCODINGS),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        answered(&send(path, content_type, encoding, body))?;
    }

    #[test]
    fn bent_messages(
        signal in 0..3_usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        is_cut in any::<bool>(),
    ) {
        let mut body = requests()[signal].clone();
        let at = at.index(body.len());
        body[at] = byte;
        if is_cut {
            body.truncate(at);
        }
        answered(&send(signal, TYPES[0], "identity", body))?;
    }

    #[test]
    fn bent_snappy_messages(
        is_push in any::<bool>(),
        version in prop::sample::select(&[TYPES[0], TYPES[2]]),
        bends in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut body = if is_push { push() } else { write(version) };
        for (at, byte) in bends {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let body = snap::raw::Encoder::new().compress_vec(&body).unwrap();
        let (path, content_type) = if is_push { (5, TYPES[0]) } else { (3, version) };
        answered(&send(path, content_type, "snappy", body))?;
    }

    #[test]
    fn arbitrary_json(path in 0..PATHS.len(), body in r#"[\[\]{}:,"a-z0-9.\\ ]{0,80}"#) {
        answered(&send(path, TYPES[1], "identity", body.into_bytes()))?;
    }
}

#[test]
fn nesting_has_an_end() {
    let deep = format!("{}{}", "{\"kvlistValue\":{\"values\":[{\"value\":".repeat(10_000), "1");
    let body =
        format!("{{\"resourceLogs\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"k\",\"value\":{deep}");
    assert_eq!(send(1, TYPES[1], "identity", body.into_bytes()).status, StatusCode::BAD_REQUEST);
}
