//! What a request costs from its bytes to the batch that the store is given: decompression, decoding, mapping. The store
//! drops what it gets.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::sync::Arc;

use axum::body::Body;
use axum::{Extension, Router};
use collector::settings::Settings;
use collector::{Collector, Components, Metrics};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::BoxFuture;
use http::Request;
use model::Limits;
use model::ingest::{Batch, Ingest, IngestError, Receipt};
use model::tenant::{Access, Caller, TenantContext, TenantId};
use model::time::{ManualClock, TimestampNs};
use prometheus_client::registry::Registry;
use prost::Message;
use tower::ServiceExt as _;
use wire::otlp::common::{AnyValue, KeyValue, any_value};
use wire::otlp::resource::Resource;
use wire::{loki, otlp, remote_write};

const NOW_NS: u64 = 1_700_000_000_000_000_000;
const ITEMS: u64 = 2_000;

#[derive(Debug)]
struct Drain;

impl Ingest for Drain {
    fn ingest<'a>(
        &'a self,
        _context: &'a TenantContext,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Receipt, IngestError>> {
        let receipt = Receipt { accepted: batch.items(), rejections: Vec::new() };
        Box::pin(async move { Ok(receipt) })
    }
}

fn access() -> Access {
    let asked = Some(TenantId::parse("acme").unwrap());
    let context = |caller: &Caller, _named: Option<&str>| {
        Ok(TenantContext::new(caller.asked.clone().unwrap(), Arc::new(Limits::default())))
    };
    Access::new(Caller { asked, name: None }, Arc::new(context))
}

fn pair(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn resource(n: u64) -> Option<Resource> {
    let attributes = vec![pair("service.name", "cart"), pair("k8s.pod.name", &format!("cart-{n}"))];
    Some(Resource { attributes, ..Resource::default() })
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

/// The labels of a series of Kubernetes.
fn labels(n: u64) -> Vec<(String, String)> {
    let pairs = [
        ("__name__", "container_network_receive_bytes_total".to_owned()),
        ("container", "cart".to_owned()),
        ("instance", format!("10.42.3.{}", n % 250)),
        ("namespace", "shop".to_owned()),
        ("pod", format!("cart-5bd1e995-{n:05}")),
        ("service", "cart".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn remote_write_v1() -> Vec<u8> {
    let timeseries = (0..ITEMS).map(|n| remote_write::v1::TimeSeries {
        labels: labels(n).into_iter().map(|(name, value)| remote_write::v1::Label { name, value }).collect(),
        samples: vec![remote_write::v1::Sample { value: n as f64 * 17.0, timestamp: 1_700_000_000_000 }],
        ..remote_write::v1::TimeSeries::default()
    });
    let request = remote_write::v1::WriteRequest { timeseries: timeseries.collect(), metadata: Vec::new() };
    snappy(&request.encode_to_vec())
}

fn remote_write_v2() -> Vec<u8> {
    let mut request = remote_write::v2::Request { symbols: vec![String::new()], timeseries: Vec::new() };
    for n in 0..ITEMS {
        let mut labels_refs = Vec::new();
        for text in labels(n).into_iter().flat_map(|(name, value)| [name, value]) {
            let known = request.symbols.iter().position(|symbol| *symbol == text);
            labels_refs.push(known.unwrap_or(request.symbols.len()) as u32);
            if known.is_none() {
                request.symbols.push(text);
            }
        }
        let sample = remote_write::v2::Sample {
            value: n as f64 * 17.0,
            timestamp: 1_700_000_000_000,
            start_timestamp: 0,
        };
        let series =
            remote_write::v2::TimeSeries { labels_refs, samples: vec![sample], ..Default::default() };
        request.timeseries.push(series);
    }
    snappy(&request.encode_to_vec())
}

fn loki_push() -> Vec<u8> {
    let streams = (0..20).map(|stream| loki::StreamAdapter {
        labels: format!("{{app=\"cart\", namespace=\"shop\", pod=\"cart-{stream}\"}}"),
        entries: (0..ITEMS / 20)
            .map(|n| loki::EntryAdapter {
                timestamp: Some(loki::Timestamp::from_nanoseconds((NOW_NS + n) as i64)),
                line: line(n).into(),
                ..loki::EntryAdapter::default()
            })
            .collect(),
        hash: 0,
    });
    snappy(&loki::PushRequest { streams: streams.collect() }.encode_to_vec())
}

fn line(n: u64) -> String {
    format!(
        "{{\"ts\":\"2026-11-22T17:33:26.{n:06}Z\",\"level\":\"info\",\"msg\":\"request handled\",\
         \"trace_id\":\"{:032x}\",\"user_id\":{n},\"path\":\"/api/v1/items/{n}\",\"status\":200,\"duration_ms\":12.4}}",
        u128::from(n) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834
    )
}

fn otlp_metrics() -> Vec<u8> {
    use otlp::metrics::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
    };
    let resource_metrics = (0..ITEMS / 20).map(|pod| {
        let metrics = (0..20).map(|n| {
            let point = NumberDataPoint {
                time_unix_nano: NOW_NS,
                value: Some(number_data_point::Value::AsDouble(n as f64)),
                attributes: vec![pair("code", "200")],
                ..NumberDataPoint::default()
            };
            let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
            Metric { name: format!("metric.{n}"), data, ..Metric::default() }
        });
        let scope = ScopeMetrics { metrics: metrics.collect(), ..ScopeMetrics::default() };
        ResourceMetrics { resource: resource(pod), scope_metrics: vec![scope], ..ResourceMetrics::default() }
    });
    otlp::ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }.encode_to_vec()
}

fn otlp_logs() -> Vec<u8> {
    use otlp::logs::{LogRecord, ResourceLogs, ScopeLogs};
    let resource_logs = (0..20).map(|pod| {
        let log_records = (0..ITEMS / 20).map(|n| LogRecord {
            time_unix_nano: NOW_NS + n,
            severity_number: 9,
            body: Some(AnyValue { value: Some(any_value::Value::StringValue(line(n))) }),
            trace_id: vec![7; 16],
            ..LogRecord::default()
        });
        let scope = ScopeLogs { log_records: log_records.collect(), ..ScopeLogs::default() };
        ResourceLogs { resource: resource(pod), scope_logs: vec![scope], ..ResourceLogs::default() }
    });
    otlp::ExportLogsServiceRequest { resource_logs: resource_logs.collect() }.encode_to_vec()
}

fn otlp_traces() -> Vec<u8> {
    use otlp::trace::{ResourceSpans, ScopeSpans, Span};
    let resource_spans = (0..20).map(|pod| {
        let spans = (0..ITEMS / 20).map(|n| Span {
            trace_id: u128::from(n / 10 + 1).to_be_bytes().to_vec(),
            span_id: (pod * ITEMS + n + 1).to_be_bytes().to_vec(),
            name: "GET /api/v1/items/{id}".to_owned(),
            start_time_unix_nano: NOW_NS + n,
            end_time_unix_nano: NOW_NS + n + 5_000_000,
            attributes: vec![
                pair("http.request.method", "GET"),
                pair("http.route", "/api/v1/items/{id}"),
                pair("user.id", &format!("u-{n}")),
            ],
            ..Span::default()
        });
        let scope = ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() };
        ResourceSpans { resource: resource(pod), scope_spans: vec![scope], ..ResourceSpans::default() }
    });
    otlp::ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec()
}

fn doors(criterion: &mut Criterion) {
    let components = Components {
        ingest: Arc::new(Drain),
        clock: Arc::new(ManualClock::new(TimestampNs(NOW_NS as i64))),
        metrics: Metrics::register(&mut Registry::default()),
    };
    let collector = Collector::new(Settings::default(), components);
    let protobuf = "application/x-protobuf";
    let second = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let routers = [collector.prometheus_write(), collector.loki_push(), collector.otlp_http()];
    let [prometheus, loki, otlp] = routers.map(|router: Router| router.layer(Extension(access())));
    let cases = [
        ("remote write 1.0", &prometheus, "/api/v1/write", protobuf, "snappy", remote_write_v1()),
        ("remote write 2.0", &prometheus, "/api/v1/write", second, "snappy", remote_write_v2()),
        ("loki push", &loki, "/loki/api/v1/push", protobuf, "", loki_push()),
        ("otlp metrics", &otlp, "/v1/metrics", protobuf, "", otlp_metrics()),
        ("otlp logs", &otlp, "/v1/logs", protobuf, "", otlp_logs()),
        ("otlp traces", &otlp, "/v1/traces", protobuf, "", otlp_traces()),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut group = criterion.benchmark_group("door");
    group.throughput(Throughput::Elements(ITEMS));
    for (name, router, path, content_type, encoding, body) in cases {
        let send = || {
            let mut request = Request::post(path).header("content-type", content_type);
            if !encoding.is_empty() {
                request = request.header("content-encoding", encoding);
            }
            let request = request.body(Body::from(body.clone())).unwrap();
            let status = runtime.block_on(router.clone().oneshot(request)).unwrap().status();
            assert!(status.is_success(), "{name}: {status}");
        };
        group.bench_function(name, |bencher| bencher.iter(send));
    }
    group.finish();
}

criterion_group!(benches, doors);
criterion_main!(benches);
