//! OTLP over HTTP: formats, encodings, tenants, limits and answers.

use std::io::Write as _;

use axum::body::{Body, Bytes};
use collector::settings::{BodySettings, Settings};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures::{FutureExt as _, StreamExt as _};
use http::StatusCode;
use model::Signal;
use model::ingest::{IngestError, Reason};
use prost::Message as _;
use wire::otlp::{ExportMetricsServiceResponse, ExportTraceServiceResponse, Status};

use crate::door::{Door, Mood, anonymous, full, items, limited, post, too_large};
use crate::otlp::{gauge, logs, metrics, record, resource, span, traces};
use crate::shown;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

fn one_gauge() -> Vec<u8> {
    metrics(vec![(None, vec![gauge("x", 1.0)])]).encode_to_vec()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_encoding_is_taken() {
    let body = one_gauge();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&body).unwrap();
    let encoded = [
        ("identity", body.clone()),
        ("gzip", gzip(&body)),
        ("deflate", zlib.finish().unwrap()),
        ("zstd", zstd::encode_all(&*body, 1).unwrap()),
        ("snappy", snap::raw::Encoder::new().compress_vec(&body).unwrap()),
    ];
    for (encoding, body) in encoded {
        let door = Door::new();
        let request = post("/v1/metrics", &[PROTOBUF, ("content-encoding", encoding)], body);
        let reply = door.send(door.collector.otlp_http(), request).await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, PROTOBUF.1), "{encoding}");
        assert_eq!(ExportMetricsServiceResponse::decode(reply.body).unwrap().partial_success, None);
        assert_eq!(shown::samples(&door.batch()), ["x 1@5000"]);
    }
}

#[tokio::test]
async fn large_bodies_are_taken_in_chunks() {
    let door = Door::new();
    let records = (0..5_000).map(|i| record(&format!("line {i}"))).collect();
    let body = logs(vec![(None, records)]).encode_to_vec();
    let chunks: Vec<Result<Bytes, std::io::Error>> =
        body.chunks(10_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let body = Body::from_stream(futures::stream::iter(chunks));
    let reply = door.send(door.collector.otlp_http(), post("/v1/logs", &[PROTOBUF], body)).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(door.batch().items(), 5_000);
}

#[tokio::test]
async fn json_is_answered_in_json() {
    let door = Door::new();
    let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"a",
         "startTimeUnixNano":"100","endTimeUnixNano":"150"},
        {"traceId":"","spanId":"eee19b7ec3c1b174","name":"b"}]}]}]}"#;
    let reply = door.send(door.collector.otlp_http(), post("/v1/traces", &[JSON], body)).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/json"));
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    assert_eq!(door.batch().items(), 1);
}

#[tokio::test]
async fn refused_requests_say_why_in_their_own_format() {
    let table = [
        ("text/plain", "", b"x".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, 3),
        (PROTOBUF.1, "br", b"x".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, 3),
        (PROTOBUF.1, "", b"\xff\xff".to_vec(), StatusCode::BAD_REQUEST, 3),
        (PROTOBUF.1, "gzip", b"\xff\xff".to_vec(), StatusCode::BAD_REQUEST, 3),
        (JSON.1, "", b"{".to_vec(), StatusCode::BAD_REQUEST, 3),
    ];
    for (content_type, encoding, body, status, code) in table {
        let door = Door::new();
        let mut headers = vec![("content-type", content_type)];
        if !encoding.is_empty() {
            headers.push(("content-encoding", encoding));
        }
        let reply = door.send(door.collector.otlp_http(), post("/v1/metrics", &headers, body)).await;
        assert_eq!(reply.status, status, "{content_type} {encoding}");
        if content_type == PROTOBUF.1 {
            assert_eq!(reply.header("content-type"), PROTOBUF.1);
            let told = Status::decode(reply.body).unwrap();
            assert_eq!(told.code, code);
            assert!(!told.message.is_empty());
        } else {
            assert_eq!(reply.header("content-type"), "application/json");
            let told: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(told["code"], code);
        }
        assert!(door.batches().is_empty());
        let labels = "{receiver=\"otlp\",transport=\"http\",outcome=\"failure\"}";
        assert_eq!(door.counter(&format!("otelcol_receiver_requests_total{labels}")), "1");
    }
}

#[tokio::test]
async fn what_the_store_says_becomes_a_status() {
    let unavailable = IngestError::Unavailable { message: "starting".to_owned(), retry_after_s: 2 };
    let table = [
        (limited(), StatusCode::TOO_MANY_REQUESTS, "7", 8),
        (Mood::Fails(unavailable), StatusCode::SERVICE_UNAVAILABLE, "2", 14),
        // Senders of OTLP give up on 507 and would lose what could be written later.
        (Mood::Fails(full()), StatusCode::SERVICE_UNAVAILABLE, "30", 14),
        (Mood::Fails(too_large()), StatusCode::PAYLOAD_TOO_LARGE, "", 3),
        (Mood::Fails(IngestError::Internal("broken".to_owned())), StatusCode::SERVICE_UNAVAILABLE, "", 14),
    ];
    for (mood, status, retry_after, code) in table {
        let door = Door::new();
        door.mood(mood);
        let reply =
            door.send(door.collector.otlp_http(), post("/v1/metrics", &[PROTOBUF], one_gauge())).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, retry_after));
        assert_eq!(Status::decode(reply.body).unwrap().code, code);
    }
}

#[tokio::test]
async fn what_the_store_rejects_is_a_partial_success() {
    let door = Door::new();
    door.mood(Mood::Rejects(1, Reason::TooOld));
    let body = metrics(vec![(None, vec![gauge("x", 1.0), gauge("y", 1.0)])]).encode_to_vec();
    let reply = door.send(door.collector.otlp_http(), post("/v1/metrics", &[PROTOBUF], body)).await;
    assert_eq!(reply.status, StatusCode::OK);
    let partial = ExportMetricsServiceResponse::decode(reply.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 1);
    assert_eq!(partial.error_message, "greater_than_max_sample_age (1): the first of them");
    assert_eq!(items(&door, "accepted", Signal::Metrics, "otlp", "http"), "1");
    assert_eq!(items(&door, "refused", Signal::Metrics, "otlp", "http"), "1");
}

#[tokio::test]
async fn resources_go_to_the_tenants_that_they_name() {
    let door = Door::new();
    let of = |key: &str, tenant: &str, name: &str| (resource(&[(key, tenant)]), vec![span(name)]);
    let body = traces(vec![
        of("tenant.id", "a", "1"),
        of("tenant", "b", "2"),
        of("tenant_id", "a", "3"),
        of("tenant.id", "forbidden", "4"),
        of("tenant.id", "not/valid", "5"),
        of("other", "x", "6"),
    ]);
    let reply = door
        .send(door.collector.otlp_http(), anonymous("/v1/traces", &[PROTOBUF], body.encode_to_vec()))
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    let partial = ExportTraceServiceResponse::decode(reply.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 3);
    assert!(partial.error_message.starts_with("tenant_refused (3): tenant mismatch"));
    let written: Vec<(String, usize)> = door.batches().into_iter().map(|(t, b)| (t, b.items())).collect();
    assert_eq!(written, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
}

#[tokio::test]
async fn a_tenant_over_its_rate_does_not_stop_the_others_of_its_request() {
    let door = Door::new();
    let of = |tenant: &str| (resource(&[("tenant.id", tenant)]), vec![span("s")]);
    let body = traces(vec![of("a"), of("b"), of("c")]).encode_to_vec();
    let send = || door.send(door.collector.otlp_http(), anonymous("/v1/traces", &[PROTOBUF], body.clone()));
    door.mood(Mood::Limits(&["a", "c"]));
    let reply = send().await;
    assert_eq!(reply.status, StatusCode::OK);
    let partial = ExportTraceServiceResponse::decode(reply.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.starts_with("rate_limited (2): rate_limited: tenant="), "{partial:?}");
    assert_eq!(door.batch().items(), 1);
    door.mood(Mood::Limits(&["a", "b", "c"]));
    let reply = send().await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "7"));
}

#[tokio::test]
async fn a_request_of_refused_tenants_alone_is_refused() {
    let table = [
        (None, StatusCode::UNAUTHORIZED, 16),
        (Some("forbidden"), StatusCode::FORBIDDEN, 7),
        (Some("not/valid"), StatusCode::BAD_REQUEST, 3),
    ];
    for (named, status, code) in table {
        let door = Door::new();
        let of = named.and_then(|name| resource(&[("tenant.id", name)]));
        let body = metrics(vec![(of, vec![gauge("x", 1.0)])]).encode_to_vec();
        let reply = door.send(door.collector.otlp_http(), anonymous("/v1/metrics", &[PROTOBUF], body)).await;
        assert_eq!(reply.status, status);
        assert_eq!(Status::decode(reply.body).unwrap().code, code);
        assert_eq!(items(&door, "refused", Signal::Metrics, "otlp", "http"), "1");
    }
}

#[tokio::test]
async fn a_request_carries_a_bounded_number_of_tenants() {
    let door = Door::new();
    let of = |i: usize| (resource(&[("tenant.id", &format!("t{i}"))]), vec![span("x")]);
    let body = traces((0..70).map(of).collect()).encode_to_vec();
    let reply = door.send(door.collector.otlp_http(), anonymous("/v1/traces", &[PROTOBUF], body)).await;
    let partial = ExportTraceServiceResponse::decode(reply.body).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, door.batches().len()), (6, 64));
}

/// Settings where one body is at most 16 KiB and one tenant's requests hold at most 48 KiB.
fn small() -> Settings {
    Settings { bodies: BodySettings { max_in_flight_bytes: 64 << 10 }, ..Settings::default() }
}

#[tokio::test]
async fn bodies_have_bounds() {
    let door = Door::with(small());
    let gzipped = ("content-encoding", "gzip");
    let many = logs(vec![(None, vec![record(""); 400])]).encode_to_vec();
    let table = [
        (vec![PROTOBUF], vec![0; (16 << 10) + 1], StatusCode::PAYLOAD_TOO_LARGE),
        (vec![PROTOBUF, gzipped], gzip(&vec![0; 17 << 10]), StatusCode::PAYLOAD_TOO_LARGE),
        // Within the bounds of a body, and too large once it is decoded: trying again would not help.
        (vec![PROTOBUF], many, StatusCode::PAYLOAD_TOO_LARGE),
        (vec![PROTOBUF, gzipped], gzip(&one_gauge()), StatusCode::OK),
    ];
    for (headers, body, status) in table {
        let path = if body.len() < 1_000 { "/v1/metrics" } else { "/v1/logs" };
        let reply = door.send(door.collector.otlp_http(), post(path, &headers, body)).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, ""));
    }
    // Without a length told, the bound holds while reading.
    let chunks = (0..5).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 4_000])));
    let body = Body::from_stream(futures::stream::iter(chunks));
    let reply = door.send(door.collector.otlp_http(), post("/v1/metrics", &[PROTOBUF], body)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(door.collector.memory_bytes(), 0, "what a request held is given back");
}

#[tokio::test]
async fn a_tenant_that_fills_the_process_is_told_so_and_keeps_no_other_out() {
    let door = Door::with(small());
    let never = || futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let slow =
        || Body::from_stream(futures::stream::iter([Ok(Bytes::from_static(&[0; 16_000]))]).chain(never()));
    let mut waiting = futures::stream::FuturesUnordered::new();
    for _ in 0..3 {
        waiting.push(door.send(door.collector.otlp_http(), post("/v1/logs", &[PROTOBUF], slow())));
    }
    // What has arrived of them is held as soon as each was polled once.
    assert!(waiting.next().now_or_never().is_none());
    assert_eq!(door.collector.memory_bytes(), 48 << 10);
    let reply = door.send(door.collector.otlp_http(), post("/v1/metrics", &[PROTOBUF], one_gauge())).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(Status::decode(reply.body).unwrap().code, 14);
    let mut other = post("/v1/metrics", &[PROTOBUF], one_gauge());
    other.headers_mut().insert("x-scope-orgid", http::HeaderValue::from_static("globex"));
    let reply = door.send(door.collector.otlp_http(), other).await;
    assert_eq!(reply.status, StatusCode::OK, "another tenant finds room");
    drop(waiting);
    for _ in 0..10 {
        let reply =
            door.send(door.collector.otlp_http(), post("/v1/metrics", &[PROTOBUF], one_gauge())).await;
        assert_eq!(reply.status, StatusCode::OK, "it goes on when those that waited are gone");
    }
}

#[tokio::test]
async fn an_empty_request_is_a_success() {
    let door = Door::new();
    for path in ["/v1/metrics", "/v1/logs", "/v1/traces"] {
        let reply = door.send(door.collector.otlp_http(), post(path, &[PROTOBUF], Vec::new())).await;
        assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
        let reply = door.send(door.collector.otlp_http(), post(path, &[JSON], "{}")).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    assert!(door.batches().is_empty());
}

#[tokio::test]
async fn prometheus_takes_otlp_metrics_too() {
    let door = Door::new();
    let request = post("/api/v1/otlp/v1/metrics", &[PROTOBUF], one_gauge());
    let reply = door.send(door.collector.prometheus_write(), request).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(shown::samples(&door.batch()), ["x 1@5000"]);
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let door = Door::new();
    let request = http::Request::get("/v1/metrics").body(Body::empty()).unwrap();
    let reply = door.send(door.collector.otlp_http(), request).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
}
