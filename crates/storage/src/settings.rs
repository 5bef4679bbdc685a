//! What the operator decides about the engine, as data. The parts that are passed in (clock, store, limits) are
//! [`crate::Components`].

use std::path::PathBuf;
use std::sync::Arc;

use model::limits::LimitsSource;
use model::time::Clock;
use object_store::ObjectStore;

use crate::bounds::MAX_FAN_IN;
use crate::disk::{Disk, SystemDisk};
use crate::error::StorageError;
use crate::runtime::{Runtime, Tokio};

/// When the log is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before every reply: what is acknowledged survives power loss.
    Always,
    /// At most this many milliseconds after a reply: power loss may cost the last interval, the end of the process
    /// costs nothing.
    IntervalMs(u64),
}

/// The write-ahead log.
#[derive(Clone, Debug)]
pub struct WalSettings {
    /// When records are forced to the disk.
    pub fsync: Fsync,
    /// A log file is closed and the next begun when it reaches this size, in bytes.
    pub segment_bytes: u64,
}

/// When heads become segments.
#[derive(Clone, Debug)]
pub struct FlushSettings {
    /// The head of one tenant's signal is flushed at this size, in bytes of memory.
    pub max_head_bytes: usize,
    /// A head is flushed when its oldest record is this old, in milliseconds.
    pub max_head_age_ms: u64,
    /// All heads together; beyond it writers are refused until a flush has made room. In bytes of memory.
    pub max_total_head_bytes: usize,
}

/// When segments become fewer and larger.
#[derive(Clone, Debug)]
pub struct CompactionSettings {
    /// Time between two looks for what is due, in milliseconds.
    pub interval_ms: u64,
    /// Merges that run at the same time. Each has a thread while it computes.
    pub max_concurrent: usize,
    /// Segments of one level that become one of the next; at least 2. So many are open at a time in a merge.
    pub fan_in: usize,
    /// What the inputs of a merge may have together, in bytes.
    pub max_segment_bytes: u64,
    /// How long after its end, and after the last late row, the rest of a day is merged, in milliseconds.
    pub settle_ms: u64,
}

/// When expired data goes.
#[derive(Clone, Debug)]
pub struct RetentionSettings {
    /// Time between two passes of retention and sweep, in milliseconds.
    pub interval_ms: u64,
    /// How long an object that no manifest names stays in the store, for readers that still use it, in milliseconds.
    pub sweep_grace_ms: u64,
    /// How long a period that became shorter waits before it acts, in milliseconds: it may be a mistake.
    pub shorten_grace_ms: u64,
}

/// How the object store is spoken to.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The wait after the first failed attempt of an upload or commit, in milliseconds; it doubles with each.
    pub retry_backoff_ms: u64,
}

/// The cache of bytes of segments, for a store of others. A folder needs none: the system's own does the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteCacheSettings {
    /// Memory, in bytes; none for 0.
    pub memory_bytes: u64,
    /// Room in the data folder, in bytes; none for 0.
    pub disk_bytes: u64,
}

/// Reads.
#[derive(Clone, Debug)]
pub struct ReadSettings {
    /// Memory for footers, series tables and token filters of segments, in bytes.
    pub cache_bytes: u64,
    /// The bytes of segments.
    pub byte_cache: ByteCacheSettings,
}

/// Memory beside that of heads ([`FlushSettings`]) and caches ([`ReadSettings`]).
#[derive(Clone, Debug)]
pub struct MemorySettings {
    /// Records that wait for the log, and those that come from it at the start, in bytes. A record takes at most a
    /// quarter of it; a larger batch becomes several.
    pub log_bytes: usize,
    /// Heads that are being written as segments, and segments that are being merged, in bytes.
    pub merge_bytes: usize,
}

impl MemorySettings {
    /// Records that wait for the log. Those that are written together are copied, so that it counts twice.
    pub(crate) const fn queue_bytes(&self) -> usize {
        self.log_bytes / 4
    }

    /// Records that a replay has read and not yet put into a head.
    pub(crate) const fn replay_bytes(&self) -> usize {
        self.log_bytes / 2
    }
}

/// The room on the volumes that are written to.
#[derive(Clone, Debug, Default)]
pub struct DiskSettings {
    /// Writes are refused while less is free, in bytes; none for a twentieth of the volume, at most 2 GiB.
    pub min_free_bytes: Option<u64>,
    /// The size of a file that is given up when a volume is full to its end, in bytes; 0 for none.
    pub reserve_bytes: u64,
    /// The folder of the object store, where it is one.
    pub store_folder: Option<PathBuf>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the log, of what was set aside from it, and of the node's identity.
    pub data_dir: PathBuf,
    /// How long opening waits for another process to let go of the folder, in milliseconds. The locks of a process
    /// that was killed are there until the kernel has taken it down.
    pub lock_wait_ms: u64,
    /// The write-ahead log.
    pub wal: WalSettings,
    /// When heads become segments.
    pub flush: FlushSettings,
    /// Memory beside that of heads and caches.
    pub memory: MemorySettings,
    /// The room on the volumes that are written to.
    pub disk: DiskSettings,
    /// When segments become fewer and larger.
    pub compaction: CompactionSettings,
    /// When expired data goes.
    pub retention: RetentionSettings,
    /// How the object store is spoken to.
    pub store: StoreSettings,
    /// Reads.
    pub read: ReadSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("stella-data"),
            lock_wait_ms: 5_000,
            wal: WalSettings { fsync: Fsync::Always, segment_bytes: 64 << 20 },
            flush: FlushSettings {
                max_head_bytes: 64 << 20,
                max_head_age_ms: 10 * 60 * 1_000,
                max_total_head_bytes: 512 << 20,
            },
            memory: MemorySettings { log_bytes: 512 << 20, merge_bytes: 256 << 20 },
            disk: DiskSettings::default(),
            compaction: CompactionSettings {
                interval_ms: 10 * 1_000,
                max_concurrent: 1,
                fan_in: 8,
                max_segment_bytes: 512 << 20,
                settle_ms: 60 * 60 * 1_000,
            },
            retention: RetentionSettings {
                interval_ms: 60 * 1_000,
                sweep_grace_ms: 10 * 60 * 1_000,
                shorten_grace_ms: 60 * 60 * 1_000,
            },
            store: StoreSettings { retry_backoff_ms: 100 },
            read: ReadSettings { cache_bytes: 128 << 20, byte_cache: ByteCacheSettings::default() },
        }
    }
}

impl Settings {
    /// Checks that the figures make sense together.
    ///
    /// # Errors
    /// [`StorageError::Settings`] that names the setting.
    pub fn validate(&self) -> Result<(), StorageError> {
        let positive = [
            ("wal.segment_bytes", self.wal.segment_bytes > 0),
            ("wal.fsync interval_ms", self.wal.fsync != Fsync::IntervalMs(0)),
            ("flush.max_head_bytes", self.flush.max_head_bytes > 0),
            ("flush.max_head_age_ms", self.flush.max_head_age_ms > 0),
            ("memory.log_bytes", self.memory.log_bytes > 0),
            ("memory.merge_bytes", self.memory.merge_bytes > 0),
            ("compaction.interval_ms", self.compaction.interval_ms > 0),
            ("compaction.max_concurrent", self.compaction.max_concurrent > 0),
            ("compaction.max_segment_bytes", self.compaction.max_segment_bytes > 0),
            ("retention.interval_ms", self.retention.interval_ms > 0),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, is_positive)| !is_positive) {
            return Err(StorageError::Settings(format!("{name} must be greater than 0")));
        }
        if !(2..=MAX_FAN_IN).contains(&self.compaction.fan_in) {
            return Err(StorageError::Settings(format!("compaction.fan_in must be from 2 to {MAX_FAN_IN}")));
        }
        if self.flush.max_total_head_bytes < self.flush.max_head_bytes {
            return Err(StorageError::Settings(
                "flush.max_total_head_bytes must be at least flush.max_head_bytes".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The parts that the engine is given; a simulation gives others than the binary does. What the engine does depends on
/// these and its settings alone.
#[derive(Clone, Debug)]
pub struct Components {
    /// Where tasks run and how they wait.
    pub runtime: Arc<dyn Runtime>,
    /// Where the log is.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where segments and manifests live.
    pub store: Arc<dyn ObjectStore>,
    /// What each tenant may use; retention is read from here at every pass.
    pub limits: Arc<dyn LimitsSource>,
    /// The start of every random choice.
    pub seed: u64,
}

impl Components {
    /// On the machine's own disk, inside of the caller's tokio runtime.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        store: Arc<dyn ObjectStore>,
        limits: Arc<dyn LimitsSource>,
        seed: u64,
    ) -> Self {
        Self { runtime: Arc::new(Tokio), disk: Arc::new(SystemDisk), clock, store, limits, seed }
    }
}
