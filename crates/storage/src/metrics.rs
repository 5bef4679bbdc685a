//! Every metric of the engine, with its help and unit.

use model::ingest::Reason;
use model::{Signal, TenantId};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

mod cache;

mod store;

pub(crate) use cache::{CacheMetrics, Tier};
pub(crate) use store::{Operation, Request, StoreMetrics};

/// The label value of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TenantLabel(pub(crate) TenantId);

/// The label value of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SignalLabel(pub(crate) Signal);

/// The label value of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReasonLabel(pub(crate) Reason);

impl EncodeLabelValue for TenantLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for SignalLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for ReasonLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

/// Labels of what is counted by signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BySignal {
    pub(crate) signal: SignalLabel,
}

/// Labels of what is counted by tenant and signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByPartition {
    pub(crate) tenant: TenantLabel,
    pub(crate) signal: SignalLabel,
}

/// Labels of what is told of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByVolume {
    /// What lies on it: `data`, `store`.
    pub(crate) volume: &'static str,
}

/// Labels of segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByLevel {
    pub(crate) tenant: TenantLabel,
    pub(crate) signal: SignalLabel,
    pub(crate) level: u8,
}

/// Labels of what was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByReason {
    pub(crate) tenant: TenantLabel,
    pub(crate) signal: SignalLabel,
    pub(crate) reason: ReasonLabel,
}

impl ByPartition {
    /// The labels of one tenant's signal.
    pub(crate) fn new(tenant: &TenantId, signal: Signal) -> Self {
        Self { tenant: TenantLabel(tenant.clone()), signal: SignalLabel(signal) }
    }
}

impl ByLevel {
    /// The labels of one level of one tenant's signal.
    pub(crate) fn new(tenant: &TenantId, signal: Signal, level: u8) -> Self {
        Self { tenant: TenantLabel(tenant.clone()), signal: SignalLabel(signal), level }
    }
}

impl BySignal {
    /// The labels of one signal.
    pub(crate) fn new(signal: Signal) -> Self {
        Self { signal: SignalLabel(signal) }
    }
}

/// The engine's metrics; all clones of a metric share its value.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) ingest_items: Family<ByPartition, Counter>,
    pub(crate) ingest_rejected: Family<ByReason, Counter>,
    pub(crate) ingest_refused: Family<BySignal, Counter>,
    pub(crate) ingest_truncated: Family<ByPartition, Counter>,
    pub(crate) ingest_active: Family<ByPartition, Gauge<i64>>,
    pub(crate) wal_records: Counter,
    pub(crate) wal_bytes: Counter,
    pub(crate) wal_groups: Counter,
    pub(crate) wal_sync_seconds: Histogram,
    pub(crate) wal_errors: Counter,
    pub(crate) wal_files: Gauge<i64>,
    pub(crate) wal_files_trimmed: Counter,
    pub(crate) wal_corrupt_records: Counter,
    pub(crate) wal_torn_bytes: Counter,
    pub(crate) replay_records: Counter,
    pub(crate) replay_done: Gauge<i64>,
    pub(crate) head_bytes: Gauge<i64>,
    pub(crate) head_rows: Family<BySignal, Gauge<i64>>,
    pub(crate) flushes: Family<BySignal, Counter>,
    pub(crate) flush_failures: Family<BySignal, Counter>,
    pub(crate) flush_rows: Family<BySignal, Counter>,
    pub(crate) flush_bytes: Family<BySignal, Counter>,
    pub(crate) flush_seconds: Histogram,
    pub(crate) compactions: Family<BySignal, Counter>,
    pub(crate) compaction_failures: Family<BySignal, Counter>,
    pub(crate) compaction_rows_in: Family<BySignal, Counter>,
    pub(crate) compaction_rows_dropped: Family<BySignal, Counter>,
    pub(crate) compaction_bytes_in: Family<BySignal, Counter>,
    pub(crate) compaction_bytes_out: Family<BySignal, Counter>,
    pub(crate) compaction_seconds: Histogram,
    pub(crate) compaction_backlog: Gauge<i64>,
    pub(crate) manifest_commits: Family<BySignal, Counter>,
    pub(crate) manifest_conflicts: Family<BySignal, Counter>,
    pub(crate) manifests_quarantined: Counter,
    pub(crate) segments: Family<ByLevel, Gauge<i64>>,
    pub(crate) segment_bytes: Family<ByPartition, Gauge<i64>>,
    pub(crate) segments_expired: Family<BySignal, Counter>,
    pub(crate) segments_damaged: Family<BySignal, Counter>,
    pub(crate) segments_quarantined: Family<BySignal, Counter>,
    pub(crate) quarantined_segments: Family<ByPartition, Gauge<i64>>,
    pub(crate) objects_swept: Counter,
    pub(crate) bytes_swept: Counter,
    pub(crate) retention_failures: Counter,
    pub(crate) disk_free: Family<ByVolume, Gauge<i64>>,
    pub(crate) disk_min_free: Family<ByVolume, Gauge<i64>>,
    pub(crate) disk_full: Gauge<i64>,
    pub(crate) expired_bytes_present: Gauge<i64>,
    pub(crate) read_bytes: Family<BySignal, Counter>,
    pub(crate) byte_cache: CacheMetrics,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            ingest_items: Family::default(),
            ingest_rejected: Family::default(),
            ingest_refused: Family::default(),
            ingest_truncated: Family::default(),
            ingest_active: Family::default(),
            wal_records: Counter::default(),
            wal_bytes: Counter::default(),
            wal_groups: Counter::default(),
            wal_sync_seconds: seconds(),
            wal_errors: Counter::default(),
            wal_files: Gauge::default(),
            wal_files_trimmed: Counter::default(),
            wal_corrupt_records: Counter::default(),
            wal_torn_bytes: Counter::default(),
            replay_records: Counter::default(),
            replay_done: Gauge::default(),
            head_bytes: Gauge::default(),
            head_rows: Family::default(),
            flushes: Family::default(),
            flush_failures: Family::default(),
            flush_rows: Family::default(),
            flush_bytes: Family::default(),
            flush_seconds: seconds(),
            compactions: Family::default(),
            compaction_failures: Family::default(),
            compaction_rows_in: Family::default(),
            compaction_rows_dropped: Family::default(),
            compaction_bytes_in: Family::default(),
            compaction_bytes_out: Family::default(),
            compaction_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 16)),
            compaction_backlog: Gauge::default(),
            manifest_commits: Family::default(),
            manifest_conflicts: Family::default(),
            manifests_quarantined: Counter::default(),
            segments: Family::default(),
            segment_bytes: Family::default(),
            segments_expired: Family::default(),
            segments_damaged: Family::default(),
            segments_quarantined: Family::default(),
            quarantined_segments: Family::default(),
            objects_swept: Counter::default(),
            bytes_swept: Counter::default(),
            retention_failures: Counter::default(),
            disk_free: Family::default(),
            disk_min_free: Family::default(),
            disk_full: Gauge::default(),
            expired_bytes_present: Gauge::default(),
            read_bytes: Family::default(),
            byte_cache: CacheMetrics::default(),
        }
    }
}

impl Metrics {
    /// Puts all of them into a registry, under the prefix `stella`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("stella");
        self.register_writes(registry);
        self.register_segments(registry);
        self.byte_cache.register(registry);
        self.register_compaction(registry);
    }

    fn register_compaction(&self, r: &mut Registry) {
        r.register("compactions", "Merges of segments that were committed", self.compactions.clone());
        let failures = self.compaction_failures.clone();
        r.register("compaction_failures", "Merges of segments that failed or came too late", failures);
        r.register("compaction_rows", "Rows read by merges", self.compaction_rows_in.clone());
        r.register(
            "compaction_rows_dropped",
            "Rows that merges left out: duplicates and expired ones",
            self.compaction_rows_dropped.clone(),
        );
        let read = self.compaction_bytes_in.clone();
        r.register_with_unit("compaction_read", "Bytes of segments that were merged", Unit::Bytes, read);
        let written = self.compaction_bytes_out.clone();
        r.register_with_unit("compaction_written", "Bytes of merged segments", Unit::Bytes, written);
        let seconds = self.compaction_seconds.clone();
        r.register_with_unit("compaction", "Time of a merge", Unit::Seconds, seconds);
        let backlog = self.compaction_backlog.clone();
        r.register("compaction_backlog", "Tenants' signals with a merge that is due", backlog);
    }

    fn register_writes(&self, r: &mut Registry) {
        r.register("ingest_items", "Items taken", self.ingest_items.clone());
        r.register("ingest_rejected_items", "Items not taken, by reason", self.ingest_rejected.clone());
        r.register("ingest_refused_batches", "Batches refused whole", self.ingest_refused.clone());
        let truncated = self.ingest_truncated.clone();
        r.register("ingest_truncated_lines", "Lines cut to the length that they may have", truncated);
        let active = self.ingest_active.clone();
        r.register(
            "ingest_active",
            "Series, streams or traces written lately, where they have a limit",
            active,
        );
        r.register("wal_records", "Records written to the log", self.wal_records.clone());
        r.register_with_unit("wal_written", "Bytes written to the log", Unit::Bytes, self.wal_bytes.clone());
        r.register(
            "wal_groups",
            "Writes of the log, each with records that waited together",
            self.wal_groups.clone(),
        );
        r.register_with_unit("wal_sync", "Time of a sync", Unit::Seconds, self.wal_sync_seconds.clone());
        r.register("wal_errors", "Failed writes and syncs of the log", self.wal_errors.clone());
        r.register("wal_files", "Log files on the disk", self.wal_files.clone());
        r.register(
            "wal_files_trimmed",
            "Log files deleted after their flush",
            self.wal_files_trimmed.clone(),
        );
        let corrupt = self.wal_corrupt_records.clone();
        r.register("wal_corrupt_records", "Damaged stretches of the log that were set aside", corrupt);
        let torn = self.wal_torn_bytes.clone();
        r.register_with_unit("wal_torn", "Bytes cut from the torn end of the log", Unit::Bytes, torn);
        r.register("replay_records", "Records replayed from the log", self.replay_records.clone());
        r.register("replay_done", "1 when the replay of the log is over", self.replay_done.clone());
        let free = self.disk_free.clone();
        r.register_with_unit("disk_free", "Room on the volume of the log or of the store", Unit::Bytes, free);
        let mark = self.disk_min_free.clone();
        r.register_with_unit("disk_min_free", "Room below which writes are refused", Unit::Bytes, mark);
        r.register("disk_full", "1 while writes are refused for want of room", self.disk_full.clone());
        r.register_with_unit("head", "Memory of all heads", Unit::Bytes, self.head_bytes.clone());
        r.register("head_rows", "Rows in heads", self.head_rows.clone());
    }

    fn register_segments(&self, r: &mut Registry) {
        r.register("flushes", "Heads written as segments", self.flushes.clone());
        r.register("flush_failures", "Attempts to flush a head that failed", self.flush_failures.clone());
        r.register("flush_rows", "Rows written to segments", self.flush_rows.clone());
        r.register_with_unit(
            "flush_written",
            "Bytes of segments written",
            Unit::Bytes,
            self.flush_bytes.clone(),
        );
        r.register_with_unit("flush", "Time of a flush", Unit::Seconds, self.flush_seconds.clone());
        r.register("manifest_commits", "Manifest versions made", self.manifest_commits.clone());
        r.register(
            "manifest_conflicts",
            "Manifest versions that another made first",
            self.manifest_conflicts.clone(),
        );
        let damaged = self.manifests_quarantined.clone();
        r.register("manifests_quarantined", "Damaged manifest versions that were set aside", damaged);
        r.register("segments", "Segments that the manifest names, by level", self.segments.clone());
        let bytes = self.segment_bytes.clone();
        r.register_with_unit(
            "segments_size",
            "Bytes of the segments that the manifest names",
            Unit::Bytes,
            bytes,
        );
        r.register("segments_expired", "Segments removed by retention", self.segments_expired.clone());
        let damaged = self.segments_damaged.clone();
        r.register("segments_damaged", "Files of segments that reads found damaged or missing", damaged);
        let aside = self.segments_quarantined.clone();
        r.register("segments_quarantined", "Damaged segments that were set aside", aside);
        let present = self.quarantined_segments.clone();
        r.register(
            "quarantined_segments",
            "Segments that are set aside now and missing from answers",
            present,
        );
        r.register("objects_swept", "Objects deleted that no manifest names", self.objects_swept.clone());
        r.register_with_unit("swept", "Bytes of deleted objects", Unit::Bytes, self.bytes_swept.clone());
        r.register(
            "retention_failures",
            "Failed passes over a tenant's signal",
            self.retention_failures.clone(),
        );
        let present = self.expired_bytes_present.clone();
        r.register("expired_bytes_present", "Bytes of expired and unreferenced data in the store", present);
        r.register_with_unit(
            "segment_read",
            "Bytes read from the store",
            Unit::Bytes,
            self.read_bytes.clone(),
        );
    }
}
