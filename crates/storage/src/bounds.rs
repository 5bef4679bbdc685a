//! Every hard limit of the engine that is not a setting, each with its reason.

/// A log record, header and all. A request is at most some tens of megabytes at the doors; what is larger is a fault
/// or damage, and replay must be able to hold one record.
pub(crate) const MAX_RECORD_BYTES: usize = 128 << 20;

/// Bytes that the log writes with one call and one fsync; beyond it the next group begins.
pub(crate) const MAX_GROUP_BYTES: usize = 32 << 20;

/// Records that wait for the log. Together with [`MAX_QUEUED_BYTES`] it bounds the queue.
pub(crate) const MAX_QUEUED_RECORDS: usize = 4_096;

/// Bytes of records that wait for the log; one record of the largest size must fit.
pub(crate) const MAX_QUEUED_BYTES: usize = MAX_RECORD_BYTES;

/// Records that replay has decoded and not yet put into a head.
pub(crate) const MAX_REPLAY_QUEUE: usize = 4;

/// Bytes that are read at once while replay looks for the next record that is whole.
pub(crate) const RESYNC_WINDOW_BYTES: usize = 1 << 20;

/// Tenants that one process keeps state for; each costs some kilobytes.
pub(crate) const MAX_TENANTS: usize = 100_000;

/// Manifests that are loaded at the same time when the engine opens.
pub(crate) const OPEN_CONCURRENCY: usize = 16;

/// A manifest's JSON; at some 300 bytes a segment this is far beyond what compaction leaves.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// How often a commit takes up the next version after it lost the race, before the caller has to.
pub(crate) const MAX_COMMIT_ATTEMPTS: usize = 32;

/// Segments that one manifest transaction of retention removes.
pub(crate) const MAX_EXPIRED_PER_COMMIT: usize = 1_000;

/// Objects that one sweep of a tenant's signal deletes; the next pass takes the rest.
pub(crate) const MAX_SWEPT_PER_PASS: usize = 10_000;

/// Unreferenced objects that a sweep remembers between passes.
pub(crate) const MAX_UNREFERENCED: usize = 100_000;

/// Manifest versions that stay behind the newest one, for readers that still hold them and for a fall-back.
pub(crate) const KEPT_MANIFESTS: usize = 8;

/// Heads of one tenant's signal that wait for the store at the same time; while it is reached the active head grows
/// until the bound on all heads refuses writers.
pub(crate) const MAX_FROZEN_HEADS: usize = 4;

/// Heads that are encoded and uploaded at the same time.
pub(crate) const FLUSH_CONCURRENCY: usize = 2;

/// How often an upload or commit is tried before the flush gives up until the next tick.
pub(crate) const FLUSH_ATTEMPTS: usize = 4;

/// The wait after the first failed attempt of a flush; it doubles with each.
pub(crate) const FLUSH_BACKOFF_MS: u64 = 100;

/// How often the flusher looks at the heads.
pub(crate) const FLUSH_TICK_MS: u64 = 1_000;

/// What a rejected item's name may take of a reply, in bytes.
pub(crate) const MAX_EXAMPLE_BYTES: usize = 300;
