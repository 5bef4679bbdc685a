//! The engine: one for three signals. Telemetry goes through the log into heads, from heads into Parquet segments, and
//! manifests say which segments there are; reads see a snapshot of all of it.
//!
//! Not here: protocols, query languages, identity. Every call takes a [`model::TenantContext`].

pub mod error;

pub mod settings;

pub(crate) mod bounds;

pub mod disk;

pub mod runtime;

mod room;

mod volumes;

pub(crate) mod layout;

pub(crate) mod metrics;

pub(crate) mod ids;

pub mod manifest;

pub(crate) mod wal;

pub(crate) mod ingest;

pub(crate) mod partition;

pub(crate) mod tenants;

pub(crate) mod signal;

pub(crate) mod head;

pub(crate) mod segment;

pub(crate) mod retry;

pub(crate) mod building;

pub(crate) mod flush;

pub(crate) mod compact;

pub(crate) mod hidden;

pub(crate) mod cut;

pub mod delete;

pub mod hold;

pub(crate) mod erase;

pub(crate) mod retention;

pub(crate) mod sweep;

pub mod expiry;

pub mod prove;

pub(crate) mod quarantine;

pub mod read;

pub(crate) mod store;

pub(crate) mod storage;

pub(crate) mod snapshot;

pub mod usage;

pub mod inspect;

pub mod verify;

pub mod restore;

pub use compact::CompactionReport;
pub use disk::{Disk, SystemDisk};
pub use error::StorageError;
pub use read::{
    Attribute, EntrySource, LogColumns, LogMetadata, LogScan, LogsSnapshot, MAX_SPAN_SOURCES, MetricMetadata,
    MetricsSnapshot, ReadMemory, Refusal, SeriesSet, SpanColumns, SpanSource, StreamSet, TraceIds, TraceScan,
    TracesSnapshot,
};
pub use retention::{AtOnce, RetentionReport};
pub use runtime::{Runtime, Tokio};
pub use segment::blocks::Checksum;
pub use settings::{
    ByteCacheSettings, CompactionSettings, Components, DiskSettings, FlushSettings, Fsync, MemorySettings,
    ReadSettings, RetentionSettings, Settings, StoreSettings, WalSettings,
};
pub use storage::{MemoryUse, Storage};
pub use store::config::{Patience, StoreConfig};
pub use store::{Store, StoreParts};
pub use usage::Usage;
pub use wal::replay::ReplayProgress;
