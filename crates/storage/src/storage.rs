//! The engine put together: opening, background work, snapshots for reads, shutdown.

mod on_demand;

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::Clock;
use model::time::NS_PER_MS;
use object_store::ObjectStore;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::bounds::{
    DISK_TICK_MS, EXAMINE_INTERVAL_MS, FLUSH_TICK_MS, LOCK_PAUSE_MS, MAX_NODE_FILE_BYTES, READ_BATCH_BYTES,
};
use crate::disk::{self, Disk, Lock};
use crate::error::StorageError;
use crate::ids::Ids;
use crate::layout;
use crate::manifest::{EarlierLog, PartMeta, SegmentMeta, WalPosition};
use crate::metrics::{BySignal, Metrics};
use crate::partition::PartitionId;
use crate::quarantine::Suspects;
use crate::read::memory::Bounded;
use crate::retention::AtOnce;
use crate::room::Room;
use crate::runtime::{Runtime, blocking};
use crate::segment::blocks::Tail;
use crate::segment::cache::SegmentCache;
use crate::segment::reader::SegmentFile;
use crate::settings::{ByteCacheSettings, Components, Settings};
use crate::store::cache::ByteCache;
use crate::store::cache::disk::DiskTier;
use crate::tenants::Tenants;
use crate::volumes::Volumes;
use crate::wal::replay::{Replay, ReplayProgress};
use crate::wal::writer::{Wal, WalParts};

/// The engine. Clones share it; when the last one is dropped the background work ends, as if the process had.
#[derive(Clone)]
pub struct Storage {
    pub(crate) engine: Arc<Engine>,
    /// Where reads take memory.
    pub(crate) reads: Bounded,
    _alive: Arc<DropGuard>,
}

/// What the engine holds in memory at one moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Heads.
    pub head_bytes: usize,
    /// Heads that are being written as segments, and segments that are being merged.
    pub merge_bytes: usize,
    /// What is kept of segments between reads.
    pub cache_bytes: usize,
    /// Records that wait for the log, or were read from it and are in no head yet.
    pub log_bytes: usize,
}

/// What the tasks share.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) components: Components,
    /// This node's name in manifests.
    pub(crate) node: String,
    /// The log files that were there when it began.
    pub(crate) earlier_log: Arc<EarlierLog>,
    pub(crate) ids: Ids,
    pub(crate) wal: Wal,
    pub(crate) replay: Replay,
    pub(crate) tenants: Tenants,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cache: Arc<SegmentCache>,
    pub(crate) suspects: Arc<Suspects>,
    /// Memory for heads that are being written and segments that are being merged.
    pub(crate) merges: Room,
    pub(crate) volumes: Arc<Volumes>,
    pub(crate) flush_wanted: Notify,
    /// Held by the one pass of compaction.
    pub(crate) compacting: Semaphore,
    pub(crate) is_closing: AtomicBool,
    pub(crate) stopping: CancellationToken,
    pub(crate) tracker: TaskTracker,
    _lock: Arc<Lock>,
}

impl Engine {
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.components.clock
    }

    pub(crate) fn runtime(&self) -> &dyn Runtime {
        &*self.components.runtime
    }
}

impl Storage {
    /// Opens the data folder and the store, and starts the background work. Serving can begin at once: the log is
    /// replayed while it goes on.
    ///
    /// # Errors
    /// When a setting makes no sense, another process has the data folder, or the folder or the store cannot be used.
    pub async fn open(settings: Settings, mut components: Components) -> Result<Self, StorageError> {
        settings.validate()?;
        let data_dir = settings.data_dir.clone();
        // Two folders never draw the same name, also where seed and clock are the same.
        let name = Ids::new(components.seed, &data_dir.to_string_lossy(), 0).next(&*components.clock);
        let lock = lock_folder(&components, &data_dir, settings.lock_wait_ms).await?;
        let disk = Arc::clone(&components.disk);
        let read = blocking(&*components.runtime, move || read_folder(&*disk, &data_dir, name));
        let (node, sequences) = read.await??;
        let metrics = Arc::new(Metrics::default());
        let volumes = Arc::new(Volumes::new(&settings, Arc::clone(&components.disk), Arc::clone(&metrics)));
        let looking = Arc::clone(&volumes);
        blocking(&*components.runtime, move || looking.look()).await?;
        components.store = cached_store(&settings, &components, &metrics);
        let opened_ns = components.clock.monotonic_ns();
        let tenants = Tenants::open(Arc::clone(&components.store), Arc::clone(&metrics), opened_ns).await?;
        let first_sequence = next_sequence(&sequences, &tenants, &node);
        let parts = WalParts {
            data_dir: settings.data_dir.clone(),
            settings: settings.wal.clone(),
            queue_bytes: settings.memory.queue_bytes(),
            first_sequence,
            disk: Arc::clone(&components.disk),
            volumes: Arc::clone(&volumes),
            clock: Arc::clone(&components.clock),
            metrics: Arc::clone(&metrics),
            _lock: Arc::clone(&lock),
        };
        let wal = Wal::open(parts, &*components.runtime)?;
        let engine = Arc::new(Engine {
            ids: Ids::new(components.seed, &node, first_sequence),
            cache: Arc::new(SegmentCache::new(settings.read.cache_bytes)),
            suspects: Arc::default(),
            replay: Replay::new(sequences, settings.memory.replay_bytes()),
            merges: Room::new(settings.memory.merge_bytes),
            volumes,
            settings,
            components,
            earlier_log: Arc::new(EarlierLog { node: node.clone(), before: first_sequence }),
            node,
            wal,
            tenants,
            metrics,
            flush_wanted: Notify::new(),
            compacting: Semaphore::new(1),
            is_closing: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            tracker: TaskTracker::new(),
            _lock: lock,
        });
        let alive = Arc::new(engine.stopping.clone().drop_guard());
        engine.start();
        Ok(Self { engine, reads: Bounded::default(), _alive: alive })
    }

    /// How far the replay of the log is.
    #[must_use]
    pub fn replay(&self) -> ReplayProgress {
        self.engine.replay.progress()
    }

    /// Waits until the replay of the log is over, or the engine stops.
    pub async fn replayed(&self) {
        tokio::select! {
            biased;
            () = self.engine.replay.finished() => {}
            () = self.engine.stopping.cancelled() => {}
        }
    }

    /// Refuses further writes, ends the background work, flushes all heads and closes the log. Reads go on.
    ///
    /// # Errors
    /// The first failure. What could not be flushed is in the log and is replayed at the next start.
    pub async fn shutdown(&self) -> Result<(), StorageError> {
        let engine = &self.engine;
        engine.is_closing.store(true, Ordering::Release);
        engine.stopping.cancel();
        engine.tracker.close();
        engine.synced_during(engine.tracker.wait()).await;
        // Nobody writes any more, and the flush may take long: what was answered must not wait for its end.
        engine.wal.request_sync().await;
        let flushed = engine.flush_all().await;
        let closed = engine.wal.close().await;
        flushed.and(closed)?;
        engine.trim().await
    }

    /// Refuses as a writer would be refused whatever it writes: because the engine ends, or a volume is full.
    ///
    /// # Errors
    /// [`StorageError::Closed`], or [`StorageError::Full`].
    pub fn takes_writes(&self) -> Result<(), StorageError> {
        self.engine.takes_writes()
    }

    /// What the engine holds in memory.
    #[must_use]
    pub fn memory(&self) -> MemoryUse {
        let engine = &self.engine;
        MemoryUse {
            head_bytes: engine.tenants.memory().bytes(),
            merge_bytes: engine.merges.used_bytes(),
            cache_bytes: engine.cache.bytes() + engine.metrics.byte_cache.memory_size(),
            log_bytes: engine.wal.queued_bytes() + engine.replay.held_bytes(),
        }
    }

    /// Puts the engine's metrics into a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.engine.metrics.register(registry);
    }
}

impl Engine {
    fn start(self: &Arc<Self>) {
        self.spawn(|engine| async move { engine.replay_log().await });
        self.spawn(|engine| async move {
            while engine.pause(Duration::from_millis(FLUSH_TICK_MS), Some(&engine.flush_wanted)).await {
                engine.flush_due().await;
            }
        });
        self.spawn(|engine| async move {
            while engine.pause(Duration::from_millis(DISK_TICK_MS), None).await {
                let volumes = Arc::clone(&engine.volumes);
                // Work that ends early says why by itself.
                let _looked = blocking(engine.runtime(), move || volumes.look()).await;
            }
        });
        self.spawn(|engine| async move {
            let interval = Duration::from_millis(engine.settings.retention.interval_ms);
            while engine.pause(interval, None).await {
                // Every failure was logged where it happened; the next pass tries again.
                let _logged = engine.retain(&AtOnce::Nobody).await;
            }
        });
        self.spawn(|engine| async move {
            let interval = Duration::from_millis(EXAMINE_INTERVAL_MS);
            while engine.pause(interval, Some(&engine.suspects.found)).await {
                engine.examine_suspects().await;
            }
        });
        self.spawn(|engine| async move {
            let interval = Duration::from_millis(engine.settings.compaction.interval_ms);
            while engine.pause(interval, None).await {
                // Every failure was logged where it happened; the next pass tries again.
                let _logged = engine.compact(&AtOnce::Nobody).await;
            }
        });
        if let Some(interval_ms) = self.wal.sync_interval_ms() {
            self.spawn(move |engine| async move {
                while engine.pause(Duration::from_millis(interval_ms), None).await {
                    engine.wal.request_sync().await;
                }
            });
        }
    }

    /// Goes on with the log's syncs while something is waited for, where they are made by interval.
    async fn synced_during(&self, work: impl Future<Output = ()>) {
        let Some(interval_ms) = self.wal.sync_interval_ms() else { return work.await };
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = &mut work => return,
                () = self.runtime().sleep(Duration::from_millis(interval_ms)) => self.wal.request_sync().await,
            }
        }
    }

    fn spawn<F>(self: &Arc<Self>, task: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.runtime().spawn(Box::pin(self.tracker.track_future(task(Arc::clone(self)))));
    }

    /// Waits for the time, or until somebody asks; false when the engine stops.
    async fn pause(&self, time: Duration, asked: Option<&Notify>) -> bool {
        let asked = async {
            match asked {
                Some(asked) => asked.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => false,
            () = asked => true,
            () = self.runtime().sleep(time) => true,
        }
    }

    /// Deletes the log files whose every record is in segments.
    pub(crate) async fn trim(&self) -> Result<(), StorageError> {
        let flushed_to = |id: &PartitionId| {
            let partition = self.tenants.get(&id.tenant, id.signal);
            partition.map_or(WalPosition::default(), |p| p.state().manifest.flushed_to(&self.node))
        };
        for sequence in self.wal.closed_files().flushed(flushed_to) {
            let path = layout::wal_file(&self.settings.data_dir, sequence);
            let (disk, file) = (Arc::clone(&self.components.disk), path.clone());
            match blocking(self.runtime(), move || disk.remove(&file)).await? {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StorageError::io("delete log file", path, error));
                }
                _ => self.wal.closed_files().remove(sequence),
            }
            self.metrics.wal_files_trimmed.inc();
        }
        // The one that is being written is not among the closed ones.
        let files = self.wal.closed_files().len() + 1;
        self.metrics.wal_files.set(i64::try_from(files).unwrap_or(i64::MAX));
        Ok(())
    }

    /// See [`Storage::takes_writes`].
    pub(crate) fn takes_writes(&self) -> Result<(), StorageError> {
        if self.is_closing.load(Ordering::Acquire) {
            return Err(StorageError::Closed);
        }
        self.volumes.admit()
    }

    /// Has the log begin a new file where its records were begun to be written so long ago, and deletes what is no longer
    /// needed: neither a quiet nor a busy log keeps what was to go.
    pub(crate) async fn renew_log(&self, age_ns: u64) -> Result<(), StorageError> {
        if let Some(begun_by_ns) = self.clock().monotonic_ns().checked_sub(age_ns) {
            self.wal.renew(begun_by_ns).await?;
        }
        self.trim().await
    }

    /// A file of a segment, as the manifest has it.
    pub(crate) fn segment_file(&self, id: &PartitionId, meta: &SegmentMeta, part: &PartMeta) -> SegmentFile {
        SegmentFile {
            store: Arc::clone(&self.components.store),
            runtime: Arc::clone(&self.components.runtime),
            path: layout::segment(&id.tenant, id.signal, meta, &part.name),
            bytes: part.bytes,
            tail: Tail { bytes: part.tail_bytes, checksum: part.tail_xxh3 },
            cache: Arc::clone(&self.cache),
            read_bytes: self.metrics.read_bytes.get_or_create(&BySignal::new(id.signal)).clone(),
            memory: Bounded::default(),
            batch_bytes: READ_BATCH_BYTES,
        }
    }

    /// Monotonic time since then, in milliseconds.
    pub(crate) fn age_ms(&self, since_ns: u64) -> u64 {
        let per_ms = u64::try_from(NS_PER_MS).expect("a positive constant");
        self.clock().monotonic_ns().saturating_sub(since_ns) / per_ms
    }
}

/// The store behind a cache of bytes, where there is to be one. The caller has the folder's lock.
fn cached_store(settings: &Settings, components: &Components, metrics: &Metrics) -> Arc<dyn ObjectStore> {
    let ByteCacheSettings { memory_bytes, disk_bytes } = settings.read.byte_cache;
    let (store, clock) = (Arc::clone(&components.store), Arc::clone(&components.clock));
    let (disk, runtime) = (Arc::clone(&components.disk), Arc::clone(&components.runtime));
    let metrics = metrics.byte_cache.clone();
    // Without room it only empties what an earlier run has left.
    let folder = layout::cache_dir(&settings.data_dir);
    let tier = DiskTier::open(folder, disk_bytes, disk, runtime, metrics.clone());
    let tier = (disk_bytes > 0).then_some(tier);
    if memory_bytes == 0 && tier.is_none() {
        return store;
    }
    Arc::new(ByteCache::new(store, memory_bytes, tier, clock, metrics))
}

/// Makes the folders and takes the lock; waits a while for another process that has it.
async fn lock_folder(
    components: &Components,
    data_dir: &FilePath,
    wait_ms: u64,
) -> Result<Arc<Lock>, StorageError> {
    let path = layout::lock_file(data_dir);
    let (disk, folder) = (Arc::clone(&components.disk), data_dir.to_path_buf());
    blocking(&*components.runtime, move || make_folders(&*disk, &folder)).await??;
    let mut tries = wait_ms.div_ceil(LOCK_PAUSE_MS);
    loop {
        match components.disk.lock(&path) {
            Ok(lock) => return Ok(Arc::new(lock)),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Err(StorageError::io("lock", path, error));
            }
            Err(_) if tries == 0 => return Err(StorageError::Locked { path }),
            Err(_) => components.runtime.sleep(Duration::from_millis(LOCK_PAUSE_MS)).await,
        }
        tries -= 1;
    }
}

fn make_folders(disk: &dyn Disk, data_dir: &FilePath) -> Result<(), StorageError> {
    for dir in [data_dir.to_path_buf(), layout::wal_dir(data_dir), layout::quarantine_dir(data_dir)] {
        disk.create_folder(&dir).map_err(|e| StorageError::io("create folder", dir, e))?;
    }
    Ok(())
}

/// Finds the node's name and the log files. The caller has the lock.
fn read_folder(
    disk: &dyn Disk,
    data_dir: &FilePath,
    new_name: String,
) -> Result<(String, Vec<u64>), StorageError> {
    let node = node_name(disk, data_dir, new_name)?;
    let dir = layout::wal_dir(data_dir);
    let files = disk.list(&dir).map_err(|e| StorageError::io("list log folder", &dir, e))?;
    let mut sequences: Vec<u64> = files.iter().filter_map(|file| layout::wal_sequence(file)).collect();
    sequences.sort_unstable();
    Ok((node, sequences))
}

/// The node's name, which is given when the folder is new. A folder that was emptied is another node: positions in manifests
/// must not hide records of its new log.
fn node_name(disk: &dyn Disk, data_dir: &FilePath, new_name: String) -> Result<String, StorageError> {
    let path = layout::node_file(data_dir);
    match read_name(disk, &path) {
        Ok(name) if ulid::Ulid::from_string(name.trim()).is_ok() => return Ok(name.trim().to_owned()),
        Ok(_) => {
            return Err(StorageError::corrupt(
                path.display(),
                "it holds no node's name, restore it or move the data folder's log away",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StorageError::io("read", path, error)),
    }
    let staged = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = disk::replace(disk, &staged)?;
        file.append(new_name.as_bytes())?;
        file.sync()?;
        disk.rename(&staged, &path)?;
        disk.sync_folder(data_dir)
    };
    write().map_err(|e| StorageError::io("write", &path, e))?;
    Ok(new_name)
}

/// The text of the node's file; bytes that are no text come as ones that are no name either.
fn read_name(disk: &dyn Disk, path: &FilePath) -> io::Result<String> {
    let mut file = disk.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?.min(MAX_NODE_FILE_BYTES)).unwrap_or(0)];
    file.read_exact_at(0, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A sequence after every log file, and after every position that a manifest names for this node.
fn next_sequence(sequences: &[u64], tenants: &Tenants, node: &str) -> u64 {
    let named = tenants.all().into_iter().map(|p| p.state().manifest.flushed_to(node).sequence).max();
    sequences.last().copied().max(named).unwrap_or(0) + 1
}
