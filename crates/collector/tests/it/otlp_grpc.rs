//! OTLP over gRPC, with the generated clients on the router itself.

use axum::body::{Body, Bytes};
use axum::{Extension, Router};
use collector::settings::{BodySettings, Settings};
use futures::{FutureExt as _, StreamExt as _};
use model::Signal;
use model::ingest::{IngestError, Reason};
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use wire::otlp::collector_logs::logs_service_client::LogsServiceClient;
use wire::otlp::collector_metrics::metrics_service_client::MetricsServiceClient;
use wire::otlp::collector_trace::trace_service_client::TraceServiceClient;

use crate::door::{Door, Mood, access, full, items, limited, post, too_large};
use crate::otlp::{gauge, logs, metrics, record, resource, span, traces};

fn router(door: &Door, asked: Option<&str>) -> Router {
    door.collector.otlp_grpc().layer(Extension(access(asked)))
}

#[tokio::test]
async fn three_signals_come_in() {
    let door = Door::new();
    let router = router(&door, Some("acme"));
    let answer = MetricsServiceClient::new(router.clone())
        .export(metrics(vec![(None, vec![gauge("x", 1.0)])]))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().partial_success, None);
    let request = logs(vec![(None, vec![record("a"), record("b")])]);
    LogsServiceClient::new(router.clone()).export(request).await.unwrap();
    let request = traces(vec![(None, vec![span("s")])]);
    TraceServiceClient::new(router).export(request).await.unwrap();
    let written: Vec<(Signal, usize)> =
        door.batches().iter().map(|(_, batch)| (batch.signal(), batch.items())).collect();
    assert_eq!(written, [(Signal::Metrics, 1), (Signal::Logs, 2), (Signal::Traces, 1)]);
    assert_eq!(items(&door, "accepted", Signal::Logs, "otlp", "grpc"), "2");
}

#[tokio::test]
async fn compressed_and_large_messages_come_in() {
    let door = Door::new();
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd, CompressionEncoding::Deflate] {
        let mut client = LogsServiceClient::new(router(&door, Some("acme"))).send_compressed(encoding);
        let records = (0..5_000).map(|i| record(&format!("line {i}"))).collect();
        client.export(logs(vec![(None, records)])).await.unwrap();
        assert_eq!(door.batch().items(), 5_000, "{encoding:?}");
    }
}

#[tokio::test]
async fn rejected_items_are_a_partial_success() {
    let door = Door::new();
    door.mood(Mood::Rejects(1, Reason::TooFarAhead));
    let mut client = TraceServiceClient::new(router(&door, Some("acme")));
    let answer = client.export(traces(vec![(None, vec![span("a"), span("b")])])).await.unwrap();
    let partial = answer.into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("too_far_in_future"));
}

#[tokio::test]
async fn errors_are_statuses() {
    let unavailable = IngestError::Unavailable { message: "starting".to_owned(), retry_after_s: 2 };
    let table = [
        (Some("acme"), "", limited(), Code::ResourceExhausted, Some(7)),
        (Some("acme"), "", Mood::Fails(unavailable), Code::Unavailable, Some(2)),
        (Some("acme"), "", Mood::Fails(full()), Code::Unavailable, Some(30)),
        (Some("acme"), "", Mood::Fails(too_large()), Code::InvalidArgument, None),
        (None, "", Mood::Takes, Code::Unauthenticated, None),
        (None, "forbidden", Mood::Takes, Code::PermissionDenied, None),
        (None, "not/valid", Mood::Takes, Code::InvalidArgument, None),
    ];
    for (asked, named, mood, code, retry_after_s) in table {
        let door = Door::new();
        door.mood(mood);
        let of = if named.is_empty() { None } else { resource(&[("tenant.id", named)]) };
        let mut client = MetricsServiceClient::new(router(&door, asked));
        let status = client.export(metrics(vec![(of, vec![gauge("x", 1.0)])])).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(!status.message().is_empty());
        match retry_after_s {
            None => assert!(status.details().is_empty()),
            Some(seconds) => {
                let details = RpcStatus::decode(status.details()).unwrap();
                assert_eq!((details.code, details.message.as_str()), (code as i32, status.message()));
                assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
                let retry = RetryInfo::decode(&*details.details[0].value).unwrap();
                assert_eq!(retry.retry_delay.unwrap().seconds, seconds);
            }
        }
    }
}

#[tokio::test]
async fn messages_have_bounds() {
    let bodies = BodySettings { max_in_flight_bytes: 16 << 10 };
    let door = Door::with(Settings { bodies, ..Settings::default() });
    let of = |bytes: usize| logs(vec![(None, vec![record(&"x".repeat(bytes))])]);
    let mut client = LogsServiceClient::new(router(&door, Some("acme")));
    let large = client.export(of(5_000)).await.unwrap_err();
    assert_eq!((large.code(), large.details().is_empty()), (Code::InvalidArgument, true), "{large:?}");

    let never = || futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let slow = || {
        let part = futures::stream::iter([Ok(Bytes::from_static(&[0; 4_000]))]);
        let body = Body::from_stream(part.chain(never()));
        Box::pin(
            door.send(door.collector.otlp_grpc(), post(path, &[("content-type", "application/grpc")], body)),
        )
    };
    let mut waiting = [slow(), slow()];
    assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
    assert_eq!(door.collector.memory_bytes(), 8 << 10);
    let busy = client.export(of(3_000)).await.unwrap_err();
    assert_eq!(busy.code(), Code::Unavailable, "{busy:?}");
    assert!(!busy.details().is_empty());
    drop(waiting);
    client.export(of(3_000)).await.unwrap();
    assert_eq!(door.collector.memory_bytes(), 0);
}

/// `google.rpc.Status`, as a client would read it.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
}
