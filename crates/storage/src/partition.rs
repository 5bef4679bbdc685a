//! One tenant's signal in this process: its manifest, its heads, and the records that are on their way into them. Reads
//! take the state as it is at one moment; writers share it without waiting for each other.

pub(crate) mod heads;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use model::{Batch, Signal, TenantId};
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::bounds::MAX_FROZEN_HEADS;
use crate::erase::Outlived;
use crate::error::StorageError;
use crate::head::series::{HeadSeries, Known};
use crate::head::{HeadView, Origin};
use crate::hidden::KeepingCache;
use crate::ingest::guards::Guards;
use crate::manifest::commit::Manifests;
use crate::manifest::{Manifest, WalPosition};
use crate::metrics::{ByLevel, ByPartition, BySignal, Metrics};
use crate::sweep::Unnamed;

use heads::NEVER;
pub(crate) use heads::{Active, Frozen, HeadCharge, HeadMemory};

/// Which tenant's signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionId {
    pub(crate) tenant: TenantId,
    pub(crate) signal: Signal,
}

/// Manifest and heads that belong together: each row is in exactly one of them.
pub(crate) struct State {
    pub(crate) manifest: Arc<Manifest>,
    /// In the order in which they become segments. Of one origin the oldest comes first.
    pub(crate) frozen: Vec<Arc<Frozen>>,
    /// What is replayed goes here; none before there is some.
    pub(crate) replayed: Option<Arc<Active>>,
    pub(crate) active: Arc<Active>,
}

impl State {
    /// What the heads hold now, oldest first: all that was replayed is older than what came from writers.
    pub(crate) fn head_views(&self) -> Vec<HeadView> {
        let frozen = self.frozen.iter().map(|frozen| &frozen.head);
        let active = self.replayed.iter().chain([&self.active]).map(|active| &active.head);
        let mut views: Vec<HeadView> = frozen.chain(active).map(|head| head.view()).collect();
        views.sort_by_key(HeadView::origin);
        views
    }

    fn actives(&self) -> impl Iterator<Item = &Arc<Active>> {
        self.replayed.iter().chain([&self.active])
    }
}

/// Records that were handed to the log and are not yet in a head: each with a position that is not after its own.
#[derive(Debug, Default)]
struct InFlight {
    next: u64,
    not_before: BTreeMap<u64, WalPosition>,
    /// The last record of all that are in a head.
    last: Option<WalPosition>,
}

/// One tenant's signal.
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) manifests: Manifests,
    state: ArcSwap<State>,
    /// The monotonic time at which the manifest surely was the newest.
    confirmed_ns: AtomicU64,
    /// The monotonic time at which a read asked last whether it still is, with an answer or without.
    asked_ns: AtomicU64,
    /// Held by the read that asks.
    pub(crate) asking: Semaphore,
    /// Held shared while a record goes through the log into a head, and alone while a deletion waits for those that do.
    pub(crate) intake: tokio::sync::RwLock<()>,
    /// What was made of the manifest's deletions and holds.
    pub(crate) keeping: KeepingCache,
    /// What is known of segments that have rows which outlived their period.
    pub(crate) outlived: Mutex<Outlived>,
    /// Held shared while rows go into an active head, and alone while another head takes its place.
    gate: RwLock<()>,
    in_flight: Mutex<InFlight>,
    turn: Semaphore,
    memory: Arc<HeadMemory>,
    metrics: Arc<Metrics>,
    head_rows: Gauge,
    /// Whether the last flush failed, so that a long failure is reported once.
    pub(crate) is_flush_failing: AtomicBool,
    /// Items taken; kept here so that writers look it up once.
    pub(crate) items: Counter,
    /// What was sent lately, for the tenant's limits.
    pub(crate) guards: Guards,
    /// Segments that are being written, by id: no manifest names them yet, and the sweep leaves them alone.
    claimed: Mutex<HashSet<String>>,
    /// The highest level of a segment that was counted.
    highest_level: AtomicU8,
    /// Objects that no manifest names.
    pub(crate) unnamed: Mutex<Unnamed>,
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
    /// `confirmed_ns` is the monotonic time at which the manifest was asked for.
    pub(crate) fn new(
        manifests: Manifests,
        manifest: Manifest,
        confirmed_ns: u64,
        memory: Arc<HeadMemory>,
    ) -> Self {
        let id = PartitionId { tenant: manifests.tenant.clone(), signal: manifests.signal };
        let metrics = Arc::clone(&manifests.metrics);
        let head_rows = metrics.head_rows.get_or_create(&BySignal::new(id.signal)).clone();
        let items = metrics.ingest_items.get_or_create(&ByPartition::new(&id.tenant, id.signal)).clone();
        let state = State {
            manifest: Arc::new(manifest),
            frozen: Vec::new(),
            replayed: None,
            active: Active::new(manifests.signal, Origin::Writers, &memory),
        };
        let partition = Self {
            manifests,
            state: ArcSwap::from_pointee(state),
            confirmed_ns: AtomicU64::new(confirmed_ns),
            asked_ns: AtomicU64::new(confirmed_ns),
            asking: Semaphore::new(1),
            intake: tokio::sync::RwLock::new(()),
            keeping: KeepingCache::default(),
            outlived: Mutex::default(),
            gate: RwLock::new(()),
            in_flight: Mutex::default(),
            turn: Semaphore::new(1),
            memory,
            head_rows,
            items,
            guards: Guards::default(),
            metrics,
            id,
            claimed: Mutex::default(),
            highest_level: AtomicU8::new(0),
            unnamed: Mutex::default(),
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

    /// The monotonic time at which the manifest surely was the newest.
    pub(crate) fn confirmed_ns(&self) -> u64 {
        self.confirmed_ns.load(Ordering::Relaxed)
    }

    /// The monotonic time at which somebody asked last whether it still is.
    pub(crate) fn asked_ns(&self) -> u64 {
        self.asked_ns.load(Ordering::Relaxed).max(self.confirmed_ns())
    }

    /// Takes up the manifest that was the newest at a monotonic time.
    pub(crate) fn confirm(&self, newest: Arc<Manifest>, asked_ns: u64) {
        if newest.version > self.manifest().version {
            self.committed(newest, None);
        }
        self.confirmed_ns.fetch_max(asked_ns, Ordering::Relaxed);
    }

    /// Says that there was no answer.
    pub(crate) fn asked(&self, asked_ns: u64) {
        self.asked_ns.fetch_max(asked_ns, Ordering::Relaxed);
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

    /// Puts a writer's batch into the active head, and takes the announcement of its record back, which begins at
    /// `position`. Gives the head's size in bytes.
    pub(crate) fn append(
        &self,
        ticket: Ticket,
        position: WalPosition,
        batch: &Batch,
        known: Option<Known>,
        now_ns: u64,
    ) -> usize {
        let _shared = self.gate.read();
        let bytes = self.state.load().active.append(batch, known, now_ns);
        self.took(position, batch);
        // Before the gate opens: a freeze that follows must not wait for this record.
        drop(ticket);
        bytes
    }

    /// Puts a batch of a record that begins at `position` and was in the log at the start into the head of what is
    /// replayed.
    pub(crate) fn replay(&self, position: WalPosition, batch: &Batch, now_ns: u64) {
        loop {
            let shared = self.gate.read();
            if let Some(replayed) = &self.state.load().replayed {
                replayed.append(batch, None, now_ns);
                self.took(position, batch);
                return;
            }
            drop(shared);
            self.begin_replayed();
        }
    }

    /// Makes a head for what is replayed. Only the replay does it, so that there is none yet.
    fn begin_replayed(&self) {
        let _alone = self.gate.write();
        let state = self.state.load_full();
        self.state.store(Arc::new(State {
            manifest: Arc::clone(&state.manifest),
            frozen: state.frozen.clone(),
            replayed: Some(Active::new(self.id.signal, Origin::Replay, &self.memory)),
            active: Arc::clone(&state.active),
        }));
    }

    fn took(&self, position: WalPosition, batch: &Batch) {
        let mut in_flight = self.in_flight.lock();
        in_flight.last = in_flight.last.max(Some(position));
        drop(in_flight);
        self.head_rows.inc_by(i64::try_from(batch.items()).unwrap_or(i64::MAX));
    }

    /// The series or streams of the active head.
    pub(crate) fn active_series(&self) -> Arc<HeadSeries> {
        Arc::clone(self.state.load().active.head.series())
    }

    /// The size of the active heads in bytes, and the monotonic time of their oldest row.
    pub(crate) fn active(&self) -> (usize, Option<u64>) {
        let state = self.state.load();
        let bytes = state.actives().map(|active| active.bytes.load(Ordering::Relaxed)).sum();
        let since_ns = state.actives().map(|active| active.since_ns.load(Ordering::Relaxed)).min();
        (bytes, since_ns.filter(|since_ns| *since_ns != NEVER))
    }

    /// What the heads take that are not in segments yet, in bytes.
    pub(crate) fn unflushed_bytes(&self) -> usize {
        let frozen: usize = self.state.load().frozen.iter().map(|frozen| frozen.bytes).sum();
        self.active().0 + frozen
    }

    /// Whether all rows are in segments, and the position of the node in the manifest does not say so yet.
    pub(crate) fn is_behind(&self, node: &str) -> bool {
        let state = self.state.load();
        let is_empty = state.frozen.is_empty() && state.actives().all(|active| active.is_empty());
        let last = self.in_flight.lock().last;
        is_empty && last.is_some_and(|last| state.manifest.flushed_to(node) <= last)
    }

    /// Waits for the right to change the manifest and the list of heads: one flush or retention at a time.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, StorageError> {
        self.turn.acquire().await.map_err(|_| StorageError::Closed)
    }

    /// Puts new heads in the place of the active ones that have rows; false when too many wait already. The caller has
    /// the turn. Where the rows are all in segments and the position in the manifest is [behind](Partition::is_behind)
    /// the one that can be claimed, an empty head brings it there.
    ///
    /// `tail` gives the log's end, `replayed_to` the position that the replay has reached, while it runs.
    pub(crate) fn freeze(
        &self,
        node: &str,
        tail: impl Fn() -> WalPosition,
        replayed_to: impl Fn() -> Option<WalPosition>,
    ) -> bool {
        let _alone = self.gate.write();
        let state = self.state.load_full();
        let replayed = state.replayed.as_ref().filter(|replayed| !replayed.is_empty());
        let replayed_to = replayed_to();
        let is_only_behind = replayed_to.is_none() && self.is_behind(node);
        let is_active_taken = !state.active.is_empty() || is_only_behind;
        if replayed.is_none() && !is_active_taken {
            return true;
        }
        if state.frozen.len() >= MAX_FROZEN_HEADS {
            return false;
        }
        let in_flight = self.in_flight.lock();
        let oldest = in_flight.not_before.values().next().copied();
        let reached = oldest.unwrap_or_else(&tail);
        drop(in_flight);
        let flushed_to = replayed_to.map_or(reached, |position| position.min(reached));
        if is_only_behind && flushed_to <= state.manifest.flushed_to(node) {
            return true;
        }
        let mut frozen = state.frozen.clone();
        // What is claimed is in both: the first to be flushed must not claim the other's.
        let claimed = if is_active_taken { WalPosition::default() } else { flushed_to };
        frozen.extend(replayed.map(|replayed| replayed.frozen(claimed, false)));
        let active = if is_active_taken {
            frozen.push(state.active.frozen(flushed_to, replayed_to.is_some()));
            Active::new(self.id.signal, Origin::Writers, &self.memory)
        } else {
            Arc::clone(&state.active)
        };
        self.state.store(Arc::new(State {
            manifest: Arc::clone(&state.manifest),
            frozen,
            replayed: if replayed.is_some() { None } else { state.replayed.clone() },
            active,
        }));
        true
    }

    /// The head that must be flushed next: the log's positions only move on in the order of the heads.
    pub(crate) fn oldest_frozen(&self) -> Option<Arc<Frozen>> {
        self.state.load().frozen.first().cloned()
    }

    /// Takes up a committed manifest, unless there is a newer one already, and drops the head that is in it, at one
    /// moment. Who drops a head has the turn.
    pub(crate) fn committed(&self, manifest: Arc<Manifest>, flushed: Option<&Arc<Frozen>>) {
        // Alone, because the active head must not change between the load and the store.
        let alone = self.gate.write();
        let state = self.state.load_full();
        let is_newer = manifest.version >= state.manifest.version;
        let manifest = if is_newer { manifest } else { Arc::clone(&state.manifest) };
        self.count_segments(&manifest);
        let is_kept = |frozen: &&Arc<Frozen>| flushed.is_none_or(|done| !Arc::ptr_eq(done, frozen));
        self.state.store(Arc::new(State {
            manifest,
            frozen: state.frozen.iter().filter(is_kept).cloned().collect(),
            replayed: state.replayed.clone(),
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
