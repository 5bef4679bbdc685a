//! An engine on a store in memory, with a clock that stands still.

use std::future::Future;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use futures::TryStreamExt;
use model::limits::SameLimits;
use model::log::ENTRIES_SCHEMA;
use model::time::{ManualClock, TimestampNs};
use model::{Batch, Ingest, Limits, TenantContext, TenantId};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use storage::{Components, Fsync, LogScan, ReadSettings, Settings, Storage, StreamSet, WalSettings};

/// The moment at which the clock stands: 2026-01-31 12:00:00 UTC.
pub(crate) const BASE_NS: i64 = 1_769_860_800 * 1_000_000_000;

/// An engine for one test.
pub(crate) struct Rig {
    pub(crate) storage: Storage,
    pub(crate) ctx: TenantContext,
    pub(crate) store: Arc<dyn ObjectStore>,
    _data_dir: tempfile::TempDir,
}

impl Rig {
    /// An empty engine.
    pub(crate) async fn new() -> Self {
        Self::caching(Settings::default().read.cache_bytes).await
    }

    /// An empty engine that keeps so many bytes of segments.
    pub(crate) async fn caching(cache_bytes: u64) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let limits = Arc::new(Limits::default());
        let settings = Settings {
            data_dir: data_dir.path().to_owned(),
            wal: WalSettings { fsync: Fsync::IntervalMs(1_000), segment_bytes: 1 << 20 },
            read: ReadSettings { cache_bytes, ..Settings::default().read },
            ..Settings::default()
        };
        let components = Components::new(
            Arc::new(ManualClock::new(TimestampNs(BASE_NS))),
            Arc::clone(&store),
            Arc::new(SameLimits(Arc::clone(&limits))),
            7,
        );
        let storage = Storage::open(settings, components).await.unwrap();
        storage.replayed().await;
        let ctx = TenantContext::new(TenantId::parse("tenant-a").unwrap(), limits);
        Self { storage, ctx, store, _data_dir: data_dir }
    }

    /// Writes a batch all of which is taken.
    pub(crate) async fn ingest(&self, batch: Batch) {
        let receipt = self.storage.ingest(&self.ctx, batch).await.unwrap();
        assert_eq!(receipt.rejections, []);
    }
}

/// Runs a test's future to its end.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// A column of a batch.
pub(crate) fn column<A: 'static>(batch: &RecordBatch, index: usize) -> &A {
    batch.column(index).as_any().downcast_ref().unwrap()
}

/// The lines of all streams of a selection, sorted by stream and time, those of one moment in the order of arrival.
pub(crate) async fn entries(set: &StreamSet, scan: LogScan) -> RecordBatch {
    let batches: Vec<RecordBatch> = set.entries(0..set.labels().len(), scan).try_collect().await.unwrap();
    let all = concat_batches(&ENTRIES_SCHEMA, &batches).unwrap();
    let (streams, times) = (column::<UInt32Array>(&all, 0), column::<Int64Array>(&all, 1));
    let mut order: Vec<u32> = (0..).take(all.num_rows()).collect();
    order.sort_by_key(|row| (streams.value(*row as usize), times.value(*row as usize)));
    take_record_batch(&all, &UInt32Array::from(order)).unwrap()
}

/// The rows of all batches.
pub(crate) fn rows_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}
