//! What questions of the three languages cost, from their text to their answer, over segments in memory: windows and
//! aggregation of PromQL, line filters and parsers of LogQL, conditions and structure of TraceQL.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::limits::{Limits, SameLimits};
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::time::{ManualClock, NS_PER_S};
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{AttributeRef, Batch, Ingest, Labels, TenantContext, TenantId, TimeRange, TimestampNs};
use query::{Direction, LogRequest, PromRequest, QueryEngine, QuerySettings, TraceRequest};
use storage::{Components, Settings, Storage, Store, StoreConfig, StoreParts};
use tokio::runtime::Runtime;

const NOW_S: i64 = 1_700_000_000;
const NOW_NS: i64 = NOW_S * NS_PER_S;
const SERIES: usize = 1_000;
const SCRAPES: i64 = 120;
const LINES: usize = 100_000;
const SPANS: usize = 100_000;

fn metrics() -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for n in 0..SERIES {
        let labels = Labels::from_pairs([
            ("__name__", "requests_total".to_owned()),
            ("pod", format!("pod-{n:04}")),
            ("service", format!("service-{}", n % 20)),
        ]);
        let series = builder.series(&labels, SeriesInfo::default());
        for scrape in 0..SCRAPES {
            let timestamp_ms = NOW_S * 1_000 - (SCRAPES - scrape) * 15_000;
            builder.sample(series, timestamp_ms, 0, (scrape * (n as i64 % 50 + 1)) as f64);
        }
    }
    Batch::Metrics(builder.finish())
}

fn logs() -> Batch {
    let mut builder = LogBatchBuilder::default();
    for app in ["json", "logfmt"] {
        let stream = builder.stream(&Labels::from_pairs([("app", app)]));
        for n in 0..LINES / 2 {
            let (status, took) = (if n % 50 == 0 { 500 } else { 200 }, n % 70);
            let line = if app == "json" {
                format!(
                    "{{\"level\":\"info\",\"msg\":\"request handled\",\"path\":\"/items/{n}\",\"status\":{status},\
                     \"duration_ms\":{took}.5}}"
                )
            } else {
                format!(
                    "level=info msg=\"request handled\" path=/items/{n} status={status} duration={took}.5ms"
                )
            };
            let timestamp_ns = NOW_NS - 3_000 * NS_PER_S + n as i64 * 50_000_000;
            builder.entry(stream, Entry { timestamp_ns, line: &line, ..Entry::default() });
        }
    }
    Batch::Logs(builder.finish())
}

fn traces() -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for n in 0..SPANS {
        let (trace, place) = (n / 20, n % 20);
        let service = format!("service-{}", place % 5);
        builder.resource_attribute("service.name", AttributeRef::String(&service));
        builder.attribute("http.route", AttributeRef::String(["/items", "/orders"][trace % 2]));
        builder.attribute("db.rows", AttributeRef::Int(place as i64));
        let id = (trace as u128 + 1) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        builder.span(SpanFields {
            trace_id: id.to_be_bytes(),
            span_id: (n as u64 + 1).to_be_bytes(),
            parent_span_id: (place > 0).then(|| (n as u64).to_be_bytes()),
            name: "GET",
            start_ns: NOW_NS - 3_000 * NS_PER_S + n as i64 * 10_000_000,
            duration_ns: 5_000_000,
            status_code: if trace % 40 == 0 && place == 19 { 2 } else { 0 },
            ..SpanFields::default()
        });
    }
    Batch::Traces(builder.finish())
}

/// An engine over segments with all three signals.
struct World {
    runtime: Runtime,
    engine: QueryEngine,
    context: TenantContext,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(TimestampNs(NOW_NS)));
        let limits = Arc::new(Limits::default());
        let context = TenantContext::new(TenantId::parse("acme").unwrap(), Arc::clone(&limits));
        let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
        let parts = StoreParts { clock: Arc::clone(&clock) as _, seed: 7, environment: Vec::new() };
        let store = Store::open(&StoreConfig::new("memory://"), &parts).unwrap().objects();
        let components = Components::new(Arc::clone(&clock) as _, store, Arc::new(SameLimits(limits)), 7);
        let storage = runtime.block_on(async {
            let storage = Storage::open(settings, components).await.unwrap();
            for batch in [metrics(), logs(), traces()] {
                assert!(storage.ingest(&context, batch).await.unwrap().rejections.is_empty());
            }
            storage.flush().await.unwrap();
            storage
        });
        let settings = QuerySettings { parallelism: 1, ..QuerySettings::default() };
        let engine = QueryEngine::new(storage, clock, settings, runtime.handle().clone());
        Self { runtime, engine, context, _folder: folder }
    }

    fn promql(&self, query: &str) {
        let request = PromRequest {
            start_ms: NOW_S * 1_000 - 1_500_000,
            end_ms: NOW_S * 1_000,
            step_ms: Some(15_000),
            timeout_ns: None,
            lookback_ms: None,
            limit: None,
            counts_samples: false,
        };
        black_box(self.runtime.block_on(self.engine.promql(&self.context, query, request)).unwrap());
    }

    fn logql(&self, query: &str) {
        let request = LogRequest {
            start_ns: NOW_NS - 3_600 * NS_PER_S,
            end_ns: NOW_NS,
            step_ns: Some(60 * NS_PER_S),
            limit: 100,
            direction: Direction::Backward,
            timeout_ns: None,
        };
        black_box(self.runtime.block_on(self.engine.logql(&self.context, query, request)).unwrap());
    }

    fn traceql(&self, query: &str) {
        let range = TimeRange::new(NOW_NS - 3_600 * NS_PER_S, NOW_NS);
        let request = TraceRequest { range, limit: 20, spans_per_span_set: 3, timeout_ns: None };
        black_box(self.runtime.block_on(self.engine.traceql_search(&self.context, query, request)).unwrap());
    }
}

fn languages(criterion: &mut Criterion) {
    let world = World::new();
    let mut group = criterion.benchmark_group("question");
    group.sample_size(10).throughput(Throughput::Elements(SERIES as u64 * SCRAPES as u64));
    for query in [
        "requests_total",
        "rate(requests_total[5m])",
        "sum by (service) (rate(requests_total[5m]))",
        "quantile_over_time(0.9, requests_total[5m])",
    ] {
        group.bench_function(query, |bencher| bencher.iter(|| world.promql(query)));
    }
    group.throughput(Throughput::Elements(LINES as u64));
    for query in [
        "sum(count_over_time({app=~\".+\"} |= \"items/4242\" [5m]))",
        "sum(count_over_time({app=~\".+\"} |~ \"items/[0-9]+7\" [5m]))",
        "sum(count_over_time({app=\"json\"} | json | status >= 500 [5m]))",
        "sum(count_over_time({app=\"logfmt\"} | logfmt | duration > 40ms [5m]))",
        "sum by (app) (rate({app=~\".+\"}[5m]))",
    ] {
        group.bench_function(query, |bencher| bencher.iter(|| world.logql(query)));
    }
    group.throughput(Throughput::Elements(SPANS as u64));
    for query in [
        "{ status = error }",
        "{ span.http.route = \"/orders\" }",
        "{ resource.service.name = \"service-0\" } >> { span.db.rows > 18 }",
        "{ } | count() > 20",
    ] {
        group.bench_function(query, |bencher| bencher.iter(|| world.traceql(query)));
    }
    group.finish();
}

criterion_group!(benches, languages);
criterion_main!(benches);
