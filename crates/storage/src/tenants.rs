//! The tenants that this process knows: found in the store when it opens, made when they write first. Looking one up
//! takes no lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{StreamExt, TryStreamExt, stream};
use model::{Signal, TenantId};
use object_store::ObjectStore;
use parking_lot::Mutex;

use crate::bounds::{MAX_TENANTS, OPEN_CONCURRENCY};
use crate::error::StorageError;
use crate::layout;
use crate::manifest::Manifest;
use crate::manifest::commit::Manifests;
use crate::metrics::Metrics;
use crate::partition::{HeadMemory, Partition, PartitionId};

type Signals = [Arc<Partition>; 3];

/// All of them.
pub(crate) struct Tenants {
    store: Arc<dyn ObjectStore>,
    metrics: Arc<Metrics>,
    memory: Arc<HeadMemory>,
    /// The monotonic time at which it opened.
    opened_ns: u64,
    /// In an order of its own, so that the same run does the same in the same order.
    known: ArcSwap<BTreeMap<TenantId, Signals>>,
    creation: Mutex<()>,
}

impl Tenants {
    /// Lists the store's tenants and loads their newest manifests.
    ///
    /// # Errors
    /// When the store does not answer, or a tenant's signal has no manifest that reads back.
    pub(crate) async fn open(
        store: Arc<dyn ObjectStore>,
        metrics: Arc<Metrics>,
        opened_ns: u64,
    ) -> Result<Self, StorageError> {
        let memory = Arc::new(HeadMemory::new(metrics.head_bytes.clone()));
        let (known, creation) = (ArcSwap::default(), Mutex::new(()));
        let tenants = Self { store, metrics, memory, opened_ns, known, creation };
        let listing = tenants.store.list_with_delimiter(Some(&layout::tenants())).await?;
        let found: Vec<TenantId> = listing.common_prefixes.iter().filter_map(layout::tenant_of).collect();
        if found.len() > MAX_TENANTS {
            let message = format!("the store has too many tenants: tenants={}", found.len());
            return Err(StorageError::Limited(message));
        }
        let known: BTreeMap<TenantId, Signals> = stream::iter(found)
            .map(|tenant| tenants.load(tenant))
            .buffer_unordered(OPEN_CONCURRENCY)
            .try_collect()
            .await?;
        tenants.known.store(Arc::new(known));
        Ok(tenants)
    }

    async fn load(&self, tenant: TenantId) -> Result<(TenantId, Signals), StorageError> {
        let manifests = Signal::ALL.map(|signal| self.manifests(&tenant, signal));
        let [metrics, logs, traces] = &manifests;
        let loaded = futures::try_join!(metrics.load(), logs.load(), traces.load())?;
        let [metrics, logs, traces] = manifests;
        let signals = [
            self.partition(metrics, loaded.0),
            self.partition(logs, loaded.1),
            self.partition(traces, loaded.2),
        ];
        Ok((tenant, signals))
    }

    fn manifests(&self, tenant: &TenantId, signal: Signal) -> Manifests {
        Manifests {
            store: Arc::clone(&self.store),
            tenant: tenant.clone(),
            signal,
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn partition(&self, manifests: Manifests, manifest: Manifest) -> Arc<Partition> {
        Arc::new(Partition::new(manifests, manifest, self.opened_ns, Arc::clone(&self.memory)))
    }

    /// The memory of all heads.
    pub(crate) fn memory(&self) -> &HeadMemory {
        &self.memory
    }

    /// One tenant's signal; none where the tenant has never written.
    pub(crate) fn get(&self, tenant: &TenantId, signal: Signal) -> Option<Arc<Partition>> {
        self.known.load().get(tenant).map(|signals| Arc::clone(&signals[index(signal)]))
    }

    /// One tenant's signal, made where it is not there yet.
    ///
    /// # Errors
    /// [`StorageError::Limited`] when there are too many tenants.
    pub(crate) fn get_or_create(&self, id: &PartitionId) -> Result<Arc<Partition>, StorageError> {
        if let Some(partition) = self.get(&id.tenant, id.signal) {
            return Ok(partition);
        }
        let _one_at_a_time = self.creation.lock();
        let known = self.known.load_full();
        if let Some(signals) = known.get(&id.tenant) {
            return Ok(Arc::clone(&signals[index(id.signal)]));
        }
        if known.len() >= MAX_TENANTS {
            return Err(StorageError::Limited(format!("too many tenants: tenants={}", known.len())));
        }
        // Another node may have made manifests of this tenant since; the first commit finds them.
        let signals = Signal::ALL.map(|signal| {
            self.partition(self.manifests(&id.tenant, signal), Manifest::empty(&id.tenant, signal))
        });
        let partition = Arc::clone(&signals[index(id.signal)]);
        let mut more = BTreeMap::clone(&known);
        more.insert(id.tenant.clone(), signals);
        self.known.store(Arc::new(more));
        Ok(partition)
    }

    /// Every tenant's every signal.
    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        self.known.load().values().flatten().cloned().collect()
    }
}

const fn index(signal: Signal) -> usize {
    match signal {
        Signal::Metrics => 0,
        Signal::Logs => 1,
        Signal::Traces => 2,
    }
}
