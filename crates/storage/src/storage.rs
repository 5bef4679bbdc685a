//! The engine put together: opening, background work, snapshots for reads, shutdown.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::time::NS_PER_MS;
use model::{Clock, Signal};
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::bounds::{FLUSH_TICK_MS, LOCK_PAUSE_MS};
use crate::error::StorageError;
use crate::ids::Ids;
use crate::layout;
use crate::manifest::WalPosition;
use crate::metrics::Metrics;
use crate::retention::RetentionReport;
use crate::segment::cache::SegmentCache;
use crate::settings::{Components, Settings};
use crate::tenants::Tenants;
use crate::wal::replay::{Replay, ReplayProgress};
use crate::wal::writer::{Wal, WalParts, sync_dir};

/// The engine. Clones share it; when the last one is dropped the background work ends, as if the process had.
#[derive(Clone)]
pub struct Storage {
    pub(crate) engine: Arc<Engine>,
    _alive: Arc<DropGuard>,
}

/// What the tasks share.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) components: Components,
    /// This node's name in manifests.
    pub(crate) node: String,
    pub(crate) ids: Ids,
    pub(crate) wal: Wal,
    pub(crate) replay: Replay,
    pub(crate) tenants: Tenants,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cache: Arc<SegmentCache>,
    pub(crate) flush_wanted: Notify,
    pub(crate) is_closing: AtomicBool,
    pub(crate) stopping: CancellationToken,
    pub(crate) tracker: TaskTracker,
    _lock: Arc<File>,
}

impl Engine {
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.components.clock
    }
}

impl Storage {
    /// Opens the data folder and the store, and starts the background work. Serving can begin at once: the log is
    /// replayed while it goes on.
    ///
    /// # Errors
    /// When a setting makes no sense, another process has the data folder, or the folder or the store cannot be used.
    pub async fn open(settings: Settings, components: Components) -> Result<Self, StorageError> {
        settings.validate()?;
        let data_dir = settings.data_dir.clone();
        // Two folders never draw the same name, also where seed and clock are the same.
        let name = Ids::new(components.seed, &data_dir.to_string_lossy(), 0).next(&*components.clock);
        let lock = lock_folder(&data_dir, settings.lock_wait_ms).await?;
        let (node, sequences) = tokio::task::spawn_blocking(move || read_folder(&data_dir, name)).await??;
        let metrics = Arc::new(Metrics::default());
        let tenants = Tenants::open(Arc::clone(&components.store), Arc::clone(&metrics)).await?;
        let first_sequence = next_sequence(&sequences, &tenants, &node);
        let wal = Wal::open(WalParts {
            data_dir: settings.data_dir.clone(),
            settings: settings.wal.clone(),
            first_sequence,
            clock: Arc::clone(&components.clock),
            metrics: Arc::clone(&metrics),
            _lock: Arc::clone(&lock),
        })?;
        let engine = Arc::new(Engine {
            ids: Ids::new(components.seed, &node, first_sequence),
            cache: Arc::new(SegmentCache::new(settings.read.cache_bytes)),
            replay: Replay::new(sequences),
            settings,
            components,
            node,
            wal,
            tenants,
            metrics,
            flush_wanted: Notify::new(),
            is_closing: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            tracker: TaskTracker::new(),
            _lock: lock,
        });
        let alive = Arc::new(engine.stopping.clone().drop_guard());
        engine.start();
        Ok(Self { engine, _alive: alive })
    }

    /// How far the replay of the log is.
    #[must_use]
    pub fn replay(&self) -> ReplayProgress {
        self.engine.replay.progress()
    }

    /// Waits until the replay of the log is over, or the engine stops.
    pub async fn replayed(&self) {
        tokio::select! {
            () = self.engine.replay.finished() => {}
            () = self.engine.stopping.cancelled() => {}
        }
    }

    /// Writes all heads as segments and deletes the log files that are no longer needed.
    ///
    /// # Errors
    /// The first failure; the other heads are flushed all the same, and what failed stays in memory and in the log.
    pub async fn flush(&self) -> Result<(), StorageError> {
        self.engine.flush_all().await
    }

    /// One pass of retention and sweep over all tenants.
    ///
    /// # Errors
    /// The first failure; the other tenants are looked after all the same.
    pub async fn retain(&self) -> Result<RetentionReport, StorageError> {
        self.engine.retain().await
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
        engine.tracker.wait().await;
        let flushed = engine.flush_all().await;
        let closed = engine.wal.close().await;
        flushed.and(closed)?;
        engine.trim().await
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
            let interval = Duration::from_millis(engine.settings.retention.interval_ms);
            while engine.pause(interval, None).await {
                // Every failure was logged where it happened; the next pass tries again.
                let _logged = engine.retain().await;
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

    fn spawn<F>(self: &Arc<Self>, task: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(task(Arc::clone(self)));
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
            () = tokio::time::sleep(time) => true,
        }
    }

    /// Deletes the log files whose every record is in segments.
    pub(crate) async fn trim(&self) -> Result<(), StorageError> {
        let flushed_to = |id: &crate::partition::PartitionId| {
            let partition = self.tenants.get(&id.tenant, id.signal);
            partition.map_or(WalPosition::default(), |p| p.state().manifest.flushed_to(&self.node))
        };
        for sequence in self.wal.closed_files().flushed(flushed_to) {
            let path = layout::wal_file(&self.settings.data_dir, sequence);
            let result = tokio::fs::remove_file(&path).await;
            match result {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
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

    /// The moment before which a tenant's data may no longer be seen.
    pub(crate) fn expired_before_ns(&self, tenant: &model::TenantId, signal: Signal) -> Option<i64> {
        let retention_ns = self.components.limits.limits(tenant).retention.of(signal)?;
        Some(self.clock().now().0.saturating_sub(retention_ns))
    }

    /// Monotonic time since then, in milliseconds.
    pub(crate) fn age_ms(&self, since_ns: u64) -> u64 {
        let per_ms = u64::try_from(NS_PER_MS).expect("a positive constant");
        self.clock().monotonic_ns().saturating_sub(since_ns) / per_ms
    }
}

/// Makes the folders and takes the lock; waits a while for another process that has it.
async fn lock_folder(data_dir: &FilePath, wait_ms: u64) -> Result<Arc<File>, StorageError> {
    let path = layout::lock_file(data_dir);
    let folder = data_dir.to_path_buf();
    let file = tokio::task::spawn_blocking(move || open_lock_file(&folder)).await??;
    for _ in 0..wait_ms.div_ceil(LOCK_PAUSE_MS) {
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => {
                tokio::time::sleep(Duration::from_millis(LOCK_PAUSE_MS)).await;
            }
            _ => break,
        }
    }
    match file.try_lock() {
        Ok(()) => Ok(Arc::new(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StorageError::Locked { path }),
        Err(std::fs::TryLockError::Error(e)) => Err(StorageError::io("lock", path, e)),
    }
}

fn open_lock_file(data_dir: &FilePath) -> Result<File, StorageError> {
    for dir in [data_dir.to_path_buf(), layout::wal_dir(data_dir), layout::quarantine_dir(data_dir)] {
        std::fs::create_dir_all(&dir).map_err(|e| StorageError::io("create folder", dir, e))?;
    }
    // New folders must survive a loss of power as the log in them does.
    for dir in [Some(data_dir), data_dir.parent().filter(|parent| parent.is_dir())].into_iter().flatten() {
        sync_dir(dir).map_err(|e| StorageError::io("sync folder", dir, e))?;
    }
    let path = layout::lock_file(data_dir);
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    lock.map_err(|e| StorageError::io("open lock file", &path, e))
}

/// Finds the node's name and the log files. The caller has the lock.
fn read_folder(data_dir: &FilePath, new_name: String) -> Result<(String, Vec<u64>), StorageError> {
    let node = node_name(data_dir, new_name)?;
    let dir = layout::wal_dir(data_dir);
    let list = || -> std::io::Result<Vec<u64>> {
        let mut sequences = Vec::new();
        for entry in std::fs::read_dir(&dir)? {
            sequences.extend(layout::wal_sequence(&entry?.path()));
        }
        sequences.sort_unstable();
        Ok(sequences)
    };
    let sequences = list().map_err(|e| StorageError::io("list log folder", &dir, e))?;
    Ok((node, sequences))
}

/// The node's name, which is given when the folder is new. A folder that was emptied is another node: positions in manifests
/// must not hide records of its new log.
fn node_name(data_dir: &FilePath, new_name: String) -> Result<String, StorageError> {
    let path = layout::node_file(data_dir);
    let mut name = String::new();
    match File::open(&path).and_then(|file| file.take(64).read_to_string(&mut name)) {
        Ok(_) if ulid::Ulid::from_string(name.trim()).is_ok() => return Ok(name.trim().to_owned()),
        Ok(_) => {
            return Err(StorageError::corrupt(
                path.display(),
                "it holds no node's name, restore it or move the data folder's log away",
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(StorageError::io("read", path, error)),
    }
    let staged = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&staged)?;
        file.write_all(new_name.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&staged, &path)?;
        sync_dir(data_dir)
    };
    write().map_err(|e| StorageError::io("write", &path, e))?;
    Ok(new_name)
}

/// A sequence after every log file, and after every position that a manifest names for this node.
fn next_sequence(sequences: &[u64], tenants: &Tenants, node: &str) -> u64 {
    let named = tenants.all().into_iter().map(|p| p.state().manifest.flushed_to(node).sequence).max();
    sequences.last().copied().max(named).unwrap_or(0) + 1
}
