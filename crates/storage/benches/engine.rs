//! What the engine costs through its public doors: a batch through the log into a head, a head into segments, and rows of
//! segments back. The store is in memory, the log on the disk of the temporary folder without waiting for it.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::TryStreamExt;
use model::limits::{Limits, SameLimits};
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::time::{ManualClock, NS_PER_S};
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{AttributeRef, Batch, Ingest, Labels, Signal, TenantContext, TenantId, TimeRange, TimestampNs};
use object_store::memory::InMemory;
use storage::{Components, Fsync, LogColumns, LogScan, Settings, Storage, TraceIds, TraceScan};
use tokio::runtime::Runtime;

const NOW_NS: i64 = 1_800_000_000 * NS_PER_S;
const ITEMS: usize = 10_000;

/// Makes the batch of a round.
type Make = fn(i64) -> Batch;

fn metrics(round: i64) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for n in 0..ITEMS {
        let labels = Labels::from_pairs([
            ("__name__", "container_network_receive_bytes_total"),
            ("namespace", "shop"),
            ("pod", &format!("cart-5bd1e995-{n:05}")),
        ]);
        let series = builder.series(&labels, SeriesInfo::default());
        builder.sample(series, NOW_NS / 1_000_000 - 100_000 + round, 0, (n as i64 * 17 + round) as f64);
    }
    Batch::Metrics(builder.finish())
}

fn logs(round: i64) -> Batch {
    let mut builder = LogBatchBuilder::default();
    let streams: Vec<u32> = (0..20)
        .map(|n| builder.stream(&Labels::from_pairs([("app", "cart"), ("pod", &format!("cart-{n}"))])))
        .collect();
    for n in 0..ITEMS {
        let line = format!(
            "{{\"level\":\"info\",\"msg\":\"request handled\",\"trace_id\":\"{:032x}\",\"user_id\":{n},\"status\":200}}",
            (n as u128 + 1) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834
        );
        builder.metadata("detected_level", AttributeRef::String("info"));
        let timestamp_ns = NOW_NS - 60 * NS_PER_S + round * ITEMS as i64 + n as i64;
        builder.entry(
            streams[n % 20],
            Entry { timestamp_ns, line: &line, severity: 9, trace_id: None, span_id: None },
        );
    }
    Batch::Logs(builder.finish())
}

fn traces(round: i64) -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for n in 0..ITEMS {
        builder.resource_attribute("service.name", AttributeRef::String("cart"));
        builder.attribute("http.route", AttributeRef::String("/api/v1/items/{id}"));
        builder.attribute("http.response.status_code", AttributeRef::Int(200));
        let trace =
            (round as u128 * ITEMS as u128 + n as u128 / 20 + 1) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        builder.span(SpanFields {
            trace_id: trace.to_be_bytes(),
            span_id: (n as u64 + 1).to_be_bytes(),
            name: "GET /api/v1/items/{id}",
            start_ns: NOW_NS - 60 * NS_PER_S + n as i64,
            duration_ns: 5_000_000,
            ..SpanFields::default()
        });
    }
    Batch::Traces(builder.finish())
}

/// An engine on an empty folder.
struct World {
    storage: Storage,
    context: TenantContext,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings { data_dir: folder.path().join("data"), ..Settings::default() };
        settings.wal.fsync = Fsync::IntervalMs(1_000);
        let limits = Arc::new(Limits::default());
        let clock = Arc::new(ManualClock::new(TimestampNs(NOW_NS)));
        let components =
            Components::new(clock, Arc::new(InMemory::new()), Arc::new(SameLimits(Arc::clone(&limits))), 7);
        let storage = Storage::open(settings, components).await.unwrap();
        storage.replayed().await;
        let context = TenantContext::new(TenantId::parse("acme").unwrap(), limits);
        Self { storage, context, _folder: folder }
    }

    async fn write(&self, batch: Batch) {
        let receipt = self.storage.ingest(&self.context, batch).await.unwrap();
        assert!(receipt.rejections.is_empty(), "{:?}", receipt.rejections);
    }

    async fn read(&self, signal: Signal) -> usize {
        let everything = TimeRange::ALL;
        let batches: Vec<_> = match signal {
            Signal::Metrics => {
                let snapshot = self.storage.metrics(&self.context, everything).await.unwrap();
                let all = snapshot.select(&[]).await.unwrap();
                all.samples(0..all.labels().len(), everything).try_collect().await.unwrap()
            }
            Signal::Logs => {
                let snapshot = self.storage.logs(&self.context, everything).await.unwrap();
                let all = snapshot.select(&[]).await.unwrap();
                let scan = LogScan { range: everything, needles: Vec::new(), columns: LogColumns::ALL };
                all.entries(0..all.labels().len(), scan).try_collect().await.unwrap()
            }
            Signal::Traces => {
                let snapshot = self.storage.traces(&self.context, everything).await.unwrap();
                let scan = TraceScan { trace_ids: TraceIds::All, range: everything, service: None };
                snapshot.scan(scan).try_collect().await.unwrap()
            }
        };
        batches.iter().map(|batch: &arrow::array::RecordBatch| batch.num_rows()).sum()
    }
}

fn engine(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let signals = [(Signal::Metrics, metrics as Make), (Signal::Logs, logs), (Signal::Traces, traces)];
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(ITEMS as u64)).sample_size(10);
    for (signal, batch) in signals {
        let world = runtime.block_on(World::new());
        let mut round = 0;
        group.bench_function(format!("log and head, {signal}"), |bencher| {
            let next = || {
                round += 1;
                batch(round)
            };
            bencher.iter_batched(next, |batch| runtime.block_on(world.write(batch)), BatchSize::SmallInput);
        });
        group.bench_function(format!("flush, {signal}"), |bencher| {
            let filled = || {
                let world = runtime.block_on(World::new());
                runtime.block_on(world.write(batch(0)));
                world
            };
            let flush = |world: World| {
                runtime.block_on(world.storage.flush()).unwrap();
                world
            };
            bencher.iter_batched(filled, flush, BatchSize::PerIteration);
        });
        let world = runtime.block_on(World::new());
        runtime.block_on(world.write(batch(0)));
        runtime.block_on(world.storage.flush()).unwrap();
        group.bench_function(format!("segment back, {signal}"), |bencher| {
            bencher.iter(|| assert_eq!(runtime.block_on(world.read(signal)), ITEMS));
        });
    }
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
