//! A data folder, a store and a clock that outlive the engine, batches to write, and everything read back as text.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type};
use futures::TryStreamExt;
use model::limits::{Limits, SameLimits};
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::time::{ManualClock, NS_PER_MS, NS_PER_S};
use model::trace::{SpanFields, SpansView, TraceBatchBuilder};
use model::{Batch, Ingest, Labels, Receipt, Signal, TenantContext, TenantId, TimeRange, TimestampNs};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use prometheus_client::registry::Registry;
use storage::read::{LogColumns, LogScan, TraceIds, TraceScan};
use storage::{Components, Settings, Storage, StorageError, Store, StoreConfig, StoreParts, StoreSettings};

use crate::faulty::FaultyStore;

/// The moment at which every clock starts.
pub(crate) const NOW_NS: i64 = 1_800_000_000 * NS_PER_S;

/// The objects of the store that an address names.
pub(crate) fn open_store(url: &str) -> Arc<dyn ObjectStore> {
    let clock = Arc::new(ManualClock::new(TimestampNs(NOW_NS)));
    let parts = StoreParts { clock, seed: 7, environment: Vec::new() };
    Store::open(&StoreConfig::new(url), &parts).unwrap().objects()
}

/// What outlives the engine.
pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(InMemory::new()))
    }

    pub(crate) fn on(store: Arc<dyn ObjectStore>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let store_settings = StoreSettings { retry_backoff_ms: 1 };
        let settings = Settings { data_dir, store: store_settings, ..Settings::default() };
        let store = Arc::new(FaultyStore::new(store));
        let clock = Arc::new(ManualClock::new(TimestampNs(NOW_NS)));
        Self { _dir: dir, store, clock, settings, limits: Limits::default() }
    }

    pub(crate) async fn try_open(&self) -> Result<Storage, StorageError> {
        let components = Components::new(
            Arc::clone(&self.clock) as _,
            Arc::clone(&self.store) as _,
            Arc::new(SameLimits(Arc::new(self.limits.clone()))),
            7,
        );
        Storage::open(self.settings.clone(), components).await
    }

    /// Opens the engine and waits for the end of the replay; an engine that was dropped before may still let go.
    pub(crate) async fn open(&self) -> Storage {
        for _ in 0..2_000 {
            match self.try_open().await {
                Err(StorageError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                opened => {
                    let storage = opened.unwrap();
                    storage.replayed().await;
                    return storage;
                }
            }
        }
        panic!("the engine that was dropped does not let go of its folder");
    }

    pub(crate) fn context(&self, tenant: &str) -> TenantContext {
        TenantContext::new(TenantId::parse(tenant).unwrap(), Arc::new(self.limits.clone()))
    }

    /// The log files, in order.
    pub(crate) fn log_files(&self) -> Vec<PathBuf> {
        files(self.settings.data_dir.join("wal"))
    }

    /// What was set aside from the log.
    pub(crate) fn set_aside(&self) -> Vec<PathBuf> {
        files(self.settings.data_dir.join("quarantine"))
    }

    /// The objects whose path contains the text.
    pub(crate) async fn objects(&self, text: &str) -> Vec<String> {
        let all: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        let mut paths: Vec<String> = all.into_iter().map(|meta| meta.location.to_string()).collect();
        paths.retain(|path| path.contains(text));
        paths.sort();
        paths
    }

    /// Changes bits of a byte of an object; the place counts from its end where it is negative.
    pub(crate) async fn flip(&self, path: &str, at: isize, bits: u8) {
        let path = object_store::path::Path::from(path);
        let mut bytes = self.store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        let len = isize::try_from(bytes.len()).unwrap();
        bytes[usize::try_from(at.rem_euclid(len)).unwrap()] ^= bits;
        self.store.put(&path, bytes.into()).await.unwrap();
    }

    /// The sum of a metric over its labels; 0 where it has no value yet.
    pub(crate) fn metric(&self, storage: &Storage, name: &str) -> f64 {
        let mut registry = Registry::default();
        storage.register_metrics(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }

    /// Waits for what the engine's background work brings about.
    pub(crate) async fn until(&self, is_done: impl Fn() -> bool) {
        for _ in 0..20_000 {
            if is_done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the engine never came to it");
    }

    /// The bytes of an object.
    pub(crate) async fn get(&self, path: &str) -> Vec<u8> {
        self.store.get(&path.into()).await.unwrap().bytes().await.unwrap().to_vec()
    }

    /// The size of all objects whose path contains the text.
    pub(crate) async fn bytes(&self, text: &str) -> usize {
        let mut bytes = 0;
        for path in self.objects(text).await {
            bytes += self.get(&path).await.len();
        }
        bytes
    }

    /// Everything that a tenant can read of a signal, a sorted line an item.
    pub(crate) async fn read(&self, storage: &Storage, tenant: &str, signal: Signal) -> Vec<String> {
        let ctx = self.context(tenant);
        let mut items = match signal {
            Signal::Metrics => read_metrics(storage, &ctx).await,
            Signal::Logs => read_logs(storage, &ctx).await,
            Signal::Traces => read_traces(storage, &ctx).await,
        };
        items.sort();
        items
    }
}

fn files(dir: PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A batch of the signal with one item per number; `source` names its series, stream or trace.
pub(crate) fn batch(signal: Signal, source: &str, numbers: impl IntoIterator<Item = i64>) -> Batch {
    match signal {
        Signal::Metrics => {
            let mut builder = MetricBatchBuilder::default();
            let labels = Labels::from_pairs([("__name__", "m"), ("source", source)]);
            let series = builder.series(&labels, SeriesInfo::default());
            for number in numbers {
                builder.sample(series, NOW_NS / NS_PER_MS + number, 0, number as f64);
            }
            Batch::Metrics(builder.finish())
        }
        Signal::Logs => {
            let mut builder = LogBatchBuilder::default();
            let stream = builder.stream(&Labels::from_pairs([("source", source)]));
            for number in numbers {
                let line = format!("line {number}");
                builder.metadata("number", model::AttributeRef::Int(number));
                let timestamp_ns = NOW_NS + number * NS_PER_MS;
                builder.entry(stream, Entry { timestamp_ns, line: &line, ..Entry::default() });
            }
            Batch::Logs(builder.finish())
        }
        Signal::Traces => {
            let mut builder = TraceBatchBuilder::default();
            for number in numbers {
                builder.resource_attribute("service.name", model::AttributeRef::String(source));
                builder.span(SpanFields {
                    trace_id: [9; 16],
                    span_id: (number + 1_000_000).to_be_bytes(),
                    name: source,
                    start_ns: NOW_NS + number * NS_PER_MS,
                    duration_ns: 5,
                    ..SpanFields::default()
                });
            }
            Batch::Traces(builder.finish())
        }
    }
}

/// What [`World::read`] gives for the items of [`batch`].
pub(crate) fn lines(source: &str, numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    let mut lines: Vec<String> = numbers.into_iter().map(|number| format!("{source} {number}")).collect();
    lines.sort();
    lines
}

/// Writes a batch that must be taken whole.
pub(crate) async fn write(storage: &Storage, ctx: &TenantContext, batch: Batch) {
    let items = batch.items();
    let receipt = storage.ingest(ctx, batch).await.unwrap();
    assert_eq!(receipt, Receipt { accepted: items, rejections: Vec::new() });
}

async fn read_metrics(storage: &Storage, ctx: &TenantContext) -> Vec<String> {
    let set = storage.metrics(ctx, TimeRange::ALL).await.unwrap().select(&[]).await.unwrap();
    let names: Vec<String> = set.labels().iter().map(source_of).collect();
    let batches: Vec<RecordBatch> = set.samples(0..names.len(), TimeRange::ALL).try_collect().await.unwrap();
    let mut items = Vec::new();
    for batch in batches {
        let series = batch.column(0).as_primitive::<UInt32Type>();
        let timestamps = batch.column(1).as_primitive::<Int64Type>();
        let values = batch.column(3).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let number = timestamps.value(row) - NOW_NS / NS_PER_MS;
            assert_eq!(values.value(row), number as f64);
            items.push(format!("{} {number}", names[series.value(row) as usize]));
        }
    }
    items
}

async fn read_logs(storage: &Storage, ctx: &TenantContext) -> Vec<String> {
    let set = storage.logs(ctx, TimeRange::ALL).await.unwrap().select(&[]).await.unwrap();
    let names: Vec<String> = set.labels().iter().map(source_of).collect();
    let columns = LogColumns::ALL;
    let scan = LogScan { range: TimeRange::ALL, needles: Vec::new(), columns };
    let batches: Vec<RecordBatch> = set.entries(0..names.len(), scan).try_collect().await.unwrap();
    let mut items = Vec::new();
    for batch in batches {
        let streams = batch.column(0).as_primitive::<UInt32Type>();
        let timestamps = batch.column(1).as_primitive::<Int64Type>();
        let texts = batch.column(2).as_string::<i32>();
        let metadata = model::attributes::AttributesView::new(batch.column(6)).unwrap();
        for row in 0..batch.num_rows() {
            let number = (timestamps.value(row) - NOW_NS) / NS_PER_MS;
            assert_eq!(texts.value(row), format!("line {number}"));
            assert_eq!(metadata.get(row, "number"), Some(model::AttributeRef::Int(number)));
            items.push(format!("{} {number}", names[streams.value(row) as usize]));
        }
    }
    items
}

async fn read_traces(storage: &Storage, ctx: &TenantContext) -> Vec<String> {
    let snapshot = storage.traces(ctx, TimeRange::ALL).await.unwrap();
    let scan = TraceScan { trace_ids: TraceIds::All, range: TimeRange::ALL, service: None };
    let batches: Vec<RecordBatch> = snapshot.scan(scan).try_collect().await.unwrap();
    let mut items = Vec::new();
    for batch in batches {
        let spans = SpansView::new(&batch).unwrap();
        for row in 0..spans.rows() {
            assert_eq!(spans.service_name(row), spans.name(row));
            items.push(format!("{} {}", spans.name(row), (spans.start_ns(row) - NOW_NS) / NS_PER_MS));
        }
    }
    items
}

fn source_of(labels: &Labels) -> String {
    labels.get("source").unwrap().to_owned()
}
