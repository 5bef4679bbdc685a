//! One tenant's signal in this process: its manifest, its heads, and the records that are on their way into them. Reads
//! take the state as it is at one moment; writers share it without waiting for each other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use model::{Batch, Signal, TenantId};
use object_store::path::Path;
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::bounds::MAX_FROZEN_HEADS;
use crate::error::StorageError;
use crate::head::series::{HeadSeries, Known};
use crate::head::{Head, HeadView};
use crate::manifest::commit::Manifests;
use crate::manifest::{Manifest, WalPosition};
use crate::metrics::{ByLevel, ByPartition, BySignal, Metrics};

/// Which tenant's signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionId {
    pub(crate) tenant: TenantId,
    pub(crate) signal: Signal,
}

/// The memory of all heads of the process, in bytes: also of those that are in segments already, while a read holds them.
#[derive(Debug, Default)]
pub(crate) struct HeadMemory {
    bytes: AtomicUsize,
    shown: Gauge,
}

impl HeadMemory {
    /// Counts from zero, and shows it.
    pub(crate) fn new(shown: Gauge) -> Self {
        Self { bytes: AtomicUsize::new(0), shown }
    }

    /// What the heads hold now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What one head counts for, until the head and the last view of it are dropped.
#[derive(Debug)]
pub(crate) struct HeadCharge {
    memory: Arc<HeadMemory>,
    bytes: AtomicUsize,
}

impl HeadCharge {
    /// A head that counts for nothing yet.
    pub(crate) fn new(memory: &Arc<HeadMemory>) -> Arc<Self> {
        Arc::new(Self { memory: Arc::clone(memory), bytes: AtomicUsize::new(0) })
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let before = self.memory.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.memory.shown.set(i64::try_from(before.saturating_add(bytes)).unwrap_or(i64::MAX));
    }
}

impl Drop for HeadCharge {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        let before = self.memory.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.memory.shown.set(i64::try_from(before.saturating_sub(bytes)).unwrap_or(i64::MAX));
    }
}

/// A head that takes no more rows and waits to become segments.
pub(crate) struct Frozen {
    pub(crate) head: Arc<Head>,
    /// Every record of the tenant's signal that begins before this position is in this head or in earlier ones.
    pub(crate) flushed_to: WalPosition,
    bytes: usize,
    rows: usize,
}

impl Frozen {
    /// Memory that the head takes, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Manifest and heads that belong together: each row is in exactly one of them.
pub(crate) struct State {
    pub(crate) manifest: Arc<Manifest>,
    /// Oldest first.
    pub(crate) frozen: Vec<Arc<Frozen>>,
    pub(crate) active: Arc<Head>,
}

impl State {
    /// What the heads hold now, oldest first.
    pub(crate) fn head_views(&self) -> Vec<HeadView> {
        self.frozen.iter().map(|frozen| &frozen.head).chain([&self.active]).map(|head| head.view()).collect()
    }
}

/// Records that were handed to the log and are not yet in a head: each with a position that is not after its own.
#[derive(Debug, Default)]
struct InFlight {
    next: u64,
    not_before: BTreeMap<u64, WalPosition>,
}

/// No row has come since the last freeze.
const NEVER: u64 = u64::MAX;

/// One tenant's signal.
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) manifests: Manifests,
    state: ArcSwap<State>,
    /// Held shared while rows go into the active head, and alone while another head takes its place.
    gate: RwLock<()>,
    in_flight: Mutex<InFlight>,
    turn: Semaphore,
    since_ns: AtomicU64,
    active_bytes: AtomicUsize,
    active_rows: AtomicUsize,
    memory: Arc<HeadMemory>,
    metrics: Arc<Metrics>,
    head_rows: Gauge,
    /// Whether the last flush failed, so that a long failure is reported once.
    pub(crate) is_flush_failing: AtomicBool,
    /// Items taken; kept here so that writers look it up once.
    pub(crate) items: Counter,
    /// Segments that are being written, by id: no manifest names them yet, and the sweep leaves them alone.
    claimed: Mutex<HashSet<String>>,
    /// The highest level of a segment that was counted.
    highest_level: AtomicU8,
    /// Objects that no manifest names, with the monotonic time at which a sweep saw them first.
    pub(crate) unreferenced: Mutex<HashMap<Path, u64>>,
    /// Whether there may be such objects.
    pub(crate) is_sweep_due: AtomicBool,
    /// The manifest version at the last sweep.
    pub(crate) swept_version: AtomicU64,
}

/// A record on its way from the log into the head. While it lives, no flush claims to have its record.
pub(crate) struct Ticket {
    partition: Arc<Partition>,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.partition.in_flight.lock().not_before.remove(&self.number);
    }
}

/// A segment that is being written. While it lives, the sweep leaves the segment's objects alone.
pub(crate) struct Claim {
    partition: Arc<Partition>,
    id: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.partition.claimed.lock().remove(&self.id);
    }
}

impl Partition {
    pub(crate) fn new(manifests: Manifests, manifest: Manifest, memory: Arc<HeadMemory>) -> Self {
        let id = PartitionId { tenant: manifests.tenant.clone(), signal: manifests.signal };
        let metrics = Arc::clone(&manifests.metrics);
        let head_rows = metrics.head_rows.get_or_create(&BySignal::new(id.signal)).clone();
        let items = metrics.ingest_items.get_or_create(&ByPartition::new(&id.tenant, id.signal)).clone();
        let state = State {
            manifest: Arc::new(manifest),
            frozen: Vec::new(),
            active: Arc::new(Head::new(manifests.signal, HeadCharge::new(&memory))),
        };
        let partition = Self {
            manifests,
            state: ArcSwap::from_pointee(state),
            gate: RwLock::new(()),
            in_flight: Mutex::default(),
            turn: Semaphore::new(1),
            since_ns: AtomicU64::new(NEVER),
            active_bytes: AtomicUsize::new(0),
            active_rows: AtomicUsize::new(0),
            memory,
            head_rows,
            items,
            metrics,
            id,
            claimed: Mutex::default(),
            highest_level: AtomicU8::new(0),
            unreferenced: Mutex::default(),
            is_flush_failing: AtomicBool::new(false),
            is_sweep_due: AtomicBool::new(true),
            swept_version: AtomicU64::new(0),
        };
        partition.count_segments(&partition.state().manifest);
        partition
    }

    /// The state at this moment.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The manifest at this moment.
    pub(crate) fn manifest(&self) -> Arc<Manifest> {
        Arc::clone(&self.state.load().manifest)
    }

    /// Announces a record that is about to be handed to the log; `tail` gives the log's end at this moment.
    pub(crate) fn begin(self: &Arc<Self>, tail: impl Fn() -> WalPosition) -> Ticket {
        let mut in_flight = self.in_flight.lock();
        let number = in_flight.next;
        in_flight.next += 1;
        in_flight.not_before.insert(number, tail());
        Ticket { partition: Arc::clone(self), number }
    }

    /// Announces a segment that is about to be written.
    pub(crate) fn claim(self: &Arc<Self>, id: &str) -> Claim {
        self.claimed.lock().insert(id.to_owned());
        Claim { partition: Arc::clone(self), id: id.to_owned() }
    }

    /// The segments that are being written.
    pub(crate) fn claimed(&self) -> HashSet<String> {
        self.claimed.lock().clone()
    }

    /// Puts a batch into the active head, and takes its record's announcement back. Gives the head's size in bytes.
    pub(crate) fn append(
        &self,
        ticket: Option<Ticket>,
        batch: &Batch,
        known: Option<Known>,
        now_ns: u64,
    ) -> usize {
        let _shared = self.gate.read();
        let state = self.state.load();
        state.active.append(batch, known);
        self.since_ns.fetch_min(now_ns, Ordering::Relaxed);
        let bytes = state.active.bytes();
        let before = self.active_bytes.fetch_max(bytes, Ordering::Relaxed);
        state.active.charge().add(bytes.saturating_sub(before));
        self.active_rows.fetch_add(batch.items(), Ordering::Relaxed);
        let rows = i64::try_from(batch.items()).unwrap_or(i64::MAX);
        self.head_rows.inc_by(rows);
        // Before the gate opens: a freeze that follows must not wait for this record.
        drop(ticket);
        bytes
    }

    /// The series or streams of the active head.
    pub(crate) fn active_series(&self) -> Arc<HeadSeries> {
        Arc::clone(self.state.load().active.series())
    }

    /// The size of the active head in bytes, and the monotonic time of its oldest row.
    pub(crate) fn active(&self) -> (usize, Option<u64>) {
        let since_ns = self.since_ns.load(Ordering::Relaxed);
        (self.active_bytes.load(Ordering::Relaxed), (since_ns != NEVER).then_some(since_ns))
    }

    /// What the heads take that are not in segments yet, in bytes.
    pub(crate) fn unflushed_bytes(&self) -> usize {
        let frozen: usize = self.state.load().frozen.iter().map(|frozen| frozen.bytes).sum();
        self.active_bytes.load(Ordering::Relaxed) + frozen
    }

    /// Waits for the right to change the manifest and the list of heads: one flush or retention at a time.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, StorageError> {
        self.turn.acquire().await.map_err(|_| StorageError::Closed)
    }

    /// Puts a new head in the active one's place, unless it is empty or too many wait already. The caller has the turn.
    ///
    /// `tail` gives the log's end, `replayed_to` the position that the replay has reached, while it runs.
    pub(crate) fn freeze(
        &self,
        tail: impl Fn() -> WalPosition,
        replayed_to: impl Fn() -> Option<WalPosition>,
    ) {
        let _alone = self.gate.write();
        let state = self.state.load_full();
        let is_empty = self.since_ns.load(Ordering::Relaxed) == NEVER;
        if is_empty || state.frozen.len() >= MAX_FROZEN_HEADS {
            return;
        }
        let in_flight = self.in_flight.lock();
        let oldest = in_flight.not_before.values().next().copied();
        let reached = oldest.unwrap_or_else(&tail);
        drop(in_flight);
        let flushed_to = replayed_to().map_or(reached, |position| position.min(reached));
        self.since_ns.store(NEVER, Ordering::Relaxed);
        let frozen = Arc::new(Frozen {
            head: Arc::clone(&state.active),
            flushed_to,
            bytes: self.active_bytes.swap(0, Ordering::Relaxed),
            rows: self.active_rows.swap(0, Ordering::Relaxed),
        });
        self.state.store(Arc::new(State {
            manifest: Arc::clone(&state.manifest),
            frozen: state.frozen.iter().cloned().chain([frozen]).collect(),
            active: Arc::new(Head::new(self.id.signal, HeadCharge::new(&self.memory))),
        }));
    }

    /// The head that must be flushed next: the log's positions only move on in the order of the heads.
    pub(crate) fn oldest_frozen(&self) -> Option<Arc<Frozen>> {
        self.state.load().frozen.first().cloned()
    }

    /// Takes up a committed manifest, and drops the head that is in it, at one moment. The caller has the turn.
    pub(crate) fn committed(&self, manifest: Arc<Manifest>, flushed: Option<&Arc<Frozen>>) {
        // Alone, because the active head must not change between the load and the store.
        let alone = self.gate.write();
        let state = self.state.load_full();
        self.count_segments(&manifest);
        let is_kept = |frozen: &&Arc<Frozen>| flushed.is_none_or(|done| !Arc::ptr_eq(done, frozen));
        self.state.store(Arc::new(State {
            manifest,
            frozen: state.frozen.iter().filter(is_kept).cloned().collect(),
            active: Arc::clone(&state.active),
        }));
        drop(alone);
        if let Some(done) = flushed {
            let rows = i64::try_from(done.rows).unwrap_or(i64::MAX);
            self.head_rows.dec_by(rows);
        }
    }

    fn count_segments(&self, manifest: &Manifest) {
        if manifest.version == 0 {
            return;
        }
        let id = &self.id;
        let mut levels: BTreeMap<u8, i64> = BTreeMap::new();
        manifest.segments.iter().for_each(|segment| *levels.entry(segment.level).or_default() += 1);
        // A level that had segments before may have none now.
        let highest =
            self.highest_level.fetch_max(levels.keys().max().copied().unwrap_or(0), Ordering::Relaxed);
        for level in 0..=highest {
            levels.entry(level).or_default();
        }
        for (level, count) in levels {
            self.metrics.segments.get_or_create(&ByLevel::new(&id.tenant, id.signal, level)).set(count);
        }
        let bytes: u64 = manifest.segments.iter().map(crate::manifest::SegmentMeta::bytes).sum();
        let labels = ByPartition::new(&id.tenant, id.signal);
        let quarantined = i64::try_from(manifest.quarantined.len()).unwrap_or(i64::MAX);
        self.metrics.quarantined_segments.get_or_create(&labels).set(quarantined);
        self.metrics.segment_bytes.get_or_create(&labels).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
