//! Bytes that no client would send: every door answers, and never with a fault of its own.

use axum::Router;
use http::StatusCode;
use proptest::prelude::*;
use prost::Message as _;

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
