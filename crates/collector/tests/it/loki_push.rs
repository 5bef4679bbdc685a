//! Loki's push in both forms.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use model::Signal;
use model::ingest::Reason;
use prost::Message as _;
use wire::loki::{EntryAdapter, LabelPairAdapter, PushRequest, StreamAdapter, Timestamp};

use crate::door::{Door, Mood, anonymous, full, items, limited, post, too_large};
use crate::shown;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn entry(ns: i64, line: &'static [u8], metadata: &[(&str, &str)]) -> EntryAdapter {
    let pair = |(n, v): &(&str, &str)| LabelPairAdapter { name: (*n).to_owned(), value: (*v).to_owned() };
    EntryAdapter {
        timestamp: Some(Timestamp::from_nanoseconds(ns)),
        line: Bytes::from_static(line),
        structured_metadata: metadata.iter().map(pair).collect(),
        ..EntryAdapter::default()
    }
}

fn stream(labels: &str, entries: Vec<EntryAdapter>) -> StreamAdapter {
    StreamAdapter { labels: labels.to_owned(), entries, ..StreamAdapter::default() }
}

fn snappy(streams: Vec<StreamAdapter>) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&PushRequest { streams }.encode_to_vec()).unwrap()
}

#[tokio::test]
async fn protobuf_comes_in_on_both_paths() {
    for path in ["/loki/api/v1/push", "/api/prom/push"] {
        let door = Door::new();
        let streams = vec![
            stream(r#"{b="2", a="1"}"#, vec![entry(7, b"level=warn x", &[("trace.id", "t")])]),
            stream(r#"{app="web"}"#, vec![entry(8, b"bad \xff byte", &[])]),
            stream(r#"{a="1",b="2"}"#, vec![entry(9, b"y", &[("detected_level", "odd")])]),
        ];
        let reply = door.send(door.collector.loki_push(), post(path, &[PROTOBUF], snappy(streams))).await;
        assert_eq!((reply.status, reply.body.len()), (StatusCode::NO_CONTENT, 0), "{}", reply.text());
        let ab = "{a=\"1\", b=\"2\", service_name=\"unknown_service\"}";
        let web = "{app=\"web\", service_name=\"web\"}";
        let want = [
            format!("{ab} 7 0 level=warn x | trace_id=String(\"t\") detected_level=String(\"warn\")"),
            format!("{web} 8 0 bad \u{fffd} byte | detected_level=String(\"unknown\")"),
            format!("{ab} 9 0 y | detected_level=String(\"odd\")"),
        ];
        assert_eq!(shown::entries(&door.batch()), want);
        assert_eq!(items(&door, "accepted", Signal::Logs, "loki", "http"), "3");
    }
}

#[tokio::test]
async fn json_comes_in_plain_and_gzipped() {
    let body = r#"{"streams":[{"stream":{"service_name":"s","level":"ERROR"},
        "values":[["7","hello",{"user":"u"}],["8","info"]]}]}"#;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body.as_bytes()).unwrap();
    let forms = [
        (vec![JSON], body.as_bytes().to_vec()),
        (vec![JSON, ("content-encoding", "gzip")], gzip.finish().unwrap()),
    ];
    for (headers, body) in forms {
        let door = Door::new();
        let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &headers, body)).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
        let stream = "{level=\"ERROR\", service_name=\"s\"}";
        let level = "detected_level=String(\"error\")";
        let want = [
            format!("{stream} 7 0 hello | user=String(\"u\") {level}"),
            format!("{stream} 8 0 info | {level}"),
        ];
        assert_eq!(shown::entries(&door.batch()), want);
    }
}

#[tokio::test]
async fn good_streams_are_kept_and_bad_ones_named() {
    let no_time = EntryAdapter { timestamp: None, ..entry(1, b"x", &[]) };
    let table = [
        (stream("{a=b}", vec![entry(1, b"x", &[])]), "invalid_labels: error parsing labels `{a=b}`: "),
        (stream("{}", vec![entry(1, b"x", &[])]), "error at least one label pair is required per stream"),
        (stream(r#"{a="1",a="2"}"#, vec![entry(1, b"x", &[])]), "label=`a` stands twice"),
        (stream(r#"{a="1"}"#, vec![no_time]), "invalid_point: stream=`{a=\"1\"}`: an entry has no timestamp"),
    ];
    for (bad, want) in table {
        let door = Door::new();
        let body = snappy(vec![bad, stream(r#"{good="1"}"#, vec![entry(1, b"y", &[])])]);
        let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &[PROTOBUF], body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.text().starts_with("entry ignored, reason: "), "{}", reply.text());
        assert!(reply.text().contains(want), "{}", reply.text());
        assert!(reply.text().ends_with("total ignored: 1 out of 2\n"), "{}", reply.text());
        assert_eq!(door.batch().items(), 1);
    }
}

#[tokio::test]
async fn json_names_no_label_that_the_text_form_could_not() {
    for name in ["a-b", "1a", "", "ü"] {
        let door = Door::new();
        let body = format!(
            r#"{{"streams":[{{"stream":{{"{name}":"v"}},"values":[["1","x"]]}},{{"stream":{{"a":"v"}},"values":[["1","y"]]}}]}}"#
        );
        let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &[JSON], body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}");
        assert!(reply.text().contains(&format!("label=`{name}` is no name")), "{}", reply.text());
        assert_eq!(door.batch().items(), 1);
    }
}

#[tokio::test]
async fn what_the_store_says_is_answered_in_plain_text() {
    let body = || snappy(vec![stream(r#"{a="1"}"#, vec![entry(1, b"x", &[])])]);
    let door = Door::new();
    door.mood(Mood::Rejects(1, Reason::TooOld));
    let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &[PROTOBUF], body())).await;
    let want =
        "entry ignored, reason: greater_than_max_sample_age: the first of them\ntotal ignored: 1 out of 1\n";
    assert_eq!((reply.status, reply.text()), (StatusCode::BAD_REQUEST, want));
    door.mood(limited());
    let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &[PROTOBUF], body())).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::TOO_MANY_REQUESTS, "rate limit\n"));
    assert_eq!(reply.header("retry-after"), "7");
    door.mood(Mood::Fails(full()));
    let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &[PROTOBUF], body())).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::INSUFFICIENT_STORAGE, "30"));
    // The route is Loki's, the sender is one of OTLP: it gives up on 507.
    let logs = crate::otlp::logs(vec![(None, vec![crate::otlp::record("x")])]).encode_to_vec();
    let reply = door.send(door.collector.loki_push(), post("/otlp/v1/logs", &[PROTOBUF], logs)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "30"));
    door.mood(Mood::Fails(too_large()));
    let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &[PROTOBUF], body())).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::PAYLOAD_TOO_LARGE, ""));
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let table = [
        (vec![("content-type", "text/csv")], b"x".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![JSON, ("content-encoding", "br")], b"{}".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![JSON], b"[]".to_vec(), StatusCode::BAD_REQUEST),
        (vec![PROTOBUF], b"\xff\xff".to_vec(), StatusCode::BAD_REQUEST),
    ];
    for (headers, body, status) in table {
        let door = Door::new();
        let reply = door.send(door.collector.loki_push(), post("/loki/api/v1/push", &headers, body)).await;
        assert_eq!(reply.status, status, "{headers:?}");
        assert!(reply.header("content-type").starts_with("text/plain"));
    }
    for path in ["/loki/api/v1/push", "/otlp/v1/logs"] {
        let door = Door::new();
        let body = if path.contains("otlp") {
            crate::otlp::logs(vec![(None, vec![crate::otlp::record("x")])]).encode_to_vec()
        } else {
            Vec::new()
        };
        let reply = door.send(door.collector.loki_push(), anonymous(path, &[PROTOBUF], body)).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::UNAUTHORIZED, "TENANT_REQUIRED: no org id\n"));
    }
}
