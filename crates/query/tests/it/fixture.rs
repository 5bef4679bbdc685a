//! A store in memory with a clock that stands still, and an engine over it.

use std::sync::Arc;

use model::limits::{Limits, SameLimits};
use model::time::{ManualClock, NS_PER_S};
use model::{Batch, Ingest, TenantContext, TenantId, TimestampNs};
use query::{QueryEngine, QuerySettings};
use storage::{Components, Settings, Storage, Store, StoreConfig, StoreParts};

/// The moment at which the clock stands, in seconds.
pub(crate) const NOW_S: i64 = 1_700_000_000;

pub(crate) struct Fixture {
    pub(crate) storage: Storage,
    clock: Arc<ManualClock>,
    limits: Arc<Limits>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(TimestampNs(NOW_S * NS_PER_S)));
        let limits = Arc::new(limits);
        let mut settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
        // Nothing is merged behind a test's back.
        settings.compaction.interval_ms = 3_600_000;
        let parts = StoreParts { clock: Arc::clone(&clock) as _, seed: 7, environment: Vec::new() };
        let store = Store::open(&StoreConfig::new("memory://"), &parts).unwrap().objects();
        let components =
            Components::new(Arc::clone(&clock) as _, store, Arc::new(SameLimits(Arc::clone(&limits))), 7);
        let storage = Storage::open(settings, components).await.unwrap();
        Self { storage, clock, limits, _folder: folder }
    }

    pub(crate) fn engine(&self, parallelism: usize) -> QueryEngine {
        self.engine_with(QuerySettings { parallelism, ..QuerySettings::default() })
    }

    pub(crate) fn engine_with(&self, settings: QuerySettings) -> QueryEngine {
        let pool = tokio::runtime::Handle::current();
        QueryEngine::new(self.storage.clone(), Arc::clone(&self.clock) as _, settings, pool)
    }

    pub(crate) fn context(&self, tenant: &str) -> TenantContext {
        TenantContext::new(TenantId::parse(tenant).unwrap(), Arc::clone(&self.limits))
    }

    /// Writes a batch of which everything must be taken.
    pub(crate) async fn write(&self, tenant: &str, batch: Batch) {
        let items = batch.items();
        let receipt = self.storage.ingest(&self.context(tenant), batch).await.unwrap();
        assert_eq!((receipt.accepted, receipt.rejections), (items, vec![]));
    }
}
